"""The scales on which remaining epochs are predicted.

R = epochs remaining, t = epochs elapsed. log((R + 1) / (t + 1)) is defined at t = 0 and does not
change when time is counted in another unit; its residuals equal those of log(1 + R).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import FloatArray

#: No prediction is larger, in epochs: beyond it a number says "never" better than digits do.
MAX_REMAINING = 1e9
_LOG_MAX = math.log1p(MAX_REMAINING)

Transform = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Scale:
    """A pair of inverse maps between epochs remaining and the value that a model predicts.

    Parameters
    ----------
    name
        Key in `SCALES`.
    forward
        ``(remaining, elapsed) -> value``; arrays that broadcast, in epochs.
    inverse
        ``(value, elapsed) -> remaining``, in [0, MAX_REMAINING] for every finite value.
    """

    name: str
    forward: Transform
    inverse: Transform


def _clipped(remaining: FloatArray) -> FloatArray:
    return np.clip(remaining, 0.0, MAX_REMAINING)


def _exp_clipped(log_remaining: FloatArray) -> FloatArray:
    """Return exp(x) - 1 within [0, MAX_REMAINING]; clipped before exp, which would overflow."""
    return _clipped(np.expm1(np.clip(log_remaining, 0.0, _LOG_MAX)))


def _epochs(remaining: FloatArray, elapsed: FloatArray) -> FloatArray:
    return np.broadcast_arrays(np.asarray(remaining, dtype=np.float64), elapsed)[0].copy()


def _from_epochs(value: FloatArray, elapsed: FloatArray) -> FloatArray:
    return _clipped(_epochs(value, elapsed))


def _log(remaining: FloatArray, elapsed: FloatArray) -> FloatArray:
    return np.log1p(_epochs(remaining, elapsed))


def _from_log(value: FloatArray, elapsed: FloatArray) -> FloatArray:
    return _exp_clipped(_epochs(value, elapsed))


def _log_ratio(remaining: FloatArray, elapsed: FloatArray) -> FloatArray:
    return np.log1p(_epochs(remaining, elapsed)) - np.log1p(np.asarray(elapsed, dtype=np.float64))


def _from_log_ratio(value: FloatArray, elapsed: FloatArray) -> FloatArray:
    return _exp_clipped(_epochs(value, elapsed) + np.log1p(np.asarray(elapsed, dtype=np.float64)))


SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale("epochs", _epochs, _from_epochs),
        Scale("log", _log, _from_log),
        Scale("log_ratio", _log_ratio, _from_log_ratio),
    )
}
