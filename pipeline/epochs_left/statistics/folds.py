"""Splits that cannot leak: a lineage is never on both sides.

The rows of one run are almost copies of each other, and the runs of one lineage share their
initialisation, so the lineage is the unit of every split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from epochs_left.arrays import BoolArray, FloatArray, IntArray, Labels

Split = tuple[IntArray, IntArray]

#: Separates the draw of the locked test set from every other use of the lineage's key.
LOCK_PURPOSE = b"locked test set"


def grouped_folds(lineage: Labels, n_splits: int, seed: int) -> list[Split]:
    """Split rows into folds of whole lineages (scikit-learn's GroupKFold, shuffled).

    Parameters
    ----------
    lineage
        Lineage of each row, shape ``(n,)``.
    n_splits
        Number of folds; at least 2 and at most the number of lineages (ValueError).
    seed
        Random state of the shuffle of lineages.

    Returns
    -------
    Pairs of row indices (train, test); each row is in exactly one test fold.
    """
    folder = GroupKFold(n_splits=n_splits, shuffle=True, random_state=seed)
    splits = list(folder.split(lineage, groups=lineage))
    for train, test in splits:
        assert_disjoint(lineage, train, test)
    return splits


def row_wise_folds(n_rows: int, n_splits: int, seed: int) -> list[Split]:
    """Split rows one by one: the split that leaks, printed beside the grouped one to show it."""
    folder = KFold(n_splits=n_splits, shuffle=True, random_state=seed)
    return list(folder.split(np.empty((n_rows, 0))))


def locked_lineages(lineage_ids: Iterable[str], share: float) -> BoolArray:
    """Say of each lineage whether it belongs to the locked test set.

    A lineage is locked if the BLAKE2b hash of its id, read as a number in [0, 1), is below
    ``share``: its membership depends on no other lineage, so more runs never move an old one.

    Parameters
    ----------
    lineage_ids
        Lineage of each row, or the lineages themselves.
    share
        Expected share of lineages that are locked, in [0, 1] (ValueError otherwise).

    Returns
    -------
    Boolean array in the order of ``lineage_ids``.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share!r}")
    ids, row_of = np.unique(np.asarray(list(lineage_ids), dtype=str), return_inverse=True)
    locked = np.fromiter((_position(str(name)) < share for name in ids), bool, count=ids.size)
    return locked[row_of]


def _position(lineage_id: str) -> float:
    digest = hashlib.blake2b(lineage_id.encode(), digest_size=8, person=LOCK_PURPOSE).digest()
    return int.from_bytes(digest, "big") / 2**64


def assert_disjoint(lineage: Labels, train: IntArray, test: IntArray) -> None:
    """Raise AssertionError, naming a lineage, if one has rows in both ``train`` and ``test``."""
    shared = np.intersect1d(lineage[train], lineage[test])
    if shared.size:
        raise AssertionError(
            f"{shared.size} lineages are in both training and test, {shared[0]!r} among them"
        )


def run_weights(run: Labels) -> FloatArray:
    """Return 1 / (rows of the run) for each row, shape ``(n,)``: every run weighs the same."""
    _, run_of, rows = np.unique(run, return_inverse=True, return_counts=True)
    weights: FloatArray = 1.0 / rows[run_of]
    return weights
