"""The run store: the same bytes whatever the workers, chunks and interruptions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from epochs_left.config import parse_settings
from epochs_left.errors import InputOutputError
from epochs_left.parallel import Progress, no_progress
from epochs_left.schema import RUNS, Outcome
from epochs_left.simulation import planning, runner
from epochs_left.simulation.devices import processor
from epochs_left.simulation.planning import identity_of
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.storage.locks import locked
from epochs_left.storage.run_store import RunStore
from epochs_left.workloads import WORKLOADS
from epochs_left.workloads.char_lm import CharLmSettings
from epochs_left.workloads.mlp import MlpSettings
from epochs_left.workloads.neuron import NeuronSettings

Build = Callable[..., NeuronSettings]


def simulate(
    root: Path, settings: NeuronSettings, progress: Progress = no_progress, **options: Any
) -> dict[str, Any]:
    return simulate_family(
        "neuron",
        settings,
        7,
        folder=root / "runs" / "neuron",
        work_root=root / "work",
        execution=Execution(**options),
        progress=progress,
    )


def file_hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def work_folder(root: Path) -> Path:
    (folder,) = [path for path in (root / "work").iterdir() if path.is_dir()]
    return folder


@pytest.fixture(scope="module")
def settings(neuron_settings: Build) -> NeuronSettings:
    return neuron_settings(runs=48, runs_per_shard=10)


@pytest.fixture(scope="module")
def expected(settings: NeuronSettings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of the files that one worker makes in one go."""
    root = tmp_path_factory.mktemp("expected")
    simulate(root, settings)
    return file_hashes(root / "runs" / "neuron")


@pytest.mark.parametrize("options", [{"jobs": 2}, {"chunk_runs": 1}, {"jobs": 2, "chunk_runs": 3}])
def test_files_have_the_same_bytes_for_any_workers_and_chunks(
    tmp_path: Path, settings: NeuronSettings, expected: dict[str, str], options: dict[str, int]
) -> None:
    simulate(tmp_path, settings, **options)
    assert file_hashes(tmp_path / "runs" / "neuron") == expected


def test_row_hash_is_repeatable_and_differs_for_other_runs(
    tmp_path: Path, settings: NeuronSettings, small_store: RunStore
) -> None:
    manifest = simulate(tmp_path, settings)
    assert simulate(tmp_path, settings)["data_sha256"] == manifest["data_sha256"]
    assert manifest["data_sha256"] != small_store.manifest["data_sha256"]


@pytest.mark.parametrize("suffix", [".parquet", ".runs", ".json"])
@pytest.mark.parametrize("damage", ["missing", "flipped", "truncated"])
def test_a_lost_or_damaged_shard_is_made_again(
    tmp_path: Path, settings: NeuronSettings, expected: dict[str, str], suffix: str, damage: str
) -> None:
    simulate(tmp_path, settings)
    path = work_folder(tmp_path) / f"epochs-0001{suffix}"
    data = bytearray(path.read_bytes())
    path.unlink()  # never in place: the published store holds the same file
    if damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    simulate(tmp_path, settings)
    assert file_hashes(tmp_path / "runs" / "neuron") == expected


def test_finished_shards_are_not_made_again(tmp_path: Path, settings: NeuronSettings) -> None:
    simulate(tmp_path, settings)
    path = work_folder(tmp_path) / "epochs-0000.parquet"
    before = path.stat()
    simulate(tmp_path, settings)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_killed_writers_left_is_removed(tmp_path: Path, settings: NeuronSettings) -> None:
    simulate(tmp_path, settings)
    (work_folder(tmp_path) / ".epochs-0000.parquet.0123456789ab.tmp").write_bytes(b"half")
    (tmp_path / "runs" / ".neuron.0123456789ab.tmp").mkdir()
    (tmp_path / "runs" / ".other.0123456789ab.tmp").mkdir()
    simulate(tmp_path, settings)
    assert not list(work_folder(tmp_path).glob(".*"))
    assert [path.name for path in (tmp_path / "runs").glob(".*")] == [".other.0123456789ab.tmp"]


