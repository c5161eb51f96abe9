"""The recorded runs against the closed form of the unit |w.x + b| in full batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.closed_form import (
    NORMAL_CONVERGED_SHARE,
    predict_outcomes,
)
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.schema import OUTCOMES, Outcome
from epochs_left.workloads import WORKLOADS

#: Learning rate from which the cap of 1,000 epochs ends no run: ln(1e9) / -ln(1 - 2 lr) < 1,000.
_UNCAPPED_LR = 0.012

_LR_BINS = 8


@result("closed_form.json", of="neuron")
def closed_form(context: FamilyContext) -> dict[str, Any]:
    """Return how many runs equal the closed form in outcome and epoch, and the converged share."""
    runs = context.runs
    unit = runs[runs["architecture"] == "abs-unit"]
    plain = (unit["batch_size"] == unit["n_examples"]) & (unit["momentum"] == 0)
    exact = unit[plain & (unit["lr"] < 0.5)]
    codes, epochs = predict_outcomes(
        _initial(context, exact), exact["lr"].to_numpy(), context.criterion
    )
    recorded = exact["outcome"].map({kind.value: i for i, kind in enumerate(OUTCOMES)}).to_numpy()
    equal = (codes == recorded) & (epochs == exact["outcome_epoch"].to_numpy())
    counts = exact["outcome"].value_counts()
    return {
        "n_runs": len(exact),
        "n_equal": int(equal.sum()),
        "share_equal": float(equal.mean()) if len(exact) else None,
        **{f"n_{outcome.value}": int(counts.get(outcome.value, 0)) for outcome in Outcome},
        "n01": _normal_share(exact),
        "medians": _medians(exact, epochs),
    }


def _initial(context: FamilyContext, runs: pd.DataFrame) -> FloatArray:
    if runs.empty:  # a sweep without such runs
        return np.empty((0, 3))
    columns = ["lineage_id", "architecture", "init_scheme"]
    table = pa.Table.from_pandas(runs[columns], preserve_index=False)
    return WORKLOADS[context.family].initial_params(table, context.root_seed)


def _normal_share(exact: pd.DataFrame) -> dict[str, Any]:
    """Return the recorded share of N(0, 1) lineages that converged, one run a lineage.

    Runs so slow that the cap could end them are left out: it ends more stuck runs than converging
    ones, which take half as long.
    """
    normal = exact[(exact["init_scheme"] == "normal") & (exact["lr"] >= _UNCAPPED_LR)]
    one_each = normal.drop_duplicates("lineage_id")
    n, variance = len(one_each), NORMAL_CONVERGED_SHARE * (1 - NORMAL_CONVERGED_SHARE)
    converged = one_each["outcome"] == Outcome.CONVERGED.value
    return {
        "n_lineages": n,
        "converged_share": float(converged.mean()) if n else None,
        "expected": float(NORMAL_CONVERGED_SHARE),
        "standard_error": float(np.sqrt(variance / n)) if n else None,
    }


def _medians(exact: pd.DataFrame, predicted: IntArray) -> list[dict[str, float]]:
    """Median epochs of the converged runs, recorded and by the closed form, in bins of lr."""
    converged = exact.assign(predicted=predicted)[exact["outcome"] == Outcome.CONVERGED.value]
    if converged.empty:
        return []
    edges = np.geomspace(converged["lr"].min(), converged["lr"].max(), _LR_BINS + 1)
    bins = np.clip(np.searchsorted(edges, converged["lr"], side="right"), 1, _LR_BINS)
    return [
        {
            "lr": float(np.exp(np.log(part["lr"]).mean())),
            "epochs": float(part["outcome_epoch"].median()),
            "closed_form": float(part["predicted"].median()),
            "n_runs": len(part),
        }
        for _, part in converged.groupby(bins)
    ]
