"""Landmarks against exact kernel ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from epochs_left.regressors._kernels import Landmarks

KERNELS = {
    "linear": {},
    "polynomial": {"degree": 2},
    "rbf": {},
}


def table(seed: int, n: int = 120, p: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=n)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kernel", KERNELS)
def test_with_every_row_a_landmark_it_is_exact(kernel: str, seed: int) -> None:
    X, y = table(seed)
    new = table(seed + 10)[0]
    weight = np.random.default_rng(seed).uniform(0.2, 2.0, size=y.size)
    mapped = Landmarks(kernel, scale=0.8, landmarks=y.size, **KERNELS[kernel]).fit(X)
    ridge = Ridge(alpha=0.1, fit_intercept=False)
    ridge.fit(mapped.transform(X), y, sample_weight=weight)
    gamma = None if kernel == "linear" else 0.8 / X.shape[1]
    exact = KernelRidge(alpha=0.1, kernel=kernel, gamma=gamma, **KERNELS[kernel])
    exact.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(
        ridge.predict(mapped.transform(new)), exact.predict(new), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_more_landmarks_come_nearer_to_the_exact_kernel(seed: int) -> None:
    X, _ = table(seed, n=400)
    exact = KernelRidge(kernel="rbf", gamma=0.25)._get_kernel(X, X)
    errors = []
    for landmarks in (10, 50, 250):
        Z = Landmarks("rbf", scale=1.0, landmarks=landmarks).fit(X).transform(X)
        errors.append(np.abs(Z @ Z.T - exact).mean())
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("seed", range(3))
def test_landmarks_do_not_depend_on_the_order_or_the_copies_of_rows(seed: int) -> None:
    X, _ = table(seed)
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(X)), 2))
    one, other = (Landmarks(landmarks=30).fit(rows) for rows in (X, X[order]))
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
