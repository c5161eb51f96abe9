"""CIFAR-10, binary version: records of a label byte and the red, green and blue planes, 32 x 32.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images",
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets._files import (
    check_bound,
    class_labels,
    names_in,
    opened,
    read_exactly,
    size_of,
)
from epochs_left.storage.datasets.dataset import Dataset, Inputs, dataset_of, n_kept, unit_interval

N_CLASSES = 10
IMAGE_SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)

_FOLDER = "cifar-10-batches-bin"
_PICKLES = {"cifar-10-batches-py", "data_batch_1", "test_batch"}
_PICKLE_STARTS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_REMEDY = "unpack cifar-10-binary.tar.gz, the binary version, which needs no unpickling"


def load_cifar10(folder: Path, limit: int) -> Dataset:
    """Read the five training batches and the test batch, ``(n, 3, 32, 32)`` in [0, 1].

    Batches of any one size are taken, not the published 10,000 records alone.

    Parameters
    ----------
    folder
        ``cifar-10-batches-bin``, or the folder that contains it.
    limit
        Above 0: keep so many training and so many test examples, and read no further.

    Raises
    ------
    InputOutputError
        If the folder or a file is missing or cannot be read.
    DataError
        For the Python version (pickles), a file that is empty, holds no whole number of records or
        fewer of them than the others, a label above 9, or more than can be held in memory.
    """
    folder = _binary_folder(folder)
    train = _read_split([folder / name for name in TRAIN_FILES], limit)
    valid = _read_split([folder / name for name in TEST_FILES], limit)
    return dataset_of(train, valid, n_classes=N_CLASSES)


def _binary_folder(folder: Path) -> Path:
    names = names_in(folder)
    if _FOLDER in names and TRAIN_FILES[0] not in names:
        folder /= _FOLDER
        names = names_in(folder)
    missing = [name for name in (*TRAIN_FILES, *TEST_FILES) if name not in names]
    if missing and names & _PICKLES:
        raise DataError(
            f"{folder}: expected {missing[0]}, got the Python version (pickles, which can run any "
            f"code); {_REMEDY}"
        )
    if missing:
        raise InputOutputError(
            f"cannot read {folder / missing[0]}: expected that file, got none; {_REMEDY}"
        )
    return folder


def _read_split(paths: Sequence[Path], limit: int) -> tuple[Inputs, NDArray[np.int64]]:
    n_records = _records_each(paths)
    n_examples = n_kept(n_records * len(paths), limit)
    check_bound(paths[0].parent, n_examples * RECORD_BYTES, "set a limit on examples")
    images = np.empty((n_examples, *IMAGE_SHAPE), np.float32)
    labels = np.empty(n_examples, np.int64)
    for path, start in zip(paths, range(0, n_examples, n_records), strict=False):
        part = slice(start, min(start + n_records, n_examples))
        records = _first_records(path, part.stop - start)
        unit_interval(records[:, 1:].reshape(-1, *IMAGE_SHAPE), images[part])
        labels[part] = class_labels(records[:, 0], N_CLASSES, path)
    return images, labels


def _records_each(paths: Sequence[Path]) -> int:
    """Return the number of records in each file, which also shows one cut between two records."""
    counts = {path: _count_records(path) for path in paths}
    most = max(counts.values())
    for path, count in counts.items():
        if count < most:
            raise DataError(
                f"{path} is truncated: expected {most:,} records as in the largest batch, "
                f"got {count:,}; {_REMEDY}"
            )
    return most


def _count_records(path: Path) -> int:
    with opened(path) as file:
        n_bytes = size_of(file)
        if n_bytes and read_exactly(file, min(2, n_bytes), path) in _PICKLE_STARTS:
            raise DataError(
                f"{path}: expected records of {RECORD_BYTES:,} bytes, got a Python pickle (which "
                f"can run any code); {_REMEDY}"
            )
    count, rest = divmod(n_bytes, RECORD_BYTES)
    if rest or not count:
        raise DataError(
            f"{path} is truncated or has extra bytes: expected whole records of {RECORD_BYTES:,} "
            f"bytes, got {count:,} and {rest:,} bytes; {_REMEDY}"
        )
    return count


def _first_records(path: Path, n_records: int) -> NDArray[np.uint8]:
    with opened(path) as file:
        data = read_exactly(file, n_records * RECORD_BYTES, path)
    return np.frombuffer(data, np.uint8).reshape(n_records, RECORD_BYTES)
