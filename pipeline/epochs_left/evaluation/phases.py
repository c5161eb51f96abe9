"""Abrupt changes of regime, along training and over the learning rate (seed 003 section 7.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.regimes import MIN_EPOCHS, MIN_SEGMENT, SLOPE_RATIO, change_of_regime
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.schema import Outcome, View
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import (
    landmark_rows,
    mean,
    mean_sums,
    relative_error,
    weighted_median,
)

#: Shards that are read, evenly over the store, and runs that are looked at in each.
SHARDS, RUNS_PER_SHARD = 20, 40
#: Columns of the runs by whose values the changes are counted.
DIMENSIONS = ("activation", "optimizer", "lr_schedule")
#: Bins of the learning rate: as many as leave each this many runs on average.
LR_BINS, RUNS_PER_BIN = 12, 10
_MIN_BINS = 3
#: Fewer runs of a kind, or in a bin, say nothing.
_MIN_RUNS, _MIN_IN_BIN = 20, 5
_KINDS = {"rmsprop": "adaptive", "adam": "adaptive", "adamw": "adaptive", "sgd": "sgd"}

Entry = dict[str, Any]


@result("phases.json")
def phases(context: FamilyContext) -> Entry:
    """Return changes of regime along training, and over the learning rate, and who foresees them.

    ``along_training`` counts the changes of log loss (`change_of_regime`) in a sample of converged
    runs; ``prediction`` is the out-of-fold error of the best causal model before and after them;
    ``over_lr`` follows the share of converged runs from bin to bin of the learning rate.
    """
    runs = context.runs[context.runs["outcome"] == Outcome.CONVERGED.value]
    found = changes(sampled_curves(context, runs))
    runs = runs.join(found, on="run_id", how="inner")
    return {
        "definition": {
            "min_epochs": MIN_EPOCHS,
            "min_segment": MIN_SEGMENT,
            "slope_ratio": SLOPE_RATIO,
        },
        "along_training": list(_along_training(context, runs)),
        "prediction": list(_prediction(context, runs)),
        "over_lr": list(_over_lr(context)),
    }


def sampled_curves(context: FamilyContext, runs: pd.DataFrame) -> dict[str, FloatArray]:
    """Return the recorded losses of some of ``runs`` that last long enough, by run_id.

    Shards are evenly spread over the store, since each holds few architectures; ids are hashes, so
    that the first of a shard are a random sample of it.
    """
    wanted = set(runs.loc[runs["outcome_epoch"] + 1 >= MIN_EPOCHS, "run_id"])
    names = context.store.shard_names()
    spread = np.unique(np.linspace(0, len(names) - 1, min(SHARDS, len(names))).astype(int))
    return {
        run_id: losses
        for shard in spread
        for run_id, losses in _of_shard(context, names[shard], wanted)
    }


def _of_shard(context: FamilyContext, name: str, wanted: set[str]) -> list[tuple[str, FloatArray]]:
    curves: dict[str, FloatArray] = {}
    for rows in context.store.read(name):
        ends = rows.lengths.cumsum()
        losses = np.split(rows.measures["loss"].astype(np.float64), ends[:-1])
        curves |= {r: curve for r, curve in zip(rows.run_ids, losses, strict=True) if r in wanted}
    return sorted(curves.items())[:RUNS_PER_SHARD]


def changes(curves: Mapping[str, FloatArray]) -> pd.DataFrame:
    """Return the change of regime of each loss curve, a row a run, indexed by run_id.

    Columns: ``changed``, ``change_epoch`` (NaN without one) and ``speeds_up``.
    """
    found = [change_of_regime(safe_log(losses)) for losses in curves.values()]
    return pd.DataFrame(
        {
            "changed": np.array([change is not None for change in found], dtype=np.bool_),
            "change_epoch": [np.nan if change is None else float(change.epoch) for change in found],
            "speeds_up": np.array([c is not None and c.speeds_up for c in found], dtype=np.bool_),
        },
        index=pd.Index(list(curves), dtype=str),
    )


def _along_training(context: FamilyContext, runs: pd.DataFrame) -> Iterator[Entry]:
    if runs.empty:
        return
    yield {"dimension": "all", "group": "all", **_shares(context, runs)}
    for dimension in DIMENSIONS:
        for group, part in runs.groupby(dimension):
            if len(part) >= _MIN_RUNS:
                yield {"dimension": dimension, "group": str(group), **_shares(context, part)}


def _shares(context: FamilyContext, runs: pd.DataFrame) -> Entry:
    changed = runs[runs["changed"]]
    when = (changed["change_epoch"] / changed["outcome_epoch"]).to_numpy()
    quartiles = np.quantile(when, [0.25, 0.5, 0.75]).tolist() if when.size else None
    return {
        "n_runs": len(runs),
        "changed": _mean(context, runs, runs["changed"].to_numpy(float)),
        "speeds_up": _mean(context, runs, runs["speeds_up"].to_numpy(float)),
        "share_of_training_quartiles": quartiles,
    }


def _mean(
    context: FamilyContext, rows: pd.DataFrame, values: FloatArray, weight: FloatArray | None = None
) -> dict[str, float | None]:
    """Return a weighted mean over rows with its interval over lineages."""
    sums = mean_sums(values, rows["lineage_id"].to_numpy(), weight)
    replicates = context.settings.bootstrap_replicates
    estimates = bootstrap_sums(
        sums, {"mean": mean}, n_replicates=replicates, rng=context.rng("phases")
    )
    return entry_of(estimates["mean"])


def _prediction(context: FamilyContext, runs: pd.DataFrame) -> Iterator[Entry]:
    """Yield the error before and after a change, and of the runs without one.

    ``bias`` is the mean of log(1 + predicted) - log(1 + remaining), every run weighing the same:
    above 0 the end was predicted too late.
    """
    table = context.out_of_fold
    table = table[table["split"] == "by lineage"].merge(
        runs[["run_id", "changed", "change_epoch", "speeds_up"]], on="run_id"
    )
    predicted = table[f"{context.best_causal}-{View.CAUSAL.value}"]
    table = table.assign(predicted=predicted)
    for (change, seen), mask in _sides(table).items():
        rows = table[mask]
        if rows["run_id"].nunique() >= _MIN_RUNS:
            yield {"change": change, "rows": seen, **_errors(context, rows)}


def _sides(table: pd.DataFrame) -> dict[tuple[str, str], Any]:
    before = table["epoch"] < table["change_epoch"]
    changed, faster = table["changed"], table["speeds_up"]
    kinds = {"speeds up": changed & faster, "slows down": changed & ~faster}
    sides = {"before the change": before, "after the change": ~before}
    masks = {(k, s): kinds[k] & sides[s] for k in kinds for s in sides}
    return {**masks, ("none", "all"): ~changed}


def _errors(context: FamilyContext, rows: pd.DataFrame) -> Entry:
    weight = run_weights(rows["run_id"].to_numpy())
    actual, predicted = rows["remaining"].to_numpy(float), rows["predicted"].to_numpy(float)
    errors = relative_error(actual, predicted)
    return {
        "n_runs": int(rows["run_id"].nunique()),
        "n_rows": len(rows),
        "median_relative_error": float(weighted_median(errors, weight)),
        "bias": _mean(context, rows, np.log1p(predicted) - np.log1p(actual), weight),
    }


def _over_lr(context: FamilyContext) -> Iterator[Entry]:
    """Yield the bins of the learning rate of each task, kind of optimizer and kind of batch."""
    runs = context.runs[context.runs["cohort"] == "swept"]
    full = runs["batch_size"] == runs["n_examples"]
    runs = runs.assign(
        converged=runs["outcome"] == Outcome.CONVERGED.value,
        kind=runs["optimizer"].map(lambda name: _KINDS.get(name, "momentum")),
        batch=np.where(full, "full", "minibatch"),
    ).merge(_probabilities(context), on="run_id", how="left")
    for (task, kind, batch), part in runs.groupby(["task", "kind", "batch"]):
        if len(part) >= _MIN_BINS * RUNS_PER_BIN:
            yield {"task": task, "optimizers": kind, "batch": batch, **_of_lr(context, part)}


def _probabilities(context: FamilyContext) -> pd.DataFrame:
    """Return P(converges) before training of the runs in the locked test set."""
    locked = context.locked
    rows = landmark_rows(locked["run_id"].to_numpy(), locked["epoch"].to_numpy(), 0)
    run_id = locked["run_id"].to_numpy()[rows]
    if not rows.size:
        return pd.DataFrame({"run_id": run_id, "p": np.empty(0)})
    found = context.forecasts[context.best_causal, View.CAUSAL].p_converges
    return pd.DataFrame({"run_id": run_id, "p": np.nan if found is None else found[rows]})


def _of_lr(context: FamilyContext, runs: pd.DataFrame) -> Entry:
    n_bins = min(LR_BINS, len(runs) // RUNS_PER_BIN)
    edges = np.geomspace(runs["lr"].min(), runs["lr"].max(), n_bins + 1)
    runs = runs.assign(bin=np.digitize(runs["lr"], edges[1:-1]))
    bins = [
        {
            "bin": int(number),
            "lr_from": float(edges[number]),
            "lr_to": float(edges[number + 1]),
            **_of_bin(part),
        }
        for number, part in runs.groupby("bin")
    ]
    return {
        "n_runs": len(runs),
        "bins": bins,
        "sharpest_drop": _sharpest_drop(context, runs, bins),
        "p_converges": _follows(bins),
    }


def _of_bin(runs: pd.DataFrame) -> Entry:
    converged, tested = runs[runs["converged"]], runs[runs["p"].notna()]
    return {
        "n_runs": len(runs),
        "converged_share": float(runs["converged"].mean()),
        "diverged_share": float((runs["outcome"] == Outcome.DIVERGED.value).mean()),
        "median_epochs": float(converged["outcome_epoch"].median()) if len(converged) else None,
        "n_tested": len(tested),
        "predicted_share": float(tested["p"].mean()) if len(tested) else None,
        "tested_share": float(tested["converged"].mean()) if len(tested) else None,
    }


def _sharpest_drop(context: FamilyContext, runs: pd.DataFrame, bins: Sequence[Entry]) -> Entry:
    """Return where the converged share falls most from a bin to the next, and the predicted fall.

    The interval takes the place as given: the largest of many falls is by chance the larger.
    """
    falls = {
        later: bins[earlier]["converged_share"] - bins[later]["converged_share"]
        for earlier, later in pairwise(range(len(bins)))
        if min(bins[earlier]["n_runs"], bins[later]["n_runs"]) >= _MIN_IN_BIN
    }
    if not falls:
        return {}
    place = max(falls, key=lambda later: falls[later])
    before, after = bins[place - 1], bins[place]
    at_place = runs[runs["bin"].isin([before["bin"], after["bin"]])]
    return {
        "lr": after["lr_from"],
        "drop": _drop(context, at_place, after["bin"]),
        "predicted_drop": _difference(before["predicted_share"], after["predicted_share"]),
        "tested_drop": _difference(before["tested_share"], after["tested_share"]),
        "epochs_before": before["median_epochs"],
        "epochs_after": after["median_epochs"],
    }


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _drop(context: FamilyContext, runs: pd.DataFrame, last: int) -> dict[str, float | None]:
    lineage, converged = runs["lineage_id"].to_numpy(), runs["converged"].to_numpy(float)
    later = (runs["bin"] == last).to_numpy(float)
    sums = [mean_sums(converged, lineage, weight) for weight in (1 - later, later)]
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {"drop": lambda total: mean(total[..., :2]) - mean(total[..., 2:])},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("phases"),
    )
    return entry_of(estimates["drop"])


def _follows(bins: Sequence[Entry]) -> Entry:
    """Return how far P(converges) is from the share of tested runs that converge, bin by bin.

    ``gap`` is the mean distance over the tested runs, ``gap_of_constant`` that of their overall
    share.
    """
    tested = [entry for entry in bins if entry["n_tested"]]
    if not tested:
        return {"n_tested": 0, "gap": None, "gap_of_constant": None}
    n, predicted, share = (
        np.array([entry[name] for entry in tested], dtype=np.float64)
        for name in ("n_tested", "predicted_share", "tested_share")
    )
    overall = np.average(share, weights=n)
    return {
        "n_tested": int(n.sum()),
        "gap": float(np.average(abs(predicted - share), weights=n)),
        "gap_of_constant": float(np.average(abs(overall - share), weights=n)),
    }
