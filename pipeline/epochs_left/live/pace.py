"""Seconds that a unit of training takes, from when the last ones ended."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

#: Intervals that are looked at, and how much less each counts than the one after it: one long
#: interval (a checkpoint, an evaluation) changes nothing, and a change that stays decides after
#: three.
_WINDOW, _FADING = 8, 0.8


class Pace:
    """The weighted median of the last intervals, the latest ones counting most."""

    def __init__(self, seconds: Sequence[float] = ()) -> None:
        self._seconds = deque(seconds, maxlen=_WINDOW)
        self._last: tuple[float, float] | None = None

    @property
    def intervals(self) -> list[float]:
        """Seconds a unit of each interval, the latest last."""
        return list(self._seconds)

    def mark(self, epoch: float, now: float) -> None:
        """Note that ``epoch`` ended at the time ``now``, in seconds; NaN where nobody knows."""
        if math.isnan(now):
            return
        if self._last is not None:
            units, seconds = epoch - self._last[0], now - self._last[1]
            if units > 0 and seconds >= 0:
                self._seconds.append(seconds / units)
        self._last = (epoch, now)

    def pause(self) -> None:
        """Let the time until the next mark not count."""
        self._last = None

    def seconds_per_unit(self) -> float | None:
        """Return seconds a unit; None before the first interval."""
        if not self._seconds:
            return None
        weights = [_FADING**age for age in reversed(range(len(self._seconds)))]
        seconds, counts = zip(*sorted(zip(self._seconds, weights, strict=True)), strict=True)
        return float(seconds[bisect_left(list(accumulate(counts)), sum(weights) / 2)])
