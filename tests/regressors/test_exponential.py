"""The generalised linear model against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from epochs_left.regressors._exponential import GammaWithLogLink


@pytest.mark.parametrize("seed", range(4))
def test_without_penalty_it_is_the_model_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 3))
    y = np.exp(2 + X @ [0.5, -1.0, 0.2]) * rng.gamma(3.0, 1 / 3.0, size=400)
    weight = rng.uniform(0.2, 2.0, size=400)
    model = GammaWithLogLink(alpha=0.0).fit(X, y, sample_weight=weight)
    family = sm.families.Gamma(link=sm.families.links.Log())
    slow = sm.GLM(y, sm.add_constant(X), family=family, var_weights=weight).fit()
    np.testing.assert_allclose([model.intercept_, *model.coef_], slow.params, rtol=1e-4)
    np.testing.assert_allclose(
        model.predict(X), np.clip(slow.predict(), y.min(), y.max()), rtol=1e-3
    )


@pytest.mark.parametrize("seed", range(3))
def test_weights_act_as_repetition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, times = rng.normal(size=(100, 2)), rng.integers(1, 4, size=100)
    y = np.exp(X[:, 0]) * rng.gamma(3.0, size=100)
    rows = np.repeat(np.arange(100), times)
    weighted = GammaWithLogLink().fit(X, y, sample_weight=times)
    repeated = GammaWithLogLink().fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4)
