"""Error against the number of epochs that the predictor has seen."""

from __future__ import annotations

from functools import partial
from typing import Any

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.statistics.bootstrap import bootstrap_weights
from epochs_left.statistics.scores import landmark_rows, relative_error, weighted_median

#: A landmark with fewer runs says nothing.
_MIN_RUNS = 20


@result("error_by_epoch.json")
def error_by_epoch(context: FamilyContext) -> list[dict[str, Any]]:
    """Return the median relative error at landmark epochs, one row a run, locked test set."""
    locked = context.locked
    entries = []
    for epoch in sorted(locked.loc[locked["landmark"], "epoch"].unique().tolist()):
        rows = landmark_rows(locked["run_id"].to_numpy(), locked["epoch"].to_numpy(), epoch)
        rows = rows[(locked["landmark"] & locked["converged"]).to_numpy()[rows]]
        if rows.size >= _MIN_RUNS:
            entries += [_entry(context, key, epoch, rows) for key in context.models]
    return entries


def _entry(context: FamilyContext, key: ModelKey, epoch: int, rows: Any) -> dict[str, Any]:
    table = context.locked.iloc[rows]
    predicted = context.forecasts[key].remaining[rows]
    errors = relative_error(table["remaining"].to_numpy(float), predicted)
    estimate = bootstrap_weights(
        partial(weighted_median, errors),
        table["lineage_id"].to_numpy(),
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("landmark"),
    )
    lower, upper = estimate.interval or (None, None)
    return {
        "model": key[0],
        "view": key[1].value,
        "epochs_seen": epoch,
        "median_relative_error": estimate.value,
        "lower": lower,
        "upper": upper,
        "n_runs": int(rows.size),
    }
