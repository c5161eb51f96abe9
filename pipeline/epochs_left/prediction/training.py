"""From a table of examples to out-of-fold predictions and fitted models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.config import FitSettings
from epochs_left.errors import DataError
from epochs_left.regressors import RegressorSpec
from epochs_left.regressors._batches import Batch, refit_in_batches
from epochs_left.regressors._converges import build_converges_classifier
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.schema import View
from epochs_left.seeding import Purpose, generator
from epochs_left.statistics.folds import grouped_folds, row_wise_folds, run_weights
from epochs_left.statistics.scales import SCALES, Scale
from epochs_left.statistics.scores import error_sums, r2

#: Weight of a run's landmark rows together, its drawn rows having 1. Without landmarks the first
#: epochs are learnt badly; at full weight they bias the predictions for all the others.
LANDMARK_WEIGHT = 0.2

#: Weight of a run's drawn rows together where "whether" is learnt, each of its landmark rows having
#: 1. Brier scores by lineage at landmarks are the same with 1, 2 and 3 in one family; in the pool
#: 3 is better than 1 for targets other than the runs' own (AUC of thresholds .939 against .931).
DRAWN_WEIGHT = 3.0

#: Columns whose names a bundle remembers, to say when a run has another.
LABELS = ("optimizer", "activation", "architecture")

#: Which inputs a prediction had: everything that the bundle knows, or the loss curve alone.
AVAILABILITIES = ALL_INPUTS, LOSS_ONLY = "all", "loss_only"


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples of one view, a row an example.

    Attributes
    ----------
    names
        Feature names, length p.
    loss_only
        Whether a feature needs the loss curve alone, shape ``(p,)``; of none it is said in the
        oracle view, which nobody has a loss curve alone for.
    X
        Features, shape ``(n, p)``, float32.
    elapsed, remaining
        Epochs t and R, shape ``(n,)``; remaining is NaN where the run did not converge.
    observed
        Epochs from t to the target or the cap, shape ``(n,)``: what is known to remain of a run
        that did not converge; NaN where it diverged or got stuck, and will not.
    converged
        Whether the run converged, shape ``(n,)``.
    sampled
        Whether a row belongs to the even draw of epochs, shape ``(n,)``; the others are landmarks,
        learnt from but not scored.
    run, lineage
        Labels, shape ``(n,)``.
    """

    names: tuple[str, ...]
    loss_only: BoolArray
    X: FloatArray
    elapsed: FloatArray
    remaining: FloatArray
    observed: FloatArray
    converged: BoolArray
    sampled: BoolArray
    run: IntArray
    lineage: IntArray

    def take(self, rows: BoolArray) -> Examples:
        """Return the examples where ``rows`` is true."""
        return Examples(
            names=self.names,
            loss_only=self.loss_only,
            X=self.X[rows],
            elapsed=self.elapsed[rows],
            remaining=self.remaining[rows],
            observed=self.observed[rows],
            converged=self.converged[rows],
            sampled=self.sampled[rows],
            run=self.run[rows],
            lineage=self.lineage[rows],
        )

    @property
    def weight(self) -> FloatArray:
        """Weights of the fit, shape ``(n,)``: a run's drawn rows sum to 1, its landmarks to less.

        What is scored is the draw; without landmarks the first epochs would hardly be learnt.
        """
        weight = np.zeros(self.run.size)
        for rows, share in ((self.sampled, 1.0), (~self.sampled, LANDMARK_WEIGHT)):
            weight[rows] = share * run_weights(self.run[rows])
        return weight

    @property
    def whether_weight(self) -> FloatArray:
        """Weights of the fit of "whether", shape ``(n,)``: 1 at each landmark, and for drawn rows.

        What is asked is whether a run that is unresolved at an epoch will converge. At a landmark
        every such run has a row; a drawn row stands at a share of its own run's length, so that in
        the first epochs short runs, which converge, would speak for all: P(converges) was .03 too
        high there on perceptrons, and is .01 with these weights.
        """
        landmarks = np.unique(self.elapsed[~self.sampled])
        weight = np.isin(self.elapsed, landmarks).astype(np.float64)
        weight[self.sampled] += DRAWN_WEIGHT * run_weights(self.run[self.sampled])
        return weight

    def inputs(self, availability: str) -> FloatArray:
        """Return the features that a prediction has, shape ``(n, p)`` or fewer columns."""
        return self.X if availability == "all" else self.X[:, self.loss_only]


def availabilities(loss_only: BoolArray) -> tuple[str, ...]:
    """Return what models are fitted for: a loss that tells all, or nothing, wants no second one."""
    return AVAILABILITIES if loss_only.any() and not loss_only.all() else AVAILABILITIES[:1]


