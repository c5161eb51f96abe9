"""Columns of a linear model: which of them stay."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.evaluation.linear_design import TOLERANCE, independent, standardised

SEEDS = range(5)


def dependent(seed: int) -> tuple[np.ndarray, np.ndarray, list[bool]]:
    """Columns, weights, and which of the columns the ones before them do not imply."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, 400))
    columns = [a, 3 * a - 7, b, np.full(400, 5.0), a + b, c, a - b + 2 * c, a + 0.1 * c**2]
    return np.stack(columns, axis=1), rng.uniform(0.1, 2, 400), [*"10100101"]


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_that_earlier_ones_imply_are_left_out(seed: int) -> None:
    X, weight, expected = dependent(seed)
    deviation = X - np.average(X, axis=0, weights=weight)
    scale = np.sqrt(np.average(deviation**2, axis=0, weights=weight))
    scaled = deviation / np.where(scale > 1e-9, scale, 1) * (scale > 1e-9)
    assert independent(scaled, weight).tolist() == [value == "1" for value in expected]


@pytest.mark.parametrize("seed", SEEDS)
def test_kept_columns_explain_those_left_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 2, 300)
    X = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 20)) + rng.normal(size=20)
    scaled = standardised(X, weight)
    kept = independent(X - np.average(X, axis=0, weights=weight), weight)
    assert kept.sum() == np.linalg.matrix_rank(X - X.mean(axis=0)) == 6
    assert kept[:6].all()
    kept = independent(scaled, weight)  # bounded columns are no longer exact sums
    root = np.sqrt(weight)[:, None]
    fitted = np.linalg.lstsq(root * scaled[:, kept], root * scaled, rcond=None)[0]
    left = np.average((scaled - scaled[:, kept] @ fitted) ** 2, axis=0, weights=weight)
    assert left.max() <= TOLERANCE


def test_standardised_columns_have_mean_0_and_variance_1() -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.1, 2, 500)
    X = np.stack([rng.normal(50, 3, 500), np.full(500, 0.1), rng.exponential(1, 500)], axis=1)
    X[:20, 0] = np.nan
    X[7, 2] = np.inf
    found = standardised(X.astype(np.float32), weight)
    np.testing.assert_allclose(np.average(found, axis=0, weights=weight), 0, atol=1e-12)
    np.testing.assert_allclose(np.average(found**2, axis=0, weights=weight), [1, 0, 1])
    assert not found[:, 1].any()
