"""Gradient boosting that learns from runs that did not converge, too (survival analysis)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._boosting import BOOSTING, FEW_ROUNDS
from epochs_left.regressors._sampling import OnSample
from epochs_left.regressors._survival import BoostedAFT

#: Rows that a fit sees, of all runs, censored ones included.
ROWS = 12_000


@regressor(
    title="Boosted failure times",
    scale="epochs",
    candidates=[{"estimator__aft_loss_distribution_scale": scale} for scale in (0.3, 0.15)],
    cheaper={f"estimator__{name}": value for name, value in FEW_ROUNDS.items()},
    censored=True,
)
def boosted_aft(random_state: int) -> RegressorMixin:
    """Boosted trees for the median of a log-normal time, of which a lower bound may be known.

    It answers when a run reaches the target, whether or not it will: on runs that did, it is as
    good as gradient boosting if fitted on such alone, and less so with the others. Of the
    logistic distribution xgboost's fits did not converge on any family.
    """
    settings = {**BOOSTING, "max_depth": 4}
    model = BoostedAFT(
        **settings,
        objective="survival:aft",
        aft_loss_distribution="normal",
        aft_loss_distribution_scale=0.3,
        random_state=random_state,
    )
    return OnSample(model, rows=ROWS)
