"""Gradient alignment, paths to one solution, initialisation dependence (seed 003 section 5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import BoolArray, FloatArray, Labels
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import (
    FOLDS,
    group_features,
    known_features,
    log_r2,
    measured_rows,
    out_of_fold,
    r2_gain,
    study_spec,
    view_features,
)
from epochs_left.schema import Outcome, View
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import SumStatistic, mean, mean_sums

#: (theta_t - theta_T) . gradient: its log size and its cosine are ranked against the epochs left.
ALIGNMENT = ("log_grad_alignment", "grad_alignment_cosine")
#: Epochs at which runs are ranked and pairs compared, one row a run.
LANDMARKS = (0, 2, 5, 10, 20, 50)
#: Two runs end at one solution if their final parameters are nearer to each other than this share
#: of the mean distance that they travelled.
NEAR = 0.25
#: Shards that final parameters are read from, evenly over the store, and pairs that are compared.
SHARDS, PAIRS = 20, 600
_MIN_ROWS, _MIN_PAIRS = 40, 20
#: Fewer lineages of a task and architecture cannot be told from their mean.
_MIN_LINEAGES = 5

Entry = dict[str, Any]


@result("alignment.json", long=True)
def alignment(context: FamilyContext) -> Entry:
    """Return what gradient alignment says of the epochs left, and how alike paths take alike time.

    ``ranks`` and ``prediction`` are None where no state was probed, ``paths`` where the parameters
    were not recorded.
    """
    rows = context.study
    known = bool(np.isfinite(rows[list(ALIGNMENT)].to_numpy(float)).any())
    enough = rows["lineage_id"].nunique() >= FOLDS
    return {
        "ranks": list(_ranks(context, rows)) if known else None,
        "prediction": _prediction(context, rows) if known and enough else None,
        "paths": _paths(context, rows) if enough else None,
        "initialisation": list(_initialisation(context)),
    }


def _bootstrapped(
    context: FamilyContext, sums: FloatArray, statistics: Mapping[str, SumStatistic]
) -> dict[str, dict[str, float | None]]:
    estimates = bootstrap_sums(
        sums,
        statistics,
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("alignment"),
    )
    return {name: entry_of(estimate) for name, estimate in estimates.items()}


def _ranks(context: FamilyContext, rows: pd.DataFrame) -> Iterator[Entry]:
    """Yield Spearman's correlation with the epochs left at landmarks, a row a run."""
    for at in LANDMARKS:
        for feature in ALIGNMENT:
            seen = rows[(rows["epoch"] == at) & np.isfinite(rows[feature])]
            if len(seen) >= _MIN_ROWS:
                sums = rank_sums(seen[feature], seen["remaining"], seen["lineage_id"])
                found = _bootstrapped(context, sums, {"spearman": correlation})
                yield {"feature": feature, "epochs_seen": at, "n_runs": len(seen), **found}


def rank_sums(x: pd.Series, y: pd.Series, lineage: pd.Series) -> FloatArray:
    """Sum by lineage what the correlation of the ranks needs: n, x, y, x^2, y^2, xy.

    The ranks are taken once, before lineages are drawn again.
    """
    a, b = (values.rank() - (len(values) + 1) / 2 for values in (x, y))
    terms = pd.DataFrame({"n": 1.0, "x": a, "y": b, "xx": a * a, "yy": b * b, "xy": a * b})
    sums: FloatArray = terms.groupby(lineage.to_numpy()).sum().to_numpy()
    return sums


def correlation(sums: FloatArray) -> FloatArray:
    """Pearson's correlation from summed n, x, y, x^2, y^2, xy, shape ``(..., 6)`` to ``(...)``."""
    n, x, y, xx, yy, xy = (sums[..., i] for i in range(6))
    return np.asarray((n * xy - x * y) / np.sqrt((n * xx - x**2) * (n * yy - y**2)))


def _prediction(context: FamilyContext, rows: pd.DataFrame) -> Entry | None:
    """Return R^2 by lineage of alignment, of distance to the end, of both, and the difference.

    On the scale of log(1 + R): that of the other studies, remaining over elapsed, would let the
    elapsed epochs in as an input that no feature names.
    """
    spec = study_spec()
    rows = measured_rows(context, rows, group_features(context, ["oracle_alignment"]))
    distance = known_features(rows, group_features(context, ["oracle_distances"]))
    aligned = known_features(rows, group_features(context, ["oracle_alignment"]))
    if not distance or rows["lineage_id"].nunique() < FOLDS:
        return None
    kinds = {"alignment": aligned, "distance": distance, "both": (*distance, *aligned)}
    predicted = {kind: out_of_fold(context, names, rows, spec) for kind, names in kinds.items()}
    scores = {kind: log_r2(context, rows, found, "alignment") for kind, found in predicted.items()}
    return {
        **scores,
        "gain": r2_gain(context, rows, predicted["both"], predicted["distance"], "alignment"),
    }


