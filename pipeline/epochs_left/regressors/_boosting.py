"""What the boosted trees for "when" and for "whether" share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochs_left.regressors._fitting import N_JOBS

#: On 110,000 rows of 60 features a fit takes about 3 s. Half of the bins, of the columns or of the
#: rows saved a quarter of that and cost 5 to 10 % of the median error; 300 small steps on a part
#: of the rows and columns raised R^2 of the perceptrons by lineage from .876 to .882, but then the
#: order of the rows matters.
BOOSTING: Mapping[str, Any] = {
    "n_estimators": 80,
    "learning_rate": 0.12,
    "max_depth": 6,
    "tree_method": "hist",
    "n_jobs": N_JOBS,
}
