"""Weights of a stack, and what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBRegressor

from epochs_left.regressors._stacking import PackedBoosting, Stacked, simplex_weights
from epochs_left.storage.estimators import dump_estimator, load_estimator

TREES = {"n_estimators": 20, "n_jobs": 1}


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_the_best_of_all_that_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, weight = rng.normal(size=300), rng.uniform(0.1, 2.0, size=300)
    predicted = y[:, None] + rng.normal(size=(300, 4)) * [0.3, 0.5, 1.0, 3.0] + [0, 0, 0, 2.0]

    def loss(w: np.ndarray) -> float:
        return float(weight @ (predicted @ w - y) ** 2)

    found = simplex_weights(predicted, y, weight)
    slow = minimize(
        loss,
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert loss(found) <= loss(slow.x) * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_what_has_learnt_groups_by_heart_gets_no_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), 8)
    X = rng.normal(size=(60, 2))[groups] + 1e-6 * rng.normal(size=(480, 2))
    y = X[:, 0] + 2 * rng.normal(size=60)[groups]
    members = [("line", LinearRegression()), ("tree", DecisionTreeRegressor(random_state=0))]
    shares = []
    for labels in (groups, None):
        blend = Stacked(members).fit(X, y, groups=labels).predictor_
        kinds = [type(member).__name__ for member in blend.members]
        shares.append(dict(zip(kinds, blend.weights, strict=True)).get("DecisionTreeRegressor", 0))
    assert shares[0] < 0.5
    assert shares[1] > 0.6


def test_the_blend_is_the_weighted_mean_of_members_fitted_on_all_rows() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = np.abs(X[:, 0]) + 3 * X[:, 1]
    model = Stacked([("line", LinearRegression()), ("trees", PackedBoosting(TREES))]).fit(X, y)
    line = LinearRegression().fit(X, y)
    trees = XGBRegressor(**TREES, random_state=0).fit(X, y)
    weights = model.predictor_.weights
    expected = weights[0] * line.predict(X) + weights[1] * trees.predict(X)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-3, atol=1e-3)
    assert weights.size == 2


def test_packed_trees_are_those_of_xgboost_and_survive_storage() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = np.nan_to_num(X[:, 0]) ** 2
    packed = PackedBoosting(TREES, random_state=3).fit(X, y)
    plain = XGBRegressor(**TREES, random_state=3).fit(X, y)
    np.testing.assert_array_equal(packed.predict(X), plain.predict(X))
    loaded = load_estimator(*dump_estimator(packed))
    np.testing.assert_array_equal(loaded.predict(X), packed.predict(X))


def test_bytes_that_are_no_trees_are_refused_before_xgboost_sees_them() -> None:
    X = np.zeros((10, 1))
    packed = PackedBoosting(TREES).fit(X, np.arange(10.0))
    packed.ubjson_ = np.frombuffer(b"nothing", dtype=np.uint8)
    with pytest.raises(ValueError, match="UBJSON object"):
        packed.predict(X)


def test_one_group_weighs_all_members_alike() -> None:
    X, y = np.arange(20.0)[:, None], np.arange(20.0)
    members = [("line", LinearRegression()), ("mean", DummyRegressor())]
    blend = Stacked(members).fit(X, y, groups=np.zeros(20)).predictor_
    assert blend.weights.tolist() == [0.5, 0.5]
