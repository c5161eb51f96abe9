"""The count-sketch: linear, and unbiased for inner products with the variance of its theory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.dynamics import sketch as module
from epochs_left.dynamics.sketch import sketch_hashes

SIZE = 64
SEEDS = range(4)
#: Vectors with many small and with few large coordinates.
DRAWS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.standard_normal(500),
    "heavy": lambda rng: rng.standard_t(2, 500),
    "sparse": lambda rng: rng.standard_normal(500) * (rng.random(500) < 0.02),
    "same sign": lambda rng: rng.exponential(size=500),
}


def count_sketch(vector: np.ndarray, size: int) -> np.ndarray:
    """The sketch of a vector, shape (n,) -> (size,)."""
    buckets, signs = module.sketch_hashes(vector.size, size)
    return np.bincount(buckets, signs * vector, size)


@pytest.mark.parametrize("seed", SEEDS)
def test_sketch_is_linear(seed: int) -> None:
    x, y = np.random.default_rng(seed).standard_normal((2, 1000))
    combined = 2 * count_sketch(x, SIZE) - 3 * count_sketch(y, SIZE)
    np.testing.assert_allclose(count_sketch(2 * x - 3 * y, SIZE), combined, atol=1e-12)


def test_hashes_are_one_fixed_choice() -> None:
    """Golden: sketches of different versions are compared."""
    buckets, signs = sketch_hashes(8, 256)
    again, _ = sketch_hashes(8, 256)
    np.testing.assert_array_equal(buckets, again)
    assert buckets.tolist() == [206, 151, 28, 188, 23, 232, 220, 68]
    assert signs.tolist() == [-1, 1, -1, -1, 1, 1, -1, -1]


@pytest.mark.parametrize("longer", [2, 100, 5_000])
def test_a_longer_vector_has_the_same_hashes_for_its_first_coordinates(longer: int) -> None:
    for few, many in zip(sketch_hashes(1, SIZE), sketch_hashes(longer, SIZE), strict=True):
        np.testing.assert_array_equal(many[:1], few)
    for few, many in zip(sketch_hashes(longer, SIZE), sketch_hashes(10_000, SIZE), strict=True):
        np.testing.assert_array_equal(many[:longer], few)


def test_buckets_and_signs_are_uniform() -> None:
    buckets, signs = sketch_hashes(200_000, SIZE)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    counts = np.histogram2d(buckets, signs, bins=[SIZE, 2])[0].ravel()
    expected = 200_000 / (2 * SIZE)
    chi_square = np.sum((counts - expected) ** 2) / expected
    degrees = 2 * SIZE - 1
    assert abs(chi_square - degrees) < 4 * (2 * degrees) ** 0.5


@pytest.mark.parametrize("name", DRAWS)
def test_inner_products_are_unbiased_with_the_bounded_variance(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weinberger et al. 2009, Lemma 2, over hashes drawn anew: <Sx, Sy> has mean <x, y>."""
    x, y = (DRAWS[name](np.random.default_rng(seed)) for seed in (1, 2))
    errors = []
    for seed in range(600):
        monkeypatch.setattr(module, "_SEED", seed)
        errors.append(count_sketch(x, SIZE) @ count_sketch(y, SIZE) - x @ y)
    # the lemma's variance, of which 2 |x|^2 |y|^2 / size is the bound
    squares = (x @ x) * (y @ y) + (x @ y) ** 2 - 2 * np.sum(x**2 * y**2)
    deviation = (squares / SIZE) ** 0.5
    assert abs(np.mean(errors)) < 4 * deviation / len(errors) ** 0.5
    assert np.std(errors) == pytest.approx(deviation, rel=0.2)
    assert deviation**2 <= 2 * (x @ x) * (y @ y) / SIZE


def test_sketch_of_a_sketchable_vector_keeps_its_length() -> None:
    """One coordinate alone meets no other."""
    for index in range(50):
        vector = np.zeros(50)
        vector[index] = 3.0
        assert np.linalg.norm(count_sketch(vector, SIZE)) == 3.0
