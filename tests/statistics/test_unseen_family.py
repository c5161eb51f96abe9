"""Offsets for an unseen family: laws, and what they hold on families drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.statistics.unseen_family import unseen_family_offsets

LEVELS = (0.5, 0.8, 0.9)
SEEDS = range(5)


def residuals(seed: int, n_families: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Families that are off by something of their own."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(n_families), 500)
    return rng.normal(size=n_families)[family] + rng.normal(size=family.size), family


@pytest.mark.parametrize("seed", SEEDS)
def test_one_family_has_its_own_quantiles(seed: int) -> None:
    values, family = residuals(seed, n_families=1)
    _, lower, upper = unseen_family_offsets(values, family, np.ones(500), LEVELS)
    np.testing.assert_allclose(lower, np.quantile(values, [0.25, 0.1, 0.05]), atol=0.05)
    np.testing.assert_allclose(upper, np.quantile(values, [0.75, 0.9, 0.95]), atol=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_family_that_was_left_out_is_covered(seed: int) -> None:
    values, family = residuals(seed)
    levels, lower, upper = unseen_family_offsets(values, family, np.ones(values.size), LEVELS)
    for level, low, high in zip(levels, lower, upper, strict=True):
        inside = (low <= values) & (values <= high)
        assert all(inside[family == name].mean() >= level for name in np.unique(family))
    assert np.all(np.diff(lower) <= 0)
    assert np.all(np.diff(upper) >= 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_another_family_never_narrows_the_interval(seed: int) -> None:
    values, family = residuals(seed)
    some = family < 3
    _, lower, upper = unseen_family_offsets(values, family, np.ones(values.size), LEVELS)
    _, of_some, over_some = unseen_family_offsets(
        values[some], family[some], np.ones(some.sum()), LEVELS
    )
    assert np.all(lower <= of_some)
    assert np.all(upper >= over_some)


def test_weights_count_rows_within_their_family_alone() -> None:
    values, family = residuals(0)
    rng = np.random.default_rng(1)
    times = rng.integers(1, 4, size=values.size)
    repeated = unseen_family_offsets(
        np.repeat(values, times), np.repeat(family, times), np.ones(times.sum()), LEVELS
    )
    unit = np.array([1.0, 10.0, 0.1, 7.0])[family]
    weighted = unseen_family_offsets(values, family, times * unit, LEVELS)
    for one, other in zip(repeated, weighted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_further_family_is_covered_more_often_than_by_the_seen_families_own_noise() -> None:
    own, unseen = [], []
    for seed in range(200):
        values, family = residuals(seed, n_families=5)
        seen = family < 4
        _, lower, upper = unseen_family_offsets(
            values[seen], family[seen], np.ones(seen.sum()), [0.9]
        )
        unseen.append(np.mean((lower <= values[~seen]) & (values[~seen] <= upper)))
        own.append(np.mean(abs(values[~seen]) <= 1.645))
    assert np.mean(unseen) > 0.85 > np.mean(own) + 0.1
