"""What every model has to beat, one simple idea each."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.features import FEATURE_GROUPS
from epochs_left.regressors import REGRESSORS
from epochs_left.regressors._first_feature import FirstFeature, curve_fit
from epochs_left.regressors._fitting import fit_weighted

CURVE_FITS = ("last_slope", "exponential_fit", "power_law", "optimus")
NEVER = EPOCH_LIMIT


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


@pytest.mark.parametrize("name", [*CURVE_FITS, "theory", "lr_only"])
def test_baseline_asks_for_one_feature_that_exists(name: str) -> None:
    spec = REGRESSORS[name]
    known = {feature for _, group in FEATURE_GROUPS.items() for feature in group.units}
    assert spec.baseline
    assert spec.columns is not None
    assert len(spec.columns) == 1
    assert set(spec.columns) <= known


@pytest.mark.parametrize("name", CURVE_FITS)
def test_curve_fit_passes_the_extrapolation_through_within_what_runs_took(name: str) -> None:
    X, taken = column(10.0, 1e5, 1.0), np.array([8.0, 90.0, 2.0])
    estimator = REGRESSORS[name].build(0).fit(X, taken)
    assert estimator.predict(column(5.0, 20.0, 9e4, 1.0)).tolist() == [5.0, 20.0, 90.0, 2.0]


@pytest.mark.parametrize("name", CURVE_FITS)
def test_never_is_answered_by_the_median_of_such_rows(name: str) -> None:
    X, taken = column(1.0, 2.0, NEVER, NEVER, NEVER), np.array([1.0, 2.0, 30.0, 50.0, 40.0])
    estimator = REGRESSORS[name].build(0).fit(X, taken)
    assert estimator.predict(column(NEVER, np.inf, 7.0)).tolist() == [40.0, 40.0, 7.0]


def test_never_said_for_the_first_time_is_answered_by_the_median_of_all() -> None:
    model = FirstFeature(never=NEVER).fit(column(1.0, 2.0, 3.0), np.array([5.0, 9.0, 6.0]))
    assert model.predict(column(NEVER, 8.0)).tolist() == [6.0, 8.0]


def test_median_counts_weights() -> None:
    X, taken = column(NEVER, NEVER, NEVER), np.array([1.0, 2.0, 30.0])
    heavy_end = fit_weighted(curve_fit(), X, taken, np.array([1.0, 1.0, 5.0]))
    assert heavy_end.predict(X).tolist() == [30.0, 30.0, 30.0]


def test_closed_form_rate_knows_no_never() -> None:
    X, taken = column(1.0, NEVER), np.array([1.0, 70.0])
    assert REGRESSORS["theory"].build(0).fit(X, taken).predict(X).tolist() == [1.0, 70.0]


@pytest.mark.parametrize("seed", range(3))
def test_lr_only_finds_the_best_learning_rate(seed: int) -> None:
    """Both too small and too large a learning rate is slow."""
    rng = np.random.default_rng(seed)
    log_lr = rng.uniform(-6, 1, size=(2_000, 1))
    y = 2 + np.abs(log_lr[:, 0] + 2) + 0.1 * rng.normal(size=2_000)
    model = fit_weighted(REGRESSORS["lr_only"].build(0), log_lr, y, np.ones(2_000))
    grid = np.linspace(-5.5, 0.5, 50)[:, None]
    np.testing.assert_allclose(model.predict(grid), 2 + np.abs(grid[:, 0] + 2), atol=0.3)
