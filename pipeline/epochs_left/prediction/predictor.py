"""A bundle as a function from features to predictions with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from sklearn.base import is_classifier

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.errors import DataError, ModelError
from epochs_left.features import FEATURE_GROUPS, FeatureGroup
from epochs_left.prediction.unlike import training_ranges
from epochs_left.schema import View
from epochs_left.statistics.conformal import centre_and_half_width, offsets_at
from epochs_left.statistics.novelty import Novelty
from epochs_left.statistics.scales import SCALES, Scale, interval_around, interval_scale
from epochs_left.storage.bundles import (
    CONVERGES,
    REFERENCE,
    SPREAD,
    TIME,
    Bundle,
    estimator_stem,
    load_columns,
)
from epochs_left.storage.estimators import load_estimator, row_values
from epochs_left.storage.manifests import BundleManifest, ResidualQuantiles
from epochs_left.trajectories import LOSS_INPUTS

#: Intervals of rows unlike the training data are this many times as wide, on their own scale.
WIDENING = 2.0
#: From features, shape ``(n, p)``, to values, shape ``(n,)``, of "spread" ``(n, 2)``.
Predict = Callable[[FloatArray], FloatArray]
#: By availability of the inputs.
Predicts = Mapping[str, Predict]
#: Interval offsets by availability of the inputs, in the half widths of the rows.
Offsets = Mapping[str, tuple[float, float]]
#: Where intervals lie beside the prediction, and in which unit their offsets count, on the scale of
#: intervals (`statistics.scales.interval_scale`): centre and half width, each of shape ``(n,)``.
Spread = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Predictions for n rows, in the rows' unit of time.

    Parameters
    ----------
    remaining
        Epochs remaining, shape ``(n,)``.
    lower, upper
        Interval; the upper end is NaN where the data support no finite one.
    p_converges
        Probability of reaching the target by the training runs' cap; None without a classifier.
    """

    remaining: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_converges: FloatArray | None


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """What a bundle can do.

    Parameters
    ----------
    manifest
        The bundle's manifest.
    groups
        The feature groups that its features come from.
    scale
        Scale of the regressor.
    time, converges
        Predict "when" on the scale, and the probability of "whether"; the latter may be None.
    quantiles
        Quantiles of the residual, where a row's interval depends on its features; else None.
    novelty
        Distance from the training rows, or None.
    offsets
        Interval offsets at the level that was asked for.
    """

    manifest: BundleManifest
    groups: tuple[FeatureGroup, ...]
    scale: Scale
    time: Predicts
    converges: Predicts | None
    quantiles: Predicts | None
    novelty: Novelty | None
    offsets: Offsets

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the inputs that the feature groups ask for."""
        return frozenset(name for group in self.groups for name in group.requires)

    @cached_property
    def ranges(self) -> FloatArray:
        """Ends of the features' training ranges, shape ``(2, p)``."""
        return training_ranges(self.manifest)

    def require_param_count(self, n_params: int) -> None:
        """Raise DataError for a number of parameters that was not in training."""
        known = self.manifest.training.get("n_params", [n_params])
        if n_params not in known:
            counts = " or ".join(str(count) for count in known)
            raise DataError(
                f"expected {counts} parameters as bundle {self.manifest.bundle_id} was trained "
                f"on, found {n_params}; drop the parameter columns or pass another bundle with -m"
            )

    def forecast(
        self,
        features: FloatArray,
        elapsed: FloatArray,
        complete: BoolArray,
        unlike: BoolArray,
        ahead: FloatArray | None = None,
    ) -> Forecast:
        """Predict n rows.

        The estimators were trained, and the intervals measured, with every input or with the loss
        curve alone. So a row that has some of the others only is predicted from its loss curve.
        A bundle that knows kinds of runs by their names does the same with one unlike the training
        data: of families held out of training, every input together predicted worse than the loss
        curve alone (held_out_families.json).

        Parameters
        ----------
        features
            Columns in the manifest's order, shape ``(n, p)``, NaN where not available.
        elapsed
            Epochs elapsed, shape ``(n,)``.
        complete
            Rows with every input.
        unlike
            Rows unlike the training data, whose intervals are widened.
        ahead
            Epochs until the horizon, shape ``(n,)``; for plateaus, which begin before it.
        """
        if "loss_only" in self.manifest.residual_quantiles and self.manifest.vocabulary:
            complete = complete & ~unlike
        value = self._answers(self.time, features, complete)
        remaining = self.scale.inverse(value, elapsed, ahead)
        spread = self.spread(features, complete)
        lower, upper = self.interval(remaining, spread, complete, unlike, ahead)
        return Forecast(
            remaining=remaining,
            lower=lower,
            upper=upper,
            p_converges=None
            if self.converges is None
            else self._answers(self.converges, features, complete),
        )

    def _answers(self, answer: Predicts, features: FloatArray, complete: BoolArray) -> FloatArray:
        """Return the answer for each row by the estimator of what is known of it."""
        if complete.all():
            return answer["all"](features)
        if not complete.any():
            return answer["loss_only"](features)
        known, unknown = answer["all"](features[complete]), answer["loss_only"](features[~complete])
        values = np.empty((len(features), *known.shape[1:]))
        values[complete], values[~complete] = known, unknown
        return values

    def spread(self, features: FloatArray, complete: BoolArray) -> Spread:
        """Return where the intervals of n rows lie, and the unit of their offsets."""
        if self.quantiles is None:
            return np.zeros(len(features)), np.ones(len(features))
        return centre_and_half_width(self._answers(self.quantiles, features, complete))

    def at_level(self, level: float) -> Predictor:
        """Return the same predictor with intervals of another level."""
        return replace(self, offsets=_offsets_at(self.manifest, level))

    def interval(
        self,
        remaining: FloatArray,
        spread: Spread,
        complete: BoolArray,
        unlike: BoolArray,
        ahead: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the interval around predictions, each of shape ``(n,)``.

        Parameters
        ----------
        remaining
            Predicted epochs, shape ``(n,)``.
        spread
            From `spread`.
        complete, unlike, ahead
            As for `forecast`.
        """
        scale, (centre, half_width) = interval_scale(self.scale), spread
        widening = np.where(unlike, WIDENING, 1.0)
        all_inputs, loss_only = self.offsets["all"], self.offsets["loss_only"]
        down, up = (
            (centre + np.where(complete, *ends) * half_width) * widening
            for ends in zip(all_inputs, loss_only, strict=True)
        )
        lower, upper = interval_around(remaining, (down, up), scale, ahead)
        return lower, upper if scale.bounded else np.where(np.isinf(up), np.nan, upper)


def predictor_of(
    bundle: Bundle, *, level: float, jobs: int, views: Sequence[View] = (View.CAUSAL,)
) -> Predictor:
    """Return the predictor of a verified bundle.

    Parameters
    ----------
    level
        Level of the central intervals, in (0, 1).
    jobs
        Threads of the estimators.
    views
        Views that may be loaded: the oracle one is for finished runs, never for prefixes.

    Raises
    ------
    ModelError
        If the bundle is of another view, or features or scales that are not here.
    """
    manifest = bundle.manifest
    _require_view(manifest, views)
    if manifest.scale not in SCALES:
        raise _foreign(manifest, f"the scale {manifest.scale!r}")
    groups = _groups(manifest, views)
    loss_only = loss_only_features(manifest, groups)
    return Predictor(
        manifest=manifest,
        groups=groups,
        scale=SCALES[manifest.scale],
        time=_time(bundle, loss_only, jobs),
        converges=_predicts(bundle, CONVERGES, loss_only, jobs),
        quantiles=_quantiles(bundle, loss_only, jobs),
        novelty=_novelty(bundle),
        offsets=_offsets_at(manifest, level),
    )


def _require_view(manifest: BundleManifest, views: Sequence[View]) -> None:
    if manifest.view not in views:
        raise ModelError(
            f"bundle {manifest.bundle_id} is of the {manifest.view} view: it needs the final "
            "parameters, which a run in progress does not have; pass -m with a causal bundle"
        )


def _foreign(manifest: BundleManifest, what: str) -> ModelError:
    made_by = manifest.versions.get("epochs-left", "another version")
    return ModelError(
        f"bundle {manifest.bundle_id} (epochs-left {made_by}) needs {what}, which this version "
        "does not have; install that version or fit the bundle again"
    )


def _groups(manifest: BundleManifest, views: Sequence[View]) -> tuple[FeatureGroup, ...]:
    wanted = set(manifest.features)
    groups = [group for _, group in FEATURE_GROUPS.items() if wanted & set(group.units)]
    absent = sorted(wanted - {name for group in groups for name in group.units})
    if absent:
        raise _foreign(manifest, f"the features {absent}")
    if any(group.view not in views for group in groups):
        raise _foreign(manifest, "oracle features in the causal view")
    return tuple(groups)


def loss_only_features(manifest: BundleManifest, groups: Sequence[FeatureGroup]) -> BoolArray:
    """Return which features need the loss curve alone, shape ``(p,)``."""
    free = {
        name for group in groups if LOSS_INPUTS.issuperset(group.requires) for name in group.units
    }
    return np.array([name in free for name in manifest.features])


def _time(bundle: Bundle, loss_only: BoolArray, jobs: int) -> Predicts:
    predicts = _predicts(bundle, TIME, loss_only, jobs)
    if predicts is None:
        raise _foreign(bundle.manifest, f"a file {TIME}.*")
    return predicts


def _quantiles(bundle: Bundle, loss_only: BoolArray, jobs: int) -> Predicts | None:
    quantiles = _predicts(bundle, SPREAD, loss_only, jobs)
    if (quantiles is None) == bundle.manifest.adaptive:
        raise ModelError(
            f"bundle {bundle.manifest.bundle_id}: expected a file {SPREAD}.* if and only if its "
            "intervals are adaptive; fit the bundle again"
        )
    return quantiles


def _predicts(bundle: Bundle, role: str, loss_only: BoolArray, jobs: int) -> Predicts | None:
    """Return the estimators of a role; a bundle without one for the loss alone asks the other."""
    complete = _estimator(bundle, estimator_stem(role, "all"), loss_only.size, jobs)
    if complete is None:
        return None
    columns = int(loss_only.sum())
    reduced = _estimator(bundle, estimator_stem(role, "loss_only"), columns, jobs)
    if reduced is None:
        of_the_loss = loss_only.any() and not loss_only.all()
        if of_the_loss and bundle.manifest.view == View.CAUSAL.value:
            raise _foreign(bundle.manifest, f"a file {estimator_stem(role, 'loss_only')}.*")
        missing = np.float32(np.nan)
        return {"all": complete, "loss_only": lambda X: complete(np.where(loss_only, X, missing))}
    # compress keeps rows together in memory, as trees read them; a mask would not.
    return {"all": complete, "loss_only": lambda X: reduced(np.compress(loss_only, X, axis=1))}


def _estimator(bundle: Bundle, stem: str, n_features: int, jobs: int) -> Predict | None:
    """Return the predictions of a file of the bundle; None if it has no such."""
    names = [name for name in bundle.files if Path(name).stem == stem]
    if not names:
        return None
    if len(names) > 1:
        raise ModelError(f"expected one file {stem}.*, got {names}; fit the bundle again")
    extension = Path(names[0]).suffix
    estimator = load_estimator(extension, bundle.files[names[0]])
    if estimator.n_features_in_ != n_features:
        raise ModelError(
            f"{names[0]} takes {estimator.n_features_in_} features, the manifest names "
            f"{n_features}; fit the bundle again"
        )
    if "n_jobs" in estimator.get_params(deep=False):
        estimator.set_params(n_jobs=jobs)
    kind = "classifier" if stem.startswith(CONVERGES) else "regressor"
    if is_classifier(estimator) != (kind == "classifier"):
        raise ModelError(
            f"{names[0]}: expected a {kind}, got {type(estimator).__name__}; fit the bundle again"
        )
    predict = row_values(estimator)
    _require_width(names[0], stem, predict(np.full((1, n_features), np.nan, dtype=np.float32)))
    return predict


def _require_width(name: str, stem: str, answer: FloatArray) -> None:
    """Refuse an estimator that says another number of values of a row than its role does."""
    expected = (1, 2) if stem.startswith(SPREAD) else (1,)
    if answer.shape != expected:
        raise ModelError(
            f"{name}: expected {expected[-1]} value{'s' * (expected[-1] > 1)} a row, got "
            f"{answer.size}; fit the bundle again"
        )


def _novelty(bundle: Bundle) -> Novelty | None:
    if REFERENCE not in bundle.files:
        return None
    columns = load_columns(bundle.files[REFERENCE])
    absent = sorted(set(bundle.manifest.features) - set(columns))
    if absent:
        raise ModelError(f"{REFERENCE} lacks the columns {absent}; fit the bundle again")
    try:
        return Novelty.fit(np.stack([columns[name] for name in bundle.manifest.features], axis=1))
    except ValueError as error:
        raise ModelError(f"{REFERENCE}: {error}; fit the bundle again") from error


def _offsets_at(manifest: BundleManifest, level: float) -> Offsets:
    names = ("all", "loss_only")
    return {name: _offsets(manifest.residual_quantiles.get(name), level) for name in names}


def _offsets(quantiles: ResidualQuantiles | None, level: float) -> tuple[float, float]:
    """Return the offsets of a level; infinite where the bundle supports no finite interval."""
    if quantiles is None:
        return -np.inf, np.inf
    columns: Sequence[Sequence[float]] = (quantiles.levels, quantiles.lower, quantiles.upper)
    return offsets_at(level, tuple(np.asarray(column) for column in columns))  # type: ignore[arg-type]
