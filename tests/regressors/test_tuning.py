"""Settings are chosen on unseen groups, by the slow way and in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from epochs_left.regressors._fitting import fit_weighted
from epochs_left.regressors._ridge import GroupedRidge
from epochs_left.regressors._tuning import Tuned, clearly_best, folds_of_groups
from epochs_left.storage.estimators import dump_estimator

PENALTIES = (1e-3, 1.0, 30.0, 1e3)


def table(
    seed: int, n: int = 240, p: int = 12
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of 40 groups whose own level is noise to the features."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(n) % 40)
    X = rng.normal(size=(40, p))[groups] + 0.3 * rng.normal(size=(n, p))
    y = 5 + 0.3 * X @ rng.normal(size=p) + rng.normal(size=40)[groups]
    return X, y, rng.uniform(0.2, 2.0, size=n), groups


def slow_errors(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray, groups: np.ndarray, folds: int
) -> np.ndarray:
    errors = np.zeros((folds, len(PENALTIES)))
    for k, (train, test) in enumerate(folds_of_groups(groups, folds)):
        for i, penalty in enumerate(PENALTIES):
            model = Ridge(alpha=penalty)
            fit_weighted(model, X[train], y[train], weight[train])
            errors[k, i] = weight[test] @ (model.predict(X[test]) - y[test]) ** 2
    return errors


@pytest.mark.parametrize("seed", range(6))
def test_closed_form_chooses_and_fits_as_refitting_does(seed: int) -> None:
    X, y, weight, groups = table(seed)
    weight = weight / weight.mean()
    best = PENALTIES[clearly_best(slow_errors(X, y, weight, groups, 5))]
    model = GroupedRidge(PENALTIES, folds=5).fit(X, y, sample_weight=weight, groups=groups)
    expected = Ridge(alpha=best).fit(X, y, sample_weight=weight)
    assert model.alpha_ == best
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-8)


def test_only_a_clear_gain_moves_the_choice_from_the_first() -> None:
    steady = np.array([[3.0, 2.0, 2.5], [3.0, 2.2, 2.5], [3.0, 1.9, 2.5]])
    in_one_fold = np.array([[3.0, 1.0], [3.0, 3.4], [3.0, 3.4]])
    assert clearly_best(steady) == 1
    assert clearly_best(in_one_fold) == 0
    assert clearly_best(np.zeros((1, 3))) == 0


def test_the_penalties_chosen_differ_between_tables() -> None:
    """Else the test above could not fail."""
    chosen = set()
    for seed in range(6):
        X, y, weight, groups = table(seed)
        chosen.add(GroupedRidge(PENALTIES).fit(X, y, sample_weight=weight, groups=groups).alpha_)
    assert len(chosen) > 1


@pytest.mark.parametrize("seed", range(4))
def test_weights_of_a_ridge_act_as_repetition(seed: int) -> None:
    X, y, _, groups = table(seed)
    times = np.random.default_rng(seed).integers(0, 4, size=y.size)
    weighted = GroupedRidge(PENALTIES).fit(X, y, sample_weight=times, groups=groups)
    rows = np.repeat(np.arange(y.size), times)
    repeated = GroupedRidge(PENALTIES).fit(X[rows], y[rows], groups=groups[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_search_compares_errors_on_unseen_groups(seed: int) -> None:
    X, y, weight, groups = table(seed)
    candidates = [{"alpha": penalty} for penalty in PENALTIES]
    model = Tuned(Ridge(), candidates, folds=3)
    model.fit(X, y, sample_weight=weight, groups=groups)
    by_hand = slow_errors(X, y, weight, groups, 3)
    np.testing.assert_allclose(model.errors_, by_hand.sum(axis=0) / weight.sum(), rtol=1e-6)
    assert model.best_ == clearly_best(by_hand)
    assert model.predictor_.alpha == PENALTIES[model.best_]


@pytest.mark.parametrize("seed", range(3))
def test_groups_keep_a_search_from_learning_runs_by_heart(seed: int) -> None:
    """A deep tree knows the level of each group, which on other groups is worthless."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(40), 10)
    X = np.column_stack([rng.normal(size=40)[groups], rng.normal(size=400)])
    y = rng.normal(size=40)[groups]
    model = Tuned(
        DecisionTreeRegressor(random_state=0), [{"max_depth": 20}, {"max_depth": 1}], folds=4
    )
    assert model.fit(X, y).best_ == 0
    assert model.fit(X, y, groups=groups).best_ == 1


@pytest.mark.parametrize("seed", range(3))
def test_order_of_the_rows_changes_no_bit(seed: int) -> None:
    X, y, weight, groups = table(seed)
    order = np.random.default_rng(seed).permutation(y.size)
    model = Tuned(Ridge(), [{"alpha": penalty} for penalty in PENALTIES], rows=100)
    straight = model.fit(X, y, sample_weight=weight, groups=groups).predict(X)
    shuffled = model.fit(
        X[order], y[order], sample_weight=weight[order], groups=groups[order]
    ).predict(X)
    np.testing.assert_array_equal(straight, shuffled)


def test_one_group_takes_the_first_candidate() -> None:
    X, y, _, _ = table(0)
    model = Tuned(Ridge(), [{"alpha": 2.0}, {"alpha": 3.0}]).fit(X, y, groups=np.zeros(y.size))
    assert (model.best_, model.predictor_.alpha) == (0, 2.0)
    ridge = GroupedRidge(PENALTIES).fit(X, y, groups=np.zeros(y.size))
    assert ridge.alpha_ == PENALTIES[0]


def test_cheap_settings_serve_the_comparison_alone() -> None:
    X, y, _, _ = table(0)
    tree = DecisionTreeRegressor(random_state=0)
    model = Tuned(tree, [{"min_samples_leaf": 1}, {"min_samples_leaf": 9}], {"max_depth": 1})
    assert model.fit(X, y).predictor_.get_depth() > 1


def test_errors_of_epochs_are_compared_on_the_log_scale() -> None:
    """0 instead of 1 is worse than 900 instead of 1,000 there, and nothing beside it in epochs."""
    y = np.tile([1.0, 1000.0], 20)
    X = np.column_stack([np.tile([0.0, 1000.0], 20), np.tile([1.0, 900.0], 20), np.arange(40)])
    chosen = [
        Tuned(OneColumn(), [{"column": first}, {"column": 1 - first}], log=log)
        .fit(X, y, groups=np.arange(40) // 2)
        .best_
        for log, first in ((False, 1), (True, 0))
    ]
    assert chosen == [1, 1]


class OneColumn(Ridge):
    """Predicts a column as it is."""

    def __init__(self, column: int = 0) -> None:
        super().__init__()
        self.column = column

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(X)[:, self.column]


def test_the_winner_alone_is_stored() -> None:
    X, y, _, _ = table(0)
    model = Tuned(Ridge(), [{"alpha": penalty} for penalty in PENALTIES]).fit(X, y)
    assert dump_estimator(model) == dump_estimator(model.predictor_)
