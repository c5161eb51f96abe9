"""How much can be predicted at all: the ceiling, and how near the causal models come to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.held_out import HeldOut, held_out
from epochs_left.schema import Outcome, View
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.ceiling import Ceiling, log_variance, predictability_ceiling
from epochs_left.statistics.plain import entry_of, finite
from epochs_left.statistics.scores import r2


@result("ceiling.json")
def ceiling(context: FamilyContext) -> dict[str, Any] | None:
    """Return the highest R^2 that a causal prediction can reach, and each model's share of it.

    None where no states were branched. Ceiling and models speak of the same rows, weights and
    scale. The oracle view knows how a run ends and is not bound by it.
    """
    branches = context.branches
    if branches is None:
        return None
    rows = held_out(context)
    found = _ceiling(context, rows, branches)
    return {"ceiling": _entry(rows, found), "models": _models(context, rows, found)}


def random_share(context: FamilyContext, rows: HeldOut) -> float:
    """Return the share of the rows' weight that is of runs in minibatches.

    A run in full batch has no sample order: its remaining epochs follow from its state.
    """
    runs = context.examples.drop_duplicates("run_id").set_index("run_id")
    of_row = runs.loc[rows.rows["run_id"], ["batch_size", "n_examples"]]
    random = (of_row["batch_size"] < of_row["n_examples"]).to_numpy(np.float64)
    return float(np.average(random, weights=rows.weight))


def _ceiling(context: FamilyContext, rows: HeldOut, branches: pd.DataFrame) -> Ceiling:
    state = branches["run_id"] + " " + branches["epoch"].astype(str)
    return predictability_ceiling(
        (branches["outcome_epoch"] - branches["epoch"]).to_numpy(np.float64),
        (branches["outcome"] == Outcome.CONVERGED.value).to_numpy(),
        state.to_numpy(str),
        total=log_variance(rows.remaining, rows.weight),
        random_share=random_share(context, rows),
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("ceiling"),
    )


def _entry(rows: HeldOut, found: Ceiling) -> dict[str, Any]:
    return {
        **rows.described(),
        **entry_of(found.r2),
        "estimate_complete": finite(found.r2_complete),
        "within": finite(found.within),
        "total": found.total,
        "n_states": found.n_states,
        "n_incomplete": found.n_incomplete,
        "n_left_out": found.n_left_out,
        "converged_share": finite(found.converged_share),
    }


def _models(context: FamilyContext, rows: HeldOut, found: Ceiling) -> list[dict[str, Any]]:
    estimates = {
        name: bootstrap_sums(
            rows.log_error_sums((name, View.CAUSAL)),
            {"r2": r2},
            n_replicates=context.settings.bootstrap_replicates,
            rng=context.rng("ceiling"),
        )["r2"]
        for name in context.models_of(View.CAUSAL)
    }
    return [
        {
            "model": name,
            "title": context.spec(name).title,
            "view": View.CAUSAL.value,
            "baseline": context.spec(name).baseline,
            **rows.described(),
            **entry_of(estimate),
            **_share(estimate.value, found),
        }
        for name, estimate in estimates.items()
    ]


def _share(value: float, found: Ceiling) -> dict[str, float | None]:
    """Return R^2 over the ceiling, and over either end of the ceiling's interval.

    A ceiling that is not above 0 has no shares.
    """
    low, high = found.r2.interval or (np.nan, np.nan)
    bounds = {"share": found.r2.value, "share_if_high": high, "share_if_low": low}
    return {name: finite(value / c) if c > 0 else None for name, c in bounds.items()}
