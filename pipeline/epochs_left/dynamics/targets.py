"""What a run is asked for: a threshold of its loss, or the plateau of its curve.

Both are truths about a whole curve, for training and scoring; features see trailing windows only.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

from epochs_left.arrays import FloatArray, IntArray

#: A plateau that begins later than this share of the horizon cannot be told from none: censored.
LATEST_PLATEAU = 0.9


def first_below(loss: FloatArray, target: float) -> int | None:
    """Return the first epoch at which ``loss``, shape ``(n,)``, is below ``target``; None if none.

    NaN is never below.
    """
    below = np.flatnonzero(loss < target)
    return int(below[0]) if below.size else None


def plateau_epoch(metric: FloatArray, share: float) -> int | None:
    """Return the first epoch from which the metric stays on its plateau; None if censored.

    T_p is the first t with y_s <= m + p (y_0 - m) for all s from t to the horizon; y is the metric
    under a centred median of 3 with both ends left as they are, m its minimum. T_p above
    ``LATEST_PLATEAU`` of the horizon counts as censored.

    Parameters
    ----------
    metric
        A metric that falls, from epoch 0 to the horizon, shape ``(H + 1,)``, finite.
    share
        p, in (0, 1).
    """
    row = _plateau_row(metric, share)
    return row if row <= LATEST_PLATEAU * (metric.size - 1) else None


def plateau_time(
    metric: FloatArray, epoch: FloatArray, horizon: float, share: float
) -> float | None:
    """Return the same of a curve that was looked at now and then, in its own epochs.

    Parameters
    ----------
    metric
        A metric that falls, at some epochs up to the horizon, shape ``(n,)``, n at least 1, finite.
    epoch
        Those epochs, ascending, shape ``(n,)``.
    horizon
        The epoch that the curve was meant to last to; NaN: the last of them.
    share
        p, in (0, 1).
    """
    row = _plateau_row(metric, share)
    end = float(epoch[-1]) if np.isnan(horizon) else horizon
    begins = float(epoch[row]) if row < epoch.size else np.inf
    return begins if begins <= LATEST_PLATEAU * end else None


def _plateau_row(metric: FloatArray, share: float) -> int:
    """Return the first row from which the smoothed metric stays within the share; n if none."""
    smooth = metric.copy()
    smooth[1:-1] = median_filter(metric, size=3)[1:-1]
    least = smooth.min()
    above = np.flatnonzero(smooth > least + share * (smooth[0] - least))
    return int(above[-1]) + 1 if above.size else 0


def threshold_reached_at(loss: FloatArray, epoch: int, position: float) -> float:
    """Return a threshold that the curve first falls below at ``epoch``.

    Parameters
    ----------
    loss
        Shape ``(n,)``, positive and finite up to ``epoch``.
    epoch
        An epoch at which the loss is lower than ever before, at least 1 (ValueError otherwise).
    position
        Where between the two lowest losses the threshold lies, in (0, 1], on the log scale.
    """
    before, now = loss[:epoch].min(initial=np.inf), loss[epoch]
    if epoch < 1 or not now < before:
        raise ValueError(f"expected a new lowest loss at epoch {epoch}, got {now} after {before}")
    threshold = now * (before / now) ** position
    # Rounding must not take it out of (now, before].
    return float(np.clip(threshold, np.nextafter(now, np.inf), before))


def record_epochs(loss: FloatArray) -> IntArray:
    """Return the epochs after the first at which the loss is lower than ever before, ascending."""
    known = np.where(np.isnan(loss), np.inf, loss)
    lowest = np.minimum.accumulate(known)
    return np.flatnonzero(lowest[1:] < lowest[:-1]) + 1
