"""Splits that cannot leak: a lineage is never on both sides.

The rows of one run are almost copies of each other, and the runs of one lineage share their
initialisation, so the lineage is the unit of every split.
"""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from epochs_left.arrays import FloatArray, IntArray, Labels

Split = tuple[IntArray, IntArray]


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
