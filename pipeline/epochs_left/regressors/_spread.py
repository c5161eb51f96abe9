"""How far a prediction may be off: quantile regression of out-of-fold residuals.

The first half of conformalised quantile regression (Romano, Patterson & Candes 2019,
arXiv:1905.03222); `statistics.conformal` is the second.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.regressors._boosting import BOOSTING

#: The quantiles of the residual that are learnt; intervals of any level are multiples of the
#: interval between them.
QUANTILES = (0.05, 0.95)

#: Trees this small say which kinds of rows are hard; deeper ones or more of them narrowed the
#: intervals by at most 3 % (neurons, perceptrons). A quantile in a leaf of few rows is noise.
SETTINGS = {
    **BOOSTING,
    "n_estimators": 40,
    "learning_rate": 0.2,
    "max_depth": 3,
    "max_bin": 32,
    "min_child_weight": 20,
}


def build_spread_regressor(random_state: int) -> RegressorMixin:
    """Return an unfitted regressor of the quantiles `QUANTILES` of residuals, shape ``(n, 2)``."""
    return XGBRegressor(
        **SETTINGS,
        objective="reg:quantileerror",
        quantile_alpha=np.array(QUANTILES),
        random_state=random_state,
    )
