"""What each regressor recovers, on data of its own form."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.regressors import REGRESSORS
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.statistics.scales import SCALES


def uniform(seed: int, n: int = 2_000, p: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=(n, p))


def predict_new(name: str, X: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    estimator = fit_weighted(REGRESSORS[name].build(0), X, y, np.ones(len(y)))
    return np.asarray(estimator.predict(new))


@pytest.mark.parametrize("name", ["linear", "log_linear"])
def test_linear_models_recover_a_linear_law(name: str) -> None:
    X, new = uniform(0), 0.9 * uniform(1)
    law = np.array([3.0, -2.0, 0.5])
    # Clipping 0.5 % of each tail moves the slope by less than 1 %.
    np.testing.assert_allclose(predict_new(name, X, X @ law + 7, new), new @ law + 7, atol=0.05)


def test_polynomial_recovers_squares_and_cubes() -> None:
    X, new = uniform(0), 0.9 * uniform(1)

    def law(x: np.ndarray) -> np.ndarray:
        return 1 + 2 * x[:, 0] ** 2 - 3 * x[:, 1] ** 3 + x[:, 2]

    np.testing.assert_allclose(predict_new("polynomial", X, law(X), new), law(new), atol=0.1)


@pytest.mark.parametrize("name", ["random_forest", "xgboost"])
def test_trees_recover_a_step_and_an_interaction(name: str) -> None:
    X, new = uniform(0), uniform(1)

    def law(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, 0] * x[:, 1] > 0, 2.0, -2.0)

    error = predict_new(name, X, law(X), new) - law(new)
    assert np.mean(abs(error) < 0.5) > 0.85


@pytest.mark.parametrize("name", ["linear", "log_linear", "polynomial"])
def test_one_diverging_training_row_does_not_set_the_slope(name: str) -> None:
    X, new = uniform(0), 0.9 * uniform(1)
    y = X @ [3.0, -2.0, 0.5]
    clean = predict_new(name, X, y, new)
    X[0] = 1e30
    np.testing.assert_allclose(predict_new(name, X, y, new), clean, atol=0.2)


@pytest.mark.parametrize("name", ["linear", "log_linear", "polynomial"])
def test_collinear_features_do_not_explode(name: str) -> None:
    """A distance, its double and a copy with float32 noise: the oracle view is full of them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=2_000).astype(np.float32)
    X = np.stack([x, 2 * x, x + 1e-7 * rng.normal(size=x.size).astype(np.float32)], axis=1)
    y = 3 * x + 0.1 * rng.normal(size=x.size)
    moved = X[:100] + np.array([0.0, 0.05, 0.0], dtype=np.float32)
    assert np.abs(predict_new(name, X, y, moved)).max() < 10


def test_theory_passes_the_closed_form_through() -> None:
    X = np.array([[10.0], [250.0], [3.0]])
    new = np.array([[3.0], [249.5], [10.0]])
    assert predict_new("theory", X, X[:, 0], new).tolist() == [3.0, 249.5, 10.0]


def test_theory_never_predicts_more_than_training_runs_took() -> None:
    X = np.array([[10.0], [1e6], [3.0]])
    taken = np.array([8.0, 90.0, 2.0])
    assert predict_new("theory", X, taken, X).tolist() == [10.0, 90.0, 3.0]


def test_theory_without_an_answer_gives_the_median_and_stays_in_range() -> None:
    X = np.array([[10.0], [250.0], [3.0], [np.nan], [np.inf]])
    new = np.array([[np.nan], [np.inf], [-5.0]])
    taken = np.array([10.0, 250.0, 3.0, 10.0, 10.0])
    assert predict_new("theory", X, taken, new).tolist() == [10.0, 250.0, 3.0]


def test_theory_and_constant_are_the_baselines() -> None:
    assert {"constant", "theory"} <= {n for n, spec in REGRESSORS.items() if spec.baseline}
    assert REGRESSORS["theory"].columns == ("theory_epochs_remaining",)


def test_constant_predicts_the_geometric_mean_of_one_plus_remaining() -> None:
    remaining = np.array([0.0, 9.0, 99.0])
    scale = SCALES[REGRESSORS["constant"].scale]
    elapsed = np.zeros(3)
    predicted = predict_new("constant", np.zeros((3, 2)), scale.forward(remaining, elapsed), X3)
    np.testing.assert_allclose(scale.inverse(predicted, elapsed), 9.0)


X3 = np.array([[1.0, 2.0], [3.0, 4.0], [-5.0, 6.0]])
