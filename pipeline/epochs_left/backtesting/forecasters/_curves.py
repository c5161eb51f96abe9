"""Curves fitted to the rows of a prefix, in blocks of padded runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from epochs_left.arrays import FloatArray, ranges
from epochs_left.backtesting.forecasters import Forecasts, point_forecasts
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.dynamics.extrapolation import mean_since
from epochs_left.dynamics.plateau_forecast import Basis, plateau_forecast
from epochs_left.trajectories import blocks_of_similar_length, pad

_MAX_CELLS = 2**20

#: From losses ``(R, E)``, what is asked for ``(R, 1)`` and times ``(R, E)`` to times left
#: ``(R, E)``, all times in units of the run; a plateau is also told the horizon ``(R, 1)``.
ToTarget = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
ToPlateau = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]

#: The later half of a prefix: the first epochs of real runs follow no simple curve.
LATER_HALF_SHARE = 0.5
LATER_HALF = partial(mean_since, share=LATER_HALF_SHARE)


def plateau_by(bases: Sequence[Basis], *, share: float) -> ToPlateau:
    """Return the times until a plateau begins by the curve that fits a prefix best.

    Parameters
    ----------
    bases, share
        Shapes of the curve, and the share of the prefix that it is not fitted to
        (`plateau_forecast`).
    """

    def to_plateau(
        loss: FloatArray, plateau: FloatArray, epoch: FloatArray, horizon: FloatArray
    ) -> FloatArray:
        found = plateau_forecast(loss, plateau, epoch, horizon, share=share, bases=bases)
        return found.begins - epoch

    return to_plateau


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How one kind of curve goes on.

    Attributes
    ----------
    to_target, to_plateau
        Times left at every row, from the rows up to it.
    """

    to_target: ToTarget
    to_plateau: ToPlateau

    def forecasts(self, prefixes: Prefixes) -> Forecasts:
        """Return the times left at the last rows of prefixes.

        A run's unit of time is the distance of its first two measured rows. Runs whose loss was not
        finite get no forecast, nor do plateaus without a horizon.
        """
        measured = prefixes.runs.rows.measured
        rows = prefixes.runs.rows.take(measured)
        lengths = np.add.reduceat(measured, prefixes.runs.starts, dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        remaining = np.full(prefixes.n_runs, np.nan)
        for block in blocks_of_similar_length(lengths, _MAX_CELLS):
            cells, sizes = ranges(starts[block], lengths[block]), lengths[block]
            epoch = pad(rows.epoch[cells].astype(np.float64), sizes)
            remaining[block] = self._last(prefixes, block, pad(rows.loss[cells], sizes), epoch)
            bad = ~np.isfinite(rows.loss[cells])
            broken = np.add.reduceat(bad, np.cumsum(sizes) - sizes) > 0
            remaining[block[broken]] = np.nan
        return point_forecasts(remaining)

    def _last(
        self, prefixes: Prefixes, block: np.ndarray, loss: FloatArray, epoch: FloatArray
    ) -> FloatArray:
        """Return the times left in epochs, shape ``(R,)``; infinite where the curve never falls."""
        unit = epoch[:, 1:2] - epoch[:, :1]
        if prefixes.plateau is None:
            left = self.to_target(loss, prefixes.target[block, None], epoch / unit)
        else:
            horizon, share = prefixes.horizon[block, None] / unit, prefixes.plateau
            left = self.to_plateau(loss, np.full(unit.shape, share), epoch / unit, horizon)
            left = np.where(np.isnan(horizon), np.nan, left)
        last = np.count_nonzero(~np.isnan(epoch), axis=1) - 1
        found = left[np.arange(last.size), last]
        return np.where(found >= EPOCH_LIMIT, np.inf, found * unit[:, 0])
