"""Whether SGD is Markov for this purpose (seed 003 section 1.2): what history adds to the state."""

from __future__ import annotations

from typing import Any

import pandas as pd

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import (
    FOLDS,
    log_r2,
    out_of_fold,
    r2_gain,
    view_features,
)
from epochs_left.schema import View

#: Groups and single features that the present state alone determines; all others look back.
STATE_GROUPS = (
    "batch",
    "expected_descent",
    "learning_rate",
    "model_kind",
    "optimizer_settings",
    "weight_decay",
)
STATE_FEATURES = (
    "log_loss",
    "log_gap_to_target",
    "log_grad_norm",
    "log_gradient_dominance",
    "log_param_norm",
)
_MIN_RUNS = 50


@result("markov.json")
def markov(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 by lineage from the state alone and with the history, without and with momentum.

    Adaptive rules carry a state of their own, as momentum does. By the seed, history adds nothing
    without momentum. Only runs at a constant learning rate: a schedule makes the time a part of the
    state.
    """
    entries = []
    rate_is_constant = context.study["lr_schedule"] == "constant"
    for part, rows in _parts(context.study[rate_is_constant]).items():
        enough = rows["run_id"].nunique() >= _MIN_RUNS and rows["lineage_id"].nunique() >= FOLDS
        if not enough:
            continue
        state = out_of_fold(context, _state_features(context), rows)
        history = out_of_fold(context, view_features(context, View.CAUSAL), rows)
        entries.append(
            {
                "part": part,
                "state": log_r2(context, rows, state, "markov"),
                "state_and_history": log_r2(context, rows, history, "markov"),
                "gain": r2_gain(context, rows, history, state, "markov"),
            }
        )
    return entries


def _state_features(context: FamilyContext) -> tuple[str, ...]:
    wanted = {e["name"] for e in context.dictionary if e["group"] in STATE_GROUPS}
    causal = view_features(context, View.CAUSAL)
    return tuple(name for name in causal if name in wanted or name in STATE_FEATURES)


def _parts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    plain = rows["optimizer"] == "sgd"
    adaptive = rows["optimizer"].isin(["rmsprop", "adam", "adamw"])
    masks = {"sgd": plain, "momentum": ~plain & ~adaptive, "adaptive": adaptive}
    return {name: rows[mask].reset_index(drop=True) for name, mask in masks.items()}
