"""From fitted models to a bundle: the manifest and the files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator

from epochs_left import __version__
from epochs_left.arrays import FloatArray
from epochs_left.prediction.intervals import Intervals
from epochs_left.prediction.training import (
    Examples,
    Parts,
    availabilities,
    fit_time,
    refit_time,
    settled_by_folds,
)
from epochs_left.regressors import RegressorSpec
from epochs_left.schema import SCHEMA_VERSION, View
from epochs_left.seeding import Purpose, generator
from epochs_left.statistics.novelty import MAX_REFERENCE_ROWS
from epochs_left.storage.bundles import (
    CONVERGES,
    REFERENCE,
    SPREAD,
    TIME,
    dump_columns,
    estimator_stem,
)
from epochs_left.storage.estimators import dump_estimator
from epochs_left.storage.manifests import BundleManifest

#: A model trained on these families alone knows nothing of any other architecture.
MUST_STATE = ("architecture",)


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What a bundle's manifest says of where it comes from; see `BundleManifest`."""

    bundle_id: str
    target: float | None
    vocabulary: Mapping[str, tuple[str, ...]]
    training: Mapping[str, Any]
    scores: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Folds:
    """What out-of-fold predictions settle: `out_of_fold`, and `intervals_of` by availability."""

    predictions: pa.Table
    intervals: Mapping[str, Intervals]


@dataclass(frozen=True, kw_only=True)
class Models:
    """What was fitted for one availability of the inputs.

    Attributes
    ----------
    time, converges
        What says when, and what says whether, which may be None.
    intervals
        What puts intervals around "when".
    """

    time: BaseEstimator
    converges: BaseEstimator | None
    intervals: Intervals

    @property
    def estimators(self) -> dict[str, BaseEstimator]:
        """The estimators that there are, by their role."""
        roles = {TIME: self.time, CONVERGES: self.converges, SPREAD: self.intervals.spread}
        return {role: estimator for role, estimator in roles.items() if estimator is not None}


def build_bundle(
    spec: RegressorSpec,
    view: View,
    examples: Examples,
    folds: Folds,
    classifiers: Mapping[str, BaseEstimator],
    facts: BundleFacts,
    root_seed: int,
    *,
    parts: Parts | None = None,
) -> tuple[BundleManifest, dict[str, bytes]]:
    """Fit "when" on every example and return the manifest and the files of the bundle.

    Parameters
    ----------
    examples
        Examples of all runs.
    folds
        What the folds settle: the settings of the models, and their intervals.
    classifiers
        What says whether, by availability; empty for a bundle that does not.
    facts
        What the manifest says besides.
    parts
        All examples, where ``examples`` are a sample of them.
    """
    times = {
        availability: fit_time(
            settled_by_folds(spec, folds.predictions, availability),
            examples,
            root_seed,
            availability,
        )
        for availability in availabilities(examples.loss_only)
    }
    if parts is not None:
        for availability, model in times.items():
            refit_time(model, spec, parts, availability)
    models = {
        availability: Models(
            time=model,
            converges=classifiers.get(availability),
            intervals=folds.intervals[availability],
        )
        for availability, model in times.items()
    }
    return bundle_of(spec, view, examples, models, facts, root_seed)


def bundle_of(
    spec: RegressorSpec,
    view: View,
    examples: Examples,
    models: Mapping[str, Models],
    facts: BundleFacts,
    root_seed: int,
) -> tuple[BundleManifest, dict[str, bytes]]:
    """Return the manifest and the files of a bundle of fitted models.

    Parameters
    ----------
    models
        By availability of the inputs.
    examples, facts
        As for `build_bundle`.
    """
    files = {REFERENCE: _reference(examples, root_seed)}
    for availability, fitted in models.items():
        for role, estimator in fitted.estimators.items():
            extension, data = dump_estimator(estimator)
            files[estimator_stem(role, availability) + extension] = data
    quantiles = {
        availability: fitted.intervals.quantiles for availability, fitted in models.items()
    }
    if examples.loss_only.all():
        # What needs the loss alone has the same intervals with every input.
        quantiles["loss_only"] = quantiles["all"]
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        bundle_id=facts.bundle_id,
        view=view.value,
        regressor=spec.name,
        title=spec.title,
        scale=spec.scale,
        features=examples.names,
        target=facts.target,
        ranges=dict(zip(examples.names, map(_range, examples.X.T), strict=True)),
        vocabulary=facts.vocabulary,
        must_state=tuple(kind for kind in MUST_STATE if kind in facts.vocabulary),
        adaptive=models["all"].intervals.spread is not None,
        residual_quantiles=quantiles,
        training=facts.training,
        scores=facts.scores,
        versions=library_versions(),
        files={},
    )
    return manifest, files


def _range(values: FloatArray) -> tuple[float, float]:
    """Return the smallest and the largest value; 0 and 0 of a feature that no run knows."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _reference(examples: Examples, root_seed: int) -> bytes:
    rng = generator(root_seed, 0, Purpose.ESTIMATOR)
    size = min(MAX_REFERENCE_ROWS, examples.X.shape[0])
    weight = examples.weight
    rows = rng.choice(examples.X.shape[0], size, replace=False, p=weight / weight.sum())
    return dump_columns(dict(zip(examples.names, examples.X[np.sort(rows)].T, strict=True)))


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
