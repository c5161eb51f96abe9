"""The cumulative learning rate as the clock of SGD.

S(t) is the sum of the learning rates of the passes done; with a constant one it is proportional to
the epoch. The schedule ahead is planned, so that a time on the clock can be read as an epoch. Plans
are ``(R, H)``: the learning rate of the pass that follows 0, 1, ... passes, NaN beyond a run's
horizon. There the last known one stays in force, whatever the width of the array.
"""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray, IntArray


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
    result: FloatArray = np.take_along_axis(total, index, axis=1) + beyond * _last_rate(planned)
    return result


def epochs_until(planned: FloatArray, clock: FloatArray) -> FloatArray:
    """Return the first epoch, in fractions, at which S reaches ``clock``, shape ``(R, E)``.

    Infinite where S never gets there, since the last learning rate is 0.
    """
    total, rate = _cumulative(planned), _last_rate(planned)
    epochs = np.empty(clock.shape)
    # A row at a time: each has a plan of its own.
    for row, n in enumerate(_n_known(planned)[:, 0]):
        reached = np.searchsorted(total[row, : n + 1], clock[row])
        end = np.clip(reached, 1, n)
        short = total[row, end] - clock[row]
        pace = np.where(reached > n, rate[row], total[row, end] - total[row, end - 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            epochs[row] = np.where(reached > 0, end - short / pace, 0.0)
    return epochs


def rate_in_force(planned: FloatArray, epoch: FloatArray | IntArray) -> FloatArray:
    """Return the learning rate of the pass that follows each epoch, shape ``(R, E)``."""
    index = np.clip(np.nan_to_num(epoch), 0, np.maximum(_n_known(planned) - 1, 0))
    rate: FloatArray = np.nan_to_num(np.take_along_axis(planned, index.astype(np.int64), axis=1))
    return rate


def _cumulative(planned: FloatArray) -> FloatArray:
    """Return S after 0, 1, ... H passes, shape ``(R, H + 1)``; it stands still where NaN."""
    rates = np.nan_to_num(planned)
    return np.concatenate([np.zeros((len(planned), 1)), np.cumsum(rates, axis=1)], axis=1)


def _n_known(planned: FloatArray) -> IntArray:
    """Return the passes that are planned, shape ``(R, 1)``."""
    known: IntArray = (~np.isnan(planned)).sum(axis=1, keepdims=True)
    return known


def _last_rate(planned: FloatArray) -> FloatArray:
    """Return the last learning rate that is known, shape ``(R, 1)``."""
    return rate_in_force(planned, _n_known(planned))
