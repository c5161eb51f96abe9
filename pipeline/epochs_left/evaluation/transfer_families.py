"""What a predictor that was trained on some families is worth on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import EvaluationContext, FamilyContext
from epochs_left.evaluation.refits import FOLDS, log_r2, out_of_fold, refit, view_features
from epochs_left.schema import View


@result("transfer_families.json", of=ALL, long=True)
def transfer_families(context: EvaluationContext) -> list[dict[str, Any]]:
    """Return R^2 of models trained on one family, or on all others, and tested on each family.

    With the causal features that both sides know. A family tested on itself is the fit by lineage.
    """
    families = {
        name: family
        for name, family in context.families.items()
        if family.study["lineage_id"].nunique() >= FOLDS
    }
    entries = []
    for test, family in families.items():
        sources = [(name, [other]) for name, other in families.items() if name != test]
        others = [other for name, other in families.items() if name != test]
        if len(others) > 1:
            sources.append(("all others", others))
        entries += [_entry(name, trained, test, family) for name, trained in sources]
        entries.append(_itself(test, family))
    return entries


def _entry(
    trained: str, sources: Sequence[FamilyContext], tested: str, family: FamilyContext
) -> dict[str, Any]:
    known = [set(view_features(source, View.CAUSAL)) for source in (*sources, family)]
    names = [name for name in view_features(family, View.CAUSAL) if all(name in k for k in known)]
    train = pd.concat([source.study for source in sources], ignore_index=True)
    predicted = refit(family, names, train, family.study)
    score = log_r2(family, family.study, predicted, "transfer families")
    return {"trained_on": trained, "tested_on": tested, "n_features": len(names), **score}


def _itself(name: str, family: FamilyContext) -> dict[str, Any]:
    names = view_features(family, View.CAUSAL)
    predicted = out_of_fold(family, names, family.study)
    score = log_r2(family, family.study, predicted, "transfer families")
    return {"trained_on": name, "tested_on": name, "n_features": len(names), **score}
