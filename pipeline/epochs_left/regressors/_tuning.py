"""Settings chosen inside the training rows: nested tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from epochs_left.arrays import FloatArray, Labels
from epochs_left.regressors._sampling import Rows, StandIn
from epochs_left.statistics.folds import Split, grouped_folds

Settings = Mapping[str, Any]

#: Rows that the search sees, and the folds that they fall into. Two folds fit each candidate once
#: on as many rows as there are, and test it on all: with three candidates the search costs about as
#: much as the fit.
SEARCH_ROWS = 3_000
SEARCH_FOLDS = 2


class Tuned(StandIn):
    """Choose the settings of an estimator by its error on groups that it has not seen, then fit.

    Parameters
    ----------
    estimator
        What is fitted.
    candidates
        Settings as for ``set_params``, at least one; the first one is taken unless another is
        clearly better. One alone is taken as it is.
    cheaper
        Settings that make a fit cheap while candidates are compared.
    log
        Compare errors of log(1 + prediction): for targets that are epochs.
    rows
        The most rows that candidates are compared on, drawn at random from all groups.
    folds
        Number of folds by group.

    Attributes
    ----------
    best_
        Position of the chosen candidate.
    errors_
        Weighted mean squared error of each candidate, shape ``(len(candidates),)``; zeros where
        nothing was compared.
    predictor_
        The chosen candidate, fitted on all rows.
    """

    def __init__(
        self,
        estimator: Any,
        candidates: Sequence[Settings],
        cheaper: Settings | None = None,
        log: bool = False,
        rows: int = SEARCH_ROWS,
        folds: int = SEARCH_FOLDS,
    ) -> None:
        self.estimator = estimator
        self.candidates = candidates
        self.cheaper = cheaper
        self.log = log
        self.rows = rows
        self.folds = folds

    def _fit_in_order(self, rows: Rows) -> None:
        errors = self._errors(rows.take(slice(self.rows)))
        self.errors_ = errors.sum(axis=0)
        self.best_ = clearly_best(errors)
        self.predictor_ = rows.fit(self._with(self.candidates[self.best_]))

    def _with(self, settings: Settings) -> Any:
        own = {name: clone(value, safe=False) for name, value in settings.items()}
        return clone(self.estimator).set_params(**own)

    def _errors(self, rows: Rows) -> FloatArray:
        """Return the share of each fold in the errors, shape ``(folds, candidates)``."""
        m = len(self.candidates)
        folds = folds_of_groups(rows.groups, self.folds) if m > 1 else []
        errors = np.zeros((max(len(folds), 1), m))
        for k, (train, test) in enumerate(folds):
            for i, settings in enumerate(self.candidates):
                model = rows.take(train).fit(self._with({**settings, **(self.cheaper or {})}))
                errors[k, i] = self._error(model, rows.take(test))
        return np.asarray(errors / rows.weight.sum())

    def _error(self, model: Any, rows: Rows) -> float:
        """Return the weighted sum of squared distances to the targets, or to their intervals."""
        predicted = model.predict(rows.X)
        nearest = np.clip(predicted, rows.y, rows.y if rows.upper is None else rows.upper)
        if self.log:
            predicted, nearest = np.log1p(np.maximum(predicted, 0.0)), np.log1p(nearest)
        return float(rows.weight @ (predicted - nearest) ** 2)


def clearly_best(errors: FloatArray) -> int:
    """Return the position of the candidate to take: the best one, or the first if that is as good.

    As good is what the best one beats by no more than the standard error of their difference over
    the folds (the rule of Breiman et al. 1984, section 3.4.3). Without it a search among 20
    lineages does more harm than good.

    Parameters
    ----------
    errors
        Sum of the squared errors of each fold and candidate, shape ``(folds, candidates)``.
    """
    best = int(np.argmin(errors.sum(axis=0)))
    gain = errors[:, 0] - errors[:, best]
    if gain.size < 2:
        return best
    return best if gain.mean() > gain.std(ddof=1) / np.sqrt(gain.size) else 0


def folds_of_groups(groups: Labels, n_folds: int) -> list[Split]:
    """Return folds that share no group; fewer than ``n_folds`` if there are fewer groups.

    One group cannot be split: the list is empty then.
    """
    found = np.unique(groups).size
    return grouped_folds(groups, min(n_folds, found), 0) if found > 1 else []
