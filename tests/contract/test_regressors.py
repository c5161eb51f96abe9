"""The battery that every registered regressor obeys, new ones included."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from xgboost import XGBModel

from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.regressors._sampling import StandIn
from epochs_left.regressors._stacking import Stacked
from epochs_left.statistics.scales import SCALES
from epochs_left.storage.estimators import dump_estimator, load_estimator

SPECS = dict(REGRESSORS.items())
LEARNING = [name for name, spec in SPECS.items() if not spec.baseline]
N_FEATURES = 5

PIPELINE_FAILURES = {
    "check_estimators_overwrite_params": "scikit-learn's Pipeline fits its steps in place",
    "check_dont_overwrite_parameters": "scikit-learn's Pipeline fits its steps in place",
    "check_estimators_nan_inf": "NaN is filled and infinities are clipped, by design",
}
XGBOOST_FAILURES = {
    "check_all_zero_sample_weights_error": "xgboost accepts weights that are all zero",
    "check_estimator_sparse_array": "xgboost takes an absent sparse entry for missing, not for 0",
    "check_estimator_sparse_matrix": "xgboost takes an absent sparse entry for missing, not for 0",
    "check_regressor_multioutput": "xgboost returns float32 whatever the type of the targets",
}


STAND_IN_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "inputs are bounded by quantiles of the rows",
}


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    if isinstance(estimator, StandIn):
        return STAND_IN_FAILURES
    if isinstance(estimator, Pipeline):
        return PIPELINE_FAILURES
    return XGBOOST_FAILURES if isinstance(estimator, XGBModel) else {}


def small(estimator: RegressorMixin) -> RegressorMixin:
    """The same estimator, small: the conventions do not depend on the number of trees."""
    if isinstance(estimator, Stacked):
        members = [(name, small(member)) for name, member in estimator.estimators]
        return estimator.set_params(estimators=members)
    given = estimator.get_params()
    few: dict[str, Any] = {}
    for name, value in given.items():
        if name.endswith("n_estimators"):
            few[name] = 5
        if name.endswith("settings"):
            few[name] = {**value, "n_estimators": 5}
        if name.endswith(("__model__steps", "__map__landmarks")):
            few[name] = value // 3
    return estimator.set_params(**few)


@parametrize_with_checks(
    [small(spec.build(0)) for spec in SPECS.values()],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_scikit_learn_conventions(estimator: BaseEstimator, check: Callable[[Any], None]) -> None:
    check(estimator)


def rows(spec: RegressorSpec, seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with gaps, targets on the regressor's scale, and elapsed epochs."""
    rng = np.random.default_rng(seed)
    width = N_FEATURES if spec.columns is None else len(spec.columns)
    features = rng.normal(size=(n, width)).astype(np.float32)
    elapsed = rng.integers(0, 100, size=n)
    remaining = np.ceil(np.exp(2 + features[:, 0] + 0.3 * rng.normal(size=n)))
    features[:, 1:2] = np.log1p(elapsed)[:, None]
    features[rng.random(features.shape) < 0.05] = np.nan
    return features, SCALES[spec.scale].forward(remaining, elapsed), elapsed


def fit(spec: RegressorSpec, seed: int = 0) -> RegressorMixin:
    features, target, _ = rows(spec, seed)
    return fit_weighted(spec.build(seed), features, target, np.ones(target.size))


@cache
def fitted(name: str, seed: int = 0) -> RegressorMixin:
    """The same fit for all who only look at it."""
    return fit(SPECS[name], seed)


@pytest.mark.parametrize("name", SPECS)
def test_scale_is_known_and_title_is_for_people(name: str) -> None:
    assert SPECS[name].scale in SCALES
    assert SPECS[name].title[0].isupper()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", SPECS)
