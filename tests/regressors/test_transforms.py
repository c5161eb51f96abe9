"""Transforms that regressors share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from epochs_left.regressors._transforms import BoundToTraining, Powers


@parametrize_with_checks([BoundToTraining(), BoundToTraining(tail=0.0, fill=False), Powers()])
def test_scikit_learn_conventions(estimator: BaseEstimator, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_the_quantiles_of_the_training_rows(seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(1_000, 4))
    bound = BoundToTraining(tail=0.01).fit(X)
    np.testing.assert_allclose(bound.lower_, np.quantile(X, 0.01, axis=0))
    np.testing.assert_allclose(bound.upper_, np.quantile(X, 0.99, axis=0))
    np.testing.assert_allclose(bound.transform(X), np.clip(X, bound.lower_, bound.upper_))


def test_without_tails_training_rows_pass_unchanged() -> None:
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.testing.assert_array_equal(BoundToTraining(tail=0.0).fit_transform(X), X)


def test_infinities_and_gaps_in_training_do_not_move_the_bounds() -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    odd = np.vstack([X, [[np.inf, np.nan], [-np.inf, np.nan]]])
    clean, with_odd = BoundToTraining().fit(X), BoundToTraining().fit(odd)
    for name in ("lower_", "median_", "upper_"):
        np.testing.assert_array_equal(getattr(with_odd, name), getattr(clean, name))


def test_gaps_get_the_median_or_stay() -> None:
    X = np.array([[1.0], [2.0], [30.0]])
    gap = np.array([[np.nan]])
    assert BoundToTraining(tail=0.0).fit(X).transform(gap).item() == 2.0
    assert np.isnan(BoundToTraining(tail=0.0, fill=False).fit(X).transform(gap)).all()


def test_infinities_become_the_bounds() -> None:
    bound = BoundToTraining(tail=0.0).fit(np.array([[1.0], [2.0], [30.0]]))
    assert bound.transform(np.array([[-np.inf], [np.inf]])).ravel().tolist() == [1.0, 30.0]


def test_a_column_never_seen_is_zero_everywhere() -> None:
    bound = BoundToTraining().fit(np.full((10, 1), np.nan))
    assert bound.transform(np.array([[5.0], [np.nan], [-np.inf]])).ravel().tolist() == [0, 0, 0]


def test_output_is_float64_so_that_normal_equations_keep_their_digits() -> None:
    X = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    assert BoundToTraining().fit_transform(X).dtype == np.float64


def test_powers_are_the_columns_their_squares_and_their_cubes() -> None:
    X = np.array([[2.0, -3.0]])
    assert Powers().fit_transform(X).tolist() == [[2.0, -3.0, 4.0, 9.0, 8.0, -27.0]]
