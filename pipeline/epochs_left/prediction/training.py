"""From a table of examples to out-of-fold predictions and a model bundle."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator

from epochs_left import __version__
from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.config import FitSettings
from epochs_left.parallel import Progress, no_progress, parallel_map
from epochs_left.regressors import RegressorSpec
from epochs_left.regressors._converges import build_converges_classifier
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.schema import SCHEMA_VERSION, View
from epochs_left.seeding import Purpose, generator
from epochs_left.statistics.conformal import conformal_offsets
from epochs_left.statistics.folds import grouped_folds, row_wise_folds, run_weights
from epochs_left.statistics.novelty import MAX_REFERENCE_ROWS
from epochs_left.statistics.scales import SCALES, Scale
from epochs_left.statistics.scores import error_sums, r2
from epochs_left.storage.bundles import REFERENCE, BundleManifest, ResidualQuantiles, dump_columns
from epochs_left.storage.estimators import dump_estimator

#: A model trained on these families alone knows nothing of any other architecture.
MUST_STATE = ("architecture",)

#: Weight of a run's landmark rows together, its drawn rows having 1. Without landmarks the first
#: epochs are learnt badly; at full weight they bias the predictions for all the others.
LANDMARK_WEIGHT = 0.2

#: Which inputs a prediction had: everything that the bundle knows, or the loss curve alone.
AVAILABILITIES = ("all", "loss_only")


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples of one view, a row an example.

    Attributes
    ----------
    names
        Feature names, length p.
    loss_only
        Whether a feature needs the loss curve alone, shape ``(p,)``.
    X
        Features, shape ``(n, p)``, float32.
    elapsed, remaining
        Epochs t and R, shape ``(n,)``; remaining is NaN where the run did not converge.
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
    def masked(self) -> FloatArray:
        """The features as a log of the loss alone would give them: NaN for the others."""
        return np.where(self.loss_only[None, :], self.X, np.float32(np.nan))


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
        loss_only=np.array([known[name]["loss_only"] for name in names]),
        X=np.stack([table[name].to_numpy() for name in names], axis=1),
        elapsed=table["epoch"].to_numpy().astype(np.float64),
        remaining=table["remaining"].to_numpy().astype(np.float64),
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


def _codes(table: pa.Table, name: str) -> IntArray:
    return np.unique(table[name].to_numpy(zero_copy_only=False), return_inverse=True)[1]


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
    *,
    jobs: int,
    progress: Progress = no_progress,
) -> pa.Table:
    """Predict the drawn examples of converged runs by models that have not seen their fold.

    Parameters
    ----------
    settings
        Number of folds, by lineage and row-wise alike.
    jobs
        Folds fitted side by side.
    progress
        Shows the folds as they are done.

    Returns
    -------
    A row a prediction: row of ``examples``, split (``"by lineage"`` or ``"row-wise"``), number of
    the fold within the split, availability, predicted epochs remaining.
    """
    seed = estimator_seed(root_seed, Purpose.FOLDS)
    splits = {
        "by lineage": grouped_folds(examples.lineage, settings.folds, seed),
        "row-wise": row_wise_folds(examples.X.shape[0], settings.folds, seed),
    }
    folds = [
        _Fold(split=split, number=number, train=train, test=test)
        for split, pairs in splits.items()
        for number, (train, test) in enumerate(pairs)
    ]
    predict = partial(_predict_fold, spec, examples, root_seed)
    fitted = parallel_map(predict, folds, jobs, threads=True)
    done = progress(fitted, len(folds), f"fit {spec.name}")
    return pa.concat_tables(table for _, table in sorted(done, key=lambda part: part[0]))


def _predict_fold(
    spec: RegressorSpec, examples: Examples, root_seed: int, fold: _Fold
) -> tuple[tuple[str, int], pa.Table]:
    in_training = np.zeros(examples.X.shape[0], dtype=np.bool_)
    in_training[fold.train] = True
    model = fit_time(spec, examples.take(in_training), root_seed)
    test = fold.test[examples.sampled[fold.test]]
    inputs = {"all": examples.X[test], "loss_only": examples.masked[test]}
    elapsed, n = examples.elapsed[test], test.size
    parts = [
        pa.table(
            {
                "row": test,
                "split": [fold.split] * n,
                "fold": np.full(n, fold.number, dtype=np.int32),
                "availability": [availability] * n,
                "predicted": predict_remaining(model, SCALES[spec.scale], X, elapsed),
            }
        )
        for availability, X in inputs.items()
    ]
    return (fold.split, fold.number), pa.concat_tables(parts)


def fit_time(spec: RegressorSpec, examples: Examples, root_seed: int) -> BaseEstimator:
    """Fit a regressor of the epochs remaining on examples of converged runs."""
    target = SCALES[spec.scale].forward(examples.remaining, examples.elapsed)
    model = spec.build(estimator_seed(root_seed, Purpose.ESTIMATOR))
    X, y, weight = _with_loss_only(spec.handles_missing, examples, target)
    return fit_weighted(model, X, y, weight)


def fit_converges(examples: Examples, root_seed: int) -> BaseEstimator:
    """Fit the classifier of "reaches the target by the cap" on examples of all runs."""
    model = build_converges_classifier(estimator_seed(root_seed, Purpose.ESTIMATOR))
    X, y, weight = _with_loss_only(True, examples, examples.converged.astype(np.int64))
    return fit_weighted(model, X, y, weight)


def predict_remaining(model: Any, scale: Scale, X: FloatArray, elapsed: FloatArray) -> FloatArray:
    """Return predicted epochs remaining, shape ``(n,)``, at least 0."""
    return scale.inverse(np.asarray(model.predict(X), dtype=np.float64), elapsed)


def _with_loss_only(
    handles_missing: bool, examples: Examples, target: FloatArray | IntArray
) -> tuple[FloatArray, Any, FloatArray]:
    """Add each example once more as the loss alone would show it, at the same total weight.

    A model that knows only complete rows would send a missing value down a branch that it never
    learned.
    """
    weight = examples.weight
    if not handles_missing or examples.loss_only.all():
        return examples.X, target, weight
    X = np.concatenate([examples.X, examples.masked])
    return X, np.concatenate([target, target]), np.concatenate([weight, weight])


def residual_quantiles(predictions: pa.Table, examples: Examples) -> dict[str, ResidualQuantiles]:
    """Return the interval offsets of each availability from grouped out-of-fold residuals."""
    table = predictions.to_pandas()
    by_lineage = table[table["split"] == "by lineage"]
    quantiles = {}
    for availability in AVAILABILITIES:
        part = by_lineage[by_lineage["availability"] == availability]
        row = part["row"].to_numpy()
        residual = np.log1p(examples.remaining[row]) - np.log1p(part["predicted"].to_numpy())
        # Landmarks are not scored, so that a run's weight is spread over its drawn rows alone.
        levels, lower, upper = conformal_offsets(
            residual, examples.lineage[row], run_weights(examples.run[row])
        )
        quantiles[availability] = ResidualQuantiles(
            levels=tuple(levels.tolist()),
            lower=tuple(lower.tolist()),
            upper=tuple(upper.tolist()),
        )
    return quantiles


def fold_scores(predictions: pa.Table, examples: Examples) -> dict[str, Any]:
    """Return R^2 of log(1 + R) on the folds by lineage, every run weighing the same, for people."""
    table = predictions.to_pandas()
    found = {}
    for availability in AVAILABILITIES:
        chosen = (table["split"] == "by lineage") & (table["availability"] == availability)
        row, predicted = table.loc[chosen, "row"].to_numpy(), table.loc[chosen, "predicted"]
        run = examples.run[row]
        sums = error_sums(
            np.log1p(examples.remaining[row]), np.log1p(predicted.to_numpy()), run, run_weights(run)
        )
        found[availability] = round(float(r2(sums.sum(axis=0))), 4)
    return {"R^2 of log(1 + R) by lineage": found}


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What a bundle's manifest says of where it comes from; see `BundleManifest`."""

    bundle_id: str
    target: float
    vocabulary: Mapping[str, tuple[str, ...]]
    training: Mapping[str, Any]
    scores: Mapping[str, Any]


