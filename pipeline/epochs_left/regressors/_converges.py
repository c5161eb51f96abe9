"""P(converges): whether a run reaches the target by the cap on epochs at all."""

from __future__ import annotations

from sklearn.base import ClassifierMixin
from xgboost import XGBClassifier

from epochs_left.regressors._boosting import BOOSTING

#: Two outcomes are learnt sooner than a time is: a third of the trees, smaller ones, larger steps.
SETTINGS = {**BOOSTING, "n_estimators": 40, "learning_rate": 0.2, "max_depth": 5, "max_bin": 32}


def build_converges_classifier(random_state: int) -> ClassifierMixin:
    """Return an unfitted classifier of "reaches the target by the cap" (1) against "does not" (0).

    Boosted trees with the logistic loss, a proper score: the probabilities are calibrated as far
    as the fit is good, and the reliability plot shows how far that is.
    """
    return XGBClassifier(**SETTINGS, objective="binary:logistic", random_state=random_state)