def examples_of_view(
    table: pa.Table, dictionary: Sequence[Mapping[str, Any]], spec: RegressorSpec, view: View
) -> Examples:
    """Return the examples of a table with the features that a regressor sees in a view.

    Parameters
    ----------
    table
        Rows of examples.parquet.
    dictionary
        Features.json: name, view, baseline and loss_only of each feature.
    spec
        A regressor; its ``columns``, or every feature of the view that is no baseline and that is
        known of any row.
    view
        Oracle features are given in the oracle view alone.
    """
    names = tuple(
        name
        for name in feature_names(dictionary, spec, view)
        if spec.columns is not None or np.isfinite(table[name].to_numpy()).any()
    )
    known = {entry["name"]: entry for entry in dictionary}
    return Examples(
        names=names,
        loss_only=np.array([view is View.CAUSAL and known[name]["loss_only"] for name in names]),
        X=np.stack([table[name].to_numpy() for name in names], axis=1),
        elapsed=table["epoch"].to_numpy().astype(np.float64),
        remaining=table["remaining"].to_numpy().astype(np.float64),
        observed=table["observed"].to_numpy().astype(np.float64),
        converged=table["converged"].to_numpy(),
        sampled=table["sampled"].to_numpy(),
        run=_codes(table, "run_id"),
        lineage=_codes(table, "lineage_id"),
    )


def feature_names(
    dictionary: Sequence[Mapping[str, Any]], spec: RegressorSpec, view: View
) -> tuple[str, ...]:
    """Return the features that a regressor sees in a view, in the order of its columns."""
    if spec.columns is not None:
        return spec.columns
    return tuple(
        entry["name"]
        for entry in dictionary
        if not (entry["baseline"] or entry["probed"])
        and (view is View.ORACLE or entry["view"] == View.CAUSAL.value)
    )


def require_distinct_curves(family: str, table: pa.Table) -> None:
    """Raise DataError if lineages share a run, which training and test would then share too."""
    runs = table.select(["curve_id", "run_id", "lineage_id"]).to_pandas().dropna()
    first = runs.drop_duplicates(["curve_id", "lineage_id"])
    twins = first[first.duplicated("curve_id", keep=False)].sort_values("curve_id")
    if len(twins):
        one, other = (f"{run.run_id} (lineage {run.lineage_id})" for run in twins[:2].itertuples())
        raise DataError(
            f"family {family}: expected loss curves that differ between lineages, got the same for "
            f"runs {one} and {other}; remove one of them or give them one lineage"
        )


def _codes(table: pa.Table, name: str) -> IntArray:
    return np.unique(table[name].to_numpy(zero_copy_only=False), return_inverse=True)[1]


#: All examples, whole runs at a time, as often as it is called.
Parts = Callable[[], Iterator[Examples]]


@dataclass(frozen=True, kw_only=True)
class _Fold:
    split: str
    number: int
    train: IntArray
    test: IntArray


def out_of_fold(
    spec: RegressorSpec,
    examples: Examples,
    settings: FitSettings,
    root_seed: int,
) -> pa.Table:
    """Predict the drawn examples of converged runs by models that have not seen their fold.

    Parameters
    ----------
    examples
        Examples of all runs; those of runs that did not converge are learnt from, where a
        regressor can, with the folds of other lineages.
    settings
        Number of folds by lineage, and how many of as many row-wise ones are predicted: they are
        there to be compared with, on rows with every input, and a random part of them will do.

    Returns
    -------
    A row a prediction: row of ``examples``, split (``"by lineage"`` or ``"row-wise"``), number of
    the fold within the split, availability, position of the settings that the fold's model chose
    among the regressor's candidates, predicted epochs remaining.
    """
    seed = estimator_seed(root_seed, Purpose.FOLDS)
    scored = np.flatnonzero(examples.converged)
    splits = {
        "by lineage": grouped_folds(examples.lineage[scored], settings.folds, seed),
        "row-wise": row_wise_folds(scored.size, settings.folds, seed)[: settings.row_wise_folds],
    }
    folds = [
        _Fold(split=split, number=number, train=scored[train], test=scored[test])
        for split, pairs in splits.items()
        for number, (train, test) in enumerate(pairs)
    ]
    return pa.concat_tables(_predict_fold(spec, examples, root_seed, fold) for fold in folds)


