"""Philox-4x32-10 and the sample orders that are drawn from it."""

from __future__ import annotations

import numpy as np
import pytest
from numba import uint32
from scipy import stats

from epochs_left.simulation.orders import PERMUTATIONS, order_index, philox4x32

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
