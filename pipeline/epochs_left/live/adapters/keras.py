"""Keras: a callback."""

from __future__ import annotations

import logging
import math
from numbers import Real
from pathlib import Path
from typing import Any

from epochs_left.errors import InputOutputError
from epochs_left.live.adapters._frameworks import framework
from epochs_left.live.adapters._optimizers import agreed_rate, optimizer_settings
from epochs_left.live.adapters._tracked_run import OnEta, TrackedRun
from epochs_left.live.eta import Eta
from epochs_left.storage.tables import read_json, write_json

_keras = framework("keras", package="keras")
_Callback: Any = _keras.callbacks.Callback
_LOG = logging.getLogger("epochs_left")

#: What is added to the logs of every epoch, NaN where it is not known: `CSVLogger` keeps to the
#: columns of the first one.
_LOGGED = ("eta/epochs_remaining", "eta/lower", "eta/upper", "eta/p_converges")


class EtaCallback(_Callback):
    """Predicts at the end of each epoch how many are left, and adds it as ``eta/...`` to the logs.

    Callbacks that come later in the list see the numbers, as `History` does: put this one before a
    `CSVLogger`. Each of several processes predicts from the same logs, so that all of them stop
    together. Another `fit` goes on if its ``initial_epoch`` does, and else begins anew. Of each
    epoch the learning rate of its last step counts.

    Parameters
    ----------
    target
        As for `EtaTracker`.
    metric
        What is in the logs: ``"loss"``, or for example ``"val_loss"``.
    stop_if
        ``"never converges at .95"`` or ``"takes longer than 40 epochs at .95"`` stops training and
        says so; without it nothing is ever stopped.
    on_eta
        Receives every answer; `print` shows it.
    state_file
        JSON file that keeps the curve, written at the end of each epoch and read when training
        starts: give it a place beside the checkpoint, as for `BackupAndRestore`.
    **asked
        What else `EtaTracker` takes: plateau, horizon, mode, settings, ... The usual horizon is
        the number of epochs of `fit`; learning rate and optimizer are passed on.

    Raises
    ------
    TypeError, ValueError
        As `EtaTracker` does, and for a rule to stop that says nothing.
    """

    def __init__(
        self,
        target: float | None = None,
        *,
        metric: str = "loss",
        stop_if: str | None = None,
        on_eta: OnEta | None = None,
        state_file: str | Path | None = None,
        **asked: Any,
    ) -> None:
        super().__init__()
        self._run = TrackedRun(target, metric=metric, stop_if=stop_if, on_eta=on_eta, **asked)
        self._state_file = None if state_file is None else Path(state_file)

    @property
    def eta(self) -> Eta | None:
        """The last answer."""
        return self._run.eta

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen, for JSON."""
        return self._run.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, before `fit`."""
        self._run.load_state_dict(state)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Make the tracker: length and settings of the run are known now."""
        if self._state_file is not None and self._state_file.exists():
            self.load_state_dict(read_json(self._state_file))
        epochs = self.params.get("epochs")
        self._run.start(horizon=epochs, settings=_settings(self.model.optimizer))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predict, add the numbers to the logs, and stop if that was asked for."""
        logs = {} if logs is None else logs
        value = logs.get(self._run.metric)
        if value is None:
            self._run.missing(list(logs))
        rate = _rate(self.model.optimizer, logs)
        numbers = {} if value is None else self._run.update(value, epoch + 1, lr=rate)
        logs.update({name: numbers.get(name, math.nan) for name in _LOGGED})
        if self._run.stop_reason is not None:
            self.model.stop_training = True
            _LOG.warning(self._run.stop_reason)
        if self._state_file is not None:
            self._keep(self._state_file)

    def _keep(self, state_file: Path) -> None:
        try:
            write_json(state_file, self.state_dict())
        except InputOutputError as error:  # no reason to lose a training
            self._run.complain(str(error))


def _settings(optimizer: Any) -> dict[str, float | str]:
    config = optimizer.get_config()
    rate = config.get("learning_rate")  # of a schedule: how it is made
    known = {
        "lr": rate if isinstance(rate, Real) else None,
        "momentum": config.get("momentum"),
        "weight_decay": config.get("weight_decay"),
        "nesterov": config.get("nesterov"),
    }
    return optimizer_settings(type(optimizer).__name__, [known])


def _rate(optimizer: Any, logs: dict[str, Any]) -> float | None:
    """Return the learning rate of the epoch just done; None where there is no single one.

    A callback that changes it may have done so by now; it has logged then what it was.
    """
    kept = getattr(optimizer, "_learning_rate", None)
    if isinstance(kept, _keras.optimizers.schedules.LearningRateSchedule):
        return agreed_rate([kept(optimizer.iterations - 1)])  # the steps done are one ahead
    now = getattr(optimizer, "learning_rate", None)
    return agreed_rate([logs.get("learning_rate", now)])
