"""What the data are: outcome shares and the distribution of epochs to convergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.schema import OUTCOMES, Outcome
from epochs_left.storage.run_store import RunStore

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS_PER_DECADE = 8


#: Dimensions of the sweeps; a family shows those in which its runs differ.
_DIMENSIONS = (
    "cohort",
    "task",
    "architecture",
    "activation",
    "batch",
    "init_scheme",
    "optimizer",
    "weight_decay_mode",
    "lr_schedule",
)


@result("data_card.json", of=ALL)
def data_card(context: EvaluationContext) -> dict[str, Any]:
    """Return counts, outcome shares by setting, and epochs to convergence, by family."""
    return {
        family: {"fitted": family in context.families, **_card(store)}
        for family, store in context.stores.items()
    }


def _card(store: RunStore) -> dict[str, Any]:
    runs: pd.DataFrame = store.runs().to_pandas()
    full = runs["batch_size"] == runs["n_examples"]
    runs["batch"] = runs["batch_size"].astype(str).mask(full, "full")
    # Steps of one's own (`step:0.3,0.6x0.2`) are hardly twice the same.
    runs["lr_schedule"] = runs["lr_schedule"].str.replace(r":.*", " of its own", regex=True)
    converged = runs.loc[runs["outcome"] == Outcome.CONVERGED.value, "outcome_epoch"]
    quantiles = converged.quantile(list(_QUANTILES)) if len(converged) else pd.Series(dtype=float)
    return {
        "n_runs": len(runs),
        "n_lineages": int(runs["lineage_id"].nunique()),
        "n_rows": store.manifest["n_rows"],
        "bytes": store.manifest["bytes"],
        "data_sha256": store.manifest["data_sha256"],
        "outcomes": _counts(runs),
        "by": [
            {"dimension": name, "setting": setting, "n_runs": len(part), "outcomes": _counts(part)}
            for name in _DIMENSIONS
            if runs[name].nunique() > 1
            for setting, part in sorted(runs.groupby(name), key=_in_order)
        ],
        "epochs_to_convergence": {str(q): float(value) for q, value in quantiles.items()},
        "histogram": _histogram(runs),
    }


def _in_order(setting: tuple[Any, pd.DataFrame]) -> tuple[float, str]:
    """Sort settings that are numbers by size, before names."""
    name = str(setting[0])
    return (float(name), "") if name.isdecimal() else (np.inf, name)


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
