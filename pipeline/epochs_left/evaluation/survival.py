"""Whether and when together: censored runs scored by what survival analysis scores curves with.

One row a run at landmark epochs, on the locked test set; a run that never converges is censored at
the cap (`statistics.survival`). The scores and the random survival forest are scikit-survival's,
which is an extra of its own: without it the entries say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.evaluation.convergence import LANDMARKS
from epochs_left.evaluation.distributions import best_models, distribution, forecast_at
from epochs_left.evaluation.plain import counts
from epochs_left.evaluation.refits import view_features
from epochs_left.prediction.training import estimator_seed
from epochs_left.schema import View
from epochs_left.seeding import Purpose
from epochs_left.statistics.bootstrap import Estimate
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.jackknife import grouped_jackknife
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.survival import (
    kaplan_meier,
    log_normal_survival,
    restricted_mean,
    two_part_survival,
)

#: Epochs, evenly spaced in the logarithm, at which curves are compared.
N_TIMES = 30
#: A landmark with fewer converging runs on either side says nothing.
MIN_EVENTS = 20
#: What makes a run a sibling, and how many it takes; with fewer all runs are.
SIBLINGS, MIN_SIBLINGS = ("task", "architecture", "optimizer"), 10
#: Settings of the forest that the predictors are compared with; more trees bring nothing here.
FOREST: Mapping[str, Any] = {"n_estimators": 50, "min_samples_leaf": 5, "max_features": "sqrt"}
#: The regressor that learns from runs that did not converge too.
FAILURE_TIMES: ModelKey = ("boosted_aft", View.CAUSAL)
#: What an entry says where nothing could be computed.
MISSING = "scikit-survival is not installed; pip install 'epochs-left[survival]'"
_NORMAL_95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """Runs that are unresolved at an epoch.

    Attributes
    ----------
    at
        The epoch.
    train, test
        One row a run of examples.parquet, of training lineages and of the locked test set.
    """

    at: int
    train: pd.DataFrame
    test: pd.DataFrame

    @cached_property
    def times(self) -> FloatArray:
        """Epochs from the landmark on at which curves are compared, shape ``(k,)``."""
        duration = durations(self.test)
        last = min(duration.max(), durations(self.train).max()) - 1
        first = max(duration.min(), 1.0)
        return np.unique(np.round(np.geomspace(first, max(last, first), N_TIMES)))

    @property
    def says_enough(self) -> bool:
        """Whether both sides have runs that converge, and time passes until they do."""
        events = min(int(rows["converged"].sum()) for rows in (self.train, self.test))
        return events >= MIN_EVENTS and self.times.size > 1


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Something that draws survival curves: of the test rows at the times, shape ``(n, k)``."""

    name: str
    title: str
    curves: Callable[[Landmark], FloatArray]


@result("survival.json", long=True)
def survival(context: FamilyContext) -> list[dict[str, Any]]:
    """Return concordance and integrated Brier score of survival curves at landmark epochs.

    The concordance is Uno's (Uno et al. 2011, Stat. Med. 30) of the restricted mean time, the Brier
    score Graf's (Graf et al. 1999, Stat. Med. 18), both weighted by the inverse probability of
    censoring, with 95 % intervals by the grouped jackknife over lineages.
    """
    contenders = _contenders(context)
    landmarks = [_landmark(context, at) for at in LANDMARKS]
    return [
        _entry(contender, landmark)
        for landmark in landmarks
        if landmark is not None
        for contender in contenders
    ]


def durations(rows: pd.DataFrame) -> FloatArray:
    """Return the epochs until a row's run converges, or until the cap, shape ``(n,)``."""
    left = (rows["max_epochs"] - rows["epoch"]).to_numpy(float)
    return np.asarray(np.where(rows["converged"], rows["remaining"].to_numpy(float), left))


def _landmark(context: FamilyContext, at: int) -> Landmark | None:
    rows = context.examples[context.examples["epoch"] == at].drop_duplicates("run_id")
    parts = (rows[~rows["locked"]], rows[rows["locked"]])
    train, test = (part.reset_index(drop=True) for part in parts)
    if train.empty or test.empty:
        return None
    landmark = Landmark(at=at, train=train, test=test)
    return landmark if landmark.says_enough else None


def _contenders(context: FamilyContext) -> list[Contender]:
    return [
        *(_two_part(context, key) for key in best_models(context)),
        *([_failure_times(context)] if FAILURE_TIMES in context.models else []),
        Contender(
            name="survival_forest",
            title="Random survival forest",
            curves=lambda landmark: _forest(context, landmark),
        ),
        Contender(name="siblings", title="Kaplan-Meier of siblings", curves=siblings_curves),
    ]


def _two_part(context: FamilyContext, key: ModelKey) -> Contender:
    """Return a regressor's intervals times P(converges)."""

    def curves(landmark: Landmark) -> FloatArray:
        found = distribution(context, key, landmark.test)
        p_converges = forecast_at(context, key, landmark.test, 0.5).p_converges
        if p_converges is None:
            p_converges = np.ones(len(landmark.test))
        return two_part_survival(p_converges, found.quantiles, found.shares, landmark.times)

    return Contender(name=key[0], title=context.spec(key[0]).title, curves=curves)