def test_order_of_the_rows_to_predict_is_irrelevant(name: str, seed: int) -> None:
    estimator = fitted(name, seed)
    features, _, _ = rows(SPECS[name], seed + 100)
    order = np.random.default_rng(seed).permutation(len(features))
    one_by_one = np.concatenate([estimator.predict(row[None, :]) for row in features[:20]])
    np.testing.assert_array_equal(
        estimator.predict(features[order]), estimator.predict(features)[order]
    )
    np.testing.assert_allclose(one_by_one, estimator.predict(features)[:20], rtol=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", SPECS)
def test_order_of_the_training_rows_hardly_matters(name: str, seed: int) -> None:
    """To rounding, unless the estimator draws rows by their position."""
    spec = SPECS[name]
    features, target, _ = rows(spec, seed)
    order = np.random.default_rng(seed).permutation(target.size)
    weight = np.ones(target.size)
    straight = fitted(name, seed).predict(features)
    shuffled = fit_weighted(spec.build(seed), features[order], target[order], weight).predict(
        features
    )
    parameters = spec.build(seed).get_params()
    draws_rows = any(parameters[name] is True for name in parameters if name.endswith("bootstrap"))
    tolerance = (0.5 if draws_rows else 1e-4) * np.std(target)
    assert np.sqrt(np.mean((straight - shuffled) ** 2)) <= tolerance


@pytest.mark.parametrize("value", [-3e38, -1e30, 0.0, 1e30, 3e38])
@pytest.mark.parametrize("name", SPECS)
def test_wild_inputs_give_finite_predictions(name: str, value: float) -> None:
    spec = SPECS[name]
    estimator = fitted(name)
    features, _, elapsed = rows(spec, 1)
    features[:, 0] = value
    features[::2] = value
    predicted = estimator.predict(features)
    assert np.isfinite(predicted).all()
    assert np.isfinite(SCALES[spec.scale].inverse(predicted, elapsed)).all()


@pytest.mark.parametrize("name", SPECS)
def test_wild_inputs_stay_near_the_predictions_for_training_rows(name: str) -> None:
    spec = SPECS[name]
    features, _, _ = rows(spec, 0)
    estimator = fitted(name)
    seen = estimator.predict(features)
    for value in (-1e30, 1e30):
        wild = features.copy()
        wild[:, 0] = value
        assert np.abs(estimator.predict(wild)).max() <= 10 * np.abs(seen).max()


@pytest.mark.parametrize("name", SPECS)
def test_a_column_without_values_is_accepted_in_training_and_after(name: str) -> None:
    spec = SPECS[name]
    features, target, _ = rows(spec, 0)
    features[:, -1] = np.nan
    estimator = fit_weighted(spec.build(0), features, target, np.ones(target.size))
    assert np.isfinite(estimator.predict(features)).all()
    assert np.isfinite(estimator.predict(np.full_like(features, np.nan))).all()


@pytest.mark.parametrize("name", SPECS)
def test_stored_estimator_predicts_the_same_bits(name: str) -> None:
    estimator = fitted(name)
    features, _, _ = rows(SPECS[name], 7)
    loaded = load_estimator(*dump_estimator(estimator))
    np.testing.assert_array_equal(loaded.predict(features), estimator.predict(features))


@pytest.mark.parametrize("name", SPECS)
def test_same_seed_gives_the_same_stored_bytes(name: str) -> None:
    assert dump_estimator(fitted(name)) == dump_estimator(fit(SPECS[name]))


@pytest.mark.parametrize("name", [*LEARNING, "constant"])
def test_weights_move_the_fit_towards_the_heavy_rows(name: str) -> None:
    spec = SPECS[name]
    features, target, _ = rows(spec, 0)
    heavy = np.arange(target.size) % 2 == 0
    target = np.where(heavy, target + 5, target)
    even = fit_weighted(spec.build(0), features, target, np.ones(target.size))
    tilted = fit_weighted(spec.build(0), features, target, np.where(heavy, 100.0, 1.0))
    assert tilted.predict(features).mean() > even.predict(features).mean() + 1


@pytest.mark.parametrize("name", LEARNING)
def test_unit_of_the_weights_is_irrelevant(name: str) -> None:
    spec = SPECS[name]
    features, target, _ = rows(spec, 0)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=target.size)
    one = fit_weighted(spec.build(0), features, target, weight)
    other = fit_weighted(spec.build(0), features, target, 1024.0 * weight)
    np.testing.assert_allclose(one.predict(features), other.predict(features), rtol=1e-6)


@pytest.mark.parametrize("name", LEARNING)
def test_beats_the_constant_on_new_rows(name: str) -> None:
    spec = SPECS[name]
    features, target, _ = rows(spec, 50)
    baseline = DummyRegressor().fit(features, rows(spec, 0)[1])
    assert fitted(name).score(features, target) > baseline.score(features, target) + 0.3


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.candidates])
def test_tuned_estimator_keeps_what_holds_for_the_estimator(name: str) -> None:
    """Order of the rows, storage, wild inputs, and a first candidate that changes nothing much."""
    spec = SPECS[name]
    features, target, elapsed = rows(spec, 0, n=200)
    groups, weight = np.arange(target.size) // 5, np.ones(target.size)
    model = fit_weighted(spec.tuned(0), features, target, weight, groups=groups)
    order = np.random.default_rng(0).permutation(target.size)
    again = fit_weighted(
        spec.tuned(0), features[order], target[order], weight, groups=groups[order]
    )
    assert dump_estimator(again) == dump_estimator(model)
    loaded = load_estimator(*dump_estimator(model))
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))
    assert loaded.n_features_in_ == features.shape[1]
    wild = model.predict(np.full_like(features, 1e30))
    assert np.isfinite(SCALES[spec.scale].inverse(wild, elapsed)).all()
    assert 0 <= model.best_ < len(spec.candidates)
