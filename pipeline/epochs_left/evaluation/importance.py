"""Permutation importance of feature groups on the locked test set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.evaluation.scores import locked_rows
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.scores import SUMS, error_sums, r2

_N_SUMS = len(SUMS)


@result("importance.json")
def importance(context: FamilyContext) -> list[dict[str, Any]]:
    """Return the drop in run-weighted R^2 of log epochs when a feature group is shuffled.

    Features of a group are shuffled together: they carry the same information, and shuffling one
    alone would let the others stand in for it. For the best regressor of each view.
    """
    rows = context.locked[locked_rows(context)]
    if rows.empty:  # a family so small that no lineage is locked
        return []
    return [
        entry for view in View for entry in _of_model(context, (context.best(view), view), rows)
    ]


def _of_model(context: FamilyContext, key: ModelKey, rows: pd.DataFrame) -> list[dict[str, Any]]:
    used = set(context.predictors[key].manifest.features)
    before = _sums(context, key, rows)
    order = context.rng("shuffle").permutation(len(rows))
    entries = []
    for group in sorted({entry["group"] for entry in context.dictionary}):
        members = [e for e in context.dictionary if e["group"] == group and e["name"] in used]
        if not members:
            continue
        names = [member["name"] for member in members]
        shuffled = rows.copy()
        shuffled[names] = rows[names].to_numpy()[order]
        entries.append(
            {
                "model": key[0],
                "view": key[1].value,
                "feature": ", ".join(names),
                "unit": ", ".join(sorted({member["unit"] for member in members})),
                "group": group,
                **_drop(context, before, _sums(context, key, shuffled)),
            }
        )
    return entries


def _sums(context: FamilyContext, key: ModelKey, rows: pd.DataFrame) -> FloatArray:
    predicted = context.forecast(key, rows).remaining
    return error_sums(
        np.log1p(rows["remaining"].to_numpy(float)),
        np.log1p(predicted),
        rows["lineage_id"].to_numpy(),
        run_weights(rows["run_id"].to_numpy()),
    )


def _drop(context: FamilyContext, before: FloatArray, after: FloatArray) -> dict[str, Any]:
    estimate = bootstrap_sums(
        np.concatenate([before, after], axis=1),
        {"drop": lambda sums: r2(sums[..., :_N_SUMS]) - r2(sums[..., _N_SUMS:])},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("importance"),
    )["drop"]
    lower, upper = estimate.interval or (None, None)
    return {"importance": estimate.value, "lower": lower, "upper": upper}
