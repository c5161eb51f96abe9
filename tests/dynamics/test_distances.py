"""Distances against SciPy, and their laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import distance as scipy_distance

from epochs_left.dynamics.distances import (
    block_means,
    chebyshev_distance,
    cosine_distance,
    l1_distance,
    l2_distance,
)

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
METRICS: dict[str, Distance] = {
    "cityblock": l1_distance,
    "euclidean": l2_distance,
    "chebyshev": chebyshev_distance,
}
DISTANCES = {**METRICS, "cosine": cosine_distance}

# Squares of larger or smaller numbers leave the range of float64.
numbers = st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100)
triples = arrays(np.float64, (3, 5), elements=numbers)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n_params", [1, 3, 17, 1000])
def test_distance_equals_scipy(name: str, seed: int, n_params: int) -> None:
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, n_params))
    expected = getattr(scipy_distance, name)(u, v)
    np.testing.assert_allclose(DISTANCES[name](u, v), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", DISTANCES)
@given(vectors=triples)
def test_distance_is_symmetric_and_vanishes_at_itself(name: str, vectors: np.ndarray) -> None:
    u, v, _ = vectors
    distance = DISTANCES[name]
    assert distance(u, v) == distance(v, u)
    assert distance(u, v) >= 0
    assert distance(u, u) == (1.0 if name == "cosine" and not u.any() else 0.0)


@pytest.mark.parametrize("name", METRICS)
@given(vectors=triples)
def test_metric_obeys_the_triangle_inequality(name: str, vectors: np.ndarray) -> None:
    u, v, w = vectors
    distance = METRICS[name]
    assert distance(u, w) <= (distance(u, v) + distance(v, w)) * (1 + 1e-12)


@pytest.mark.parametrize("name", METRICS)
@given(vectors=triples, factor=st.floats(1e-3, 1e3))
def test_metric_scales_with_the_unit(name: str, vectors: np.ndarray, factor: float) -> None:
    u, v, _ = vectors
    expected = factor * METRICS[name](u, v)
    np.testing.assert_allclose(METRICS[name](factor * u, factor * v), expected, rtol=1e-9)


@given(vectors=triples)
def test_norms_are_ordered(vectors: np.ndarray) -> None:
    u, v, _ = vectors
    largest, euclidean, total = chebyshev_distance(u, v), l2_distance(u, v), l1_distance(u, v)
    assert largest <= euclidean * (1 + 1e-12)
    assert euclidean <= total * (1 + 1e-12)


@given(vectors=triples, factor=st.floats(1e-6, 1e6))
def test_cosine_distance_is_bounded_and_ignores_lengths(vectors: np.ndarray, factor: float) -> None:
    u, v, _ = vectors
    assume(u.any() and v.any())
    assert 0 <= cosine_distance(u, v) <= 2 + 1e-12
    np.testing.assert_allclose(cosine_distance(factor * u, v), cosine_distance(u, v), atol=1e-9)


def test_cosine_distance_keeps_its_digits_at_small_angles() -> None:
    angle = 1e-7
    u, v = np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(cosine_distance(u, v), angle**2 / 2, rtol=1e-6)


def test_cosine_distance_to_nothing_is_one() -> None:
    zero, other = np.zeros(3), np.ones(3)
    np.testing.assert_array_equal(cosine_distance(np.stack([zero, other]), zero), [1.0, 1.0])


def test_opposite_vectors_are_two_apart() -> None:
    assert cosine_distance(np.array([1.0, 2.0]), np.array([-2.0, -4.0])) == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(5))
def test_block_means_equal_the_obvious_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, 6, 9))
    blocks = rng.integers(0, 3, size=9)
    means = block_means(values, blocks, 4)
    for block in range(4):
        members = values[..., blocks == block]
        expected = members.mean(axis=-1) if members.size else np.zeros((2, 6))
        np.testing.assert_allclose(means[..., block], expected, rtol=1e-12, atol=1e-12)
