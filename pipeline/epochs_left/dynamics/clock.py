"""The cumulative learning rate as the clock of SGD.

S(t) is the sum of the learning rates of the passes done; with a constant one it is proportional to
the epoch. The schedule ahead is planned, so that a time on the clock can be read as an epoch. Plans
are ``(R, H)``: the learning rate of the pass that follows 0, 1, ... passes, NaN beyond a run's
horizon. There the last known one stays in force, whatever the width of the array.
"""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray, IntArray

#: Change of the learning rate within an epoch, as a log ratio, from which on it is a step and not
#: part of a smooth schedule.
RATE_CHANGE = float(np.log(1.2))


def time_on_clock(planned: FloatArray, epoch: FloatArray) -> FloatArray:
    """Return S at each epoch, 0 where the epoch is NaN.

    Parameters
    ----------
    planned
        Plans, shape ``(R, H)``.
    epoch
        Epochs t, shape ``(R, E)``; integers, NaN in the padding.
    """
    total, n_known = _cumulative(planned), _n_known(planned)
    passes = np.nan_to_num(epoch)
    index = np.clip(passes, 0, n_known).astype(np.int64)
    beyond = np.maximum(passes - n_known, 0.0)
    time: FloatArray = _at(total, index) + beyond * _last_rate(planned, n_known)
    return time


def epochs_until(planned: FloatArray, clock: FloatArray) -> FloatArray:
    """Return the first epoch, in fractions, at which S reaches ``clock``, shape ``(R, E)``.

    Infinite where S never gets there, since the last learning rate is 0.
    """
    total, n_known = _cumulative(planned), _n_known(planned)
    reached = _first_at_least(total, n_known, clock)
    end = np.clip(reached, 1, n_known)
    at_end, before = _at(total, end), _at(total, np.maximum(end - 1, 0))
    pace = np.where(reached > n_known, _last_rate(planned, n_known), at_end - before)
    with np.errstate(divide="ignore", invalid="ignore"):
        epochs = end - (at_end - clock) / pace
    return np.where(reached > 0, epochs, 0.0)


def rate_in_force(planned: FloatArray, epoch: FloatArray | IntArray) -> FloatArray:
    """Return the learning rate of the pass that follows each epoch, shape ``(R, E)``."""
    index = np.clip(np.nan_to_num(epoch), 0, np.maximum(_n_known(planned) - 1, 0))
    return np.nan_to_num(_at(planned, index.astype(np.int64)))


def since_rate_change(rates: FloatArray) -> IntArray:
    """Return the column at which the learning rate last changed by more than `RATE_CHANGE`.

    Parameters
    ----------
    rates
        Learning rate of the pass that each column ends, shape ``(R, E)``.

    Returns
    -------
    Columns, shape ``(R, E)``: the first one with the present rate; 0 before the first change.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = np.abs(np.diff(np.log(rates), axis=1, prepend=np.nan)) > RATE_CHANGE
    columns = np.where(changes, np.arange(rates.shape[1]), 0)
    latest: IntArray = np.maximum.accumulate(columns, axis=1)
    return latest


def _first_at_least(total: FloatArray, n_known: IntArray, clock: FloatArray) -> IntArray:
    """Return the first epoch at which S is at least ``clock``, n + 1 if it never is, ``(R, E)``.

    `numpy.searchsorted` of each row in its first n + 1 totals, by halving for all rows at once: the
    rows of a block are many and short, and a call for each takes four times as long.
    """
    sizes = [1 << power for power in reversed(range(total.shape[1].bit_length()))]
    padded = np.full((len(total), sum(sizes)), np.inf)
    padded[:, : total.shape[1]] = np.where(np.arange(total.shape[1]) <= n_known, total, np.inf)
    below = np.zeros(clock.shape, dtype=np.int64)  # how many totals are known to be smaller
    for size in sizes:
        # A total that is not at least a NaN is below it, as `numpy.searchsorted` has it.
        below += size * ~(_at(padded, below + (size - 1)) >= clock)
    first: IntArray = np.minimum(below, n_known + 1)
    return first


def _at(values: FloatArray, index: IntArray) -> FloatArray:
    """Return each row's values at columns of its own, shape ``(R, E)``."""
    first = np.arange(len(values))[:, None] * values.shape[1]
    found: FloatArray = values.ravel().take(first + index)
    return found


def _cumulative(planned: FloatArray) -> FloatArray:
    """Return S after 0, 1, ... H passes, shape ``(R, H + 1)``; it stands still where NaN."""
    total = np.zeros((len(planned), planned.shape[1] + 1))
    np.cumsum(np.where(np.isnan(planned), 0.0, planned), axis=1, out=total[:, 1:])
    return total


def _n_known(planned: FloatArray) -> IntArray:
    """Return the passes that are planned, shape ``(R, 1)``."""
    known: IntArray = np.count_nonzero(~np.isnan(planned), axis=1, keepdims=True)
    return known


def _last_rate(planned: FloatArray, n_known: IntArray) -> FloatArray:
    """Return the last learning rate that is known, 0 without one, shape ``(R, 1)``."""
    return np.nan_to_num(_at(planned, np.maximum(n_known - 1, 0)))