def test_other_settings_leave_no_stale_work_behind(
    tmp_path: Path, settings: NeuronSettings, neuron_settings: Build
) -> None:
    simulate(tmp_path, settings)
    stale = work_folder(tmp_path)
    other_family = tmp_path / "work" / "neuron-wide-0123456789abcdef"
    other_family.mkdir()
    simulate(tmp_path, neuron_settings(runs=12))
    assert not stale.exists()
    assert other_family.exists()
    assert RunStore(tmp_path / "runs" / "neuron").runs().num_rows == 12


def test_a_second_simulation_of_the_same_output_is_refused(
    tmp_path: Path, settings: NeuronSettings
) -> None:
    (tmp_path / "work").mkdir()
    with (
        locked(tmp_path / "work" / "neuron.lock"),
        pytest.raises(InputOutputError, match="another process holds"),
    ):
        simulate(tmp_path, settings)
    simulate(tmp_path, settings)


FULL_DISK = """
import resource, sys
from pathlib import Path
from epochs_left.config import parse_settings
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.stages._command import run_stage
from epochs_left.storage.params import load_params, merged
from epochs_left.workloads.neuron import NeuronSettings

root, params = Path(sys.argv[1]), load_params(Path(sys.argv[2]))
values = merged(params["neuron"], {"runs": 24, "runs_per_shard": 24})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
run_stage(lambda: simulate_family(
    "neuron", parse_settings(NeuronSettings, values, "neuron"), 1,
    folder=root / "runs" / "neuron", work_root=root / "work", execution=Execution(),
))
"""