def _predict_fold(spec: RegressorSpec, examples: Examples, root_seed: int, fold: _Fold) -> pa.Table:
    in_training = ~examples.converged & ~np.isin(examples.lineage, examples.lineage[fold.test])
    in_training[fold.train] = True
    train = examples.take(in_training)
    test = fold.test[examples.sampled[fold.test]]
    elapsed, n = examples.elapsed[test], test.size
    parts = []
    both = availabilities(examples.loss_only)
    for availability in both if fold.split == "by lineage" else both[:1]:
        model = fit_time(spec, train, root_seed, availability)
        X = examples.inputs(availability)[test]
        columns = {
            "row": test,
            "split": [fold.split] * n,
            "fold": np.full(n, fold.number, dtype=np.int32),
            "availability": [availability] * n,
            "candidate": np.full(n, getattr(model, "best_", 0), dtype=np.int32),
            "predicted": predict_remaining(model, SCALES[spec.scale], X, elapsed),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def fit_time(
    spec: RegressorSpec, examples: Examples, root_seed: int, availability: str = "all"
) -> BaseEstimator:
    """Fit a regressor of the epochs remaining, its settings chosen on folds by lineage.

    On the examples of converged runs alone, unless it can learn from those that are censored.
    """
    known = examples.observed if spec.censored else examples.remaining
    learnt = np.isfinite(known)
    rows = examples.take(learnt)
    target = SCALES[spec.scale].forward(known[learnt], rows.elapsed)
    return fit_weighted(
        spec.tuned(estimator_seed(root_seed, Purpose.ESTIMATOR)),
        rows.inputs(availability),
        target,
        rows.weight,
        groups=rows.lineage,
        upper=np.where(rows.converged, target, np.inf) if spec.censored else None,
    )


def settled_by_folds(
    spec: RegressorSpec, predictions: pa.Table, availability: str
) -> RegressorSpec:
    """Return the regressor with the settings that most folds by lineage chose.

    The published model is then of the kind whose errors its intervals were made from. With a choice
    of its own it may be another: 90 % intervals of neurons held 86 %, since the folds' trees were
    deeper.
    """
    if not spec.candidates:
        return spec
    table = predictions.to_pandas()
    of_folds = table[(table["split"] == "by lineage") & (table["availability"] == availability)]
    chosen = of_folds.drop_duplicates("fold")["candidate"].to_numpy()
    return spec.settled(int(np.bincount(chosen).argmax()))


def refit_time(
    model: BaseEstimator, spec: RegressorSpec, parts: Parts, availability: str = "all"
) -> bool:
    """Fit a model of `fit_time` again on all examples, part by part; False if its kind cannot.

    One that learns from censored rows cannot.
    """
    scale = SCALES[spec.scale]

    def batches() -> Iterator[Batch]:
        for part in parts():
            rows = part.take(part.converged)
            if rows.run.size:
                target = scale.forward(rows.remaining, rows.elapsed)
                yield rows.inputs(availability), target, rows.weight

    return not spec.censored and refit_in_batches(model, batches)


def fit_converges(examples: Examples, root_seed: int, availability: str = "all") -> BaseEstimator:
    """Fit the classifier of "reaches the target by the cap" on examples of all runs."""
    model = build_converges_classifier(estimator_seed(root_seed, Purpose.ESTIMATOR))
    label = examples.converged.astype(np.int64)
    return fit_weighted(model, examples.inputs(availability), label, examples.whether_weight)


def predict_remaining(model: Any, scale: Scale, X: FloatArray, elapsed: FloatArray) -> FloatArray:
    """Return predicted epochs remaining, shape ``(n,)``, at least 0."""
    return scale.inverse(np.asarray(model.predict(X), dtype=np.float64), elapsed)


def fold_scores(predictions: pa.Table, examples: Examples) -> dict[str, Any]:
    """Return R^2 of log(1 + R) on the folds by lineage, every run weighing the same, for people."""
    table = predictions.to_pandas()
    found = {}
    for availability in availabilities(examples.loss_only):
        chosen = (table["split"] == "by lineage") & (table["availability"] == availability)
        row, predicted = table.loc[chosen, "row"].to_numpy(), table.loc[chosen, "predicted"]
        run = examples.run[row]
        sums = error_sums(
            np.log1p(examples.remaining[row]), np.log1p(predicted.to_numpy()), run, run_weights(run)
        )
        found[availability] = round(float(r2(sums.sum(axis=0))), 4)
    return {"R^2 of log(1 + R) by lineage": found}


def estimator_seed(root_seed: int, purpose: Purpose) -> int:
    """Return the integer seed that scikit-learn and xgboost want."""
    return int(generator(root_seed, 1, purpose).integers(2**31))
