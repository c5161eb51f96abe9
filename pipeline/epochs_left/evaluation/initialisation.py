"""What can be said before training: at epoch 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import (
    FOLDS,
    known_features,
    log_r2,
    measured_rows,
    out_of_fold,
    study_spec,
    view_features,
)
from epochs_left.schema import View

#: CAPE's features at initialisation, as logs (Pourali et al. 2026, TMLR): parameters, examples,
#: batch size, learning rate, squared gradient norm, NTK trace and loss. Its eighth, the number of
#: the architecture, is the parameter count within a family.
CAPE = (
    "log_n_params",
    "log_n_examples",
    "log_steps",
    "log_lr",
    "log_grad_norm",
    "log_ntk_trace",
    "log_loss",
)


@result("initialisation.json")
def initialisation(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 by lineage of log epochs at epoch 0: CAPE's features, hyperparameters, all.

    CAPE's meta-model is a random forest; it is fitted alike here. All are fitted on the runs whose
    start was measured.
    """
    rows = context.study[context.study["epoch"] == 0]
    rows = measured_rows(context, rows, CAPE).assign(sampled=True).reset_index(drop=True)
    if rows["lineage_id"].nunique() < FOLDS:
        return []
    entries = []
    for kind, (regressor, names) in _models(context, rows).items():
        predicted = out_of_fold(context, names, rows, study_spec(regressor))
        score = log_r2(context, rows, predicted, "initialisation")
        entries.append({"features": kind, "regressor": regressor, "names": list(names), **score})
    return entries


def _models(context: FamilyContext, rows: pd.DataFrame) -> Mapping[str, tuple[str, Sequence[str]]]:
    settings = ("batch", "learning_rate", "optimizer_settings", "schedule_kind", "weight_decay")
    of_settings = [e["name"] for e in context.dictionary if e["group"] in settings]
    probed = [e["name"] for e in context.dictionary if e["probed"] and e["view"] == "causal"]
    causal = view_features(context, View.CAUSAL)
    candidates: dict[str, tuple[str, Sequence[str]]] = {
        "CAPE": ("random_forest", CAPE),
        "learning rate": ("xgboost", ("log_lr",)),
        "hyperparameters": ("xgboost", of_settings),
        "causal": ("xgboost", causal),
        "causal and measured at the state": ("xgboost", (*causal, *probed)),
    }
    return {
        kind: (regressor, known)
        for kind, (regressor, names) in candidates.items()
        if (known := known_features(rows, names))
    }
