"""From predictions to survival curves, and what scores of them need.

Notation: T is the number of epochs until a run converges, from the row on; S(t) = P(T > t) the
survival curve, a run "surviving" as long as it has not converged. A run that never converges is
known not to have converged by any epoch up to the cap: it is censored at the cap, whenever it got
stuck or diverged, since counting it as lost from sight at that epoch would make its censoring tell
how it ends.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from epochs_left.arrays import BoolArray, FloatArray


def two_part_survival(
    p_converges: FloatArray, quantiles: FloatArray, shares: FloatArray, times: FloatArray
) -> FloatArray:
    """Return S(t) = 1 - p F(t): whether, times when.

    F is the distribution of T given that the run converges: linear between its quantiles, 0 at
    t = 0 unless they say otherwise, and constant beyond the last one, where nothing is known.

    Parameters
    ----------
    p_converges
        Probability of converging at all, shape ``(n,)``.
    quantiles
        Quantiles of T in epochs, not decreasing along a row, shape ``(n, m)``.
    shares
        Their increasing shares in (0, 1), shape ``(m,)``.
    times
        Epochs at which the curve is wanted, shape ``(k,)``.

    Returns
    -------
    Array of shape ``(n, k)``, in [0, 1], not increasing along a row.
    """
    known = np.concatenate([[0.0], shares])
    curves = np.empty((quantiles.shape[0], times.size))
    for row, ends in enumerate(quantiles):
        # Of equal quantiles the last share holds: F is right-continuous.
        curves[row] = np.interp(times, *_last_of_equal(np.concatenate([[0.0], ends]), known))
    return np.asarray(1.0 - np.asarray(p_converges)[:, None] * curves)


def _last_of_equal(values: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    finite = np.isfinite(values)
    values, shares = values[finite], shares[finite]
    last = np.append(np.diff(values) > 0, True)
    return values[last], shares[last]


def log_normal_survival(median: FloatArray, sigma: float, times: FloatArray) -> FloatArray:
    """Return the curve of an accelerated failure time model, log T normal: shape ``(n, k)``.

    S(t) = 1 - Phi((log t - log median) / sigma), Wei 1992, Stat. Med. 11.

    Parameters
    ----------
    median
        Predicted median of T in epochs, above 0, shape ``(n,)``.
    sigma
        Standard deviation of log T.
    times
        Epochs at which the curve is wanted, above 0, shape ``(k,)``.
    """
    return np.asarray(ndtr((np.log(median)[:, None] - np.log(times)) / sigma))


def kaplan_meier(duration: FloatArray, event: BoolArray, times: FloatArray) -> FloatArray:
    """Return the Kaplan-Meier estimate of S at some times, shape ``(k,)``.

    The product over event times u <= t of (1 - events at u / runs still at risk at u) (Kaplan &
    Meier 1958, JASA 53).

    Parameters
    ----------
    duration
        Epochs until the event or the censoring, shape ``(n,)``.
    event
        Whether the run converged then, shape ``(n,)``.
    times
        Shape ``(k,)``.
    """
    ends = np.unique(duration[event])
    at_risk = duration.size - np.searchsorted(np.sort(duration), ends)
    events = np.searchsorted(np.sort(duration[event]), ends, side="right")
    events = np.diff(events, prepend=0)
    curve = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)])
    return np.asarray(curve[np.searchsorted(ends, times, side="right")])


def restricted_mean(survival: FloatArray, times: FloatArray) -> FloatArray:
    """Return the mean of min(T, last time) that curves imply, shape ``(n,)``, in epochs.

    The area under S by trapezoids from t = 0, where S is 1 (Royston & Parmar 2011, Stat. Med. 30):
    one number a run to rank runs by, whether they are slow or will never converge.

    Parameters
    ----------
    survival
        Shape ``(n, k)``.
    times
        Increasing times above 0, shape ``(k,)``.
    """
    curve = np.pad(survival, ((0, 0), (1, 0)), constant_values=1.0)
    return np.asarray(np.trapezoid(curve, np.concatenate([[0.0], times]), axis=1))
