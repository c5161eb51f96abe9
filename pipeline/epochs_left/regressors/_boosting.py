"""What the boosted trees for "when" and for "whether" share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochs_left.regressors._fitting import N_JOBS

#: Chosen by R^2 of log(1 + R) by lineage. 64 bins and half of the columns at each split take half
#: of the time of a fit and cost nothing (perceptrons, oracle view: .926 before, .931 with them;
#: neurons .990 both). Columns are drawn, not rows: the order of the rows must not matter.
BOOSTING: Mapping[str, Any] = {
    "n_estimators": 120,
    "learning_rate": 0.1,
    "max_depth": 6,
    "colsample_bynode": 0.5,
    "max_bin": 64,
    "tree_method": "hist",
    "n_jobs": N_JOBS,
}

#: While settings are compared, the depth of the trees above all: a quarter of the rounds.
FEW_ROUNDS: Mapping[str, Any] = {"n_estimators": 30, "learning_rate": 0.3}
