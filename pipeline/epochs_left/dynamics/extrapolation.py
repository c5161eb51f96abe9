"""Epochs to a target if the loss goes on as a simple curve fitted to what a run has shown so far.

Four curves: a straight line, a geometric decay, a power law, and a hyperbola (Optimus). Each is
fitted by least squares for every epoch of every run at once, from running means alone, so that a
run of E epochs takes O(E). The last three bend downwards on the way to a floor of at least 0.

A fit says how fast the curve falls; where it stands is read from the last loss itself. On recorded
runs that was as good or better than the fitted value, which lags behind where a curve bends.

Arrays have shape ``(R, E)``, settings ``(R, 1)``; the value at column t depends on columns 0..t
alone. Values are whole epochs in [0, EPOCH_LIMIT], for NaN and infinite losses too: 0 below the
target, at least 1 elsewhere, and EPOCH_LIMIT ("never") where the fit does not fall or there is one
point alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.dynamics.curves import EPOCH_LIMIT, epochs_at_slope, lagged, safe_log

#: Means over a stretch of each history that ends with column t: ``(R, E) -> (R, E)``.
Mean = Callable[[FloatArray], FloatArray]

#: Floors that are tried beside 0, as shares of the target. One above the target says "never": with
#: four such floors in the grid, R^2 of log(1 + epochs) on MLPs that got there fell from 0 to -1.
FLOOR_SHARES = (0.5, 0.9)

#: First column at which a floor may be chosen: the later half has three points from there on, and
#: two lie on a line whatever the floor.
_FIRST_WITH_FLOOR = 3

_LARGEST_LOG = 50.0  # of a factor of time; exp of it is far beyond EPOCH_LIMIT


def mean_since(values: FloatArray, share: float) -> FloatArray:
    """Return the mean over the columns from ``floor(share t)`` to t; share 0 is all of them.

    From running sums: the error is that of the sum of all columns so far, so that a stretch should
    be a share of the history. Shorter ones are for `curves.trailing_mean`.
    """
    column = np.arange(values.shape[1])
    first = (column * share).astype(np.int64)
    total = np.cumsum(values, axis=1)
    before = np.where(first > 0, total[:, np.maximum(first - 1, 0)], 0.0)
    result: FloatArray = (total - before) / (column + 1 - first)
    return result


def linear_epochs(
    loss: FloatArray, target: FloatArray, epoch: FloatArray, window: int
) -> FloatArray:
    """Return the epochs to the target at the mean slope of the loss over ``window`` columns.

    Parameters
    ----------
    loss, target
        In any one unit.
    epoch
        Epochs t, shape ``(R, E)`` or ``(1, E)``.
    window
        Columns back to the point that the slope is taken from; epoch 0 where there are fewer.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        pace = (lagged(loss, window) - loss) / (epoch - lagged(epoch, window))
        return _whole_epochs((loss - target) / np.where(pace > 0, pace, 0.0), loss < target)


def exponential_epochs(
    loss: FloatArray,
    target: FloatArray,
    epoch: FloatArray,
    mean: Mean,
    *,
    floor_shares: tuple[float, ...] = (),
) -> FloatArray:
    """Return the epochs to the target on ``floor + c exp(-k t)``.

    Parameters
    ----------
    loss, target, epoch
        As for `linear_epochs`.
    mean
        Mean over the stretch of the history that is fitted.
    floor_shares
        Floors to choose from beside 0, as shares of the target, in (0, 1).
    """

    def extrapolate(curve: _Curve) -> tuple[FloatArray, FloatArray]:
        log_excess = safe_log(curve.excess)
        moments = _moments(curve.epoch, log_excess, curve.weight, mean)
        slope = moments.slope
        epochs = epochs_at_slope(log_excess - np.log(curve.gap), slope)
        return epochs, moments.misfit(slope)

    return _with_best_floor(loss, target, epoch, floor_shares, extrapolate)


def power_law_epochs(
    loss: FloatArray,
    target: FloatArray,
    epoch: FloatArray,
    mean: Mean,
    *,
    floor_shares: tuple[float, ...] = (),
) -> FloatArray:
    """Return the epochs to the target on ``floor + c (t + 1)^-a``.

    Parameters are those of `exponential_epochs`.
    """

    def extrapolate(curve: _Curve) -> tuple[FloatArray, FloatArray]:
        log_excess = safe_log(curve.excess)
        moments = _moments(np.log1p(curve.epoch), log_excess, curve.weight, mean)
        slope = moments.slope
        log_factor = epochs_at_slope(log_excess - np.log(curve.gap), slope)
        epochs = (curve.epoch + 1) * np.expm1(np.minimum(log_factor, _LARGEST_LOG))
        return epochs, moments.misfit(slope)

    return _with_best_floor(loss, target, epoch, floor_shares, extrapolate)


