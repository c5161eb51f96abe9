"""Resamples of lineages, and the .632+ error against its definition and against the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.statistics.bootstrapped_cv import (
    lineage_resamples,
    no_information_squared_error,
    out_of_bag_loss,
    point_632_plus,
    relative_overfitting_rate,
    squared_error_632_plus,
)
from epochs_left.statistics.folds import grouped_folds, run_weights

FitPredict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows_of_lineages(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lineage and family of rows in random order: 20, 8 and 1 lineages of 1 to 9 rows."""
    generator = rng(seed)
    family_of = np.repeat(["neuron", "mlp", "resnet"], [20, 8, 1])
    code = generator.permutation(np.repeat(np.arange(29), generator.integers(1, 10, size=29)))
    return np.array([f"lineage-{c}" for c in code], dtype=object), family_of[code]


# --- resamples ---


@pytest.mark.parametrize("seed", range(3))
def test_no_lineage_is_on_both_sides_and_every_lineage_on_one(seed: int) -> None:
    lineage, family = rows_of_lineages(seed)
    for train, test in lineage_resamples(lineage, family, 20, rng(seed)):
        assert not set(lineage[train]) & set(lineage[test])
        assert set(lineage[train]) | set(lineage[test]) == set(lineage)
        assert len(set(test)) == len(test) > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_lineage_is_drawn_with_all_its_rows_and_its_family_keeps_its_size(seed: int) -> None:
    lineage, family = rows_of_lineages(seed)
    for train, _ in lineage_resamples(lineage, family, 20, rng(seed)):
        times = np.bincount(train, minlength=lineage.size)
        drawn = {name: set(times[lineage == name]) for name in set(lineage)}
        assert all(len(counts) == 1 for counts in drawn.values())
        for name in set(family):
            members = set(lineage[family == name])
            assert sum(min(drawn[member]) for member in members) == len(members)


def test_a_lineage_is_left_out_as_often_as_the_bootstrap_says() -> None:
    """(1 - 1 / n)^n of the time, by family: n = 20, 8 and 1."""
    lineage, family = rows_of_lineages(0)
    out = np.zeros(lineage.size)
    for _, test in lineage_resamples(lineage, family, 4_000, rng(0)):
        out[test] += 1 / 4_000
    for name, n in (("neuron", 20), ("mlp", 8), ("resnet", 1)):
        assert out[family == name].mean() == pytest.approx((1 - 1 / n) ** n, abs=0.02)


