"""What a stage says when it cannot work: one line, and the exit code of its kind."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochs_left.errors import IntegrityError, UsageError
from epochs_left.simulation.networks import NETWORKS
from epochs_left.stages._command import run_stage, track
from epochs_left.storage.params import merged, write_params
from epochs_left.workloads import WORKLOADS

Fail = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, small_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parameters and nothing else, which a test works in."""
    (tmp_path / "pipeline").mkdir()
    write_params(tmp_path / "pipeline" / "params.yaml", small_params)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fail:
    """Run a stage that fails; return its exit code and what it said on stderr."""

    def run(name: str, *arguments: str) -> tuple[int, str]:
        module = importlib.import_module(f"epochs_left.stages.{name}")
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as caught:
            run_stage(module.main)
        captured = capsys.readouterr()
        assert captured.out == ""
        return int(caught.value.code or 0), captured.err

    return run


def assert_one_line(text: str, *parts: str) -> None:
    assert text.startswith("epochs-left: error: ")
    assert text.count("\n") == 1
    for part in parts:
        assert part in text


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("stage", "missing"),
    [
        (("featurize", "neuron"), "data/runs/neuron"),
        (("converges",), "features/neuron/features.json"),
        (("fit", "linear_models"), "data/runs/neuron"),
        (("evaluate", "--jobs", "1"), "features/neuron/examples.parquet"),
        (("report",), "reports/results"),
    ],
)
def test_missing_input_is_named(fail: Fail, stage: tuple[str, ...], missing: str) -> None:
    code, text = fail(*stage)
    assert code == 5
    assert_one_line(text, missing, "dvc repro")


@pytest.mark.parametrize("stage", [("simulate", "neuron"), ("fit", "linear_models"), ("evaluate",)])
def test_missing_parameters_are_named(folder: Path, fail: Fail, stage: tuple[str, ...]) -> None:
    (folder / "pipeline" / "params.yaml").unlink()
    code, text = fail(*stage)
    assert code == 5
    assert_one_line(text, "pipeline/params.yaml")


def test_evaluate_names_a_missing_bundle(pipeline_folder: Path, folder: Path, fail: Fail) -> None:
    for name in ("data", "features", "models"):
        shutil.copytree(pipeline_folder / name, folder / name)
    shutil.rmtree(folder / "models" / "trees" / "xgboost" / "neuron-causal")
    code, text = fail("evaluate", "--jobs", "1")
    assert code == 4
    assert_one_line(text, "xgboost/neuron-causal")


def test_damaged_features_are_found(pipeline_folder: Path, folder: Path, fail: Fail) -> None:
    for name in ("data", "features"):
        shutil.copytree(pipeline_folder / name, folder / name)
    path = folder / "features" / "neuron" / "examples.parquet"
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 10, len(data) - len(data) // 10, len(data) // 120):
        data[place] ^= 0x01  # a stage reads the columns that it needs, and finds damage there
    path.write_bytes(data)
    code, text = fail("fit", "linear_models", "--jobs", "1")
    assert code == 6
    assert_one_line(text, "examples.parquet is damaged")


@pytest.mark.parametrize(
    ("stage", "text", "message"),
    [
        (("simulate", "neuron"), "root_seed: 1\n", "params.yaml: neuron: expected a mapping"),
        (("simulate", "neuron"), "a: 1\na: 2\n", "duplicate key"),
        (("simulate", "neuron"), "- 1\n", "expected a mapping"),
        (("featurize", "neuron"), "root_seed: 1\n", "params.yaml: featurize: expected a mapping"),
        (("fit", "linear_models"), "root_seed: 1\n", "params.yaml: fit: expected a mapping"),
        (("evaluate",), "root_seed: 1\n", "params.yaml: evaluate: expected a mapping"),
    ],
)
def test_bad_parameter_files_are_a_usage_error(
    folder: Path, fail: Fail, stage: tuple[str, ...], text: str, message: str
) -> None:
    (folder / "pipeline" / "params.yaml").write_text(text)
    code, said = fail(*stage)
    assert code == 2
    assert_one_line(said, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": "1e-6"}, "neuron.epsilon: expected float, got '1e-6' (str)"),
        ({"run": 3}, "unknown key 'run', did you mean 'runs'"),
        ({"runs": 0}, "runs must lie in"),
        ({"lr": [2.0, 1.0]}, "lr must be [low, high]"),
    ],
)
def test_bad_parameters_are_a_usage_error(
    folder: Path,
    fail: Fail,
    small_params: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    neuron = {**small_params["neuron"], **change}
    write_params(folder / "pipeline" / "params.yaml", {**small_params, "neuron": neuron})
    code, text = fail("simulate", "neuron")
    assert code == 2
    assert_one_line(text, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"regressors": {"baselines": ["constant", "linear"]}},
            "fit.regressors.baselines: expected baselines alone, got linear; move it to linear_",
        ),
        (
            {"regressors": {"trees": ["xgboost"]}},
            "expected a kind of regressors (trees), got 'baselines'",
        ),
        (
            {"families": ["neuron", "neuron"]},
            "fit: families: expected no name twice, got neuron, neuron",
        ),
        (
            {"regressors": {"baselines": []}},
            "fit.regressors.baselines: expected a list with at least one item",
        ),
        (
            {"regressors": {"baselines": ["constat"]}},
            "unknown regressor 'constat', did you mean 'constant'",
        ),
    ],
)
def test_names_in_the_wrong_list_are_a_usage_error(
    folder: Path,
    fail: Fail,
    small_params: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    changed = {**small_params, "fit": {**small_params["fit"], **change}}
    write_params(folder / "pipeline" / "params.yaml", changed)
    code, text = fail("fit", "baselines")
    assert code == 2
    assert_one_line(text, message)


def test_a_missing_root_seed_is_a_usage_error(
    folder: Path, fail: Fail, small_params: dict[str, Any]
) -> None:
    del (params := dict(small_params))["root_seed"]
    write_params(folder / "pipeline" / "params.yaml", params)
    code, text = fail("simulate", "neuron")
    assert code == 2
    assert_one_line(text, "root_seed: expected int, got None")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (("simulate", "neurn"), "unknown workload 'neurn', did you mean 'neuron'"),
        (("fit", "tres"), "got 'tres', did you mean 'trees'"),
    ],
)
def test_unknown_names_get_the_nearest_one(
    fail: Fail, stage: tuple[str, ...], message: str
) -> None:
    code, text = fail(*stage)
    assert code == 2
    assert_one_line(text, message)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate",),
        ("simulate", "neuron", "--jobs", "0"),
        ("fit", "linear_models", "--jobs", "two"),
    ]
    + [("simulate", "neuron", "--chunk-runs", number) for number in ("0", "-1")],
)
def test_bad_arguments_are_a_usage_error(fail: Fail, arguments: tuple[str, ...]) -> None:
    assert fail(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(IntegrityError("x is damaged"), 6), (OSError(28, "No space left"), 5)],
)
def test_an_expected_failure_is_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def stage() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_stage(stage)
    assert caught.value.code == code
    assert_one_line(capsys.readouterr().err)


