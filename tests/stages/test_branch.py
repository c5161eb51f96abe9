"""Stage branch, after stage simulate, in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from epochs_left.simulation.branching import BRANCHES
from epochs_left.stages import branch
from epochs_left.statistics.locking import locked_lineages
from epochs_left.storage.params import merged, write_params

RunStage = Callable[..., None]
FEW: dict[str, Any] = {"branch": {"states": 9, "branches": 3}, "featurize": {"locked_share": 0.5}}


@pytest.fixture(scope="module")
def branched(
    small_params: dict[str, Any], run_stage_in: RunStage, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the branches of a few neurons; read only."""
    folder = tmp_path_factory.mktemp("branched")
    (folder / "pipeline").mkdir()
    write_params(folder / "pipeline" / "params.yaml", merged(small_params, FEW))
    for stage in ("simulate", "branch"):
        run_stage_in(folder, stage, "neuron")
    return folder


def branches_in(folder: Path) -> Path:
    return folder / branch.BRANCHES / "neuron.parquet"


def test_every_state_is_branched_as_often_as_asked(branched: Path) -> None:
    table = pq.read_table(branches_in(branched))
    assert table.schema.equals(BRANCHES)
    states = set(zip(table["run_id"].to_pylist(), table["epoch"].to_pylist(), strict=True))
    assert len(states) > 3
    assert table["branch"].to_pylist() == [0, 1, 2] * len(states)


def test_no_state_is_of_a_locked_lineage(branched: Path) -> None:
    runs = pq.read_table(branched / "data/runs/neuron/runs.parquet")
    lineages = dict(zip(runs["run_id"].to_pylist(), runs["lineage_id"].to_pylist(), strict=True))
    found = [lineages[name] for name in pq.read_table(branches_in(branched))["run_id"].to_pylist()]
    assert not locked_lineages(found, FEW["featurize"]["locked_share"]).any()
    assert locked_lineages(lineages.values(), FEW["featurize"]["locked_share"]).any()


def test_the_same_runs_give_the_same_bytes(
    branched: Path, run_stage_in: RunStage, tmp_path: Path
) -> None:
    shutil.copytree(branched, tmp_path, dirs_exist_ok=True)
    branches_in(tmp_path).unlink()
    run_stage_in(tmp_path, "branch", "neuron")
    assert branches_in(tmp_path).read_bytes() == branches_in(branched).read_bytes()
