"""Seconds a unit (0.1 s)."""

import math

import numpy as np
import pytest

from epochs_left.live.pace import Pace


def paced(seconds: list[float], pace: Pace | None = None, start: float = 0.0) -> Pace:
    pace = pace or Pace()
    for epoch, now in enumerate(start + np.cumsum([0.0, *seconds])):
        pace.mark(float(epoch), float(now))
    return pace


def test_nothing_is_known_before_the_first_interval() -> None:
    assert Pace().seconds_per_unit() is None
    assert paced([]).seconds_per_unit() is None
    assert paced([3.0]).seconds_per_unit() == 3.0


@pytest.mark.parametrize("at", range(4, 20))
def test_one_or_two_long_intervals_change_nothing(at: int) -> None:
    seconds = [10.0] * 20
    seconds[at] = seconds[at - 2] = 500.0
    assert paced(seconds).seconds_per_unit() == 10.0


def test_a_lasting_change_decides_after_three_intervals() -> None:
    assert paced([10.0] * 20 + [4.0] * 2).seconds_per_unit() == 10.0
    assert paced([10.0] * 20 + [4.0] * 3).seconds_per_unit() == 4.0


@pytest.mark.parametrize("seed", range(5))
def test_the_pace_scales_with_the_clock_and_against_the_unit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = rng.exponential(size=9).tolist()
    found = paced(seconds).seconds_per_unit()
    assert paced([4 * s for s in seconds]).seconds_per_unit() == pytest.approx(4 * (found or 0))
    steps = Pace()
    for epoch, now in enumerate(np.cumsum([0.0, *seconds])):
        steps.mark(100.0 * epoch, float(now))
    assert steps.seconds_per_unit() == pytest.approx((found or 0) / 100)


def test_a_pause_an_unknown_time_and_a_clock_that_goes_back_do_not_count() -> None:
    pace = paced([10.0] * 3)
    pace.pause()
    pace.mark(4, 9_000.0)
    assert pace.intervals == [10.0] * 3
    pace.mark(5, 9_010.0)
    pace.mark(6, math.nan)
    pace.mark(7, 9_030.0)
    pace.mark(8, 0.0)
    assert pace.intervals == [10.0] * 5