def _failure_times(context: FamilyContext) -> Contender:
    """Return the curve of the regressor that learns from censored runs, which needs no P."""

    def curves(landmark: Landmark) -> FloatArray:
        median = forecast_at(context, FAILURE_TIMES, landmark.test, 0.5).remaining
        sigma = _spread(context, FAILURE_TIMES)
        return log_normal_survival(np.maximum(median, 1.0), sigma, landmark.times)

    title = f"{context.spec(FAILURE_TIMES[0]).title}, without P(converges)"
    return Contender(name="failure_times", title=title, curves=curves)


def _spread(context: FamilyContext, key: ModelKey) -> float:
    """Return the standard deviation of a model's grouped out-of-fold errors of log(1 + R)."""
    table = context.out_of_fold[context.out_of_fold["split"] == "by lineage"]
    predicted = table[f"{key[0]}-{key[1].value}"].to_numpy(float)
    error = np.log1p(table["remaining"].to_numpy(float)) - np.log1p(predicted)
    return float(np.sqrt(np.average(error**2, weights=run_weights(table["run_id"].to_numpy(str)))))


def siblings_curves(landmark: Landmark) -> FloatArray:
    """Return the Kaplan-Meier curves of the training runs of the same kind that got as far."""
    everything = kaplan_meier(*_outcomes(landmark.train), landmark.times)
    curves = np.tile(everything, (len(landmark.test), 1))
    groups = dict(list(landmark.train.groupby(list(SIBLINGS))))
    for kind, rows in landmark.test.groupby(list(SIBLINGS)):
        siblings = groups.get(kind)
        if siblings is not None and len(siblings) >= MIN_SIBLINGS:
            curves[rows.index] = kaplan_meier(*_outcomes(siblings), landmark.times)
    return curves


def _outcomes(rows: pd.DataFrame) -> tuple[FloatArray, BoolArray]:
    return durations(rows), rows["converged"].to_numpy(bool)


def _forest(context: FamilyContext, landmark: Landmark) -> FloatArray:
    """Fit a forest on training runs at the landmark, and step its curves to the times."""
    from sksurv.ensemble import RandomSurvivalForest  # noqa: PLC0415  - an extra

    ordered = landmark.train.sort_values(["lineage_id", "run_id"])
    train = ordered.iloc[: context.settings.study_runs]
    names = list(view_features(context, View.CAUSAL))
    seed = estimator_seed(context.root_seed, Purpose.ESTIMATOR)
    forest = RandomSurvivalForest(**FOREST, n_jobs=1, random_state=seed)
    forest.fit(_finite(train[names]), _structured(train))
    curves = forest.predict_survival_function(_finite(landmark.test[names]), return_array=True)
    before = np.searchsorted(forest.unique_times_, landmark.times, side="right")
    return np.pad(curves, ((0, 0), (1, 0)), constant_values=1.0)[:, before]


def _finite(features: pd.DataFrame) -> FloatArray:
    values = features.to_numpy(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def _structured(rows: pd.DataFrame) -> Any:
    from sksurv.util import Surv  # noqa: PLC0415  - an extra

    duration, event = _outcomes(rows)
    return Surv.from_arrays(event, duration)


def _entry(contender: Contender, landmark: Landmark) -> dict[str, Any]:
    test = landmark.test
    about = {
        "model": contender.name,
        "title": contender.title,
        "at_epoch": landmark.at,
        "n_converged": int(test["converged"].sum()),
        "last_time": float(landmark.times[-1]),
        **counts(test),
    }
    if find_spec("sksurv") is None:
        nothing = entry_of(Estimate(np.nan, None))
        return {**about, "c_index": nothing, "integrated_brier": nothing, "missing": MISSING}
    curves = contender.curves(landmark)
    lineage = test["lineage_id"].to_numpy(str)
    scores = {"c_index": _c_index, "integrated_brier": _integrated_brier}
    return {
        **about,
        **{name: _estimate(score, landmark, curves, lineage) for name, score in scores.items()},
        "missing": None,
    }


_Score = Callable[[Any, Any, FloatArray, FloatArray], float]


def _estimate(
    score: _Score, landmark: Landmark, curves: FloatArray, lineage: Any
) -> dict[str, float | None]:
    """Return a score with its interval; NaN where a part without a group cannot be scored."""
    train, test = _structured(landmark.train), _structured(landmark.test)

    def of_rows(use: BoolArray) -> float:
        return score(train, test[use], curves[use], landmark.times)

    value = of_rows(np.ones(lineage.size, dtype=np.bool_))
    error = _NORMAL_95 * grouped_jackknife(of_rows, lineage)
    bounds = (max(value - error, 0.0), min(value + error, 1.0))
    return entry_of(Estimate(value, bounds if error >= 0 else None))


def _c_index(train: Any, test: Any, curves: FloatArray, times: FloatArray) -> float:
    """Return the concordance up to the last time: the sooner a run converges, the more at risk."""
    from sksurv.metrics import concordance_index_ipcw  # noqa: PLC0415  - an extra

    at_risk = -restricted_mean(curves, times)
    return float(concordance_index_ipcw(train, test, at_risk, tau=times[-1])[0])


def _integrated_brier(train: Any, test: Any, curves: FloatArray, times: FloatArray) -> float:
    from sksurv.metrics import integrated_brier_score  # noqa: PLC0415  - an extra

    duration = test[test.dtype.names[1]]
    within = (times >= duration.min()) & (times < duration.max())
    return float(integrated_brier_score(train, test, curves[:, within], times[within]))
