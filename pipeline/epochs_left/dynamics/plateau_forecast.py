"""When the plateau of a curve begins if the loss goes on as a simple curve fitted to it so far.

The curves have a floor: power laws, floor + c (S + 1)^-a, and decays, floor + c exp(-S / s). With a
and s from a grid, floor and c are linear: least squares for every epoch of every run at once, from
running sums, so that a run of E epochs takes O(E). The curve that fits best says where the loss
stands at the horizon, and so when it comes to lie within p of its range.

Extrapolation of learning curves by parametric families (Domhan, Springenberg & Hutter, IJCAI 2015),
with the best fit instead of their posterior: it is made at every epoch of thousands of runs.

S is any clock: epochs, or the cumulative learning rate, on which a schedule is no news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.curves import safe_log

#: Share of its mean square below which the variance of a basis is rounding and not a slope.
_LEAST_VARIATION = 1e-10
#: Range of a curve, in units of its initial loss, below which it counts as one that never fell.
_LEAST_RANGE = 1e-12
#: Cells, of runs and bases, that are worked on at once: so many stay in a core's cache.
_BATCH_CELLS = 8192


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
class Fit:
    """What is fitted to which parts of a curve.

    Attributes
    ----------
    bases
        `POWER_LAWS`, `DECAYS`, or others: the one that fits best counts.
    shares
        For each of several fits the share of the columns so far, the first ones, that it leaves
        out, in [0, 1).
    """

    bases: tuple[Basis, ...]
    shares: tuple[float, ...]


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
    """Return when the plateau begins on the basis that fits best, at each column.

    Parameters
    ----------
    loss, plateau, clock, end
        As for `plateau_forecasts`.
    share, bases
        As for `Fit`.
    """
    fit = Fit(bases=tuple(bases), shares=(share,))
    (forecast,) = plateau_forecasts(loss, plateau, clock, end, [fit])
    return forecast


def plateau_forecasts(
    loss: FloatArray,
    plateau: FloatArray,
    clock: FloatArray,
    end: FloatArray,
    fits: Sequence[Fit],
    *,
    since: int = 0,
) -> list[PlateauForecast]:
    """Return when the plateau begins by each of several fits, which share their sums.

    The first columns may be left out, which saves most of the work. The others are the same to the
    last bit: sums run from column 0 on in any case.

    Parameters
    ----------
    loss
        Shape ``(R, E)``; what is returned for column t depends on columns 0..t alone.
    plateau
        p of `targets.plateau_epoch`, shape ``(R, 1)`` or ``(R, E - since)``.
    clock
        S at each column, at least 0, shape ``(R, E)``.
    end
        S at the horizon, shape ``(R, 1)`` or ``(R, E - since)``.
    fits
        What is fitted.
    since
        First column that is forecast, so that what is returned has shape ``(R, E - since)``.

    Returns
    -------
    A forecast for each share of each fit, in order.
    """
    size = max(1, _BATCH_CELLS // max(1, loss.shape[1]))
    batches = [slice(first, first + size) for first in range(0, max(1, len(loss)), size)]
    parts = [
        _of_runs(loss[runs], plateau[runs], clock[runs], end[runs], fits, since) for runs in batches
    ]
    if len(parts) == 1:
        return parts[0]
    return [
        PlateauForecast(
            begins=np.concatenate([part.begins for part in of_fit]),
            misfit=np.concatenate([part.misfit for part in of_fit]),
        )
        for of_fit in zip(*parts, strict=True)
    ]


def _of_runs(
    loss: FloatArray,
    plateau: FloatArray,
    clock: FloatArray,
    end: FloatArray,
    fits: Sequence[Fit],
    since: int,
) -> list[PlateauForecast]:
    """Return `plateau_forecasts` of a few runs."""
    # In units of the initial loss; logs are bounded before any sum, so that nothing overflows.
    logs = safe_log(loss)
    relative = np.exp(logs - logs[:, :1])
    known = np.nan_to_num(clock)
    goal = _Goal(plateau=plateau[:, None], end=end[:, None], now=known[:, None, since:])
    forecasts = []
    with np.errstate(all="ignore"):
        sums_of_loss = _running_sums(relative, np.square(relative))
        for fit in fits:
            stretch = _Stretch.of(fit.shares, sums_of_loss, since)
            best = _constant(stretch, goal)
            for bases in _batches(fit.bases, loss.size):
                x = np.array([basis.at(known) for basis in bases])
                sums = _running_sums(x, np.square(x), x * relative)
                best = _best(best, _lines(bases, sums, stretch, goal))
            forecasts += _forecasts(best, goal.plateau)
    return forecasts


def _batches(bases: tuple[Basis, ...], n_cells: int) -> Iterator[tuple[Basis, ...]]:
    """Yield the bases, as many at a time as are quick: on short curves it is calls that cost."""
    size = max(1, _BATCH_CELLS // max(1, n_cells))
    for first in range(0, len(bases), size):
        yield bases[first : first + size]


def _running_sums(*series: FloatArray) -> FloatArray:
    """Return the sums over the columns before 0, 1, ... E, shape ``(n, ..., R, E + 1)``.

    They add one column after another, so that a sum does not depend on what comes later.
    """
    *shape, n_columns = series[0].shape
    sums = np.zeros((len(series), *shape, n_columns + 1))
    for total, values in zip(sums, series, strict=True):
        np.cumsum(values, axis=-1, out=total[..., 1:])
    return sums


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """The share p, the clock at the horizon, ``(R, 1, 1)`` or ``(R, 1, W)``, and now."""

    plateau: FloatArray
    end: FloatArray
    now: FloatArray


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """The columns that S fits look at for each of the W last ones: from ``first``, ``(S, W)``, on.

    How many they are, and mean and variance of the loss there, ``(R, S, W)``.
    """

    first: IntArray
    length: FloatArray
    mean_y: FloatArray
    variance_y: FloatArray

    @classmethod
    def of(cls, shares: Sequence[float], sums: FloatArray, since: int) -> _Stretch:
        """Return the stretches that leave shares out, from the sums of the loss and its square."""
        column = np.arange(since, sums.shape[-1] - 1)
        first = (column * np.array(shares)[:, None]).astype(np.int64)
        length = (column + 1 - first).astype(np.float64)
        mean_y, mean_square = _means(sums, first, length)
        variance_y = mean_square - np.square(mean_y)
        return cls(first=first, length=length, mean_y=mean_y, variance_y=variance_y)


def _means(sums: FloatArray, first: IntArray, length: FloatArray) -> FloatArray:
    """Return the means over the last columns of a length, shape ``(..., R, S, W)``."""
    means: FloatArray = sums[..., None, -first.shape[1] :] - sums.take(first, axis=-1)
    means /= length
    return means


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """When curves come to their plateaus, where they end, and their mean square errors.

    Of S fits ``(R, S, W)``, of their lines in B bases ``(B, R, S, W)``; there the error is infinite
    where a line does not fall.
    """

    begins: FloatArray
    level: FloatArray
    misfit: FloatArray


def _constant(stretch: _Stretch, goal: _Goal) -> _Outcome:
    """Return the outcome of staying at the mean, which is a plateau."""
    return _Outcome(
        begins=np.broadcast_to(goal.now, stretch.mean_y.shape),
        level=stretch.mean_y,
        misfit=np.maximum(stretch.variance_y, 0.0),
    )


def _lines(bases: tuple[Basis, ...], sums: FloatArray, stretch: _Stretch, goal: _Goal) -> _Outcome:
    """Return the outcome of least-squares lines, from the sums of x, its square and x y."""
    mean_x, mean_square, mean_product = _means(sums, stretch.first, stretch.length)
    square_of_mean, mean_y = np.square(mean_x), stretch.mean_y
    variance = mean_square - square_of_mean
    covariance = mean_product - mean_x * mean_y
    falls = (covariance > 0) & (variance > _LEAST_VARIATION * square_of_mean)
    slope = np.where(falls, covariance / variance, 0.0)
    misfit = stretch.variance_y - slope * covariance
    x_end = np.array([basis.at(goal.end) for basis in bases])
    level = np.maximum(mean_y + slope * (x_end - mean_x), 0.0)
    width = goal.plateau * np.maximum(1 - level, 0.0)
    within = mean_x + (level + width - mean_y) / slope
    times = [basis.inverse(x) for basis, x in zip(bases, within, strict=True)]
    begins = np.clip(times, goal.now, np.maximum(goal.end, goal.now))
    misfit = np.where(falls & ~np.isnan(begins), misfit, np.inf)
    return _Outcome(begins=begins, level=level, misfit=misfit)


def _best(best: _Outcome, lines: _Outcome) -> _Outcome:
    """Return the outcome of what fits best: what did so far or, one after another, the lines."""
    begins, level, misfit = best.begins, best.level, best.misfit
    floored = np.maximum(lines.misfit, 0.0)  # below is rounding
    for basis, error in enumerate(lines.misfit):
        better = error < misfit
        begins = np.where(better, lines.begins[basis], begins)
        level = np.where(better, lines.level[basis], level)
        misfit = np.where(better, floored[basis], misfit)
    return _Outcome(begins=begins, level=level, misfit=misfit)


def _forecasts(best: _Outcome, plateau: FloatArray) -> list[PlateauForecast]:
    """Return the forecast of each of S fits."""
    width = plateau * np.maximum(1 - best.level, _LEAST_RANGE)
    misfit = np.sqrt(best.misfit) / width
    return [
        PlateauForecast(begins=best.begins[:, fit], misfit=misfit[:, fit])
        for fit in range(misfit.shape[1])
    ]
