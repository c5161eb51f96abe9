"""Whether a run converges at all: the classifier on the locked test set."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, Labels
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums, bootstrap_weights
from epochs_left.statistics.calibration import brier_score, calibration_error, reliability_table
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import auc, landmark_rows, mean, mean_sums

#: Epochs seen at which runs that are still unresolved are asked about. A row drawn at a share of
#: its own run's length would give that length away.
LANDMARKS = (1, 2, 5, 10, 20, 50)
#: The one that the headline figure is of; later than that the runs that are left are mostly slow.
AT_EPOCH = 10


@result("convergence.json")
def convergence(context: FamilyContext) -> dict[str, Any]:
    """Return AUC, Brier score and calibration of P(converges) for runs unresolved at landmarks.

    The fields beside ``landmarks`` are those of the landmark `AT_EPOCH`.
    """
    model = context.best_causal
    probability = context.forecasts[model, View.CAUSAL].p_converges
    if probability is None:
        return {}
    landmarks = {at: _landmark(context, probability, at) for at in LANDMARKS}
    found = {at: entry for at, entry in landmarks.items() if entry["n_runs"]}
    if AT_EPOCH not in found:
        return {}
    return {
        "model": model,
        "view": View.CAUSAL.value,
        **_headline(found[AT_EPOCH]),
        "landmarks": list(found.values()),
    }


def _headline(entry: dict[str, Any]) -> dict[str, Any]:
    area = entry["auc"]
    return {
        "auc": area["estimate"],
        "auc_lower": area["lower"],
        "auc_upper": area["upper"],
        "brier": entry["brier"]["estimate"],
        **{name: entry[name] for name in ("at_epoch", "n_runs", "reliability")},
    }


def _landmark(context: FamilyContext, probabilities: FloatArray, at: int) -> dict[str, Any]:
    """Score one row of each run that is unresolved at an epoch."""
    locked = context.locked
    rows = landmark_rows(locked["run_id"].to_numpy(), locked["epoch"].to_numpy(), at)
    outcome, probability = locked["converged"].to_numpy()[rows], probabilities[rows]
    lineage = locked["lineage_id"].to_numpy()[rows]
    counted = {
        "at_epoch": at,
        "n_runs": int(rows.size),
        "n_lineages": int(np.unique(lineage).size),
    }
    if not rows.size:
        return counted
    error, by_chance = calibration_error(outcome, probability)
    parts = asdict(brier_score(outcome, probability))
    del parts["score"]
    return {
        **counted,
        "share_converged": float(outcome.mean()),
        "auc": _auc(context, outcome, probability, lineage),
        **_means(context, outcome, probability, lineage),
        "brier_parts": parts,
        "calibration_error": error,
        "calibration_error_by_chance": by_chance,
        "reliability": reliability_table(outcome, probability, lineage),
    }


def _auc(
    context: FamilyContext, outcome: BoolArray, probability: FloatArray, lineage: Labels
) -> dict[str, float | None]:
    if np.unique(outcome).size < 2:
        return entry_of(Estimate(np.nan, None))
    estimate = bootstrap_weights(
        lambda weight: auc(outcome, probability, weight),
        lineage,
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("auc"),
    )
    return entry_of(estimate)


def _means(
    context: FamilyContext, outcome: BoolArray, probability: FloatArray, lineage: Labels
) -> dict[str, dict[str, float | None]]:
    """Return the Brier score and the mean of p - y, with intervals over lineages."""
    error = np.asarray(probability, dtype=np.float64) - outcome
    found = {
        name: bootstrap_sums(
            mean_sums(values, lineage),
            {name: mean},
            n_replicates=context.settings.bootstrap_replicates,
            rng=context.rng("brier"),
        )[name]
        for name, values in {"brier": error**2, "bias": error}.items()
    }
    return {name: entry_of(estimate) for name, estimate in found.items()}
