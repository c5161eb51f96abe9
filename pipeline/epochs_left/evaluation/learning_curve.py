"""How the accuracy grows with the number of runs: whether more data would help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import FOLDS, log_r2, refit, view_features
from epochs_left.prediction.training import estimator_seed
from epochs_left.schema import View
from epochs_left.seeding import Purpose
from epochs_left.statistics.folds import grouped_folds

SHARES = (0.125, 0.25, 0.5, 1.0)
#: Fewer lineages to train on say nothing.
_MIN_LINEAGES = 4


@result("learning_curve.json", long=True)
def learning_curve(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 by lineage when only a share of the training lineages is used, in both views."""
    rows = context.study
    if rows["lineage_id"].nunique() < FOLDS:
        return []
    entries = []
    for view in View:
        names = view_features(context, view)
        for share in SHARES:
            predicted, n_lineages = _out_of_fold(context, names, rows, share)
            if n_lineages >= _MIN_LINEAGES:
                score = log_r2(context, rows, predicted, "learning curve")
                entries.append({"view": view.value, "n_training_lineages": n_lineages, **score})
    return entries


def _out_of_fold(
    context: FamilyContext, names: tuple[str, ...], rows: pd.DataFrame, share: float
) -> tuple[FloatArray, int]:
    """Predict each fold from a share of the others' lineages; return how many those are."""
    lineage = rows["lineage_id"].to_numpy()
    predicted, sizes = np.full(len(rows), np.nan), []
    seed = estimator_seed(context.root_seed, Purpose.FOLDS)
    for train, test in grouped_folds(lineage, FOLDS, seed):
        known = np.unique(lineage[train])
        # ids are hashes: the first ones are a random sample, and a larger share holds a smaller
        kept = known[: max(1, round(share * known.size))]
        sizes.append(kept.size)
        part = rows.iloc[train[np.isin(lineage[train], kept)]]
        predicted[test] = refit(context, names, part, rows.iloc[test])
    return predicted, round(float(np.mean(sizes)))
