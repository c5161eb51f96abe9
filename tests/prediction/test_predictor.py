"""What a bundle must be made of before its predictor answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xgboost import XGBRegressor

from epochs_left.errors import ModelError
from epochs_left.prediction.predictor import predictor_of
from epochs_left.storage.bundles import REFERENCE, Bundle, dump_columns, load_bundle
from epochs_left.storage.estimators import dump_estimator, load_estimator
from epochs_left.storage.manifests import ResidualQuantiles


@pytest.fixture
def bundle(models: Path) -> Bundle:
    return load_bundle(models / "xgboost/neuron-causal")


def with_files(bundle: Bundle, **changes: bytes | None) -> Bundle:
    """Replace or drop files, named by their stem; all are UBJSON here."""
    files = {**bundle.files, **{f"{stem}.ubj": data for stem, data in changes.items()}}
    return Bundle(bundle.manifest, {n: data for n, data in files.items() if data is not None})


@pytest.mark.parametrize(
    ("role", "other", "expected"),
    [
        ("time", "converges", "expected a regressor, got XGBClassifier"),
        ("converges", "time", "expected a classifier, got XGBRegressor"),
        ("time_loss_only", "converges_loss_only", "expected a regressor"),
    ],
)
def test_an_estimator_in_the_place_of_another_is_refused(
    bundle: Bundle, role: str, other: str, expected: str
) -> None:
    swapped = with_files(bundle, **{role: bundle.files[f"{other}.ubj"]})
    with pytest.raises(ModelError, match=expected):
        predictor_of(swapped, level=0.9, jobs=1)


@pytest.mark.parametrize("stem", ["time_loss_only", "converges_loss_only", "time"])
def test_an_estimator_that_rows_would_need_is_missed(bundle: Bundle, stem: str) -> None:
    with pytest.raises(ModelError, match=f"needs a file {stem}"):
        predictor_of(with_files(bundle, **{stem: None}), level=0.9, jobs=1)


def test_two_files_for_one_estimator_are_refused(bundle: Bundle) -> None:
    doubled = Bundle(bundle.manifest, {**bundle.files, "time.skops": b""})
    with pytest.raises(ModelError, match="expected one file time"):
        predictor_of(doubled, level=0.9, jobs=1)


def test_a_model_of_other_columns_is_refused(bundle: Bundle) -> None:
    narrow = with_files(bundle, time=bundle.files["time_loss_only.ubj"])
    with pytest.raises(ModelError, match="the manifest names"):
        predictor_of(narrow, level=0.9, jobs=1)


@pytest.mark.parametrize("stem", ["time", "time_loss_only"])
def test_quantiles_in_the_place_of_the_time_are_refused(bundle: Bundle, stem: str) -> None:
    """As where the files of both were swapped, with their hashes."""
    width = load_estimator(".ubj", bundle.files[f"{stem}.ubj"]).n_features_in_
    features = np.random.default_rng(0).normal(size=(50, width))
    quantiles = XGBRegressor(
        n_estimators=2, objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]
    ).fit(features, features[:, 0])
    swapped = with_files(bundle, **{stem: dump_estimator(quantiles)[1]})
    with pytest.raises(ModelError, match=f"{stem}.ubj: expected 1 value a row, got 2; fit"):
        predictor_of(swapped, level=0.9, jobs=1)


def test_a_reference_of_too_many_rows_is_refused(bundle: Bundle) -> None:
    columns = {name: np.zeros(2001, dtype=np.float32) for name in bundle.manifest.features}
    files = {**bundle.files, REFERENCE: dump_columns(columns)}
    with pytest.raises(ModelError, match="1 to 2000 rows, got 2001; fit the bundle again"):
        predictor_of(Bundle(bundle.manifest, files), level=0.9, jobs=1)


def test_an_interval_has_its_lower_end_below(bundle: Bundle) -> None:
    known = bundle.manifest.residual_quantiles["all"]
    with pytest.raises(ValueError, match="lower must be at most upper"):
        replace(known, lower=known.upper, upper=known.lower)
    assert isinstance(known, ResidualQuantiles)


def test_a_row_unlike_the_training_data_is_answered_from_its_loss_alone(bundle: Bundle) -> None:
    predictor = predictor_of(bundle, level=0.9, jobs=1)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, len(bundle.manifest.features))).astype(np.float32)
    elapsed, yes = np.arange(20.0), np.ones(20, dtype=np.bool_)
    flagged = predictor.forecast(features, elapsed, yes, yes)
    from_the_loss = predictor.forecast(features, elapsed, ~yes, yes)
    known = predictor.forecast(features, elapsed, yes, ~yes)
    np.testing.assert_array_equal(flagged.remaining, from_the_loss.remaining)
    np.testing.assert_array_equal(flagged.upper, from_the_loss.upper)
    assert np.any(flagged.remaining != known.remaining)
