"""Distances from the training rows."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import covariance

from epochs_left.statistics.novelty import (
    MAX_REFERENCE_ROWS,
    THRESHOLD_QUANTILE,
    Novelty,
    ledoit_wolf,
)

SEEDS = range(3)


def correlated(seed: int, n: int, p: int = 6) -> np.ndarray:
    """Rows of one Gaussian with strong correlations, the same for every seed."""
    mixing = np.random.default_rng(99).normal(size=(p, p))
    return (np.random.default_rng(seed).normal(size=(n, p)) @ mixing).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_like_the_training_rows_are_rarely_novel(seed: int) -> None:
    novelty = Novelty.fit(correlated(seed, 2_000))
    share = np.mean(novelty.distance(correlated(seed + 50, 20_000)) > 1)
    assert share == pytest.approx(1 - THRESHOLD_QUANTILE, abs=0.005)


@pytest.mark.parametrize("seed", SEEDS)
def test_threshold_is_the_quantile_of_the_references_own_distances(seed: int) -> None:
    reference = correlated(seed, 1_000)
    own = Novelty.fit(reference).distance(reference)
    assert np.quantile(own, THRESHOLD_QUANTILE) == pytest.approx(1.0, rel=1e-4)


def test_distance_is_the_mahalanobis_distance_of_the_bulk() -> None:
    """Slow reference: invert the covariance of asinh-scaled columns; same order of the rows."""
    reference, rows = correlated(0, 2_000), correlated(1, 300)
    low, centre, high = np.quantile(reference, [0.25, 0.5, 0.75], axis=0)
    scaled = np.arcsinh((reference - centre) / (high - low))
    inverse = np.linalg.inv(np.cov(scaled.T))
    deviation = np.arcsinh((rows - centre) / (high - low)) - scaled.mean(axis=0)
    slow = np.sqrt(np.einsum("ij,jk,ik->i", deviation, inverse, deviation))
    fast = Novelty.fit(reference).distance(rows)
    ratio = fast / slow
    assert np.ptp(ratio) / ratio.mean() < 0.1


@pytest.mark.parametrize("column", range(6))
@pytest.mark.parametrize("value", [-1e38, -1e4, 1e4, 1e38, np.inf, -np.inf])
def test_one_wild_value_is_novel_and_finite(column: int, value: float) -> None:
    rows = correlated(1, 50)
    rows[:, column] = value
    distance = Novelty.fit(correlated(0, 1_000)).distance(rows)
    assert np.all(distance > 1)
    assert np.all(np.isfinite(distance))


def test_an_unusual_combination_of_usual_values_is_novel() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1_000)
    reference = np.stack([x, x + 0.01 * rng.normal(size=1_000)], axis=1)
    novelty = Novelty.fit(reference)
    assert novelty.distance(np.array([[1.0, 1.0]])) < 1
    assert novelty.distance(np.array([[1.0, -1.0]])) > 1


def test_a_constant_feature_with_another_value_is_novel() -> None:
    reference = correlated(0, 500)
    reference[:, 2] = 4.0
    rows = correlated(1, 50)
    rows[:, 2] = 4.0
    novelty = Novelty.fit(reference)
    assert np.mean(novelty.distance(rows) > 1) < 0.2
    rows[:, 2] = 8.0
    assert np.all(novelty.distance(rows) > 1)


def test_a_few_wild_training_rows_do_not_hide_smaller_oddities() -> None:
    reference = correlated(0, 2_000)
    reference[:4, 0] = 1e6
    novelty = Novelty.fit(reference)
    rows = correlated(1, 200)
    assert np.mean(novelty.distance(rows) > 1) < 0.02
    rows[:, 0] = 300.0
    assert np.all(novelty.distance(rows) > 1)


def test_features_that_span_decades_are_not_novel_in_their_tails() -> None:
    rng = np.random.default_rng(0)
    novelty = Novelty.fit(np.exp(4 * rng.normal(size=(2_000, 3))))
    assert np.mean(novelty.distance(np.exp(4 * rng.normal(size=(5_000, 3)))) > 1) < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_missing_columns_are_left_out_on_both_sides(seed: int) -> None:
    """A row without column 2 is judged as if the reference never had it."""
    reference, rows = correlated(seed, 1_000), correlated(seed + 1, 200)
    kept = [0, 1, 3, 4, 5]
    without = Novelty.fit(reference[:, kept]).distance(rows[:, kept])
    rows[:, 2] = np.nan
    np.testing.assert_allclose(Novelty.fit(reference).distance(rows), without, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_several_patterns_do_not_depend_on_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = correlated(seed + 1, 300)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    novelty = Novelty.fit(correlated(seed, 1_000))
    one_by_one = np.concatenate([novelty.distance(row[None, :]) for row in rows])
    np.testing.assert_allclose(novelty.distance(rows), one_by_one, rtol=1e-4)


def test_blocks_change_nothing() -> None:
    rows = np.tile(correlated(1, 1_000), (70, 1))
    distance = Novelty.fit(correlated(0, 1_000)).distance(rows).reshape(70, 1_000)
    np.testing.assert_allclose(distance, np.broadcast_to(distance[0], distance.shape), rtol=1e-4)


def test_a_reference_with_gaps_is_read_by_its_complete_rows() -> None:
    reference = correlated(0, 2_000)
    gappy = reference.copy()
    gappy[:1_000, 3:] = np.nan
    rows = correlated(1, 500)
    half = Novelty.fit(reference[1_000:]).distance(rows)
    np.testing.assert_allclose(Novelty.fit(gappy).distance(rows), half, rtol=1e-5)


def test_a_reference_with_few_complete_rows_still_judges() -> None:
    reference = correlated(0, 400)
    reference[np.arange(400), np.arange(400) % 6] = np.nan
    distance = Novelty.fit(reference).distance(correlated(1, 500))
    assert np.mean(distance > 1) < 0.3
    assert np.all(np.isfinite(distance))


def test_a_row_without_any_known_feature_is_infinitely_far() -> None:
    reference = correlated(0, 300)
    reference[:, 0] = np.nan
    rows = np.full((3, 6), np.nan)
    rows[0, 0] = 1.0  # the one feature that the reference never had
    rows[1, 1] = 0.0
    distance = Novelty.fit(reference).distance(rows)
    assert distance[0] == np.inf
    assert np.isfinite(distance[1])
    assert distance[2] == np.inf


def test_identical_reference_rows_leave_everything_else_novel() -> None:
    novelty = Novelty.fit(np.ones((5, 3)))
    assert novelty.distance(np.ones((2, 3))).tolist() == [0.0, 0.0]
    assert novelty.distance(np.array([[1.0, 1.0, 2.0]])) > 1


def test_units_of_the_features_are_irrelevant() -> None:
    reference, rows = correlated(0, 1_000), correlated(1, 200)
    units = np.array([1e-6, 1e6, 1.0, 1e3, 1e-3, 2.0], dtype=np.float32)
    plain = Novelty.fit(reference).distance(rows)
    np.testing.assert_allclose(Novelty.fit(reference * units).distance(rows * units), plain, 1e-3)


def test_storage_round_trip_gives_the_same_distances() -> None:
    novelty = Novelty.fit(correlated(0, 300))
    arrays = novelty.to_arrays()
    assert all(array.dtype == np.float32 for array in arrays.values())
    rows = correlated(1, 50)
    np.testing.assert_array_equal(
        Novelty.from_arrays(arrays).distance(rows), novelty.distance(rows)
    )


@pytest.mark.parametrize("n_rows", [0, MAX_REFERENCE_ROWS + 1])
def test_a_reference_of_the_wrong_size_is_refused(n_rows: int) -> None:
    with pytest.raises(ValueError, match="a reference has 1 to"):
        Novelty.fit(np.zeros((n_rows, 2)))


def test_no_rows_are_no_error() -> None:
    assert Novelty.fit(correlated(0, 100)).distance(np.empty((0, 6))).shape == (0,)


def test_a_hundred_thousand_rows_take_well_under_a_second() -> None:
    novelty = Novelty.fit(correlated(0, 2_000, p=40))
    rows = correlated(1, 100_000, p=40)
    novelty.distance(rows[:10])
    start = time.perf_counter()
    novelty.distance(rows)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_rows", "n_columns"), [(2, 3), (30, 40), (500, 8)])
def test_the_shrunk_covariance_is_that_of_scikit_learn(
    seed: int, n_rows: int, n_columns: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns)) + 3
    expected, _ = covariance.ledoit_wolf(rows)
    np.testing.assert_allclose(ledoit_wolf(rows), expected, rtol=1e-9, atol=1e-12)
    assert not ledoit_wolf(np.ones((n_rows, n_columns))).any()