def _paths(context: FamilyContext, rows: pd.DataFrame) -> Entry | None:
    """Return how pairs of runs from one start differ in time, by how near to each other they end.

    The predictor is the one of the studies, with every causal feature, out of fold.
    """
    runs = rows.assign(total=rows["epoch"] + rows["remaining"]).groupby("run_id").first()
    ends = _endpoints(context, set(runs.index))
    pairs = endpoint_pairs(ends, runs["lineage_id"]).iloc[:PAIRS]
    if pairs.empty:
        return None
    names = view_features(context, View.CAUSAL)
    table = rows.assign(predicted=out_of_fold(context, names, rows))
    return {
        "near": NEAR,
        "distance_quantiles": np.quantile(pairs["distance"], [0.1, 0.25, 0.5, 0.75, 0.9]).tolist(),
        "pairs": [
            {"end": e, "settings": s, **_of_pairs(context, pairs[mask], runs["total"], table)}
            for (e, s), mask in _kinds(pairs, runs).items()
            if np.count_nonzero(mask) >= _MIN_PAIRS
        ],
    }


def _kinds(pairs: pd.DataFrame, runs: pd.DataFrame) -> dict[tuple[str, str], BoolArray]:
    """Return the pairs by where they end, and by whether learning rate and optimizer are alike."""
    a, b = (runs.loc[pairs[side], ["lr", "optimizer"]].to_numpy() for side in ("a", "b"))
    alike = (a == b).all(axis=1)
    near = (pairs["distance"] < NEAR).to_numpy()
    return {
        ("one solution", "same"): near & alike,
        ("one solution", "other"): near & ~alike,
        ("other solutions", "same"): ~near & alike,
        ("other solutions", "other"): ~near & ~alike,
    }


