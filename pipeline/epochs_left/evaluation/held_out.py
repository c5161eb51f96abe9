"""The rows that models are compared on, each predicted by a model that has not seen its lineage.

They are the drawn epochs of converged runs outside the locked test set; landmarks are learnt from
but have no out-of-fold prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.evaluation.plain import counts
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.scores import error_sums

SPLIT = "by lineage"


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Out-of-fold predictions of one family, a row an example, arrays of shape ``(n,)``.

    Attributes
    ----------
    rows
        The rows of `FamilyContext.out_of_fold` of the folds by lineage, a fresh index.
    remaining
        Epochs that remain, R.
    weight
        1 / (rows of the run): every run weighs the same.
    run, lineage
        Integer codes.
    """

    rows: pd.DataFrame
    remaining: FloatArray
    weight: FloatArray
    run: IntArray
    lineage: IntArray

    def predicted(self, key: ModelKey) -> FloatArray:
        """Return the epochs that a model predicts, shape ``(n,)``."""
        epochs: FloatArray = self.rows[f"{key[0]}-{key[1].value}"].to_numpy(np.float64)
        return epochs

    def log_error_sums(self, key: ModelKey) -> FloatArray:
        """Return `scores.error_sums` of log(1 + R) by lineage, run-weighted."""
        return self.log_error_sums_of(self.predicted(key))

    def log_error_sums_of(self, predicted: FloatArray) -> FloatArray:
        """Return the same of predicted epochs, shape ``(n,)``."""
        actual = np.log1p(self.remaining)
        return error_sums(actual, np.log1p(predicted), self.lineage, self.weight)

    def described(self, scale: str = "log") -> dict[str, Any]:
        """Return what every figure names: split, scale, weighting, and what it rests on."""
        return {"split": SPLIT, "scale": scale, "weighting": "run", **counts(self.rows)}


def held_out(context: FamilyContext) -> HeldOut:
    """Return the out-of-fold predictions of the folds by lineage."""
    table = context.out_of_fold
    return of_rows(table[table["split"] == SPLIT])


def of_rows(rows: pd.DataFrame) -> HeldOut:
    """Return some rows of `FamilyContext.out_of_fold`, the runs among them weighing the same."""
    run, lineage = (
        np.unique(rows[name].to_numpy(str), return_inverse=True)[1]
        for name in ("run_id", "lineage_id")
    )
    return HeldOut(
        rows=rows.reset_index(drop=True),
        remaining=rows["remaining"].to_numpy(np.float64),
        weight=run_weights(run),
        run=run,
        lineage=lineage,
    )
