"""The whole way through, small: simulate, featurize, fit, evaluate, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.evaluation import RESULTS
from epochs_left.features import FEATURE_GROUPS
from epochs_left.schema import View
from epochs_left.statistics.folds import locked_lineages
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, read_result, read_table

REGRESSORS = ("linear", "xgboost")
BUNDLES = [f"{name}-{view.value}" for name in REGRESSORS for view in View]


@pytest.fixture(scope="module")
def examples(pipeline_folder: Path) -> pd.DataFrame:
    return read_table(pipeline_folder / "features" / "neuron" / "examples.parquet").to_pandas()


@pytest.fixture(scope="module")
def dictionary(pipeline_folder: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = read_json(
        pipeline_folder / "features" / "neuron" / "features.json"
    )
    return entries


@pytest.fixture(scope="module")
def store(pipeline_folder: Path) -> RunStore:
    return RunStore(pipeline_folder / "data" / "runs" / "neuron")


def test_every_planned_run_is_in_the_store(store: RunStore) -> None:
    assert store.runs().num_rows == store.manifest["n_runs"] == 160
    assert store.manifest["settings"]["runs"] == 160


def test_every_registered_feature_is_a_column(
    examples: pd.DataFrame, dictionary: list[dict[str, Any]]
) -> None:
    names = {name for _, group in FEATURE_GROUPS.items() for name in group.units}
    assert {entry["name"] for entry in dictionary} == names
    assert names <= set(examples.columns)
    assert (examples[list(names)].dtypes == np.float32).all()


def test_features_of_the_loss_alone_need_the_loss_alone(
    dictionary: list[dict[str, Any]],
) -> None:
    for entry in dictionary:
        requires = set(FEATURE_GROUPS[entry["group"]].requires)
        assert entry["loss_only"] == requires.issubset({"loss", "target", "epoch"})
        assert entry["view"] == FEATURE_GROUPS[entry["group"]].view.value


def test_locked_lineages_are_never_learnt_from(
    pipeline_folder: Path, examples: pd.DataFrame
) -> None:
    locked = set(examples.loc[examples["locked"], "lineage_id"])
    assert locked
    for name in REGRESSORS:
        rows = read_table(pipeline_folder / "models" / "out_of_fold" / f"{name}.parquet")
        lineages = set(rows["lineage_id"].to_pylist())
        assert not locked & lineages
        assert not locked_lineages(lineages, 0.3).any()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_counts_the_open_runs(
    pipeline_folder: Path, examples: pd.DataFrame, store: RunStore, bundle: str
) -> None:
    manifest = load_bundle(pipeline_folder / "models" / bundle).manifest
    free = examples[~examples["locked"]]
    assert manifest.training["n_runs"] == free["run_id"].nunique()
    assert manifest.training["n_lineages"] == free["lineage_id"].nunique()
    assert manifest.training["data_sha256"] == store.manifest["data_sha256"]
    assert manifest.target == store.manifest["settings"]["epsilon"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_causal_bundle_has_causal_features_alone(
    pipeline_folder: Path, dictionary: list[dict[str, Any]], bundle: str
) -> None:
    manifest = load_bundle(pipeline_folder / "models" / bundle).manifest
    views = {entry["name"]: entry["view"] for entry in dictionary}
    expected = {"causal"} if manifest.view == "causal" else {"causal", "oracle"}
    assert {views[name] for name in manifest.features} == expected


@pytest.mark.parametrize("name", REGRESSORS)
def test_out_of_fold_rows_carry_the_truth(
    pipeline_folder: Path, examples: pd.DataFrame, name: str
) -> None:
    rows = read_table(pipeline_folder / "models" / "out_of_fold" / f"{name}.parquet").to_pandas()
    truth = examples.set_index(["run_id", "epoch"])["remaining"]
    keys = pd.MultiIndex.from_frame(rows[["run_id", "epoch"]])
    np.testing.assert_array_equal(rows["remaining"], truth.loc[keys])
    grouped = rows[(rows["split"] == "by lineage") & (rows["availability"] == "all")]
    drawn = examples[~examples["locked"] & examples["sampled"] & examples["converged"]]
    for view in View:
        found = grouped[grouped["view"] == view.value]
        assert sorted(zip(found["run_id"], found["epoch"], strict=True)) == sorted(
            zip(drawn["run_id"], drawn["epoch"], strict=True)
        )


def test_every_registered_result_is_written_and_readable(pipeline_folder: Path) -> None:
    folder = pipeline_folder / "reports" / "results"
    assert {path.name for path in folder.iterdir()} == set(RESULTS)
    for path in folder.iterdir():
        read_result(path)


def test_metrics_name_every_model_and_split(pipeline_folder: Path) -> None:
    metrics = json.loads((pipeline_folder / "reports" / "metrics.json").read_text())
    for split in ("by lineage", "row-wise", "locked test"):
        assert set(metrics[split]) == set(BUNDLES)
    coverage = metrics["coverage of 90% intervals, all"]
    assert set(coverage) == {f"{name}-causal" for name in REGRESSORS}
    assert all(0 <= share <= 1 for share in coverage.values())


def test_report_is_one_page(pipeline_folder: Path) -> None:
    page = (pipeline_folder / "reports" / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_nothing_temporary_is_left(pipeline_folder: Path) -> None:
    assert not list(pipeline_folder.rglob("*.tmp"))


def test_running_a_stage_again_gives_the_same_bytes(
    pipeline_folder: Path, run_stage_in: Callable[..., None], tmp_path: Path
) -> None:
    """From the same runs: features, out-of-fold predictions and the estimators of a bundle."""
    for name in ("pipeline", "data"):
        (tmp_path / name).symlink_to(pipeline_folder / name)
    run_stage_in(tmp_path, "featurize", "neuron")
    run_stage_in(tmp_path, "fit", "linear")
    for path in (
        Path("features/neuron/examples.parquet"),
        Path("features/neuron/features.json"),
        Path("models/out_of_fold/linear.parquet"),
        Path("models/linear-causal/time.skops"),
        Path("models/linear-causal/converges.ubj"),
    ):
        assert (tmp_path / path).read_bytes() == (pipeline_folder / path).read_bytes(), path
