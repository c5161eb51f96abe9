"""Scores against scikit-learn and against slow, obvious references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score, roc_auc_score

from epochs_left.statistics.scores import (
    SUM_SCORES,
    auc,
    cluster_codes,
    covered,
    error_sums,
    landmark_rows,
    log_width,
    mean,
    mean_sums,
    relative_error,
    weighted_median,
)

SEEDS = range(5)
REFERENCES = {"r2": r2_score, "mse": mean_squared_error, "mae": mean_absolute_error}


def data(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    actual = rng.exponential(10, size=n) + 1
    return actual, actual + rng.normal(size=n), rng.integers(20, size=n), rng.uniform(0.1, 2, n)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SUM_SCORES)
def test_scores_from_sums_equal_scikit_learn(name: str, seed: int) -> None:
    actual, predicted, cluster, weight = data(seed)
    total = error_sums(actual, predicted, cluster, weight).sum(axis=0)
    expected = REFERENCES[name](actual, predicted, sample_weight=weight)
    assert float(SUM_SCORES[name](total)) == pytest.approx(expected)
    unweighted = error_sums(actual, predicted, cluster).sum(axis=0)
    assert float(SUM_SCORES[name](unweighted)) == pytest.approx(REFERENCES[name](actual, predicted))


@pytest.mark.parametrize("name", SUM_SCORES)
def test_scores_of_some_clusters_equal_scores_of_their_rows(name: str) -> None:
    actual, predicted, cluster, weight = data(0)
    some = np.isin(cluster, [2, 3, 5, 7])
    sums = error_sums(actual, predicted, cluster, weight)[[2, 3, 5, 7]].sum(axis=0)
    expected = REFERENCES[name](actual[some], predicted[some], sample_weight=weight[some])
    assert float(SUM_SCORES[name](sums)) == pytest.approx(expected)


def test_r2_does_not_cancel_far_from_zero() -> None:
    actual, predicted, cluster, _ = data(0)
    near = error_sums(actual, predicted, cluster).sum(axis=0)
    far = error_sums(actual + 1e7, predicted + 1e7, cluster).sum(axis=0)
    assert float(SUM_SCORES["r2"](far)) == pytest.approx(float(SUM_SCORES["r2"](near)), rel=1e-6)


def test_r2_without_spread_is_undefined_and_the_others_are_not() -> None:
    total = error_sums(np.full(9, 3.3), np.full(9, 4.3), np.zeros(9)).sum(axis=0)
    assert np.isnan(SUM_SCORES["r2"](total))
    assert float(SUM_SCORES["mse"](total)) == pytest.approx(1.0)
    assert float(SUM_SCORES["mae"](total)) == pytest.approx(1.0)


def test_sums_broadcast_over_replicates() -> None:
    actual, predicted, cluster, _ = data(0)
    sums = error_sums(actual, predicted, cluster)
    for score in SUM_SCORES.values():
        np.testing.assert_array_equal(score(sums[None]).ravel(), [float(score(s)) for s in sums])


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_from_sums_is_the_weighted_average(seed: int) -> None:
    values, _, cluster, weight = data(seed)
    total = mean_sums(values, cluster, weight).sum(axis=0)
    assert float(mean(total)) == pytest.approx(np.average(values, weights=weight))
    assert float(mean(mean_sums(values, cluster).sum(axis=0))) == pytest.approx(values.mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_weighted_median_equals_the_median_of_repeated_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, times = rng.normal(size=51), rng.integers(0, 6, size=51)
    times[0] += 1 - times.sum() % 2  # an odd number of values has one median
    assert weighted_median(values, times.astype(float)) == np.median(np.repeat(values, times))


def test_weighted_median_ignores_the_unit_of_the_weights() -> None:
    values = np.arange(10.0)
    for unit in (1.0, 1 / 3, 0.1, 1e-9):
        assert weighted_median(values, np.full(10, unit)) == 4.0


def test_weighted_median_of_many_weightings_at_once() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=30), rng.uniform(size=(7, 30))
    one_by_one = [float(weighted_median(values, weight)) for weight in weights]
    assert weighted_median(values, weights).tolist() == one_by_one


def test_relative_error_refuses_rows_that_have_no_epochs_left() -> None:
    assert relative_error(np.array([10.0]), np.array([15.0])).tolist() == [0.5]
    with pytest.raises(ValueError, match="above 0"):
        relative_error(np.array([10.0, 0.0]), np.array([15.0, 1.0]))


def test_bounds_are_part_of_the_interval() -> None:
    lower, upper = np.full(5, 1.0), np.full(5, 3.0)
    actual = np.array([0.9, 1.0, 2.0, 3.0, 3.1])
    assert covered(actual, lower, upper).tolist() == [0, 1, 1, 1, 0]


def test_an_interval_without_an_upper_end_goes_on() -> None:
    actual, lower, nothing = np.array([1.0, 5.0, 1e9]), np.full(3, 2.0), np.full(3, np.nan)
    assert covered(actual, lower, nothing).tolist() == [0, 1, 1]


def test_log_width_is_zero_for_a_point_and_log_ten_for_a_decade() -> None:
    widths = log_width(np.array([9.0, 9.0]), np.array([9.0, 99.0]))
    np.testing.assert_allclose(widths, [0.0, np.log(10)])


@pytest.mark.parametrize("seed", SEEDS)
def test_auc_equals_scikit_learn_with_ties_and_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = np.round(rng.uniform(size=200), 1)
    outcome = rng.uniform(size=200) < probability
    weight = rng.uniform(size=(4, 200))
    expected = [roc_auc_score(outcome, probability, sample_weight=row) for row in weight]
    np.testing.assert_allclose(auc(outcome, probability, weight), expected)
    assert float(auc(outcome, probability)) == pytest.approx(roc_auc_score(outcome, probability))


def test_auc_of_one_outcome_is_undefined() -> None:
    assert np.isnan(auc(np.ones(5, dtype=bool), np.linspace(0, 1, 5)))


def test_landmark_takes_one_row_of_each_run_that_got_there() -> None:
    run = np.array([0, 0, 0, 1, 1, 2])
    epoch = np.array([0, 5, 10, 0, 5, 10])
    assert landmark_rows(run, epoch, 10).tolist() == [2, 5]
    assert landmark_rows(run, epoch, 7).tolist() == []


def test_landmark_refuses_a_run_that_is_there_twice() -> None:
    with pytest.raises(ValueError, match="more than once"):
        landmark_rows(np.array([0, 0]), np.array([5, 5]), 5)


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "b"],
        [2, 0, 1, 2],
        [0, 0],
        [0, 2, 2],  # 1 is not there: an empty cluster would be drawn like the others
        [5, 3],
        [-1, 0],
        [],
    ],
)
def test_clusters_are_numbered_without_gaps_in_the_order_of_their_labels(labels: list[Any]) -> None:
    found = cluster_codes(np.array(labels))
    assert found.tolist() == [sorted(set(labels)).index(label) for label in labels]
