"""What every loader returns: examples, their test split, and a hash that says which they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Inputs: TypeAlias = NDArray[np.float32]
Targets: TypeAlias = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Examples as published.

    Parameters
    ----------
    inputs
        Tables ``(n, d)`` in the source's units, or images ``(n, channels, height, width)`` with
        values in [0, 1]; float32.
    targets
        Class labels 0 to ``n_classes - 1``, int64; or float32 for regression; shape ``(n,)``.
    valid_inputs, valid_targets
        The source's own test split, alike; None where it has none.
    n_classes
        0 for regression.
    sha256
        Hexadecimal digest of the arrays (`identity`).
    """

    inputs: Inputs
    targets: Targets
    valid_inputs: Inputs | None
    valid_targets: Targets | None
    n_classes: int
    sha256: str

    def __post_init__(self) -> None:
        _check_split(self.inputs, self.targets, self.n_classes)
        if (self.valid_inputs is None) != (self.valid_targets is None):
            raise ValueError("valid_inputs and valid_targets must both be there, or neither")
        if self.valid_inputs is None or self.valid_targets is None:
            return
        _check_split(self.valid_inputs, self.valid_targets, self.n_classes)
        if self.valid_inputs.shape[1:] != self.inputs.shape[1:]:
            raise ValueError(
                f"test examples must have the shape of training ones, {self.inputs.shape[1:]}, "
                f"got {self.valid_inputs.shape[1:]}"
            )


def dataset_of(
    train: tuple[Inputs, Targets], valid: tuple[Inputs, Targets] | None, *, n_classes: int
) -> Dataset:
    """Return the data set of (inputs, targets) pairs, with its hash; `Dataset` gives the shapes."""
    valid_inputs, valid_targets = valid or (None, None)
    return Dataset(
        inputs=train[0],
        targets=train[1],
        valid_inputs=valid_inputs,
        valid_targets=valid_targets,
        n_classes=n_classes,
        sha256=identity(*train, valid_inputs, valid_targets),
    )


def identity(*arrays: NDArray[Any] | None) -> str:
    """Return the SHA-256 of dtypes, shapes and little-endian bytes, in order, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none;")
            continue
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str} {little.shape};".encode())
        digest.update(little.data)
    return digest.hexdigest()


def n_kept(n_examples: int, limit: int) -> int:
    """Return how many examples a limit leaves; 0 is no limit."""
    return min(n_examples, limit) if limit else n_examples


def unit_interval(pixels: NDArray[np.uint8], out: Inputs | None = None) -> Inputs:
    """Return bytes as float32 in [0, 1], of the same shape; in ``out`` where it is given."""
    scaled: Inputs = np.divide(pixels, 255, out=out, dtype=np.float32)
    return scaled


def _check_split(inputs: Inputs, targets: Targets, n_classes: int) -> None:
    if inputs.dtype != np.float32 or inputs.ndim not in {2, 4} or inputs.size == 0:
        raise ValueError(
            "inputs must be float32, (n, d) or (n, channels, height, width), and not empty; "
            f"got {inputs.dtype} {inputs.shape}"
        )
    dtype = np.int64 if n_classes else np.float32
    if targets.dtype != dtype or targets.shape != inputs.shape[:1]:
        raise ValueError(
            f"targets must be {dtype.__name__} {inputs.shape[:1]}, "
            f"got {targets.dtype} {targets.shape}"
        )
    if n_classes and not (targets.min() >= 0 and targets.max() < n_classes):
        raise ValueError(f"labels must lie in 0 to {n_classes - 1}, got {np.unique(targets)}")
