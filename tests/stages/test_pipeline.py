"""The whole way through, small: simulate, featurize, fit, evaluate, report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from distributed import LocalCluster

from epochs_left.config import FitSettings, parse_settings
from epochs_left.errors import DataError
from epochs_left.evaluation import ALL, EACH, RESULTS
from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction.plateaus import PRIOR_ALONE
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.schema import TargetKind
from epochs_left.stages._examples import read_training_examples
from epochs_left.statistics.locking import locked_lineages
from epochs_left.storage.bundle_choice import GOALS, PLATEAU
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.params import load_params, merged, write_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, read_result, read_table, result_files, write_table

FITTED = [REGRESSORS[name] for name in ("linear", "xgboost", "theory", "constant")]
FAMILY = "neuron"
MODELS = [f"{spec.name}-{view.value}" for spec in FITTED for view in spec.views]
BUNDLES = [f"{spec.folder}/{FAMILY}-{view.value}" for spec in FITTED for view in spec.views]


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
        assert entry["loss_only"] == requires.issubset(
            {"loss", "target", "plateau", "horizon", "epoch"}
        )
        assert entry["view"] == FEATURE_GROUPS[entry["group"]].view.value
        assert entry["probed"] == FEATURE_GROUPS[entry["group"]].probed


def test_every_column_is_described(examples: pd.DataFrame) -> None:
    page = (Path(__file__).parents[2] / "features" / "README.md").read_text()
    words = set(re.findall(r"[\w%]+", page))
    assert set(examples.columns) <= words


def test_locked_lineages_are_never_learnt_from(
    pipeline_folder: Path, examples: pd.DataFrame
) -> None:
    locked = set(examples.loc[examples["locked"], "lineage_id"])
    assert locked
    for name in (*(str(spec.folder) for spec in FITTED), "pooled"):
        rows = read_table(pipeline_folder / "models" / name / "out_of_fold.parquet")
        lineages = set(rows["lineage_id"].to_pylist())
        assert not locked & lineages
        assert not locked_lineages(lineages, 0.3).any()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_counts_the_open_runs(
    pipeline_folder: Path, examples: pd.DataFrame, store: RunStore, bundle: str
) -> None:
    manifest = load_bundle(pipeline_folder / "models" / bundle).manifest
    assert manifest.bundle_id == bundle
    free = examples[~examples["locked"] & (examples["target_kind"] == TargetKind.EPSILON)]
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


@pytest.mark.parametrize("spec", FITTED, ids=lambda spec: spec.name)
def test_out_of_fold_rows_carry_the_truth(
    pipeline_folder: Path, examples: pd.DataFrame, spec: RegressorSpec
) -> None:
    rows = read_table(pipeline_folder / "models" / spec.folder / "out_of_fold.parquet").to_pandas()
    examples = examples[examples["target_kind"] == TargetKind.EPSILON]
    truth = examples.set_index(["run_id", "epoch"])["remaining"]
    keys = pd.MultiIndex.from_frame(rows[["run_id", "epoch"]])
    np.testing.assert_array_equal(rows["remaining"], truth.loc[keys])
    grouped = rows[(rows["split"] == "by lineage") & (rows["availability"] == "all")]
    drawn = examples[~examples["locked"] & examples["sampled"] & examples["converged"]]
    assert set(rows["view"]) == {view.value for view in spec.views}
    for view in spec.views:
        found = grouped[grouped["view"] == view.value]
        assert sorted(zip(found["run_id"], found["epoch"], strict=True)) == sorted(
            zip(drawn["run_id"], drawn["epoch"], strict=True)
        )


@pytest.mark.parametrize("goal", GOALS)
def test_a_predictor_for_all_families_learns_from_goals_of_its_kind(
    pipeline_folder: Path, examples: pd.DataFrame, goal: str
) -> None:
    folder = pipeline_folder / "models" / "pooled"
    manifest = load_bundle(folder / goal).manifest
    assert manifest.bundle_id == f"pooled/{goal}"
    assert manifest.of_plateaus == (goal == PLATEAU)
    of_plateaus = {
        name
        for key in ("plateau_by_curve", "plateau_goal", "plateau_on_clock")
        for name in FEATURE_GROUPS[key].units
    }
    assert bool(of_plateaus & set(manifest.features)) == (goal == PLATEAU)
    same_kind = (examples["target_kind"] == "plateau") == (goal == PLATEAU)
    runs = examples.loc[~examples["locked"] & same_kind, "run_id"]
    limit = load_params(pipeline_folder / "pipeline" / "params.yaml")["pool"]["runs_per_family"]
    expected = runs.nunique() if goal == PLATEAU else min(runs.nunique(), limit)
    assert 0 < manifest.training["runs"]["neuron"] == expected


def test_plateaus_of_real_runs_are_predicted_within_their_horizon(
    pipeline_folder: Path, examples: pd.DataFrame
) -> None:
    table = read_table(pipeline_folder / "models" / "pooled" / "out_of_fold.parquet").to_pandas()
    of_plateaus = table["target_kind"] == "plateau"
    assert (of_plateaus == (table["material"] == PRIOR_ALONE)).all()
    rows = table[of_plateaus]
    assert set(rows["family"]) == {"neuron", "curve_prior"}
    rows = rows[rows["family"] == "neuron"]
    horizon = examples.drop_duplicates("run_id").set_index("run_id")["max_epochs"]
    ahead = horizon.loc[rows["run_id"]].to_numpy() - rows["epoch"]
    assert rows["predicted"].between(0, ahead).all()


def test_every_registered_result_is_written_and_readable(pipeline_folder: Path) -> None:
    folder = pipeline_folder / "reports" / "results"
    expected = {
        file if spec.of == ALL else f"{FAMILY}/{file}"
        for file, spec in RESULTS.items()
        if spec.of in (ALL, EACH, FAMILY)
    }
    written = result_files(folder)
    assert {path.relative_to(folder).as_posix() for path in written} == expected
    for path in written:
        read_result(path)


def test_metrics_name_every_model_and_split(pipeline_folder: Path) -> None:
    metrics = json.loads((pipeline_folder / "reports" / "metrics.json").read_text())
    assert set(metrics) == {FAMILY}
    for split in ("by lineage", "row-wise", "locked test"):
        assert set(metrics[FAMILY][split]) == set(MODELS)
    coverage = metrics[FAMILY]["coverage of 90% intervals, all"]
    assert set(coverage) == {f"{spec.name}-causal" for spec in FITTED}
    assert all(0 <= share <= 1 for share in coverage.values())


def test_report_is_one_page(pipeline_folder: Path) -> None:
    page = (pipeline_folder / "reports" / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_nothing_temporary_is_left(pipeline_folder: Path) -> None:
    assert not list(pipeline_folder.rglob("*.tmp"))


def planted_twin(table: pa.Table, *, lineages: bool) -> tuple[pa.Table, set[str]]:
    """Give a run the curve of another: of another lineage, or of its own."""
    runs = table.to_pandas().drop_duplicates("run_id").dropna(subset="curve_id")
    first = runs.iloc[0]
    other = runs[(runs["lineage_id"] != first["lineage_id"]) == lineages].iloc[-1]
    assert other["run_id"] != first["run_id"]
    curves = [
        first["curve_id"] if run_id == other["run_id"] else curve_id
        for run_id, curve_id in zip(
            table["run_id"].to_pylist(), table["curve_id"].to_pylist(), strict=True
        )
    ]
    column = table.column_names.index("curve_id")
    planted = table.set_column(column, "curve_id", pa.array(curves, pa.string()))
    return planted, {first["run_id"], other["run_id"]}


@pytest.mark.parametrize("stage", [("fit", "linear_models"), ("pool",)], ids=["fit", "pool"])
@pytest.mark.parametrize("lineages", [True, False])
def test_a_trajectory_that_lineages_share_stops_the_fit(
    pipeline_folder: Path,
    run_stage_in: Callable[..., None],
    tmp_path: Path,
    lineages: bool,
    stage: tuple[str, ...],
) -> None:
    """Folds by lineage would have it in training and in test; runs of one lineage may be alike."""
    for name in ("pipeline", "data"):
        (tmp_path / name).symlink_to(pipeline_folder / name)
    shutil.copytree(pipeline_folder / "features", tmp_path / "features")
    path = tmp_path / "features" / FAMILY / "examples.parquet"
    table, twins = planted_twin(read_table(path), lineages=lineages)
    write_table(path, [table])
    if not lineages:
        run_stage_in(tmp_path, "converges")
        run_stage_in(tmp_path, *stage)
        return
    with pytest.raises(DataError, match="expected loss curves that differ between lineages") as e:
        run_stage_in(tmp_path, *stage)
    assert all(run_id in str(e.value) for run_id in twins)
    assert not (tmp_path / "models").exists()


def test_running_a_stage_again_gives_the_same_bytes(
    pipeline_folder: Path, run_stage_in: Callable[..., None], tmp_path: Path
) -> None:
    """From the same runs: features, out-of-fold predictions and the estimators of a bundle."""
    for name in ("pipeline", "data"):
        (tmp_path / name).symlink_to(pipeline_folder / name)
    run_stage_in(tmp_path, "featurize", "neuron", "neuron")  # a name twice is one family
    run_stage_in(tmp_path, "converges")
    run_stage_in(tmp_path, "fit", "linear_models")
    for path in (
        Path("features/neuron/examples.parquet"),
        Path("features/neuron/features.json"),
        Path("models/linear_models/linear/out_of_fold.parquet"),
        Path("models/linear_models/linear/neuron-causal/time.skops"),
        Path("models/linear_models/linear/neuron-causal/converges.ubj"),
    ):
        assert (tmp_path / path).read_bytes() == (pipeline_folder / path).read_bytes(), path


def test_neither_workers_nor_a_cluster_change_a_byte_of_the_models(
    pipeline_folder: Path, run_stage_in: Callable[..., None], tmp_path: Path
) -> None:
    for name in ("pipeline", "data", "features"):
        (tmp_path / name).symlink_to(pipeline_folder / name)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "converges").symlink_to(pipeline_folder / "models" / "converges")
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        on_cluster = ("--backend", "dask", "--scheduler", cluster.scheduler_address)
        for how in (("--jobs", "2"), on_cluster):
            for kind in ("trees", "baselines"):
                run_stage_in(tmp_path, "fit", kind, *how)
                for path in (pipeline_folder / "models" / kind).rglob("*.*"):
                    found = tmp_path / path.relative_to(pipeline_folder)
                    assert found.read_bytes() == path.read_bytes(), (how, found)


def test_more_rows_than_memory_is_allowed_for_are_fitted_batch_by_batch(
    pipeline_folder: Path,
    run_stage_in: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    examples: pd.DataFrame,
) -> None:
    (tmp_path / "pipeline").mkdir()
    params = load_params(pipeline_folder / "pipeline" / "params.yaml")
    primary = examples[(examples["target_kind"] == "epsilon") & ~examples["locked"]]
    half = len(primary) // 2
    limited = merged(params, {"fit": {"rows_in_memory": half}})
    write_params(tmp_path / "pipeline" / "params.yaml", limited)
    for name in ("data", "features"):
        (tmp_path / name).symlink_to(pipeline_folder / name)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "converges").symlink_to(pipeline_folder / "models" / "converges")
    run_stage_in(tmp_path, "fit", "linear_models")
    said = capsys.readouterr().err
    assert re.search(
        rf"family neuron: [\d,]+ of {len(primary):,} rows of examples fit in memory", said
    )
    bundle = load_bundle(tmp_path / "models" / "linear_models" / "linear" / "neuron-causal")
    assert 0 < bundle.manifest.training["n_rows"] <= half
    in_fold = read_table(tmp_path / "models" / "linear_models" / "linear" / "out_of_fold.parquet")
    assert set(in_fold["run_id"].to_pylist()) < set(primary["run_id"])
    monkeypatch.chdir(tmp_path)
    settings = parse_settings(FitSettings, limited["fit"], "fit")
    seen = pa.concat_tables(read_training_examples(FAMILY, settings).parts()).to_pandas()
    assert len(seen) == len(primary)
    assert not seen["locked"].any()
    assert set(seen["target_kind"]) == {"epsilon"}
