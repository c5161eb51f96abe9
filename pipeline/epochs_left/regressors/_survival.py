"""Boosted trees that learn from censored rows too."""

from __future__ import annotations

from typing import Self

import numpy as np
import xgboost
from numpy.typing import ArrayLike
from sklearn.utils import Tags, check_X_y
from sklearn.utils.validation import _check_sample_weight
from xgboost import XGBRegressor


class BoostedAFT(XGBRegressor):
    """Accelerated failure time: log T = f(x) + sigma Z, f a sum of trees.

    Barnwal, Cho & Hocking 2022 (arXiv:2006.04920), as xgboost has it (``survival:aft``). With Z
    normal or logistic the prediction exp(f(x)) is the median of T. Stored and loaded it is an
    ``XGBRegressor`` of the same predictions. Parameters as for ``XGBRegressor``, with
    ``aft_loss_distribution`` and ``aft_loss_distribution_scale``, which is sigma.
    """

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        upper: ArrayLike | None = None,
    ) -> Self:
        """Fit on times that are known, or known to be larger.

        Parameters
        ----------
        X
            Features, shape ``(n, p)``, NaN where unknown.
        y
            Times, or lower bounds of them, positive, shape ``(n,)``.
        sample_weight
            Weights, shape ``(n,)``.
        upper
            Upper bounds of the times, shape ``(n,)``: ``y`` where a time is known, infinite where
            the row is right-censored. None: every time is known.
        """
        values, lower = check_X_y(
            X,
            y,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            y_numeric=True,
            estimator=self,
        )
        if lower.min() <= 0:
            raise ValueError(
                "Some value(s) of y are out of range: expected positive times, got "
                f"{lower.min()}; drop the rows that have reached the target"
            )
        weight = _check_sample_weight(sample_weight, values, dtype=np.float64)
        data = xgboost.DMatrix(
            values,
            label_lower_bound=lower,
            label_upper_bound=lower if upper is None else np.asarray(upper, dtype=np.float64),
            weight=weight,
            nthread=self.n_jobs,
        )
        typical = float(np.exp(np.average(np.log(lower), weights=weight)))
        settings = {**self.get_xgb_params(), "base_score": typical}
        rounds = self.get_num_boosting_rounds()
        self._Booster = xgboost.train(settings, data, num_boost_round=rounds)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags
