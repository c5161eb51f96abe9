"""Weights reach the last step of whatever is fitted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from epochs_left.regressors._converges import build_converges_classifier
from epochs_left.regressors._fitting import fit_weighted


def data(seed: int = 0, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, X @ [1.0, -2.0, 0.5] + rng.normal(size=n), rng.uniform(0.1, 3.0, size=n)


@pytest.mark.parametrize("seed", range(3))
def test_pipeline_and_bare_estimator_solve_the_same_weighted_problem(seed: int) -> None:
    X, y, weight = data(seed)
    root = np.sqrt(weight)[:, None]
    design = np.column_stack([X, np.ones(len(X))])
    slow = np.linalg.lstsq(root * design, root[:, 0] * y, rcond=None)[0]
    for estimator in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())):
        fitted = fit_weighted(estimator, X, y, weight)
        assert fitted is estimator
        np.testing.assert_allclose(fitted.predict(X), design @ slow)


def test_weights_of_any_unit_leave_them_untouched() -> None:
    X, y, weight = data()
    before = weight.copy()
    fit_weighted(LinearRegression(), X, y, weight)
    np.testing.assert_array_equal(weight, before)


@pytest.mark.parametrize("seed", range(3))
def test_converges_classifier_gives_calibrated_probabilities(seed: int) -> None:
    """Mean probability agrees with the share that converges, on new rows and in halves of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(6_000, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    chance = 1 / (1 + np.exp(-2 * np.nan_to_num(X[:, 0])))
    converged = (rng.random(6_000) < chance).astype(int)
    model = build_converges_classifier(seed)
    fit_weighted(model, X[:3_000], converged[:3_000], np.ones(3_000))
    probability = model.predict_proba(X[3_000:])[:, 1]
    assert np.all((probability >= 0) & (probability <= 1))
    for half in (chance[3_000:] < 0.5, chance[3_000:] >= 0.5):
        assert probability[half].mean() == pytest.approx(chance[3_000:][half].mean(), abs=0.04)
