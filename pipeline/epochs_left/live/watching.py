"""Rows of a growing log as the answers of one tracker a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from epochs_left.errors import DataError
from epochs_left.live.eta import Eta
from epochs_left.live.growing import GrowingLog
from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.layout import LABELS, MEASURES, RECORDED_LR, SETTINGS
from epochs_left.prediction.rows import Rows

#: From the horizon that a log states for a run, or None, and its settings to its tracker.
MakeTracker = Callable[[float | None, Mapping[str, float | str]], EtaTracker]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A row and what was answered.

    Attributes
    ----------
    run
        Name of the run.
    epoch, value
        Of the row; NaN where it has no loss.
    eta
        The answer; None where none was asked for.
    back_from
        The epoch of the run's row before, where this one is not later; else None.
    """

    run: str
    epoch: int
    value: float
    eta: Eta | None
    back_from: float | None


@dataclass
class Watcher:
    """Feeds rows to trackers.

    Parameters
    ----------
    make_tracker
        Makes the tracker of a run from its first row.
    run
        Name of the one run to be looked at; None for all.
    """

    make_tracker: MakeTracker
    run: str | None = None
    _trackers: dict[str, EtaTracker] = field(default_factory=dict)
    _epochs: dict[str, int] = field(default_factory=dict)

    def take(self, log: GrowingLog, rows: Rows, *, written: float, every: bool) -> Iterator[Seen]:
        """Yield what each row says.

        Parameters
        ----------
        log
            Where the rows come from.
        written
            When the last row was written, in seconds. When the others were, nobody knows.
        every
            Whether to answer at each row, or at the last one with a loss alone.
        """
        names = [log.run_names[code] for code in rows.run]
        wanted = [i for i, name in enumerate(names) if self.run in {None, name}]
        told = [i for i in wanted if rows.measured[i]] or wanted
        for i in wanted:
            asked = every or i == told[-1]
            time = written if i == len(rows) - 1 else np.nan
            yield self._row(names[i], rows, i, log.label_names, time=time, asked=asked)

    def _row(
        self, run: str, rows: Rows, i: int, label_names: list[str], *, time: float, asked: bool
    ) -> Seen:
        if run not in self._trackers:
            stated = _settings(rows, i, label_names)
            horizon = stated.pop("horizon", None)
            self._trackers[run] = self.make_tracker(
                None if horizon is None else float(horizon), stated
            )
        epoch, value = int(rows.epoch[i]), float(rows.loss[i])
        before = self._epochs.get(run)
        self._epochs[run] = epoch
        measures: dict[str, Any] = {
            name: float(v[i]) for name, v in rows.numbers.items() if name in MEASURES
        }
        if RECORDED_LR in rows.numbers:
            measures["lr"] = float(rows.numbers[RECORDED_LR][i])
        tracker = self._trackers[run]
        take = tracker.update if asked else tracker.observe
        try:
            eta = take(
                value if rows.measured[i] else None, epoch=epoch, time=float(time), **measures
            )
        except ValueError as error:
            raise DataError(f"data row {rows.row[i]}: {error}", row=int(rows.row[i])) from error
        back = before is not None and epoch <= before
        return Seen(
            run=run,
            epoch=epoch,
            value=value if rows.measured[i] else np.nan,
            eta=eta,
            back_from=before if back else None,
        )


def _settings(rows: Rows, i: int, label_names: list[str]) -> dict[str, float | str]:
    """Return the settings of a run, as its first row states them."""
    numbers = {name: float(v[i]) for name, v in rows.numbers.items() if name in SETTINGS}
    labels = {name: int(codes[i]) for name, codes in rows.labels.items() if name in LABELS}
    return {
        **{name: value for name, value in numbers.items() if _says_something(name, value)},
        **{name: label_names[code] for name, code in labels.items() if code >= 0},
    }


def _says_something(name: str, value: float) -> bool:
    """Tell whether a number is a setting; a warm-up from 0 states no learning rate."""
    return bool(np.isfinite(value)) and (name != "lr" or value > 0)
