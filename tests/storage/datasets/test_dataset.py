"""What every loader returns, checked when it is built, and its hash."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.storage.datasets.dataset import (
    Dataset,
    dataset_of,
    identity,
    n_kept,
    unit_interval,
)


def table(n: int, classes: int = 3) -> tuple[Any, Any]:
    return np.ones((n, 2), np.float32), np.arange(n, dtype=np.int64) % classes


@pytest.fixture
def dataset() -> Dataset:
    return dataset_of(table(5), table(4), n_classes=3)


def test_the_hash_is_of_what_the_data_are_not_of_how_they_lie_in_memory() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    in_columns = np.asfortranarray(array)
    big_endian = array.astype(">f4")
    assert identity(array) == identity(in_columns) == identity(big_endian)


def test_the_hash_is_the_same_on_every_machine() -> None:
    written_out = b"<f4 (1, 2);" + struct.pack("<2f", 1, 2) + b"none;"
    array = np.array([[1, 2]], np.float32)
    assert identity(array, None) == hashlib.sha256(written_out).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        [np.zeros((2, 3), np.float32), None],
        [None, np.zeros((3, 2), np.float32)],
        [np.zeros((3, 2), np.float32)],
        [np.zeros((3, 2), np.int32), None],
        [np.zeros((3, 2), np.float32), np.zeros(0, np.float32)],
        [np.array([[0, 0], [0, 0], [0, -0.0]], np.float32), None],
    ],
    ids=["shape", "order", "count", "dtype", "empty", "one bit"],
)
def test_other_data_have_another_hash(other: list[Any]) -> None:
    assert identity(*other) != identity(np.zeros((3, 2), np.float32), None)


@given(n=st.integers(0, 1000), limit=st.integers(0, 1000))
def test_a_limit_never_keeps_more_than_itself_nor_than_there_is(n: int, limit: int) -> None:
    assert n_kept(n, limit) == (n if limit == 0 else min(n, limit))


def test_all_256_bytes_map_to_themselves_over_255() -> None:
    reference = np.array([byte / 255 for byte in range(256)], np.float64)
    scaled = unit_interval(np.arange(256, dtype=np.uint8))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, reference.astype(np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"inputs": d.inputs.astype(np.float64)}, "inputs must be float32"),
        (lambda d: {"inputs": d.inputs[:, 0]}, "inputs must be float32"),
        (lambda d: {"inputs": d.inputs[:0], "targets": d.targets[:0]}, "not empty"),
        (lambda d: {"targets": d.targets[:-1]}, r"targets must be int64 \(5,\), got int64 \(4,\)"),
        (lambda d: {"targets": d.targets.astype(np.int32)}, "got int32"),
        (lambda d: {"targets": d.targets - 1}, "labels must lie in 0 to 2"),
        (lambda _: {"n_classes": 2}, "labels must lie in 0 to 1"),
        (lambda _: {"n_classes": 0}, "targets must be float32"),
        (lambda _: {"valid_inputs": None}, "both be there, or neither"),
        (lambda _: {"valid_targets": None}, "both be there, or neither"),
        (
            lambda d: {"valid_inputs": d.inputs[:4, :1]},
            r"must have the shape of training ones, \(2,\), got \(1,\)",
        ),
        (lambda d: {"valid_targets": d.valid_targets + 1}, "labels must lie in 0 to 2"),
    ],
)
def test_a_data_set_that_does_not_hold_together_cannot_be_built(
    dataset: Dataset, change: Callable[[Dataset], dict[str, Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(dataset, **change(dataset))


def test_a_data_set_without_a_test_split_says_so() -> None:
    inputs, _ = table(5)
    dataset = dataset_of((inputs, inputs[:, 0]), None, n_classes=0)
    assert dataset.valid_inputs is None
    assert dataset.valid_targets is None
