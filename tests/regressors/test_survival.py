"""Boosted failure times, with censoring and without."""

from __future__ import annotations

import numpy as np
import pytest
from xgboost import XGBRegressor

from epochs_left.regressors import REGRESSORS
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.storage.estimators import dump_estimator, load_estimator


def times(seed: int, n: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """Features, and log-normal times of median exp(2 + x0 + x1 x2)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    return X, np.exp(log_median(X) + 0.3 * rng.normal(size=n))


def log_median(X: np.ndarray) -> np.ndarray:
    return np.asarray(2 + X[:, 0] + X[:, 1] * X[:, 2])


def error(model: object, X: np.ndarray) -> float:
    return float(np.mean((np.log(model.predict(X)) - log_median(X)) ** 2))


@pytest.mark.parametrize("seed", range(3))
def test_without_censoring_it_is_as_good_as_boosting_on_the_logarithm(seed: int) -> None:
    X, time = times(seed)
    new, _ = times(seed + 10)
    model = REGRESSORS["boosted_aft"].build(seed).fit(X, time)
    plain = XGBRegressor(**{**BOOSTING, "max_depth": 4}).fit(X, np.log(time))
    difference = np.log(model.predict(new)) - plain.predict(new)
    assert np.sqrt(np.mean(difference**2)) < 0.25
    assert error(model, new) < 1.3 * np.mean((plain.predict(new) - log_median(new)) ** 2)


@pytest.mark.parametrize("seed", range(3))
def test_censored_rows_are_better_kept_than_dropped_or_believed(seed: int) -> None:
    X, time = times(seed)
    cap = np.random.default_rng(seed).uniform(2, 20, size=time.size)
    lower, upper = np.minimum(time, cap), np.where(time <= cap, time, np.inf)
    new, weight = times(seed + 10)[0], np.ones(time.size)
    spec, seen = REGRESSORS["boosted_aft"], time <= cap
    kept = fit_weighted(spec.build(seed), X, lower, weight, upper=upper)
    dropped = fit_weighted(spec.build(seed), X[seen], lower[seen], weight[seen])
    believed = fit_weighted(spec.build(seed), X, lower, weight)
    assert 0.3 < seen.mean() < 0.7
    assert error(kept, new) < 0.75 * min(error(dropped, new), error(believed, new))


def test_loaded_it_predicts_the_same_medians_whatever_class_it_is_then() -> None:
    X, time = times(0, n=300)
    model = fit_weighted(REGRESSORS["boosted_aft"].tuned(0), X, time, np.ones(300), upper=time)
    loaded = load_estimator(*dump_estimator(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert (loaded.predict(X) > 0).all()


def test_a_time_of_zero_is_refused() -> None:
    X, time = times(0, n=50)
    with pytest.raises(ValueError, match=r"expected positive times, got 0\.0"):
        REGRESSORS["boosted_aft"].build(0).fit(X, np.where(np.arange(50) == 3, 0.0, time))


def test_only_what_says_so_takes_censored_rows() -> None:
    assert {name for name, spec in REGRESSORS.items() if spec.censored} == {"boosted_aft"}
    X, time = times(0, n=50)
    with pytest.raises(TypeError, match="upper"):
        fit_weighted(REGRESSORS["xgboost"].build(0), X, time, np.ones(50), upper=time)
