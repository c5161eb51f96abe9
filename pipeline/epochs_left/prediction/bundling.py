"""From fitted models to a bundle: the manifest and the files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from epochs_left import __version__
from epochs_left.arrays import FloatArray
from epochs_left.prediction.training import (
    Examples,
    availabilities,
    fit_converges,
    fit_time,
)
from epochs_left.regressors import RegressorSpec
from epochs_left.schema import SCHEMA_VERSION, View
from epochs_left.seeding import Purpose, generator
from epochs_left.statistics.novelty import MAX_REFERENCE_ROWS
from epochs_left.storage.bundles import (
    CONVERGES,
    REFERENCE,
    TIME,
    BundleManifest,
    ResidualQuantiles,
    dump_columns,
    estimator_stem,
)
from epochs_left.storage.estimators import dump_estimator

#: A model trained on these families alone knows nothing of any other architecture.
MUST_STATE = ("architecture",)


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What a bundle's manifest says of where it comes from; see `BundleManifest`."""

    bundle_id: str
    target: float
    vocabulary: Mapping[str, tuple[str, ...]]
    training: Mapping[str, Any]
    scores: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Models:
    """Fitted estimators: what says when, and what says whether, which may be None."""

    time: BaseEstimator
    converges: Any


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
    converged = examples.take(examples.converged)
    both_outcomes = np.unique(examples.converged).size == 2
    says_whether = view is View.CAUSAL and not spec.baseline and both_outcomes
    models = {
        availability: Models(
            time=fit_time(spec, converged, root_seed, availability),
            converges=fit_converges(examples, root_seed, availability) if says_whether else None,
        )
        for availability in availabilities(examples.loss_only)
    }
    return bundle_of(spec, view, examples, models, quantiles, facts, root_seed)


def bundle_of(
    spec: RegressorSpec,
    view: View,
    examples: Examples,
    models: Mapping[str, Models],
    quantiles: Mapping[str, ResidualQuantiles],
    facts: BundleFacts,
    root_seed: int,
) -> tuple[BundleManifest, dict[str, bytes]]:
    """Return the manifest and the files of a bundle of fitted models.

    Parameters
    ----------
    models
        By availability of the inputs.
    examples, quantiles, facts
        As for `build_bundle`.
    """
    files = {REFERENCE: _reference(examples, root_seed)}
    for availability, fitted in models.items():
        for role, estimator in ((TIME, fitted.time), (CONVERGES, fitted.converges)):
            if estimator is not None:
                extension, data = dump_estimator(estimator)
                files[estimator_stem(role, availability) + extension] = data
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
        must_state=MUST_STATE,
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