def build_bundle(
    spec: RegressorSpec,
    view: View,
    examples: Examples,
    quantiles: Mapping[str, ResidualQuantiles],
    facts: BundleFacts,
    root_seed: int,
) -> tuple[BundleManifest, dict[str, bytes]]:
    """Fit on every example and return the manifest and the files of the bundle.

    Parameters
    ----------
    examples
        Examples of all runs; the regressor learns from those that converged.
    quantiles
        Interval offsets from `residual_quantiles`.
    facts
        What the manifest says besides.
    """
    time = fit_time(spec, examples.take(examples.converged), root_seed)
    both_outcomes = np.unique(examples.converged).size == 2
    says_whether = view is View.CAUSAL and not spec.baseline and both_outcomes
    converges = fit_converges(examples, root_seed) if says_whether else None
    return bundle_of(spec, view, examples, (time, converges), quantiles, facts, root_seed)


def bundle_of(
    spec: RegressorSpec,
    view: View,
    examples: Examples,
    models: tuple[BaseEstimator, BaseEstimator | None],
    quantiles: Mapping[str, ResidualQuantiles],
    facts: BundleFacts,
    root_seed: int,
) -> tuple[BundleManifest, dict[str, bytes]]:
    """Return the manifest and the files of a bundle of fitted models.

    Parameters
    ----------
    models
        What says when, and what says whether, which may be None.
    examples, quantiles, facts
        As for `build_bundle`.
    """
    time, converges = models
    extension, data = dump_estimator(time)
    files = {f"time{extension}": data, REFERENCE: _reference(examples, root_seed)}
    if converges is not None:
        extension, data = dump_estimator(converges)
        files[f"converges{extension}"] = data
    low, high = np.nanmin(examples.X, axis=0).tolist(), np.nanmax(examples.X, axis=0).tolist()
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        bundle_id=facts.bundle_id,
        view=view.value,
        regressor=spec.name,
        title=spec.title,
        scale=spec.scale,
        features=examples.names,
        target=facts.target,
        ranges=dict(zip(examples.names, zip(low, high, strict=True), strict=True)),
        vocabulary=facts.vocabulary,
        must_state=MUST_STATE,
        residual_quantiles=quantiles,
        training=facts.training,
        scores=facts.scores,
        versions=library_versions(),
        files={},
    )
    return manifest, files


def _reference(examples: Examples, root_seed: int) -> bytes:
    rng = generator(root_seed, 0, Purpose.ESTIMATOR)
    size = min(MAX_REFERENCE_ROWS, examples.X.shape[0])
    weight = examples.weight
    rows = rng.choice(examples.X.shape[0], size, replace=False, p=weight / weight.sum())
    return dump_columns(dict(zip(examples.names, examples.X[np.sort(rows)].T, strict=True)))


def estimator_seed(root_seed: int, purpose: Purpose) -> int:
    """Return the integer seed that scikit-learn and xgboost want."""
    return int(generator(root_seed, 1, purpose).integers(2**31))


def library_versions() -> dict[str, str]:
    """Return the versions that a bundle's predictions depend on."""
    libraries = {name: version(name) for name in ("numpy", "scikit-learn", "pyarrow", "skops")}
    return {
        "epochs-left": __version__,
        "python": platform.python_version(),
        "xgboost": _xgboost_version(),
        **libraries,
    }


def _xgboost_version() -> str:
    import xgboost  # noqa: PLC0415  - the distribution is called xgboost or xgboost-cpu

    return str(xgboost.__version__)
