"""One predictor of several families and of any threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.config import PoolSettings
from epochs_left.prediction.pool import PRIOR, PoolExamples, pooled_examples
from epochs_left.prediction.predictor import predictor_of
from epochs_left.prediction.thresholds import (
    REAL_ALONE,
    SPEC,
    WITH_PRIOR,
    build_threshold_bundle,
    out_of_fold,
)
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.storage.bundles import Bundle, load_bundle, save_bundle

SETTINGS = PoolSettings(families=("neuron", "mlp", PRIOR), runs_per_family=100, folds=2)
DICTIONARY = [
    {"name": name, "view": view, "baseline": False, "probed": False, "loss_only": loss_only}
    for name, view, loss_only in (
        ("log_gap_to_target", "causal", True),
        ("log_lr", "causal", False),
        ("far", "oracle", False),
    )
]
RUNS = {"neuron": 64, "mlp": 16, PRIOR: 36}
ROWS, MAX_EPOCHS = 4, 5000


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOOSTING, "n_estimators", 20)  # type: ignore[arg-type]


def table(seed: int = 0) -> pa.Table:
    """Rows of examples.parquet: two runs a lineage, asked for their epsilon and for a threshold.

    log R is the gap plus the rate; targets with a negative mark are not reached.
    """
    rng = np.random.default_rng(seed)
    parts = [family_rows(rng, family, n) for family, n in RUNS.items()]
    return pa.Table.from_pandas(pd.concat(parts), preserve_index=False)


def family_rows(rng: np.random.Generator, family: str, n_runs: int) -> pd.DataFrame:
    run = np.repeat(np.arange(n_runs), 2 * ROWS)
    kind = np.tile(np.repeat(["epsilon", "threshold"], ROWS), n_runs)
    gap, rate, mark = rng.normal(2, 1, run.size), rng.normal(size=n_runs)[run], rng.random(run.size)
    reached = mark > 0.3
    remaining = np.round(np.expm1(np.clip(1 + gap + rate, 0.7, 8)))
    return pd.DataFrame(
        {
            "family": family,
            "run_id": [f"{family}-{number:03}" for number in run],
            "lineage_id": [f"{family}-l{number // 2:03}" for number in run],
            "target_kind": kind,
            "target": 0.1,
            "plateau": np.nan,
            "max_epochs": np.int32(MAX_EPOCHS),
            "epoch": np.tile(np.arange(ROWS), 2 * n_runs).astype(np.int32),
            "remaining": np.where(reached, remaining, np.nan),
            "observed": remaining,
            "converged": reached,
            "sampled": np.tile([True, True, True, False], 2 * n_runs),
            "optimizer": "sgd",
            "activation": "relu",
            "architecture": "a",
            "log_gap_to_target": (gap + 4 * (~reached)).astype(np.float32),
            "log_lr": rate.astype(np.float32),
            "far": np.float32(1),
        }
    )


@pytest.fixture(scope="module")
def pool() -> PoolExamples:
    return pooled_examples(table(), DICTIONARY, SETTINGS.runs_per_family, SPEC)


@pytest.fixture
def predictions(pool: PoolExamples) -> pd.DataFrame:
    return out_of_fold(pool, SETTINGS, 0, jobs=1).to_pandas()


def test_oracle_features_are_left_out(pool: PoolExamples) -> None:
    assert pool.examples.names == ("log_gap_to_target", "log_lr")


@pytest.mark.parametrize("runs", [10, 30])
def test_a_family_gives_so_many_runs_and_whole_lineages(runs: int) -> None:
    keys = pooled_examples(table(), DICTIONARY, runs, SPEC).keys
    counts = keys.groupby("family")["run_id"].nunique()
    assert counts.to_dict() == {name: min(n, runs) for name, n in RUNS.items()}
    assert (keys.groupby("lineage_id")["run_id"].nunique() == 2).all()


def test_a_family_weighs_as_the_root_of_its_targets(pool: PoolExamples) -> None:
    """Each run is asked for two targets, and each of them counts as a run."""
    total = pd.Series(pool.weight).groupby(pool.family).sum()
    for family, n_runs in RUNS.items():
        assert total[family] == pytest.approx(np.sqrt(2 * n_runs))


def test_what_is_ahead_are_the_epochs_until_the_horizon(pool: PoolExamples) -> None:
    np.testing.assert_array_equal(pool.ahead + pool.examples.elapsed, MAX_EPOCHS)


def test_every_drawn_row_is_predicted_once_by_either_material(predictions: pd.DataFrame) -> None:
    real = sum(n for family, n in RUNS.items() if family != PRIOR) * 2 * 3
    counts = predictions.groupby(["material", "availability"]).size()
    assert counts[WITH_PRIOR].tolist() == [real + RUNS[PRIOR] * 2 * 3] * 2
    assert counts[REAL_ALONE].tolist() == [real] * 2
    assert predictions["sampled"].all()
    assert (predictions.loc[predictions["material"] == REAL_ALONE, "family"] != PRIOR).all()


def test_runs_of_a_lineage_are_in_one_fold(predictions: pd.DataFrame) -> None:
    """Else a run's twin, with the same initialisation, would be in training."""
    folds = predictions.groupby(["material", "availability", "lineage_id"])["fold"].nunique()
    assert (folds == 1).all()


