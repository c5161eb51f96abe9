"""Laws of the splits."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.statistics.folds import (
    assert_disjoint,
    grouped_folds,
    row_wise_folds,
    run_weights,
)

SEEDS = range(5)


def lineages(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(40, size=500)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_lineage_is_on_both_sides(seed: int) -> None:
    lineage = lineages(seed)
    for train, test in grouped_folds(lineage, 5, seed):
        assert not set(lineage[train]) & set(lineage[test])


@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_tested_once(seed: int) -> None:
    for folds in (grouped_folds(lineages(seed), 5, seed), row_wise_folds(500, 5, seed)):
        tested = np.concatenate([test for _, test in folds])
        np.testing.assert_array_equal(np.sort(tested), np.arange(500))
        for train, test in folds:
            np.testing.assert_array_equal(np.sort(np.append(train, test)), np.arange(500))


def test_folds_depend_on_the_seed_alone() -> None:
    lineage = lineages(0)
    first, again, other = (grouped_folds(lineage, 5, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_grouped_folds_take_names_as_well_as_codes() -> None:
    lineage = lineages(0)
    names = np.array([f"l{code:03d}" for code in lineage])
    pairs = zip(grouped_folds(lineage, 4, 0), grouped_folds(names, 4, 0), strict=True)
    assert all(np.array_equal(a[1], b[1]) for a, b in pairs)


def test_row_wise_folds_leak_lineages() -> None:
    train, test = row_wise_folds(500, 5, 0)[0]
    with pytest.raises(AssertionError, match="in both training and test"):
        assert_disjoint(lineages(0), train, test)


def test_too_many_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="splits"):
        grouped_folds(np.array([0, 0, 1]), 3, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_weighs_one(seed: int) -> None:
    run = lineages(seed)
    weight = run_weights(run)
    np.testing.assert_allclose(np.bincount(run, weights=weight)[np.unique(run)], 1.0)
    names = np.array([f"r{code:03d}" for code in run])
    np.testing.assert_array_equal(run_weights(names), weight)