def test_the_same_generator_gives_the_same_resamples() -> None:
    lineage, family = rows_of_lineages(0)
    one, same, other = (
        [train.tolist() for train, _ in lineage_resamples(lineage, family, 3, rng(seed))]
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_two_lineages_always_leave_one_out() -> None:
    lineage = np.array([0, 0, 1])
    for train, test in lineage_resamples(lineage, np.zeros(3), 50, rng()):
        assert {len(set(lineage[train])), len(set(lineage[test]))} == {1}


def test_inner_folds_of_a_resample_never_part_the_copies_of_a_row() -> None:
    lineage, family = rows_of_lineages(0)
    train, _ = next(lineage_resamples(lineage, family, 1, rng()))
    for inner_train, inner_test in grouped_folds(lineage[train], 3, seed=0):
        assert not set(train[inner_train]) & set(train[inner_test])


def test_weights_of_the_original_rows_count_a_run_as_often_as_it_was_drawn() -> None:
    lineage, family = rows_of_lineages(0)
    train, _ = next(lineage_resamples(lineage, family, 1, rng()))
    total = np.bincount(train, weights=run_weights(lineage)[train], minlength=lineage.size)
    for name in set(lineage[train]):
        rows = np.flatnonzero(lineage == name)
        assert total[rows].sum() == pytest.approx(np.sum(train == rows[0]))


def test_lineages_across_families_and_lone_lineages_are_refused() -> None:
    with pytest.raises(ValueError, match="two families"):
        next(lineage_resamples(np.array([0, 0, 1]), np.array([0, 1, 1]), 1, rng()))
    with pytest.raises(ValueError, match="2 lineages or more"):
        next(lineage_resamples(np.array([0, 0, 1]), np.array([0, 0, 1]), 1, rng()))


# --- errors ---


def test_out_of_bag_loss_is_the_mean_over_the_replicates_that_left_the_row_out() -> None:
    replicates = [(np.array([0, 2]), np.array([1.0, 5.0])), (np.array([2]), np.array([8.0]))]
    loss = out_of_bag_loss(4, iter(replicates))
    assert loss[[0, 2]] == pytest.approx([1.0, 6.5])
    assert np.isnan(loss[[1, 3]]).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_information_error_is_the_mean_over_all_pairs(seed: int) -> None:
    generator = rng(seed)
    actual, predicted = 1e6 + generator.normal(size=(2, 30))
    weight = generator.uniform(size=30)
    pairs = (actual[:, None] - predicted[None, :]) ** 2
    assert no_information_squared_error(actual, predicted) == pytest.approx(pairs.mean())
    expected = np.average(pairs, weights=np.outer(weight, weight))
    assert no_information_squared_error(actual, predicted, weight) == pytest.approx(expected)


def test_632_plus_runs_from_the_632_rule_to_the_out_of_bag_error() -> None:
    assert point_632_plus(1.0, 1.0, 3.0).error == pytest.approx(1.0)
    slight = point_632_plus(1.0, 1.0 + 1e-9, 3.0)
    assert slight.error - 1.0 == pytest.approx(0.632e-9, rel=1e-4)
    assert point_632_plus(0.0, 2.0, 2.0).error == pytest.approx(2.0)
    assert point_632_plus(0.0, 2.0, 2.0).relative_overfitting == 1
    # Worse than without information: eq. 32 bounds the excess but not the plain .632 rule.
    assert point_632_plus(1.0, 5.0, 2.0).error == pytest.approx(0.632 * 5 + 0.368 * 2)


@pytest.mark.parametrize("seed", range(5))
def test_632_plus_is_the_weighted_mean_of_the_paper(seed: int) -> None:
    """(1 - w) apparent + w out-of-bag, w = .632 / (1 - .368 R), wherever R needs no bound."""
    apparent, out_of_bag, no_information = np.sort(rng(seed).uniform(size=3))
    rate = (out_of_bag - apparent) / (no_information - apparent)
    share = 0.632 / (1 - 0.368 * rate)
    ours = point_632_plus(apparent, out_of_bag, no_information)
    assert ours.relative_overfitting == pytest.approx(rate)
    assert ours.error == pytest.approx((1 - share) * apparent + share * out_of_bag)
    assert 0.368 * apparent + 0.632 * out_of_bag <= ours.error <= out_of_bag


@pytest.mark.parametrize(
    ("errors", "rate"),
    [((1.0, 0.9, 2.0), 0), ((1.0, 1.5, 0.8), 0), ((1.0, 5.0, 2.0), 1), ((1.0, 1.0, 1.0), 0)],
)
def test_relative_overfitting_stays_between_0_and_1(
    errors: tuple[float, float, float], rate: float
) -> None:
    assert relative_overfitting_rate(*errors) == rate
    assert np.isfinite(point_632_plus(*errors).error)


# --- the estimate as a whole ---


def least_squares(X: np.ndarray, y: np.ndarray, X_new: np.ndarray) -> np.ndarray:
    return X_new @ np.linalg.lstsq(X, y)[0]


def nearest_neighbour(X: np.ndarray, y: np.ndarray, X_new: np.ndarray) -> np.ndarray:
    return y[np.argmin(((X_new[:, None] - X[None]) ** 2).sum(axis=2), axis=1)]


def clustered_data(seed: int, n_lineages: int, effect: float) -> tuple[np.ndarray, ...]:
    """Five covariates of the lineage, the response, and the lineage of 4 rows each."""
    generator = rng(seed)
    lineage = np.repeat(np.arange(n_lineages), 4)
    X = generator.normal(size=(n_lineages, 5))
    y = effect * X[:, 0] + generator.normal(size=n_lineages)
    return X[lineage], y[lineage] + 0.1 * generator.normal(size=lineage.size), lineage


def estimates(
    fit_predict: FitPredict, X: np.ndarray, y: np.ndarray, lineage: np.ndarray, seed: int
) -> dict[str, float]:
    resamples = lineage_resamples(lineage, np.zeros(lineage.size), 40, rng(seed))
    losses = (
        (test, (fit_predict(X[train], y[train], X[test]) - y[test]) ** 2)
        for train, test in resamples
    )
    out_of_bag = out_of_bag_loss(y.size, losses)
    scored = squared_error_632_plus(y, fit_predict(X, y, X), out_of_bag, lineage)
    point = scored.estimate
    return {
        "632+": point.error,
        "632": 0.368 * point.apparent + 0.632 * point.out_of_bag,
        "apparent": point.apparent,
        "r2": scored.r2,
    }


@pytest.mark.parametrize(
    ("fit_predict", "effect"), [(least_squares, 1.0), (nearest_neighbour, 0.0)]
)
def test_632_plus_is_nearer_to_the_error_on_new_lineages_than_the_apparent_error(
    fit_predict: FitPredict, effect: float
) -> None:
    """Means over 40 data sets of 30 lineages, truth from 500 new lineages each."""
    found, truth = [], []
    for seed in range(40):
        X, y, lineage = clustered_data(seed, 30, effect)
        found.append(estimates(fit_predict, X, y, lineage, seed))
        X_new, y_new, _ = clustered_data(1_000 + seed, 500, effect)
        truth.append(np.mean((fit_predict(X, y, X_new) - y_new) ** 2))
    mean = {name: np.mean([f[name] for f in found]) for name in found[0]}
    assert mean["632+"] == pytest.approx(np.mean(truth), rel=0.12)
    assert mean["apparent"] < 0.8 * np.mean(truth)


def test_a_memoriser_of_noise_is_seen_through_by_632_plus_and_not_by_632() -> None:
    """Nearest neighbours on noise: the error is twice the variance, R^2 = -1."""
    found = [
        estimates(nearest_neighbour, *clustered_data(seed, 30, effect=0.0), seed)
        for seed in range(20)
    ]
    assert np.mean([f["r2"] for f in found]) == pytest.approx(-1, abs=0.3)
    assert np.mean([f["632"] for f in found]) < 0.7 * np.mean([f["632+"] for f in found])


@pytest.mark.parametrize("seed", range(3))
def test_each_run_weighs_the_same_however_long_it_is(seed: int) -> None:
    """Repeating the rows of some runs changes nothing."""
    actual, predicted, loss = rng(seed).normal(size=(3, 12)) ** 2
    run = np.repeat(np.arange(4), 3)
    rows = np.repeat(np.arange(12), np.repeat([1, 50, 2, 1], 3))
    once = squared_error_632_plus(actual, predicted, loss, run)
    often = squared_error_632_plus(actual[rows], predicted[rows], loss[rows], run[rows])
    assert often.estimate.error == pytest.approx(once.estimate.error)
    assert often.estimate.no_information == pytest.approx(once.estimate.no_information)
    assert often.r2 == pytest.approx(once.r2)


def test_rows_that_were_never_out_of_bag_are_left_out_of_every_error() -> None:
    actual, predicted, loss = rng().normal(size=(3, 12)) ** 2
    run = np.repeat(np.arange(4), 3)
    always = np.where(run == 2, np.nan, loss)
    kept = run != 2
    assert squared_error_632_plus(actual, predicted, always, run) == squared_error_632_plus(
        actual[kept], predicted[kept], loss[kept], run[kept]
    )
    with pytest.raises(ValueError, match="more replicates"):
        squared_error_632_plus(actual, predicted, np.full(12, np.nan), run)


def test_a_target_without_spread_has_no_r2() -> None:
    scored = squared_error_632_plus(np.ones(4), np.zeros(4), np.ones(4), np.arange(4))
    assert np.isnan(scored.r2)
    assert scored.estimate.error == pytest.approx(1)