def optimus_epochs(
    loss: FloatArray,
    target: FloatArray,
    epoch: FloatArray,
    mean: Mean,
    *,
    floor_shares: tuple[float, ...] = (),
) -> FloatArray:
    """Return the epochs to the target on ``1 / (b0 t + b1) + b2`` with nonnegative coefficients.

    Peng, Bao, Chen, Wu and Guo 2018, "Optimus: an efficient dynamic resource scheduler for deep
    learning clusters" (EuroSys), equation 1. The reciprocal of the excess over b2 is linear in t;
    its error counts times the excess, which makes it that of the loss, to first order.

    Parameters are those of `exponential_epochs`.
    """

    def extrapolate(curve: _Curve) -> tuple[FloatArray, FloatArray]:
        reciprocal = np.where(curve.excess > 0, 1 / curve.excess, 0.0)
        weight = curve.weight * np.square(curve.excess)
        moments = _moments(curve.epoch, reciprocal, weight, mean)
        slope, intercept = moments.nonnegative_line()
        epochs = (1 / curve.gap - reciprocal) / slope
        return epochs, moments.misfit(slope, intercept)

    return _with_best_floor(loss, target, epoch, floor_shares, extrapolate)


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The loss above a floor, in units of the initial loss, and what is left of it at the target.

    ``weight`` is (excess / loss)^2: it turns errors of the log of the excess into errors of the log
    of the loss, to first order, so that fits with different floors compare.
    """

    epoch: FloatArray
    excess: FloatArray
    weight: FloatArray
    gap: FloatArray


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Weighted moments of x and y over a stretch of each history; ``mass`` is the mean weight."""

    mass: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray
    variance_x: FloatArray
    variance_y: FloatArray
    covariance: FloatArray

    @property
    def slope(self) -> FloatArray:
        """Least-squares slope; 0 where x does not vary, to rounding."""
        varies = self.variance_x > 1e-12 * np.square(self.mean_x)
        return np.where(varies, self.covariance / self.variance_x, 0.0)

    def nonnegative_line(self) -> tuple[FloatArray, FloatArray]:
        """Return slope and intercept of the least-squares line with both at least 0, for x >= 0.

        Where the free line has a negative coefficient, the best line has that coefficient 0.
        """
        slope = np.maximum(self.slope, 0.0)
        free = self.mean_y - slope * self.mean_x
        product = self.covariance + self.mean_x * self.mean_y
        through_zero = product / (self.variance_x + np.square(self.mean_x))
        return np.where(free < 0, through_zero, slope), np.maximum(free, 0.0)

    def misfit(self, slope: FloatArray, intercept: FloatArray | None = None) -> FloatArray:
        """Return the weighted mean square error of a line; without intercept, of the best one."""
        around = self.variance_y - slope * (2 * self.covariance - slope * self.variance_x)
        off = 0.0 if intercept is None else intercept + slope * self.mean_x - self.mean_y
        result: FloatArray = self.mass * (around + np.square(off))
        return result


def _moments(x: FloatArray, y: FloatArray, weight: FloatArray, mean: Mean) -> _Moments:
    mass = mean(weight)
    weighted_x, weighted_y = weight * x, weight * y
    mean_x, mean_y = mean(weighted_x) / mass, mean(weighted_y) / mass
    return _Moments(
        mass=mass,
        mean_x=mean_x,
        mean_y=mean_y,
        variance_x=mean(weighted_x * x) / mass - np.square(mean_x),
        variance_y=mean(weighted_y * y) / mass - np.square(mean_y),
        covariance=mean(weighted_x * y) / mass - mean_x * mean_y,
    )


def _with_best_floor(
    loss: FloatArray,
    target: FloatArray,
    epoch: FloatArray,
    floor_shares: tuple[float, ...],
    extrapolate: Callable[[_Curve], tuple[FloatArray, FloatArray]],
) -> FloatArray:
    """Return the whole epochs that the best fitting floor gives.

    Logs are bounded before any sum, so that the losses of a run that blew up overflow nothing.
    """
    start = safe_log(loss[:, :1])
    relative, goal = np.exp(safe_log(loss) - start), np.exp(safe_log(target) - start)
    known_epoch = np.broadcast_to(np.nan_to_num(epoch), loss.shape)
    may_choose = np.arange(loss.shape[1]) >= _FIRST_WITH_FLOOR
    least = np.full(loss.shape, np.inf)
    epochs = np.full(loss.shape, np.inf)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for share in (0.0, *floor_shares):
            excess = np.maximum(relative - share * goal, 0.0)
            weight = np.square(excess / relative)
            gap = (1 - share) * goal
            found, misfit = extrapolate(
                _Curve(epoch=known_epoch, excess=excess, weight=weight, gap=gap)
            )
            better = (misfit < least) & (may_choose | (share == 0))
            least, epochs = np.where(better, misfit, least), np.where(better, found, epochs)
        return _whole_epochs(epochs, loss < target)


def _whole_epochs(epochs: FloatArray, reached: BoolArray) -> FloatArray:
    """Round up within [1, EPOCH_LIMIT], NaN being never; 0 where the target is reached."""
    known = np.where(np.isnan(epochs), np.inf, epochs)
    return np.where(reached, 0.0, np.clip(np.ceil(known), 1.0, EPOCH_LIMIT))