def _endpoints(
    context: FamilyContext, wanted: set[str]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return the first and last recorded parameters of wanted runs in some shards, by run_id."""
    names = context.store.shard_names()
    spread = np.unique(np.linspace(0, len(names) - 1, min(SHARDS, len(names))).astype(int))
    found = {}
    for shard in spread:
        for rows in context.store.read(names[shard]):
            if "params" not in rows.vectors:
                continue
            last = rows.lengths.cumsum() - 1
            first = last - rows.lengths + 1
            for run_id, start, end in zip(rows.run_ids, first, last, strict=True):
                if run_id in wanted:
                    found[run_id] = tuple(rows.params[[start, end]].astype(np.float64))
    return found


def endpoint_pairs(
    ends: Mapping[str, tuple[FloatArray, FloatArray]], lineage: pd.Series
) -> pd.DataFrame:
    """Return the pairs of runs of a lineage, in the order of the lineages' ids.

    Parameters
    ----------
    ends
        First and last parameters of each run, shape ``(P,)`` each, by run_id.
    lineage
        Lineage by run_id.

    Returns
    -------
    ``lineage_id``, ``a``, ``b``, ``distance`` (L2 of the final parameters over the mean L2 distance
    from the start) and ``cosine`` (of the ways from the start to the ends); NaN where a run did not
    move.
    """
    rows = [
        (name, a, b, *_apart(ends[a], ends[b]))
        for name, members in sorted(lineage[list(ends)].groupby(lineage).groups.items())
        for a, b in combinations(sorted(members), 2)
    ]
    pairs = pd.DataFrame(rows, columns=["lineage_id", "a", "b", "distance", "cosine"])
    pairs = pairs.astype({"distance": float, "cosine": float})
    return pairs[np.isfinite(pairs["distance"])].reset_index(drop=True)


def _apart(
    a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]
) -> tuple[float, float]:
    ways = a[1] - a[0], b[1] - b[0]
    lengths = [float(np.linalg.norm(way)) for way in ways]
    if min(lengths) == 0:
        return np.nan, np.nan
    between = float(np.linalg.norm(a[1] - b[1]))
    return between / (sum(lengths) / 2), float(ways[0] @ ways[1]) / (lengths[0] * lengths[1])


def _of_pairs(
    context: FamilyContext, pairs: pd.DataFrame, totals: pd.Series, table: pd.DataFrame
) -> Entry:
    lineage = pairs["lineage_id"].to_numpy()
    first, second = (np.log(totals[pairs[side]].to_numpy(float)) for side in ("a", "b"))
    apart = _bootstrapped(context, mean_sums(abs(first - second), lineage), {"log_ratio": mean})
    return {
        "n_pairs": len(pairs),
        "n_lineages": int(pairs["lineage_id"].nunique()),
        "median_cosine": float(pairs["cosine"].median()),
        "median_ratio_of_epochs": float(np.exp(np.median(abs(first - second)))),
        "mean_log_ratio_of_epochs": apart["log_ratio"],
        "told_apart": list(_told_apart(context, pairs, table)),
    }


def _told_apart(
    context: FamilyContext, pairs: pd.DataFrame, table: pd.DataFrame
) -> Iterator[Entry]:
    """Yield the share of pairs of which the predictor names the faster run; a tie counts a half."""
    for at in LANDMARKS:
        seen = table[table["epoch"] == at].set_index("run_id")[["remaining", "predicted"]]
        both = pairs[pairs["a"].isin(seen.index) & pairs["b"].isin(seen.index)]
        a, b = (seen.loc[both[side]].to_numpy(float) for side in ("a", "b"))
        differ = a[:, 0] != b[:, 0]
        if np.count_nonzero(differ) < _MIN_PAIRS:
            continue
        truth, claim = np.sign((a - b)[differ].T)
        right = np.where(claim == 0, 0.5, claim == truth)
        lineage = both["lineage_id"].to_numpy()[differ]
        found = _bootstrapped(context, mean_sums(right, lineage), {"accuracy": mean})
        yield {"epochs_seen": at, "n_pairs": int(right.size), **found}


def _initialisation(context: FamilyContext) -> Iterator[Entry]:
    """Yield the share of the variance of log epochs that lies between initialisations.

    At fixed hyperparameters, of log T; else of plain SGD at a constant rate, of the log of the
    learning rate times the steps, SGD's own clock. Both about the mean of the runs of a task and
    architecture.
    """
    runs = context.runs[context.runs["outcome"] == Outcome.CONVERGED.value]
    runs = runs[runs["outcome_epoch"] > 0]
    fixed = runs["cohort"] == "fixed"
    plain = (runs["optimizer"] == "sgd") & (runs["lr_schedule"] == "constant")
    clock = runs["lr"] * runs["n_examples"] / runs["batch_size"]
    parts = {
        "hyperparameters fixed, log epochs": (fixed, runs["outcome_epoch"]),
        "plain SGD, rate varied, log clock": (~fixed & plain, clock * runs["outcome_epoch"]),
    }
    for name, (mask, time) in parts.items():
        rows = _about_kind(runs.assign(y=np.log(time))[mask])
        if len(rows) >= _MIN_ROWS:
            yield {"runs": name, "n_runs": len(rows), **_between(context, rows)}


def _about_kind(runs: pd.DataFrame) -> pd.DataFrame:
    kind = runs.groupby(["task", "architecture"])
    centred = runs.assign(y=runs["y"] - kind["y"].transform("mean"))
    return centred[kind["lineage_id"].transform("nunique") >= _MIN_LINEAGES]


def _between(context: FamilyContext, runs: pd.DataFrame) -> Entry:
    """Return the variance share of the lineages, and that of the schemes in theirs."""
    sums = anova_sums(runs["y"].to_numpy(), runs["lineage_id"].to_numpy())
    lineages = runs.groupby("lineage_id").agg(y=("y", "mean"), scheme=("init_scheme", "first"))
    of_schemes = anova_sums(lineages["y"].to_numpy(), lineages["scheme"].to_numpy()).sum(axis=0)
    several = lineages["scheme"].nunique() > 1
    return {
        "n_lineages": len(lineages),
        **_bootstrapped(context, sums, {"share_between_lineages": intraclass_correlation}),
        "share_of_that_between_schemes": (
            float(intraclass_correlation(of_schemes)) if several else None
        ),
        "schemes": [
            {
                "init_scheme": str(scheme),
                "n_lineages": len(part),
                "factor": float(np.exp(part["y"].mean())),
            }
            for scheme, part in lineages.groupby("scheme")
        ],
    }


def anova_sums(y: FloatArray, group: Labels) -> FloatArray:
    """Sum for `intraclass_correlation` by group: 1, n, n^2, sum y, sum y^2, (sum y)^2 / n."""
    _, code = np.unique(group, return_inverse=True)
    n, total, squares = (np.bincount(code, weights=w) for w in (np.ones(y.size), y, y**2))
    return np.stack([np.ones_like(n), n, n**2, total, squares, total**2 / n], axis=1)


def intraclass_correlation(sums: FloatArray) -> FloatArray:
    """Return the share of the variance between groups, one-way random effects.

    ANOVA estimator for unequal groups (Searle, Casella & McCulloch 1992, Variance Components,
    Sec. 3.6): 0 in expectation where groups do not matter, so that it may be below 0.

    Parameters
    ----------
    sums
        Summed `anova_sums`, shape ``(..., 6)``.

    Returns
    -------
    Array of shape ``(...)``; NaN with one group, or groups of one alone.
    """
    groups, n, n_squared, total, squares, of_groups = (sums[..., i] for i in range(6))
    between = (of_groups - total**2 / n) / (groups - 1)
    within = (squares - of_groups) / (n - groups)
    size = (n - n_squared / n) / (groups - 1)
    return np.asarray((between - within) / (between + (size - 1) * within))
