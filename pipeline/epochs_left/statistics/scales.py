"""The scales on which remaining epochs are predicted.

R = epochs remaining, t = epochs elapsed, A = epochs ahead until the horizon. log((R + 1) / (t + 1))
is defined at t = 0 and does not change when time is counted in another unit; its residuals equal
those of log(1 + R). What ends by the horizon at the latest, as a plateau does, is a share of A: its
log odds, log((R + 1/2) / (A - R + 1/2)).
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

#: (remaining or value, elapsed, ahead) -> the other of the two.
Transform = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Scale:
    """A pair of inverse maps between epochs remaining and the value that a model predicts.

    Parameters
    ----------
    name
        Key in `SCALES`.
    to_value, to_epochs
        The maps; arrays that broadcast, in epochs. ``to_epochs`` gives epochs in
        [0, MAX_REMAINING] for every finite value.
    bounded
        Whether they need to know how many epochs are ahead until the horizon.
    """

    name: str
    to_value: Transform
    to_epochs: Transform
    bounded: bool = False

    def forward(
        self, remaining: FloatArray, elapsed: FloatArray, ahead: FloatArray | None = None
    ) -> FloatArray:
        """Return the values of epochs remaining.

        Raises
        ------
        ValueError
            If the scale is bounded and ``ahead`` is absent.
        """
        return self.to_value(remaining, elapsed, self._known(ahead))

    def inverse(
        self, value: FloatArray, elapsed: FloatArray, ahead: FloatArray | None = None
    ) -> FloatArray:
        """Return the epochs remaining of values; raises as `forward` does."""
        return self.to_epochs(value, elapsed, self._known(ahead))

    def _known(self, ahead: FloatArray | None) -> FloatArray:
        if ahead is None and self.bounded:
            raise ValueError(f"the scale {self.name!r} needs the epochs ahead until the horizon")
        return np.asarray(np.nan if ahead is None else ahead, dtype=np.float64)


def _clipped(remaining: FloatArray) -> FloatArray:
    return np.clip(remaining, 0.0, MAX_REMAINING)


def _exp_clipped(log_remaining: FloatArray) -> FloatArray:
    """Return exp(x) - 1 within [0, MAX_REMAINING]; clipped before exp, which would overflow."""
    return _clipped(np.expm1(np.clip(log_remaining, 0.0, _LOG_MAX)))


def _epochs(remaining: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    del ahead
    return np.broadcast_arrays(np.asarray(remaining, dtype=np.float64), elapsed)[0].copy()


def _from_epochs(value: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    return _clipped(_epochs(value, elapsed, ahead))


def _log(remaining: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    return np.log1p(_epochs(remaining, elapsed, ahead))


def _from_log(value: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    return _exp_clipped(_epochs(value, elapsed, ahead))


def _log_ratio(remaining: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    return _log(remaining, elapsed, ahead) - np.log1p(np.asarray(elapsed, dtype=np.float64))


def _from_log_ratio(value: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    log_elapsed = np.log1p(np.asarray(elapsed, dtype=np.float64))
    return _exp_clipped(_epochs(value, elapsed, ahead) + log_elapsed)


def _log_odds(remaining: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    left = _epochs(remaining, elapsed, ahead)
    odds: FloatArray = np.log((left + 0.5) / (np.maximum(ahead - left, 0.0) + 0.5))
    return odds


def _from_log_odds(value: FloatArray, elapsed: FloatArray, ahead: FloatArray) -> FloatArray:
    share = np.exp(-np.logaddexp(0.0, -_epochs(value, elapsed, ahead)))  # 1 / (1 + exp(-value))
    left: FloatArray = np.clip((ahead + 1.0) * share - 0.5, 0.0, np.maximum(ahead, 0.0))
    return _clipped(left)


SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale("epochs", _epochs, _from_epochs),
        Scale("log", _log, _from_log),
        Scale("log_ratio", _log_ratio, _from_log_ratio),
        Scale("share_ahead", _log_odds, _from_log_odds, bounded=True),
    )
}


def interval_scale(scale: Scale) -> Scale:
    """Return the scale on which intervals around a regressor's predictions are counted.

    That of log(1 + R), on which residuals of any unit of time are alike; of what ends by a horizon
    the regressor's own, on which both ends of an interval stay within it.
    """
    return scale if scale.bounded else SCALES["log"]


def interval_around(
    remaining: FloatArray,
    offsets: tuple[FloatArray, FloatArray],
    scale: Scale,
    ahead: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of intervals around predictions, each of shape ``(n,)``.

    Offsets may put an interval beside a biased model's prediction; it is made wider then until it
    holds it, which never hurts coverage.

    Parameters
    ----------
    remaining
        Predicted epochs, shape ``(n,)``.
    offsets
        From the prediction to the lower and to the upper end, on the scale, ``(n,)`` each.
    scale
        From `interval_scale`; values on it do not depend on the epochs elapsed.
    ahead
        Epochs until the horizon, shape ``(n,)``, for a scale that is bounded.
    """
    now = np.zeros(len(remaining))
    value = scale.forward(remaining, now, ahead)
    low, high = (scale.inverse(value + offset, now, ahead) for offset in offsets)
    return np.minimum(low, remaining), np.maximum(high, remaining)