def test_an_interrupt_with_a_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def stage() -> None:
        raise KeyboardInterrupt("3 of 6 shards are kept")

    with pytest.raises(SystemExit) as caught:
        run_stage(stage)
    said = "epochs-left: interrupted: 3 of 6 shards are kept\n"
    assert (caught.value.code, capsys.readouterr().err) == (130, said)


INTERRUPTED = """
import signal, sys
from epochs_left.stages.__main__ import main
from epochs_left.stages._command import run_stage

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["stages", "simulate", "neuron", "--jobs", "2"]
run_stage(main)
"""


def test_an_interrupted_simulation_says_in_one_line_what_is_kept(
    folder: Path, small_params: dict[str, Any]
) -> None:
    many = merged(small_params, {"neuron": {"runs": 4_000, "runs_per_shard": 10}})
    write_params(folder / "pipeline" / "params.yaml", many)
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as stage:
        while not list(folder.glob("data/.work/neuron-*/*.json")):
            assert stage.poll() is None
            time.sleep(0.02)
        stage.send_signal(signal.SIGINT)
        code, said = stage.wait(timeout=60), stage.communicate()[1]
    assert code == 130
    assert said.count("\n") == 1
    assert re.match(r"epochs-left: interrupted: \d+ of \d{3} shards are kept in data/", said)
    assert not list((folder / "data").glob("runs/*"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("flags", [[], ["--no-progress"]])
def test_a_simulation_says_last_what_it_has_made(
    run_stage_in: Callable[..., None],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    run_stage_in(folder, "simulate", "neuron", *flags)
    said = capsys.readouterr()
    manifest = json.loads((folder / "data" / "runs" / "neuron" / "manifest.json").read_text())
    ends = r"(\d+) converged, (\d+) stuck, (\d+) capped, (\d+) diverged"
    place = r"[\d,]+ rows, \d+\.\d\d MB in data/runs/neuron"
    line = re.fullmatch(rf"epochs-left: neuron: 96 runs \({ends}\), {place}\n", said.err)
    assert line is not None, said.err
    assert sum(map(int, line.groups())) == 96
    assert f"{manifest['n_rows']:,} rows" in said.err
    assert said.out == ""


def test_help_names_the_command_the_families_and_what_chunks_are() -> None:
    command = [sys.executable, "-m", "epochs_left.stages", "simulate", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = " ".join(done.stdout.split())
    assert said.startswith("usage: python -m epochs_left.stages simulate [-h]")
    assert f"a workload family: {', '.join(WORKLOADS)}" in said
    assert "trains between two writes to disk" in said
    assert "the neuron knows no cuda" in said


@pytest.mark.usefixtures("folder")
def test_a_family_without_settings_is_told_where_to_write_them(fail: Fail, folder: Path) -> None:
    (folder / "pipeline" / "params.yaml").write_text("root_seed: 1\n")
    code, text = fail("simulate", "mlp")
    assert code == 2
    assert_one_line(text, "pipeline/params.yaml: mlp: expected a mapping, got None; add it to")


def test_a_family_without_its_arithmetic_is_told_which_file_to_write() -> None:
    with pytest.raises(UsageError, match=r"unknown network 'linear'.*simulation/networks/<family>"):
        NETWORKS["linear"]


@pytest.mark.parametrize("kind", ["folder", "binary"])
def test_parameters_that_are_no_text_are_one_line(folder: Path, fail: Fail, kind: str) -> None:
    path = folder / "pipeline" / "params.yaml"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"root_seed: 1\n\xff\xfe")
    code, text = fail("simulate", "neuron")
    assert code == {"folder": 5, "binary": 2}[kind]
    assert_one_line(text, "pipeline/params.yaml", "expected")


def test_an_interrupt_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    def stage() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run_stage(stage)
    assert (caught.value.code, capsys.readouterr().err) == (130, "")


def test_a_bug_keeps_its_traceback() -> None:
    def stage() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage(stage)


def test_progress_is_shown_on_a_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), 5, "work")) == list(range(5))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [[], ["simulat"], ["_paths"]])
def test_an_unknown_stage_is_a_usage_error(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "epochs_left.stages", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert_one_line(done.stderr, "evaluate, featurize, fit", "simulate")
