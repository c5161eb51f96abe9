"""Whether a run converges at all: the classifier on the locked test set."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import bootstrap_weights
from epochs_left.statistics.scores import auc, landmark_rows, reliability

#: Epochs seen; later than that the runs that are left are mostly slow.
AT_EPOCH = 10


@result("convergence.json")
def convergence(context: FamilyContext) -> dict[str, Any]:
    """Return AUC, Brier score and reliability of P(converges) for runs unresolved at epoch 10."""
    locked = context.locked
    rows = landmark_rows(locked["run_id"].to_numpy(), locked["epoch"].to_numpy(), AT_EPOCH)
    model = context.best_causal
    probabilities = context.forecasts[model, View.CAUSAL].p_converges
    if probabilities is None or rows.size == 0:
        return {}
    probability, outcome = probabilities[rows], locked["converged"].to_numpy()[rows]
    estimate = bootstrap_weights(
        lambda weights: auc(outcome, probability, weights),
        locked["lineage_id"].to_numpy()[rows],
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("auc"),
    )
    lower, upper = estimate.interval or (None, None)
    return {
        "model": model,
        "view": View.CAUSAL.value,
        "auc": estimate.value if np.isfinite(estimate.value) else None,
        "auc_lower": lower,
        "auc_upper": upper,
        "brier": float(brier_score_loss(outcome, probability)),
        "at_epoch": AT_EPOCH,
        "n_runs": int(rows.size),
        "reliability": reliability(outcome, probability),
    }
