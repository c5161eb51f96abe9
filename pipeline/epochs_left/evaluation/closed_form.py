"""The recorded runs against the closed form of the unit |w.x + b| in full batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.closed_form import (
    NORMAL_CONVERGED_SHARE,
    predict_outcomes,
    reaches_solution,
)
from epochs_left.dynamics.criterion import Criterion
from epochs_left.evaluation import result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.schema import OUTCOMES, Outcome
from epochs_left.workloads import WORKLOADS

#: Median epochs to convergence for N(0, 1) and epsilon = 1e-6, by learning rate, to compare with.
REFERENCE_MEDIANS = {0.01: 351, 0.1: 32, 0.3: 8, 0.5: 1, 0.9: 31}

_DRAWS = 20_001


@result("closed_form.json")
def closed_form(context: EvaluationContext) -> dict[str, Any]:
    """Return how many runs equal the closed form in outcome and epoch, and the converged share."""
    runs = context.runs
    unit = runs[runs["architecture"] == "abs-unit"]
    plain = (unit["batch_size"] == unit["n_examples"]) & (unit["momentum"] == 0)
    exact = unit[plain & (unit["lr"] < 0.5)]
    criterion = _criterion(context)
    codes, epochs = predict_outcomes(_initial(context, exact), exact["lr"].to_numpy(), criterion)
    recorded = exact["outcome"].map({kind.value: i for i, kind in enumerate(OUTCOMES)}).to_numpy()
    equal = (codes == recorded) & (epochs == exact["outcome_epoch"].to_numpy())
    counts = exact["outcome"].value_counts()
    return {
        "n_runs": len(exact),
        "n_equal": int(equal.sum()),
        "share_equal": float(equal.mean()) if len(exact) else None,
        **{f"n_{outcome.value}": int(counts.get(outcome.value, 0)) for outcome in Outcome},
        "n01": _normal_share(context, exact),
        "medians": _medians(context, criterion),
    }


def _criterion(context: EvaluationContext) -> Criterion:
    settings = context.store.manifest["settings"]
    return Criterion(
        **{key: settings[key] for key in ("epsilon", "delta", "divergence_loss", "max_epochs")}
    )


def _initial(context: EvaluationContext, runs: pd.DataFrame) -> FloatArray:
    if runs.empty:
        return np.empty((0, 3))
    columns = ["lineage_id", "architecture", "init_scheme"]
    table = pa.Table.from_pandas(runs[columns], preserve_index=False)
    return WORKLOADS[context.family].initial_params(table, context.root_seed)


def _normal_share(context: EvaluationContext, exact: pd.DataFrame) -> dict[str, Any]:
    """Converged share of the N(0, 1) initialisations, a lineage counted once.

    Runs that the cap ended are counted by the side that they started on, so that slow learning
    rates do not bias the share; the runs that ended by themselves are all on the predicted side.
    """
    starts = exact[exact["init_scheme"] == "normal"].drop_duplicates("lineage_id")
    share = float(reaches_solution(_initial(context, starts)).mean()) if len(starts) else None
    variance = NORMAL_CONVERGED_SHARE * (1 - NORMAL_CONVERGED_SHARE)
    return {
        "n_runs": len(starts),
        "converged_share": share,
        "expected": float(NORMAL_CONVERGED_SHARE),
        "standard_error": float(np.sqrt(variance / len(starts))) if len(starts) else None,
    }


def _medians(context: EvaluationContext, criterion: Criterion) -> list[dict[str, float]]:
    """Median epochs to convergence over fresh N(0, 1) draws at the reference learning rates."""
    params = context.rng("medians").standard_normal((_DRAWS, 3))
    rows = []
    for lr, reference in REFERENCE_MEDIANS.items():
        if lr >= 0.5:  # the sign pattern changes from step to step: no closed form
            continue
        codes, epochs = predict_outcomes(params, np.full(_DRAWS, lr), criterion)
        converged = epochs[codes == OUTCOMES.index(Outcome.CONVERGED)]
        rows.append({"lr": lr, "epochs": float(np.median(converged)), "design": reference})
    return rows
