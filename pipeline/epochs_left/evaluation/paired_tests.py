"""Paired tests of two models on the folds by lineage, as results write them down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.evaluation.held_out import HeldOut
from epochs_left.statistics.comparisons import corrected_resampled_t, holm
from epochs_left.statistics.plain import finite

#: Level of the tests, family-wise.
ALPHA = 0.05
_REPEATS = 1  # of the folds that `fit` makes


def fold_errors(rows: HeldOut, predicted: FloatArray) -> FloatArray:
    """Return the run-weighted squared error of log(1 + R) of each fold, shape ``(J,)``.

    Parameters
    ----------
    predicted
        Epochs that a model predicts for the rows, shape ``(n,)``.
    """
    error = np.log1p(predicted) - np.log1p(rows.remaining)
    fold = rows.rows["fold"].to_numpy()
    mass = np.bincount(fold, weights=rows.weight)
    return np.asarray(np.bincount(fold, weights=rows.weight * error**2) / mass)


def resampled_t(rows: HeldOut, differences: FloatArray) -> dict[str, Any]:
    """Return the corrected resampled t-test of differences of `fold_errors`, n in lineages."""
    n_lineages, n_folds = int(rows.lineage.max()) + 1, differences.size // _REPEATS
    n_test = n_lineages / n_folds
    test = corrected_resampled_t(differences, n_lineages - n_test, n_test)
    return {
        "test": "Nadeau-Bengio corrected resampled t",
        "difference": test.mean,
        "standard_error": test.standard_error,
        "t": finite(test.t),
        "degrees_of_freedom": test.degrees_of_freedom,
        "n_folds": n_folds,
        "n_repeats": _REPEATS,
        "n_differences": differences.size,
        "p_value": test.p_value,
    }


def add_holm(tests: Sequence[dict[str, Any] | None]) -> None:
    """Add Holm's adjusted p-value to each test; those that could not be made do not count."""
    made = [test for test in tests if test is not None]
    adjusted = holm(np.array([test["p_value"] for test in made]))
    for test, p_value in zip(made, adjusted.tolist(), strict=True):
        test["p_holm"] = p_value
