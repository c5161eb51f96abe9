"""MNIST and its kin (Fashion-MNIST, KMNIST): four files in IDX format, plain or gzipped.

A file is a magic number, the sizes of the dimensions (big-endian, 32 bits each) and the bytes.
LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets._files import (
    Source,
    check_bound,
    class_labels,
    names_in,
    opened,
    read_at_most,
    read_exactly,
    size_of,
)
from epochs_left.storage.datasets.dataset import Dataset, Inputs, dataset_of, n_kept, unit_interval

#: MNIST and the sets made to replace it all have ten; the format does not say.
N_CLASSES = 10

_CONTENT = {0x00000801: "labels", 0x00000803: "images"}  # last byte: number of dimensions
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class _Idx:
    """An open IDX file at the end of its header."""

    path: Path
    file: Source
    shape: tuple[int, ...]

    def first(self, n_items: int) -> NDArray[np.uint8]:
        """Read the first items, shape ``(n_items, *shape[1:])``; if all, check that it ends."""
        shape = (n_items, *self.shape[1:])
        check_bound(
            self.path, math.prod(shape), "set a limit on examples, or download the file again"
        )
        data = read_exactly(self.file, math.prod(shape), self.path)
        if n_items == self.shape[0] and read_at_most(self.file, 1, self.path):
            raise DataError(
                f"{self.path}: expected the end after {math.prod(shape):,} bytes of data, "
                "got extra bytes; download the file again"
            )
        return np.frombuffer(data, np.uint8).reshape(shape)


def load_idx(folder: Path, limit: int) -> Dataset:
    """Read the four published files, images as ``(n, 1, height, width)`` in [0, 1].

    Parameters
    ----------
    folder
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same of ``t10k``; a
        dot may stand for the hyphen before ``idx``, and ``.gz`` may follow. Plain files go first.
    limit
        Above 0: keep so many training and so many test examples, and read no further.

    Raises
    ------
    InputOutputError
        If the folder or a file is missing or cannot be read.
    DataError
        If a file is truncated, goes on after its end, is of another type, empty, too large or
        damaged, if labels do not fit the images or exceed 9, or test images the training ones.
    """
    train = _read_split(folder, "train", limit)
    valid = _read_split(folder, "t10k", limit)
    if train[0].shape[1:] != valid[0].shape[1:]:
        raise DataError(
            f"{folder}: expected test images of the training images' size {train[0].shape[2:]}, "
            f"got {valid[0].shape[2:]}; take all four files from one set"
        )
    return dataset_of(train, valid, n_classes=N_CLASSES)


def _read_split(folder: Path, split: str, limit: int) -> tuple[Inputs, NDArray[np.int64]]:
    with (
        _opened(_find(folder, f"{split}-images", 3), 0x00000803) as images,
        _opened(_find(folder, f"{split}-labels", 1), 0x00000801) as labels,
    ):
        if images.shape[0] != labels.shape[0]:
            raise DataError(
                f"{labels.path}: expected a label for each of the {images.shape[0]:,} images of "
                f"{images.path.name}, got {labels.shape[0]:,}; take both files from one set"
            )
        n_examples = n_kept(images.shape[0], limit)
        targets = class_labels(labels.first(n_examples), N_CLASSES, labels.path)
        return unit_interval(images.first(n_examples)[:, np.newaxis]), targets


def _find(folder: Path, stem: str, n_dims: int) -> Path:
    names = [f"{stem}{mark}idx{n_dims}-ubyte" for mark in "-."]
    names += [f"{name}.gz" for name in names]
    there = names_in(folder)
    for name in names:
        if name in there:
            return folder / name
    raise InputOutputError(
        f"cannot read {folder / names[0]}: expected that file or its .gz, got neither; "
        "name the folder that holds the four published files"
    )


@contextmanager
def _opened(path: Path, magic: int) -> Iterator[_Idx]:
    with opened(path) as raw, _expanded(raw, path) as file:
        shape = _read_header(file, magic, path)
        if file is raw:
            _check_size(size_of(raw), shape, path)
        yield _Idx(path, file, shape)


def _expanded(raw: BinaryIO, path: Path) -> Source:
    """Return the file itself, or what expands it as it is read."""
    by_name = path.suffix == ".gz"
    by_content = read_at_most(raw, len(_GZIP), path) == _GZIP
    raw.seek(0)
    if by_name != by_content:
        expected, got = ("gzip", "other") if by_name else ("plain", "gzip")
        remedy = "without .gz, or download it again" if by_name else "to end in .gz"
        raise DataError(
            f"{path}: expected {expected} data by its name, got {got} content; rename it {remedy}"
        )
    return gzip.GzipFile(fileobj=raw) if by_content else raw


def _read_header(file: Source, magic: int, path: Path) -> tuple[int, ...]:
    (found,) = struct.unpack(">I", read_exactly(file, 4, path))
    if found != magic:
        what = f"{found:#010x} ({_CONTENT.get(found, 'no IDX file of bytes')})"
        raise DataError(
            f"{path}: expected magic number {magic:#010x} ({_CONTENT[magic]}), got {what}; "
            "download the file again, unpacked but not converted"
        )
    n_dims = magic & 0xFF
    shape = struct.unpack(f">{n_dims}I", read_exactly(file, 4 * n_dims, path))
    if 0 in shape:
        raise DataError(
            f"{path}: expected sizes of at least 1, got {shape}; download the file again"
        )
    return shape


def _check_size(n_bytes: int, shape: tuple[int, ...], path: Path) -> None:
    """Compare a plain file's size with its header, before anything is allocated."""
    expected = 4 + 4 * len(shape) + math.prod(shape)
    if n_bytes != expected:
        fault = "is truncated" if n_bytes < expected else "has extra bytes"
        raise DataError(
            f"{path} {fault}: expected {expected:,} bytes for {shape}, got {n_bytes:,}; "
            "download the file again"
        )
