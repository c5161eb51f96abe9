"""Tasks from data sets: a seeded split, and inputs scaled by statistics of the training part."""

from __future__ import annotations

from typing import Any

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.seeding import Purpose, generator
from epochs_left.workloads import TaskData

_XOR_NOISE = 0.3  # standard deviation around the corners at +-1: the classes hardly overlap
_MOONS_NOISE = 0.15
#: Training examples to a held-out one: the forward pass over these costs 3 % of an epoch.
_TRAIN_TO_VALID = 8
_SPLIT_KEY = 1


def xor_with_noise(n_train: int, root_seed: int) -> TaskData:
    """Points around the four corners (+-1, +-1), class 1 where the signs differ."""
    rng = generator(root_seed, 2, Purpose.DATA)
    corners = rng.integers(0, 2, (_with_valid(n_train), 2)) * 2.0 - 1
    inputs = corners + rng.normal(0, _XOR_NOISE, corners.shape)
    return _binary(inputs, corners[:, 0] != corners[:, 1], n_train)


def two_moons(n_train: int, root_seed: int) -> TaskData:
    """Two interleaved half circles with noise, as scikit-learn's ``make_moons``, centred."""
    rng = generator(root_seed, 3, Purpose.DATA)
    n = _with_valid(n_train)
    lower = rng.integers(0, 2, n).astype(bool)
    angle = rng.uniform(0, np.pi, n)
    x = np.where(lower, 1 - np.cos(angle), np.cos(angle)) - 0.5
    y = np.where(lower, 0.5 - np.sin(angle), np.sin(angle)) - 0.25
    inputs = np.stack([x, y], axis=1) + rng.normal(0, _MOONS_NOISE, (n, 2))
    return _binary(inputs, lower, n_train)


def _with_valid(n_train: int) -> int:
    return n_train + max(n_train // _TRAIN_TO_VALID, 1)


def _binary(inputs: FloatArray, labels: FloatArray, n_train: int) -> TaskData:
    inputs, targets = inputs.astype(np.float32), labels.astype(np.float32)
    return TaskData(
        loss="binary",
        inputs=inputs[:n_train],
        targets=targets[:n_train],
        valid_inputs=inputs[n_train:],
        valid_targets=targets[n_train:],
        n_outputs=1,
    )


def from_dataset(data: Any, n_train: int, root_seed: int, *, flat: bool) -> TaskData:
    """Split a `storage.datasets.Dataset` and scale it.

    Features of a table, and the targets of a regression, are standardised each; images by one mean
    and one deviation a channel. A test split of the source's own is the validation part.

    Parameters
    ----------
    n_train
        Training examples, drawn from the seed; an eighth as many others are held out, drawn too,
        or the first ones of the source's test split where it has one.
    flat
        Flatten images to vectors.

    Raises
    ------
    ValueError
        If the source has fewer examples.
    """
    inputs, targets = np.asarray(data.inputs), np.asarray(data.targets)
    _check_count(len(inputs), n_train, holds_out=data.valid_inputs is None)
    order = generator(root_seed, _SPLIT_KEY, Purpose.DATA).permutation(len(inputs))
    n_valid = max(n_train // _TRAIN_TO_VALID, 1)
    train, rest = order[:n_train], order[n_train : n_train + n_valid]
    parts = {"inputs": inputs[train], "targets": targets[train]}
    parts["valid_inputs"] = (
        inputs[rest] if data.valid_inputs is None else data.valid_inputs[:n_valid]
    )
    parts["valid_targets"] = (
        targets[rest] if data.valid_inputs is None else data.valid_targets[:n_valid]
    )
    _standardise(parts, "inputs", "valid_inputs")
    if flat:
        for name in ("inputs", "valid_inputs"):
            parts[name] = parts[name].reshape(len(parts[name]), -1)
    if data.n_classes == 0:
        _standardise(parts, "targets", "valid_targets")
    if data.n_classes > 2:
        return TaskData(loss="cross_entropy", n_outputs=data.n_classes, **parts)
    for name in ("targets", "valid_targets"):
        parts[name] = parts[name].astype(np.float32)
    # two classes get one logit
    return TaskData(loss="binary" if data.n_classes else "squared", n_outputs=1, **parts)


def _check_count(found: int, n_train: int, *, holds_out: bool) -> None:
    """Raise ValueError if a source has too few examples, of which some may have to be held out."""
    wanted = n_train + holds_out
    if found < wanted:
        held_out = " (one to hold out)" if holds_out else ""
        raise ValueError(
            f"expected at least {wanted:,} examples{held_out}, got {found:,}; lower train_examples "
            "or take a larger data set"
        )


def _standardise(parts: dict[str, FloatArray], train: str, valid: str) -> None:
    values = parts[train].astype(np.float64)
    # one statistic a feature of a table, one a channel of images
    axes = 0 if values.ndim < 3 else (0, *range(2, values.ndim))
    mean = values.mean(axis=axes, keepdims=True)
    spread = values.std(axis=axes, keepdims=True)
    for name in (train, valid):
        scaled = (parts[name] - mean) / np.where(spread > 0, spread, 1)
        parts[name] = scaled.astype(np.float32).reshape(parts[name].shape)
