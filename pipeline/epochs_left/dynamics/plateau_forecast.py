"""When the plateau of a curve begins if the loss goes on as a simple curve fitted to it so far.

The curves have a floor: power laws, floor + c (S + 1)^-a, and decays, floor + c exp(-S / s). With a
and s from a grid, floor and c are linear: least squares for every epoch of every run at once, from
running means, so that a run of E epochs takes O(E). The curve that fits best says where the loss
stands at the horizon, and so when it comes to lie within p of its range.

Extrapolation of learning curves by parametric families (Domhan, Springenberg & Hutter, IJCAI 2015),
with the best fit instead of their posterior: it is made at every epoch of thousands of runs.

S is any clock: epochs, or the cumulative learning rate, on which a schedule is no news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.extrapolation import mean_since

#: Share of its mean square below which the variance of a basis is rounding and not a slope.
_LEAST_VARIATION = 1e-10
#: Range of a curve, in units of its initial loss, below which it counts as one that never fell.
_LEAST_RANGE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Basis:
    """A falling function of the clock S >= 0, and its inverse."""

    at: Callable[[FloatArray], FloatArray]
    inverse: Callable[[FloatArray], FloatArray]


def _power(exponent: float, clock: FloatArray) -> FloatArray:
    return np.asarray((clock + 1) ** exponent)


def _clock_of_power(exponent: float, value: FloatArray) -> FloatArray:
    return np.asarray(value ** (1 / exponent) - 1)


def _decay(constant: float, clock: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-clock / constant))


def _clock_of_decay(constant: float, value: FloatArray) -> FloatArray:
    return np.asarray(-constant * np.log(value))


#: Power laws from a very slow one to that of a few modes.
POWER_LAWS = tuple(
    Basis(at=partial(_power, -a), inverse=partial(_clock_of_power, -a))
    for a in (0.25, 0.5, 1.0, 2.0)
)
#: Decays with time constants in units of the clock.
DECAYS = tuple(
    Basis(at=partial(_decay, s), inverse=partial(_clock_of_decay, s))
    for s in (2.0, 5.0, 12.0, 30.0, 80.0, 200.0)
)


@dataclass(frozen=True, kw_only=True)
class PlateauForecast:
    """A forecast for every epoch of every run.

    Attributes
    ----------
    begins
        Clock at which the plateau begins, from now to the horizon, shape ``(R, E)``; now where the
        fitted curve does not fall.
    misfit
        Root mean square error of the fit in units of the plateau's width p (y_0 - m), shape
        ``(R, E)``: above 1 it is noise that decides when the plateau begins.
    """

    begins: FloatArray
    misfit: FloatArray


def plateau_forecast(
    loss: FloatArray,
    plateau: FloatArray,
    clock: FloatArray,
    end: FloatArray,
    *,
    share: float,
    bases: Sequence[Basis],
) -> PlateauForecast:
    """Return when the plateau begins on the basis that fits best.

    Parameters
    ----------
    loss
        Shape ``(R, E)``; what is returned at column t depends on columns 0..t alone.
    plateau
        p of `targets.plateau_epoch`, shape ``(R, 1)``.
    clock
        S at each column, at least 0, shape ``(R, E)``.
    end
        S at the horizon, shape ``(R, 1)``.
    share
        Share of the columns so far, the first ones, that the fit leaves out, in [0, 1).
    bases
        `POWER_LAWS`, `DECAYS`, or others.
    """
    # In units of the initial loss; logs are bounded before any sum, so that nothing overflows.
    relative = np.exp(safe_log(loss) - safe_log(loss[:, :1]))
    mean = partial(mean_since, share=share)
    mean_y, mean_square = mean(relative), mean(np.square(relative))
    known = np.nan_to_num(clock)
    around_mean = mean_square - np.square(mean_y)
    begins, least, lowest = known.copy(), np.maximum(around_mean, 0.0), mean_y
    with np.errstate(all="ignore"):
        for basis in bases:
            x, x_end = basis.at(known), basis.at(end)
            mean_x = mean(x)
            variance = mean(np.square(x)) - np.square(mean_x)
            covariance = mean(x * relative) - mean_x * mean_y
            falls = (covariance > 0) & (variance > _LEAST_VARIATION * np.square(mean_x))
            slope = np.where(falls, covariance / variance, 0.0)
            misfit = around_mean - slope * covariance
            level = np.maximum(mean_y + slope * (x_end - mean_x), 0.0)
            width = plateau * np.maximum(1 - level, 0.0)
            value = mean_x + (level + width - mean_y) / slope
            found = np.clip(basis.inverse(value), known, np.maximum(end, known))
            better = falls & (misfit < least) & ~np.isnan(found)
            begins, lowest = np.where(better, found, begins), np.where(better, level, lowest)
            least = np.where(better, np.maximum(misfit, 0.0), least)
        width = plateau * np.maximum(1 - lowest, _LEAST_RANGE)
        return PlateauForecast(begins=begins, misfit=np.sqrt(least) / width)