def test_full_disk_leaves_the_old_store_whole(
    tmp_path: Path, settings: NeuronSettings, expected: dict[str, str]
) -> None:
    simulate(tmp_path, settings)
    params = Path(__file__).parents[2] / "pipeline" / "params.yaml"
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(params)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == InputOutputError.exit_code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "File too large" in done.stderr
    assert file_hashes(tmp_path / "runs" / "neuron") == expected
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("place", ["runs", "work"])
def test_a_place_that_refuses_files_is_found_before_anything_is_trained(
    tmp_path: Path, settings: NeuronSettings, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(runner, "_trained", train)
    (tmp_path / place).touch()
    with pytest.raises(InputOutputError, match=f"cannot write .*/{place}: .*; any earlier"):
        simulate(tmp_path, settings)


def test_other_lanes_find_the_same_shards(tmp_path: Path, small_params: dict[str, Any]) -> None:
    def stores(lanes: int) -> tuple[dict[str, str], list[tuple[str, int]]]:
        values = {**small_params["char_lm"], "runs": 4, "lanes": lanes}
        simulate_family(
            "char_lm",
            parse_settings(CharLmSettings, values, "char_lm"),
            7,
            folder=tmp_path / "runs" / "char_lm",
            work_root=tmp_path / "work",
            execution=Execution(),
        )
        made = [(path.name, path.stat().st_mtime_ns) for path in work_folder(tmp_path).iterdir()]
        return file_hashes(tmp_path / "runs" / "char_lm"), sorted(made)

    assert stores(2) == stores(4)


def test_shards_of_another_processor_gpu_or_root_seed_are_others(
    settings: NeuronSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = identity_of("neuron", settings, 7, {}, "")
    assert (mine["device"], mine["processor"]) == ("cpu", processor())
    assert identity_of("neuron", settings, 8, {}, "") != mine
    on_gpus = [identity_of("neuron", settings, 7, {}, name) for name in ("H200", "A100")]
    assert [each["device"] for each in on_gpus] == ["cuda", "cuda"]
    assert on_gpus[0] != on_gpus[1]
    monkeypatch.setattr(planning, "processor", lambda: "another")
    assert identity_of("neuron", settings, 7, {}, "") != mine


def test_lanes_name_the_shards_of_a_gpu_alone(small_params: dict[str, Any]) -> None:
    """Which kernel a GPU's library takes may depend on the number of matrices."""
    few, many = (
        parse_settings(MlpSettings, {**small_params["mlp"], "lanes": lanes}, "mlp")
        for lanes in (2, 4)
    )
    assert identity_of("mlp", few, 7, {}, "") == identity_of("mlp", many, 7, {}, "")
    assert identity_of("mlp", few, 7, {}, "H200") != identity_of("mlp", many, 7, {}, "H200")


def test_an_interrupt_says_what_is_kept(
    tmp_path: Path, settings: NeuronSettings, expected: dict[str, str]
) -> None:
    def interrupting(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
        del description
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item
        raise AssertionError(total)

    with pytest.raises(KeyboardInterrupt, match=r"3 of 6 shards are kept in .*; repeat the comm"):
        simulate(tmp_path, settings, progress=interrupting)
    assert len(list(work_folder(tmp_path).glob("*.json"))) == 3
    simulate(tmp_path, settings)
    assert file_hashes(tmp_path / "runs" / "neuron") == expected


def test_the_plan_is_made_once(
    tmp_path: Path, settings: NeuronSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans, plan = [], WORKLOADS["neuron"].plan

    def note(*arguments: Any) -> pa.Table:
        plans.append(arguments)
        return plan(*arguments)

    monkeypatch.setattr(WORKLOADS["neuron"], "plan", note)
    simulate(tmp_path, settings)
    assert len(plans) == 1


def test_runs_say_how_they_ended(small_store: RunStore) -> None:
    runs = small_store.runs()
    assert runs.schema.equals(RUNS)
    lengths: dict[str, int] = {}
    losses: dict[str, float] = {}
    for name in small_store.shard_names():
        for rows in small_store.read(name):
            lengths |= dict(zip(rows.run_ids, rows.lengths.tolist(), strict=True))
            last = np.cumsum(rows.lengths) - 1
            losses |= dict(zip(rows.run_ids, rows.measures["loss"][last].tolist(), strict=True))
    for run in runs.to_pylist():
        assert lengths[run["run_id"]] == run["outcome_epoch"] + 1
        with np.errstate(over="ignore"):  # a diverged run's loss may not fit
            assert losses[run["run_id"]] == np.float32(run["final_loss"])
        if run["outcome"] == Outcome.CONVERGED:
            assert run["final_loss"] < run["epsilon"]
        if run["outcome"] == Outcome.CAPPED:
            assert run["outcome_epoch"] == run["max_epochs"]


def test_manifest_counts_what_the_store_holds(small_store: RunStore) -> None:
    manifest = small_store.manifest
    outcomes = small_store.runs()["outcome"].to_pylist()
    assert manifest["outcomes"] == {name: outcomes.count(name) for name in sorted(set(outcomes))}
    assert manifest["tensors"]["abs-unit"] == [["w1", [1]], ["w2", [1]], ["b", [1]]]
    assert manifest["tensors"]["relu-3"] == [["w", [3, 2]], ["b", [3]], ["a", [3]], ["c", [1]]]
    assert set(manifest["tensors"]) == set(small_store.runs()["architecture"].to_pylist())
    rows = sum(sum(part.lengths) for name in manifest["shards"] for part in small_store.read(name))
    assert (manifest["n_runs"], manifest["n_rows"]) == (96, rows)
    others = [path for path in small_store.folder.iterdir() if path.name != "manifest.json"]
    assert manifest["bytes"] == sum(path.stat().st_size for path in others)


def test_a_run_is_the_same_among_more_runs(
    tmp_path: Path, neuron_settings: Build, small_store: RunStore
) -> None:
    simulate(tmp_path, neuron_settings(runs=150))
    more = RunStore(tmp_path / "runs" / "neuron").runs()
    few = small_store.runs()
    kept = more.filter(pa.compute.is_in(more["run_id"], few["run_id"]))
    assert kept.sort_by("run_id").equals(few.sort_by("run_id"))
