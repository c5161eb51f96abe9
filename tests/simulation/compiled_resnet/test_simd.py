"""Vectors in compiled code against NumPy, an operation at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from epochs_left.simulation.compiled_resnet import simd
from epochs_left.simulation.compiled_resnet.simd import PART, SIDE, WIDTH

SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3e38], dtype=np.float32)


def numbers(n: int, seed: int) -> np.ndarray:
    """Random numbers, with special ones among them."""
    values = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    values[5 : 5 + SPECIAL.size] = SPECIAL
    return values


@functools.cache
def applied(operation: Any, n_args: int) -> Callable[..., np.ndarray]:
    """Return an operation on vectors as a function of arrays."""
    load, store = simd.load, simd.store
    calls = (
        lambda out, a: store(out, 0, operation(load(a, 0))),
        lambda out, a, b: store(out, 0, operation(load(a, 0), load(b, 0))),
        lambda out, a, b, c: store(out, 0, operation(load(a, 0), load(b, 0), load(c, 0))),
    )
    call = numba.njit(calls[n_args - 1])

    def on_arrays(*args: np.ndarray) -> np.ndarray:
        out = np.empty(WIDTH, dtype=np.float32)
        call(out, *args)
        return out

    return on_arrays


def fused(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    # a product of two float32 is exact in float64; the sum is not, so only exact sums are asked for
    return (x.astype(np.float64) * y + z).astype(np.float32)


ELEMENTWISE: dict[str, tuple[int, Callable[..., np.ndarray]]] = {
    "add": (2, np.add),
    "sub": (2, np.subtract),
    "mul": (2, np.multiply),
    "div": (2, np.divide),
    "sqrt": (1, np.sqrt),
    "where_positive": (2, lambda x, y: np.where(x <= 0, np.float32(0), y)),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("seed", range(2))
def test_an_operation_is_that_of_numpy_on_each_element(name: str, seed: int) -> None:
    n_args, reference = ELEMENTWISE[name]
    args = [np.roll(numbers(WIDTH, seed + i), 3 * i) for i in range(n_args)]
    with np.errstate(all="ignore"):
        expected = reference(*args)
    np.testing.assert_array_equal(applied(getattr(simd, name), n_args)(*args), expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_fused_product_is_rounded_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = ((rng.integers(2**23, 2**24, WIDTH)).astype(np.float32) for _ in range(2))
    z = -(x * y)  # so that what is left is the rounding error of the product, exactly
    found = applied(simd.fma, 3)(x, y, z)
    np.testing.assert_array_equal(found, fused(x, y, z))
    assert found.any()


@pytest.mark.parametrize("count", [-3, 0, 1, 37, WIDTH, WIDTH + 9])
def test_only_the_first_elements_are_kept(count: int) -> None:
    first, load, store = simd.first, simd.load, simd.store
    keep = numba.njit(lambda values, n, out: store(out, 0, first(load(values, 0), n)))
    values, out = numbers(WIDTH, 0), np.empty(WIDTH, dtype=np.float32)
    keep(values, count, out)
    kept = np.arange(WIDTH) < count
    np.testing.assert_array_equal(out, np.where(kept, values, np.float32(0)))


@pytest.mark.parametrize("seed", range(3))
def test_the_total_adds_halves(seed: int) -> None:
    total, load = simd.total, simd.load
    values = np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)
    found = numba.njit(lambda values: total(load(values, 0)))(values)
    while values.size > 1:
        values = values[: values.size // 2] + values[values.size // 2 :]
    assert found == values[0]


def test_a_number_is_repeated_from_wherever_it_is() -> None:
    broadcast, splat, store = simd.broadcast, simd.splat, simd.store
    values = numbers(WIDTH, 0)

    @numba.njit
    def repeat(values: Any, index: int, number: Any, out: Any) -> None:
        store(out, 0, broadcast(values, index))
        store(out, WIDTH, splat(number))

    out = np.empty(2 * WIDTH, dtype=np.float32)
    repeat(values, 3, np.float32(2.5), out)
    np.testing.assert_array_equal(out, np.repeat([values[3], np.float32(2.5)], WIDTH))


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_other_numbers_than_float32_are_refused(dtype: type) -> None:
    load, total = simd.load, simd.total
    with pytest.raises(numba.TypingError):
        numba.njit(lambda values: total(load(values, 0)))(np.zeros(WIDTH, dtype=dtype))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_tile_is_a_product_of_matrices(n: int) -> None:
    """Of four rows and four columns that lie anywhere, each of ``n`` parts."""
    empty_tile, add_products, store_sums = simd.empty_tile, simd.add_products, simd.store_sums

    @numba.njit
    def multiply(values: Any, rows: Any, columns: Any, n: int, out: Any) -> None:
        tile = empty_tile()
        for i in range(0, n * PART, PART):
            at = (rows[0] + i, rows[1] + i, rows[2] + i, rows[3] + i)
            by = (columns[0] + i, columns[1] + i, columns[2] + i, columns[3] + i)
            tile = add_products(tile, values, at, by)
        store_sums(tile, out, 1)

    rng = np.random.default_rng(n)
    values = rng.normal(size=1000).astype(np.float32)
    rows, columns = rng.integers(0, 900, (2, SIDE))
    out = np.full(SIDE * SIDE + 2, 7, dtype=np.float32)
    multiply(values, rows, columns, n, out)
    left, right = (
        np.stack([values[start : start + n * PART] for start in starts]).astype(np.float64)
        for starts in (rows, columns)
    )
    np.testing.assert_allclose(out[1:-1], (left @ right.T).ravel(), rtol=1e-5, atol=1e-5)
    assert (out[[0, -1]] == 7).all()
