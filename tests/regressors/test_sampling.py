"""Rows are drawn by what they hold, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from epochs_left.regressors._sampling import OnSample, ordered_rows, predictor_of, row_keys


def table(seed: int, n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, size=(n, 6)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, rng.normal(size=n)


@pytest.mark.parametrize("seed", range(5))
def test_keys_move_with_their_rows_and_differ_between_rows(seed: int) -> None:
    X, y = table(seed)
    order = np.random.default_rng(seed).permutation(y.size)
    np.testing.assert_array_equal(row_keys(X[order], y[order]), row_keys(X, y)[order])
    assert np.unique(row_keys(X, y)).size == y.size


def test_equal_rows_share_a_key_and_every_cell_counts() -> None:
    X, y = np.zeros((4, 3)), np.zeros(4)
    X[1, 0], X[2, 1], y[3] = -0.0, 1.0, 1.0
    keys = row_keys(X, y)
    assert keys[0] == keys[1]
    assert np.unique(keys).size == 3


@pytest.mark.parametrize("seed", range(5))
def test_keys_are_spread_evenly(seed: int) -> None:
    """Also over rows that differ in one small whole number."""
    X = np.random.default_rng(seed).normal(size=(1, 4)).repeat(4_000, axis=0)
    X[:, 2] = np.arange(4_000)
    counts = np.histogram(row_keys(X, np.zeros(4_000)) / 2.0**64, bins=20, range=(0, 1))[0]
    assert abs(counts - 200).max() < 5 * np.sqrt(200)


def test_copies_of_the_last_row_of_a_sample_come_along() -> None:
    keys = np.array([5, 1, 3, 3, 3, 9], dtype=np.uint64)
    assert ordered_rows(keys, 2).tolist() == [1, 2, 3, 4]
    assert ordered_rows(keys).tolist() == [1, 2, 3, 4, 0, 5]


@pytest.mark.parametrize("seed", range(3))
def test_fit_on_a_sample_is_the_fit_on_those_rows(seed: int) -> None:
    X, y = np.nan_to_num(table(seed)[0]), table(seed)[1]
    rows = ordered_rows(row_keys(X, y), 100)
    model = OnSample(LinearRegression(), rows=100).fit(X, y)
    expected = LinearRegression().fit(X[rows], y[rows])
    np.testing.assert_allclose(model.predict(X), expected.predict(X))
    assert type(predictor_of(model)) is LinearRegression


@pytest.mark.parametrize("seed", range(3))
def test_rows_without_weight_might_as_well_be_absent(seed: int) -> None:
    X, y = np.nan_to_num(table(seed)[0]), table(seed)[1]
    weight = (np.arange(y.size) % 3 > 0).astype(float)
    model = OnSample(LinearRegression(), rows=100)
    with_zeros = model.fit(X, y, sample_weight=weight).predict(X)
    without = model.fit(X[weight > 0], y[weight > 0]).predict(X)
    np.testing.assert_array_equal(with_zeros, without)
