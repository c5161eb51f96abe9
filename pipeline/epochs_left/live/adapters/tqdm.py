"""tqdm: a bar whose postfix is what is left."""

from __future__ import annotations

from typing import Any

from epochs_left.live.adapters._frameworks import framework
from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker

_Bar: Any = framework("tqdm.auto", package="tqdm").tqdm


class EtaBar(_Bar):
    """A `tqdm` of epochs that shows how many of them are needed.

    >>> from epochs_left.live.adapters.tqdm import EtaBar  # doctest: +SKIP
    >>> with EtaBar(range(200), target=0.05) as bar:  # doctest: +SKIP
    ...     for epoch in bar:
    ...         bar.track(loss=train_one_epoch(), lr=scheduler.get_last_lr()[0])
    ...         scheduler.step()

    It shows and never stops; for a checkpoint, `tracker` has the state.

    Parameters
    ----------
    *iterables
        As for `tqdm`.
    target
        As for `EtaTracker`.
    asked
        What else `EtaTracker` takes: plateau, horizon, mode, settings, ... The usual horizon is
        the bar's total.
    **bar
        What else `tqdm` takes.
    """

    def __init__(
        self,
        *iterables: Any,
        target: float | None = None,
        asked: dict[str, Any] | None = None,
        **bar: Any,
    ) -> None:
        super().__init__(*iterables, **bar)
        arguments = {"horizon": getattr(self, "total", None) or None, **(asked or {})}
        self.tracker = EtaTracker(target, **arguments)

    def track(self, loss: float | None = None, **measures: Any) -> Eta:
        """Take an evaluation as `EtaTracker.update` does, show the answer, and return it."""
        eta = self.tracker.update(loss, **measures)
        self.set_postfix_str(str(eta))
        return eta
