"""Loss curves seen from epoch t backwards: logs, trailing slopes, contraction, extrapolation.

Arrays have shape ``(R, E)``; the value at column t depends on columns 0..t alone.
"""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray

#: Logs are kept within these bounds, so that a diverged or a zero loss stays finite.
LOG_LIMIT = 100.0

#: Log of what float32 measures of order one cannot resolve, and of "none yet".
LOG_FLOOR = -18.0

#: Epochs above which an extrapolation only says "never".
EPOCH_LIMIT = 1e6


def safe_log(values: FloatArray) -> FloatArray:
    """Return the natural log within ``+-LOG_LIMIT``; NaN and infinity count as diverged, +limit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
    bounded: FloatArray = np.maximum(np.fmin(logs, LOG_LIMIT), -LOG_LIMIT)
    return bounded


def floored_log(values: FloatArray) -> FloatArray:
    """Return the natural log from ``LOG_FLOOR`` up: what is smaller is none, to float32."""
    return np.maximum(safe_log(values), LOG_FLOOR)


def lagged(values: FloatArray, lag: int) -> FloatArray:
    """Return the values ``lag`` epochs before, or those of epoch 0 where there are fewer."""
    epochs = np.maximum(np.arange(values.shape[1]) - lag, 0)
    result: FloatArray = values[:, epochs]
    return result


def back_by_share(values: FloatArray, share: float) -> FloatArray:
    """Return the values at ``share`` of the epochs so far, rounded down: column ``floor(s t)``."""
    epochs = (np.arange(values.shape[1]) * share).astype(np.int64)
    result: FloatArray = values[:, epochs]
    return result


def running_minimum(values: FloatArray) -> FloatArray:
    """Return the smallest value so far; NaN counts as infinite."""
    known = np.where(np.isnan(values), np.inf, values)
    result: FloatArray = np.minimum.accumulate(known, axis=1)
    return result


def trailing_slope(values: FloatArray, window: int) -> FloatArray:
    """Return the mean change an epoch over the last ``window`` epochs, or fewer; 0 at epoch 0."""
    elapsed = np.minimum(np.arange(values.shape[1]), window)
    result: FloatArray = (values - lagged(values, window)) / np.maximum(elapsed, 1)
    return result


def trailing_mean(values: FloatArray, window: int) -> FloatArray:
    """Return the mean over the last ``window`` epochs, or over those that there are.

    Sums in a fixed order of lags, so that a value does not depend on what else is in the array.
    """
    total = np.zeros_like(values)
    counts = np.minimum(np.arange(values.shape[1]) + 1, window)
    for lag in range(min(window, values.shape[1])):
        total[:, lag:] += values[:, : values.shape[1] - lag]
    result: FloatArray = total / counts
    return result


def epochs_at_slope(log_gap: FloatArray, slope: FloatArray) -> FloatArray:
    """Return the epochs until a log gap closes at a constant slope an epoch.

    Parameters
    ----------
    log_gap
        ``log(loss / target)``; at or below 0 the target is reached.
    slope
        Change of log loss an epoch; at or above 0 the target is never reached.

    Returns
    -------
    Values in ``[0, EPOCH_LIMIT]``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        epochs = np.where(slope < 0, log_gap / -slope, np.inf)
    return np.clip(np.where(log_gap <= 0, 0.0, epochs), 0.0, EPOCH_LIMIT)


def aitken_limit(values: FloatArray) -> FloatArray:
    """Return the limit that the last three values point at (Aitken's delta-squared process).

    Exact for ``floor + c rho^t``. Where the differences do not shrink there is no limit, and the
    value itself is returned; so it is for the first two epochs.
    """
    step = values - lagged(values, 1)
    before = lagged(values, 1) - lagged(values, 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        limit = values - np.square(step) / (step - before)
    shrinks = (np.abs(step) < np.abs(before)) & np.isfinite(limit)
    return np.where(shrinks, limit, values)