def test_intervals_come_from_drawn_rows_of_real_runs(
    pool: PoolExamples, predictions: pd.DataFrame
) -> None:
    """Neither what the prior's curves nor what landmarks are off by makes them wider."""
    hashes = dict.fromkeys(RUNS, "0" * 64)
    of_prior = (predictions["family"] == PRIOR).to_numpy()
    spoilt = predictions.assign(
        predicted=np.where(of_prior, 1e6, predictions["predicted"]),
    )
    landmarks = predictions.head(50).assign(sampled=False, predicted=1e6)
    found = []
    for frame in (predictions, pd.concat([spoilt, landmarks])):
        as_table = pa.Table.from_pandas(frame, preserve_index=False)
        found.append(build_threshold_bundle(pool, as_table, hashes, 0)[0].residual_quantiles)
    assert found[0] == found[1]


def test_real_runs_alone_learn_nothing_from_the_prior(pool: PoolExamples) -> None:
    """Whatever the prior's curves are, the predictions without them stay, bit for bit."""
    frame = table().to_pandas()
    of_prior = frame["family"] == PRIOR
    frame.loc[of_prior, "log_gap_to_target"] = np.float32(100)
    changed = pooled_examples(
        pa.Table.from_pandas(frame), DICTIONARY, SETTINGS.runs_per_family, SPEC
    )
    before, after = (alone(out_of_fold(each, SETTINGS, 0, jobs=1)) for each in (pool, changed))
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def alone(predictions: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = predictions.to_pandas()
    frame = frame[frame["material"] == REAL_ALONE]
    keys = ["run_id", "target_kind", "epoch", "availability"]
    return frame.sort_values(keys, ignore_index=True)[[*keys, "predicted", "p_converges"]]


def test_time_and_outcome_of_unseen_lineages_are_predicted(predictions: pd.DataFrame) -> None:
    rows = predictions[(predictions["material"] == WITH_PRIOR)]
    for kind in ("epsilon", "threshold"):
        part = rows[(rows["target_kind"] == kind) & (rows["availability"] == "all")]
        reached = part[part["converged"]]
        actual, predicted = np.log1p(reached["remaining"]), np.log1p(reached["predicted"])
        assert np.corrcoef(actual, predicted)[0, 1] > 0.8
        p = part["p_converges"]
        assert p[part["converged"]].mean() > p[~part["converged"]].mean() + 0.5


def test_labels_that_are_shuffled_between_runs_are_not_predicted() -> None:
    frame = table().to_pandas()
    order = np.random.default_rng(5).permutation(len(frame))
    frame[["remaining", "converged"]] = frame[["remaining", "converged"]].to_numpy()[order]
    frame["converged"] = frame["converged"].astype(bool)
    frame["remaining"] = frame["remaining"].astype(float)
    shuffled = pooled_examples(
        pa.Table.from_pandas(frame), DICTIONARY, SETTINGS.runs_per_family, SPEC
    )
    found = out_of_fold(shuffled, SETTINGS, 0, jobs=1).to_pandas()
    found = found[found["converged"] & (found["availability"] == "all")]
    actual, predicted = np.log1p(found["remaining"]), np.log1p(found["predicted"])
    assert 1 - np.mean((actual - predicted) ** 2) / actual.var() <= 0.05


def test_the_bundle_answers_and_says_what_it_learnt_from(
    pool: PoolExamples, predictions: pd.DataFrame, tmp_path: Any
) -> None:
    hashes = dict.fromkeys(RUNS, "0" * 64)
    as_table = pa.Table.from_pandas(predictions, preserve_index=False)
    manifest, files = build_threshold_bundle(pool, as_table, hashes, 0)
    save_bundle(tmp_path / "threshold", manifest, files)
    bundle: Bundle = load_bundle(tmp_path / "threshold")
    assert bundle.manifest.bundle_id == "pooled/threshold"
    assert not bundle.manifest.of_plateaus
    assert bundle.manifest.training["runs"] == RUNS
    assert bundle.manifest.vocabulary["architecture"] == ("a",)
    assert set(bundle.manifest.residual_quantiles) == {"all", "loss_only"}
    predictor = predictor_of(bundle, level=0.9, jobs=1)
    complete = np.ones(len(pool.keys), dtype=np.bool_)
    forecast = predictor.forecast(pool.examples.X, pool.examples.elapsed, complete, ~complete)
    assert np.all((forecast.lower <= forecast.remaining) & (forecast.remaining <= forecast.upper))
    assert forecast.p_converges is not None
