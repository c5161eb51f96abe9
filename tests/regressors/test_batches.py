"""Fits batch by batch: the same as in one piece, where the arithmetic allows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from epochs_left.regressors import REGRESSORS
from epochs_left.regressors._batches import Batch, Batches, refit_in_batches
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.storage.estimators import dump_estimator, load_estimator

SEEDS = range(3)
N_ROWS, BATCH = 3_000, 700


def rows(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, 5)).astype(np.float32)
    X[rng.random(X.shape) < 0.02] = np.nan
    known = np.nan_to_num(X)
    y = known @ [1.0, -0.5, 0.2, 0.0, 0.3] + np.sin(2 * known[:, 0]) + 0.1 * rng.normal(size=N_ROWS)
    return X, y + 4, rng.uniform(0.2, 3, N_ROWS)


def batches_of(data: Batch, size: int = BATCH) -> Batches:
    def batches() -> Iterator[Batch]:
        for start in range(0, N_ROWS, size):
            X, y, weight = (part[start : start + size] for part in data)
            yield X, y, weight

    return batches


def fitted(name: str, data: Batch, part: int = N_ROWS) -> Any:
    X, y, weight = (values[:part] for values in data)
    return fit_weighted(REGRESSORS[name].build(0), X, y, weight)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["linear", "log_linear", "polynomial"])
def test_a_linear_model_of_batches_is_that_of_one_piece(name: str, seed: int) -> None:
    data = rows(seed)
    model = fitted(name, data)
    expected = model.predict(data[0])
    model.steps[-1][1].coef_ = np.zeros_like(model.steps[-1][1].coef_)
    assert refit_in_batches(model, batches_of(data))
    np.testing.assert_allclose(model.predict(data[0]), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["linear", "polynomial"])
def test_a_tuned_model_keeps_its_penalty(name: str) -> None:
    data = rows(0)
    X, y, weight = data
    groups = np.arange(N_ROWS) // 4
    model = fit_weighted(REGRESSORS[name].tuned(0), X, y, weight, groups=groups)
    expected = model.predict(X)
    assert refit_in_batches(model, batches_of(data))
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_boosted_trees_of_batches_predict_as_well_as_in_one_piece(seed: int) -> None:
    data, unseen = rows(seed), rows(100 + seed)
    model = fitted("xgboost", data)
    alone = fitted("xgboost", data, part=300)
    in_one_piece = error(model, unseen)
    assert refit_in_batches(alone, batches_of(data))
    assert error(alone, unseen) < 1.1 * in_one_piece
    assert error(fitted("xgboost", data, part=300), unseen) > 1.5 * in_one_piece


def error(model: Any, data: Batch) -> float:
    X, y, weight = data
    return float(np.average((model.predict(X) - y) ** 2, weights=weight))


def test_boosted_trees_of_batches_are_the_same_bytes_twice_and_can_be_stored() -> None:
    data = rows(0)
    models = [fitted("xgboost", data, part=500) for _ in range(2)]
    for model in models:
        refit_in_batches(model, batches_of(data))
    (extension, one), (_, other) = map(dump_estimator, models)
    assert one == other
    loaded = load_estimator(extension, one)
    np.testing.assert_array_equal(loaded.predict(data[0]), models[0].predict(data[0]))


def test_the_size_of_the_batches_moves_a_linear_model_by_rounding_alone() -> None:
    data = rows(1)
    model = fitted("linear", data, part=500)
    found = []
    for size in (100, 3_000):
        refit_in_batches(model, batches_of(data, size))
        found.append(model.predict(data[0]))
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


def test_a_forest_says_that_it_cannot() -> None:
    data = rows(0)
    model = fitted("random_forest", data, part=500)
    before = model.predict(data[0])
    assert not refit_in_batches(model, batches_of(data))
    np.testing.assert_array_equal(model.predict(data[0]), before)
