"""What the data are: outcome shares and the distribution of epochs to convergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.evaluation import result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.schema import OUTCOMES, Outcome

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS_PER_DECADE = 8


@result("data_card.json")
def data_card(context: EvaluationContext) -> dict[str, Any]:
    """Return counts, outcome shares by setting, and epochs to convergence, by family."""
    runs = context.runs.assign(
        batch=np.where(context.runs["batch_size"] == context.runs["n_examples"], "full", "online")
    )
    converged = runs.loc[runs["outcome"] == Outcome.CONVERGED.value, "outcome_epoch"]
    quantiles = converged.quantile(list(_QUANTILES)) if len(converged) else pd.Series(dtype=float)
    settings = ["activation", "optimizer", "batch", "init_scheme"]
    return {
        context.family: {
            "n_runs": len(runs),
            "n_lineages": int(runs["lineage_id"].nunique()),
            "n_rows": context.store.manifest["n_rows"],
            "bytes": context.store.manifest["bytes"],
            "data_sha256": context.store.manifest["data_sha256"],
            "outcomes": _counts(runs),
            "by": [
                {
                    **dict(zip(settings, map(str, key), strict=True)),
                    "n_runs": len(part),
                    "outcomes": _counts(part),
                }
                for key, part in runs.groupby(settings)
            ],
            "epochs_to_convergence": {str(q): float(value) for q, value in quantiles.items()},
            "histogram": _histogram(runs),
        }
    }


def _counts(runs: pd.DataFrame) -> dict[str, int]:
    counts = runs["outcome"].value_counts()
    return {outcome.value: int(counts.get(outcome.value, 0)) for outcome in OUTCOMES}


def _histogram(runs: pd.DataFrame) -> dict[str, list[float]]:
    """Outcome epochs over log-spaced bins; the first bin holds what ended at epoch 0."""
    decades = np.log10(max(int(runs["outcome_epoch"].max()), 1) + 1)
    edges = np.concatenate([[0.0], np.logspace(0, decades, int(decades * _BINS_PER_DECADE) + 2)])
    histogram: dict[str, list[float]] = {"edges": edges.tolist()}
    for outcome in OUTCOMES:
        epochs = runs.loc[runs["outcome"] == outcome.value, "outcome_epoch"]
        histogram[outcome.value] = np.histogram(epochs, edges)[0].astype(float).tolist()
    return histogram
