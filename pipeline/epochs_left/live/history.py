"""The curve of one run so far, of bounded length, and as rows that `prediction.answers` takes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.resampling import even_grid, evenly_spaced, grid_step
from epochs_left.prediction.layout import LABELS, MEASURES, RECORDED_LR

if TYPE_CHECKING:
    from epochs_left.prediction.runs import Runs

#: An even curve of at most so many points is looked at as it is: as long as the longest runs that
#: predictors are trained on. A longer one is thinned, which also keeps an update fast.
MAX_EXACT = 1000
#: Points of a resampled curve.
MAX_POINTS = 500
#: Points that are kept: of more, every second one.
MAX_KEPT = 2048

LOSS = "loss"
COLUMNS = (LOSS, *MEASURES, RECORDED_LR)
#: Measures of what happened since the epoch before, which between two points of a grid another step
#: lies than between two evaluations.
_OF_A_STEP = ("update_norm", "probe_kl")
#: Settings whose meaning is tied to one epoch; the horizon is counted in the unit of the curve.
_OF_AN_EPOCH = ("lr", "batch_size", "n_examples")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run as rows, and how many of the caller's units a unit of the rows is."""

    runs: Runs
    unit: float
    label_names: list[str]


class History:
    """Evaluations of one run in order of time.

    Parameters
    ----------
    horizon
        Units that the run is meant to last, or None.
    settings
        Settings of the run (`live.settings.checked_settings`).
    """

    def __init__(self, horizon: float | None, settings: Mapping[str, float | str]) -> None:
        self._horizon, self._settings = horizon, dict(settings)
        self.time = array("d")
        self.values = {name: array("d") for name in COLUMNS}

    def __len__(self) -> int:
        """Return the number of evaluations that are kept."""
        return len(self.time)

    def set(self, name: str, value: float) -> None:
        """State a setting that is known only now."""
        self._settings[name] = value

    def add(self, epoch: float, loss: float, measures: Mapping[str, float]) -> None:
        """Append an evaluation later than all before it."""
        self.time.append(epoch)
        self.values[LOSS].append(loss)
        for name in (*MEASURES, RECORDED_LR):
            self.values[name].append(measures.get(name, np.nan))
        if len(self) > MAX_KEPT:
            for column in self._columns():
                del column[-2::-2]  # the latest stays

    def last(self, name: str) -> float:
        """Return a measure at the latest evaluation; NaN without one, or where it was not taken."""
        column = self.values[name]
        return column[-1] if column else np.nan

    def rewind(self, epoch: float) -> None:
        """Forget the evaluations at ``epoch`` and later."""
        end = bisect_left(self.time, epoch)
        for column in self._columns():
            del column[end:]

    def curve(self) -> Curve:
        """Return the run so far; of past evaluations alone, as they are or on an even grid.

        Whole times that are evenly spaced are handed on, so that a log with the same rows gets the
        same answers from `epochs-left predict`. Otherwise the rows are the points of a grid that
        ends at the last evaluation, counted in its steps.
        """
        time = np.array(self.time)
        whole = self._as_it_is(time)
        if whole is not None:
            return self._rows(whole, self._measured(), unit=1.0, settings=self._settings)
        step = grid_step(time, MAX_POINTS)
        grid = even_grid(time, step)
        epoch = round(grid[-1] / step) - np.arange(grid.size - 1, -1, -1)
        columns = {
            name: evenly_spaced(time, values, step)
            for name, values in self._measured().items()
            if name not in _OF_A_STEP
        }
        settings = self._settings
        if step != 1:
            settings = {n: v for n, v in settings.items() if n not in _OF_AN_EPOCH}
        return self._rows(epoch, columns, unit=step, settings=settings)

    def _columns(self) -> list[array[float]]:
        return [self.time, *self.values.values()]

    def _measured(self) -> dict[str, FloatArray]:
        """Return the loss and those measures that some evaluation has."""
        columns = {name: np.array(values) for name, values in self.values.items()}
        return {n: v for n, v in columns.items() if n == LOSS or not np.isnan(v).all()}

    def _as_it_is(self, time: FloatArray) -> IntArray | None:
        """Return the times as whole numbers if they are, and evenly spaced, and not too many."""
        if time.size == 1:  # no prediction yet, whatever the time
            return np.floor(time).astype(np.int64)
        if time.size > MAX_EXACT or np.any(time != np.floor(time)):
            return None
        gaps = np.diff(time)
        return time.astype(np.int64) if np.all(gaps == gaps[:1]) else None

    def _rows(
        self,
        epoch: IntArray,
        columns: Mapping[str, FloatArray],
        *,
        unit: float,
        settings: Mapping[str, float | str],
    ) -> Curve:
        # pyarrow, which these import, is slow: a script that imports a tracker need not wait.
        from epochs_left.prediction.rows import Rows  # noqa: PLC0415
        from epochs_left.prediction.runs import Runs  # noqa: PLC0415

        n = epoch.size
        stated = dict(settings)
        if self._horizon is not None:
            stated["horizon"] = float(epoch[-1]) + (self._horizon - self.time[-1]) / unit
        names = [name for name in LABELS if name in stated]
        labels = {name: np.full(n, code) for code, name in enumerate(names)}
        measures = {
            name: values
            for name, values in columns.items()
            if name != LOSS and not np.isnan(values).all()
        }
        numbers = {n_: np.full(n, v) for n_, v in stated.items() if not isinstance(v, str)}
        rows = Rows(
            run=np.zeros(n, dtype=np.int64),
            row=np.arange(1, n + 1),
            epoch=epoch,
            loss=columns[LOSS],
            measured=np.ones(n, dtype=np.bool_),
            numbers=measures | numbers,
            labels=labels,
            params=None,
        )
        runs = Runs(rows=rows, starts=np.zeros(1, dtype=np.int64), lengths=np.array([n]))
        return Curve(runs=runs, unit=unit, label_names=[str(stated[name]) for name in names])
