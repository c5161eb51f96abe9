"""The predictor of plateaus on each family, with intervals that the other families make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.pooled import scores_of
from epochs_left.prediction.plateaus import HELD_OUT_LEVEL
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of, finite
from epochs_left.statistics.scores import covered, log_width, mean, mean_sums


@result("unseen_plateaus.json", of=ALL)
def unseen_plateaus(context: EvaluationContext) -> list[dict[str, Any]]:
    """Return scores of plateaus by family and availability of the inputs.

    The predictor has seen no run of any family, and its intervals here come from the curve prior
    and from the families other than the one that they are for. Every run weighs the same.
    """
    table = context.pooled
    if table is None or "lower" not in table:
        return []
    known = table[table["lower"].notna()]
    return [
        {"family": str(family), "availability": str(availability), **_scores(context, rows)}
        for (availability, family), rows in known.groupby(["availability", "family"])
    ]


def _scores(context: EvaluationContext, rows: pd.DataFrame) -> dict[str, Any]:
    scored = rows[rows["sampled"] & rows["converged"]]
    actual, lower, upper = (
        scored[name].to_numpy(float) for name in ("remaining", "lower", "upper")
    )
    if scored.empty:
        unknown = dict.fromkeys(("sooner", "later", "log_width"))
        none = entry_of(Estimate(np.nan, None))
        return {**scores_of(context, rows), "level": HELD_OUT_LEVEL, **unknown, "coverage": none}
    weight = run_weights(scored["run_id"].to_numpy(str))
    sums = mean_sums(covered(actual, lower, upper), scored["lineage_id"].to_numpy(str), weight)
    coverage = bootstrap_sums(
        sums,
        {"mean": mean},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("unseen plateaus"),
    )["mean"]
    misses = {"sooner": actual < lower, "later": actual > upper}
    return {
        **scores_of(context, rows),
        "level": HELD_OUT_LEVEL,
        **{side: float(np.average(missed, weights=weight)) for side, missed in misses.items()},
        "coverage": entry_of(coverage),
        "log_width": finite(float(np.average(log_width(lower, upper), weights=weight))),
    }
