"""Philox-4x32-10 and the sample orders that are drawn from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import uint32
from scipy import stats

from epochs_left.simulation.orders import PERMUTATIONS, order_index, philox4x32, shuffled_orders

SEEDS = range(4)
ONES = 0xFFFFFFFF
# Salmon et al. 2011: the known answers that come with Random123, counter, key and output.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def words(values: tuple[int, ...]) -> list[np.uint32]:
    return [uint32(value) for value in values]


def philox_by_the_paper(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Ten rounds in Python's integers, as the paper writes them."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1 = (p1 >> 32) ^ c1 ^ k0, p1 & ONES
        c2, c3 = (p0 >> 32) ^ c3 ^ k1, p0 & ONES
        k0, k1 = (k0 + 0x9E3779B9) & ONES, (k1 + 0xBB67AE85) & ONES
    return c0, c1, c2, c3


def orders(key: tuple[int, int], n_epochs: int) -> np.ndarray:
    return np.array([order_index(epoch, *words(key)) for epoch in range(1, n_epochs + 1)])


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    assert philox4x32(*words(counter), *words(key)) == answer
    assert philox_by_the_paper(counter, key) == answer


@pytest.mark.parametrize("seed", SEEDS)
def test_order_is_the_paper_s_word_scaled_to_24(seed: int) -> None:
    key = tuple(np.random.default_rng(seed).integers(2**32, size=2).tolist())
    for epoch in range(1, 60):
        word = philox_by_the_paper((epoch >> 2, 0, 0, 0), key)[epoch & 3]
        assert order_index(epoch, *words(key)) == word * 24 >> 32


def test_the_24_orders_are_the_permutations_of_four() -> None:
    assert len({tuple(order) for order in PERMUTATIONS.tolist()}) == 24
    np.testing.assert_array_equal(np.sort(PERMUTATIONS, axis=1), [[0, 1, 2, 3]] * 24)


@pytest.mark.parametrize("seed", SEEDS)
def test_orders_are_uniform_and_follow_one_another_freely(seed: int) -> None:
    """Chi-square over the 24 orders, and over the 576 pairs of successive ones."""
    key = tuple(np.random.default_rng(seed).integers(2**32, size=2).tolist())
    drawn = orders(key, 20_000)
    assert stats.chisquare(np.bincount(drawn, minlength=24)).pvalue > 1e-3
    pairs = 24 * drawn[:-1] + drawn[1:]
    assert stats.chisquare(np.bincount(pairs, minlength=576)).pvalue > 1e-3


def test_orders_are_uniform_over_runs_too() -> None:
    keys = np.random.default_rng(0).integers(2**32, size=(4_800, 2)).tolist()
    first = [order_index(1, *words(tuple(key))) for key in keys]
    assert stats.chisquare(np.bincount(first, minlength=24)).pvalue > 1e-3


def shuffled(keys: list[tuple[int, int]], epochs: list[int], n: int) -> np.ndarray:
    out = np.full((len(keys), n), -1, dtype=np.int64)
    shuffled_orders(np.array(keys, dtype=np.uint32), np.array(epochs), out)
    return out


def shuffled_by_the_book(key: tuple[int, int], epoch: int, n: int) -> list[int]:
    """Fisher and Yates' shuffle with one Philox word an index, word i of counter block i // 4."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        word = philox_by_the_paper((i >> 2, epoch, 1, 0), key)[i & 3]
        j = word * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def draw_keys(seed: int, n: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return [tuple(key) for key in rng.integers(2**32, size=(n, 2)).tolist()]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 31, 64, 257])
def test_shuffled_orders_are_fisher_and_yates_shuffles(n: int) -> None:
    keys, epochs = draw_keys(n, 6), [0, 1, 2, 150, 2**31, 2**32 - 1]
    found = shuffled(keys, epochs, n)
    for lane, (key, epoch) in enumerate(zip(keys, epochs, strict=True)):
        assert found[lane].tolist() == shuffled_by_the_book(key, epoch, n)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(n), (6, 1)))


def test_shuffled_orders_depend_on_key_and_epoch_alone() -> None:
    keys, epochs = draw_keys(1, 40), list(range(40))
    together = shuffled(keys, epochs, 24)
    np.testing.assert_array_equal(shuffled(keys[::-1], epochs[::-1], 24)[::-1], together)
    for lane in range(40):
        alone = shuffled([keys[lane]], [epochs[lane]], 24)[0]
        np.testing.assert_array_equal(alone, together[lane])
    assert len({tuple(order) for order in together.tolist()}) == 40


def test_each_key_and_each_epoch_has_an_order_of_its_own() -> None:
    (key, other) = draw_keys(2, 2)
    by_epoch = shuffled([key] * 500, list(range(500)), 30)
    by_other = shuffled([other] * 500, list(range(500)), 30)
    orders = {tuple(order) for order in [*by_epoch.tolist(), *by_other.tolist()]}
    assert len(orders) == 1000


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("vary", ["epoch", "key"])
def test_shuffled_orders_are_uniform(n: int, vary: str) -> None:
    """Chi-square over all n! orders."""
    draws = 24_000
    keys = draw_keys(3, draws) if vary == "key" else draw_keys(3, 1) * draws
    epochs = [1] * draws if vary == "key" else list(range(draws))
    found = shuffled(keys, epochs, n)
    codes = found @ (n ** np.arange(n))
    _, counts = np.unique(codes, return_counts=True)
    assert counts.size == math.factorial(n)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_every_example_is_as_likely_at_every_place(seed: int) -> None:
    n, draws = 20, 10_000
    found = shuffled(draw_keys(seed, 1) * draws, list(range(draws)), n)
    for place in (0, 1, 7, n - 1):
        assert stats.chisquare(np.bincount(found[:, place], minlength=n)).pvalue > 1e-4
