"""Abrupt changes of regime along a loss curve: where two straight lines beat any smooth curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import FloatArray

#: Epochs that a regime lasts at least, and a run that can show two.
MIN_SEGMENT, MIN_EPOCHS = 4, 12
#: The faster of two regimes has at least this many times the slope of the other.
SLOPE_RATIO = 3.0
#: Squared error an epoch, log loss squared, that rounding leaves of an exact fit.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Change:
    """A change of regime of a loss curve.

    Attributes
    ----------
    epoch
        First epoch of the second regime.
    slope_before, slope_after
        Slopes of log loss, 1/epoch.
    """

    epoch: int
    slope_before: float
    slope_after: float

    @property
    def speeds_up(self) -> bool:
        """Whether log loss falls faster after the change."""
        return self.slope_after < self.slope_before


def change_of_regime(log_loss: FloatArray) -> Change | None:
    """Return the change of regime of a curve, or None.

    A curve changes its regime where two straight lines describe it better than one does, and better
    than a smooth curve with as many coefficients (a cubic and log(1 + t)), by the Bayesian
    information criterion (Schwarz 1978), and one of their slopes is `SLOPE_RATIO` times the other.
    The smooth curve is what tells a bend from a break: exponential and power-law decay have none.

    Parameters
    ----------
    log_loss
        Log loss at epochs 0, 1, ..., shape ``(n,)``, finite; n below `MIN_EPOCHS` gives None.
    """
    n = log_loss.size
    if n < MIN_EPOCHS:
        return None
    cut, two = _best_cut(log_loss)
    slopes = _slope(log_loss[:cut]), _slope(log_loss[cut:])
    slow, fast = sorted(abs(slope) for slope in slopes)
    others = _bic(float(_line_errors(log_loss)[-1]), n, 2), _bic(_smooth_error(log_loss), n, 5)
    abrupt = _bic(two, n, 5) < min(others)
    return Change(cut, *slopes) if abrupt and fast >= SLOPE_RATIO * slow else None


def _bic(squared_error: float, n: int, coefficients: int) -> float:
    return n * float(np.log(squared_error / n + _ROUNDING)) + coefficients * float(np.log(n))


def _best_cut(y: FloatArray) -> tuple[int, float]:
    """Return where the second of the two best lines begins, and their squared error together."""
    before, after = _line_errors(y), _line_errors(y[::-1])[::-1]
    cuts = np.arange(MIN_SEGMENT, y.size - MIN_SEGMENT + 1)
    total = before[cuts - 1] + after[cuts]
    best = int(np.argmin(total))
    return int(cuts[best]), float(total[best])


def _line_errors(y: FloatArray) -> FloatArray:
    """Return the squared error of the least-squares line through ``y[: i + 1]`` for every i."""
    y = y - y.mean()  # a smaller sum of squares loses fewer digits
    t = np.arange(y.size, dtype=np.float64)
    n = t + 1
    sum_t, sum_y = np.cumsum(t), np.cumsum(y)
    spread_t = np.cumsum(t**2) - sum_t**2 / n
    spread_y = np.cumsum(y**2) - sum_y**2 / n
    joint = np.cumsum(t * y) - sum_t * sum_y / n
    explained = np.divide(joint**2, spread_t, out=np.zeros(y.size), where=spread_t > 0)
    return np.maximum(spread_y - explained, 0.0)


def _slope(y: FloatArray) -> float:
    return float(np.polyfit(np.arange(y.size), y, deg=1)[0])


def _smooth_error(y: FloatArray) -> float:
    t = np.linspace(0.0, 1.0, y.size)
    design = np.stack([np.ones_like(t), t, t**2, t**3, np.log1p(np.arange(y.size))], axis=1)
    solution = np.linalg.lstsq(design, y, rcond=None)[0]
    return float(np.sum((y - design @ solution) ** 2))
