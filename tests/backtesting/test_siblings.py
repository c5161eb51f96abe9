"""The interval of one more value, against ranks counted one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from epochs_left.backtesting.siblings import interval_of_next
from epochs_left.statistics.conformal import conformal_offsets

FEWEST = {0.5: 3, 0.8: 9, 0.9: 19}  # values that support a level: (n - 1) / (n + 1) reaches it


def between_ranks(values: list[float], share: float) -> float:
    """The value of rank share * (n + 1), counted from 1, on the line between its neighbours."""
    ordered, rank = sorted(values), share * (len(values) + 1)
    below = min(max(math.floor(rank + 1e-9), 1), len(values))
    above = min(below + 1, len(values))
    return ordered[below - 1] + (rank - below) * (ordered[above - 1] - ordered[below - 1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("level", FEWEST)
def test_its_ends_are_at_the_ranks_that_the_level_says(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    for n in (FEWEST[level], 25, 60):
        values = rng.lognormal(size=n)
        ends = (between_ranks(values.tolist(), (1 + sign * level) / 2) for sign in (-1, 1))
        assert interval_of_next(values, level) == pytest.approx(tuple(ends))


@pytest.mark.parametrize("level", FEWEST)
def test_too_few_values_have_none(level: float) -> None:
    for n in range(FEWEST[level] + 3):
        found = interval_of_next(np.arange(float(n)), level)
        assert np.isnan(found).all() == (n < FEWEST[level])
        assert np.isnan(found).any() == np.isnan(found).all()


@pytest.mark.parametrize("seed", range(3))
def test_at_whole_ranks_it_is_the_conformal_interval(seed: int) -> None:
    """19 values: ranks 1 and 19 hold the next one with 90 %, 2 and 18 with 80 %."""
    values = np.random.default_rng(seed).normal(size=19)
    levels, lower, upper = conformal_offsets(values, np.arange(19), levels=[0.8, 0.9])
    for level, *ends in zip(levels.tolist(), lower, upper, strict=True):
        assert interval_of_next(values, level) == pytest.approx(tuple(ends))


@pytest.mark.parametrize("level", FEWEST)
def test_it_holds_the_next_value_as_often_as_it_says(level: float) -> None:
    rng = np.random.default_rng(0)
    draws = np.exp(rng.normal(size=(2000, 31)))
    inside = [
        lower <= following <= upper
        for *values, following in draws
        for lower, upper in [interval_of_next(np.array(values), level)]
    ]
    assert np.mean(inside) == pytest.approx(level, abs=0.03)
