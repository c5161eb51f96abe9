"""A full disk at every stage: exit 5, one line, every old output whole; with room again, done."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kills import Project, families, few_runs

from epochs_left.storage.params import load_params, write_params

#: Outputs of each stage, as the pipeline has them.
OUTPUTS = {
    "simulate neuron": ("data/runs/neuron",),
    "branch neuron": ("data/branches/neuron.parquet",),
    "featurize neuron": ("features/neuron",),
    "converges": ("models/converges/neuron",),
    "fit linear_models": (
        "models/linear_models/linear/neuron-causal",
        "models/linear_models/linear/neuron-oracle",
        "models/linear_models/linear/out_of_fold.parquet",
    ),
    "pool": (
        "models/pooled/threshold",
        "models/pooled/plateau",
        "models/pooled/out_of_fold.parquet",
    ),
    "evaluate": ("reports/results", "reports/metrics.json"),
    "report": ("reports/index.html", "reports/pictures"),
}
OTHER_FAMILIES = {
    f"simulate {family}": (f"data/runs/{family}",) for family in families() if family != "neuron"
}
STAGES = {**OUTPUTS, **OTHER_FAMILIES}

#: Folders that are replaced as a whole: of their files, all are old or all are new.
WHOLE = (
    "data/runs/",
    "models/converges/",
    "models/linear_models/linear/neuron-",
    "models/pooled/threshold",
    "models/pooled/plateau",
)

PAGE = os.sysconf("SC_PAGE_SIZE")
OLD = b"what an earlier run made\n"
OLD_SHA256 = hashlib.sha256(OLD).hexdigest()

HANDFUL = {"runs": 4, "runs_per_shard": 2, "max_epochs": 1}

Outcomes = dict[tuple[str, str], dict[str, Any]]


def in_own_mounts() -> list[str] | None:
    """Return the command that gives a program mounts of its own; None where that is refused."""
    if shutil.which("unshare") is None:
        return None
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        trial = [*command, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/mnt"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return command
    return None


def files_of(folder: Path, outputs: tuple[str, ...]) -> list[Path]:
    paths = [folder / output for output in outputs]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return [file for file in files if file.is_file()]


def make_case(pipeline: Path, folder: Path, stage: str) -> None:
    """Copy a pipeline that has run, and put old outputs in the place of the stage's."""
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns(".work"))
    params = few_runs(load_params(folder / "pipeline" / "params.yaml"), HANDFUL)
    write_params(folder / "pipeline" / "params.yaml", params)
    for output in STAGES[stage]:
        (folder / output).parent.mkdir(parents=True, exist_ok=True)
        if not files_of(folder, (output,)):
            (folder / output).mkdir()
            (folder / output / "manifest.json").touch()
    for file in files_of(folder, STAGES[stage]):
        file.write_bytes(OLD)


def largest(pipeline: Path, stage: str) -> int:
    """Bytes of the largest file that a stage writes; a page where that is not known."""
    return max((file.stat().st_size for file in files_of(pipeline, STAGES[stage])), default=4096)


def cases_of(pipeline: Path, root: Path) -> Iterator[dict[str, Any]]:
    """Yield for each stage a limit on the size of files, and a file system without enough room."""
    for number, stage in enumerate(STAGES):
        half = largest(pipeline, stage) // 2
        mount = STAGES[stage][0].partition("/")[0]
        # Room comes in pages: what fills none is refused by a disk without any.
        room = half if half >= PAGE else 0
        for how in ({"limit": half}, {"room": room, "mount": mount}):
            folder = root / f"{number}-{next(iter(how))}"
            make_case(pipeline, folder, stage)
            yield {"folder": str(folder), "stage": stage.split(), **how}


@pytest.fixture(scope="module")
def outcomes(pipeline_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What every stage did, by stage and by what there was too little of."""
    prefix = in_own_mounts()
    cases = list(cases_of(pipeline_folder, tmp_path_factory.mktemp("full")))
    if prefix is None:
        cases = [case for case in cases if "limit" in case]
    program = [sys.executable, str(Path(__file__).with_name("full_disk.py")), json.dumps(cases)]
    done = subprocess.run(
        [*(prefix or []), *program], capture_output=True, text=True, check=False, timeout=900
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(cases), done.stderr
    return {
        (" ".join(case["stage"]), "limit" if "limit" in case else "room"): line
        for case, line in zip(cases, lines, strict=True)
    }


def assert_old_is_whole(outcome: dict[str, Any], stage: str, expected: dict[str, str]) -> None:
    assert outcome["code"] == 5, outcome["said"]
    assert outcome["said"].startswith("epochs-left: error: ")
    assert outcome["said"].count("\n") == 1
    assert not [name for name in outcome["found"] if ".tmp" in name]
    found = {
        name: sha256 for name, sha256 in outcome["found"].items() if name.startswith(STAGES[stage])
    }
    assert OLD_SHA256 in found.values()
    for name, sha256 in found.items():
        assert sha256 == OLD_SHA256 or sha256 == expected.get(name), name
    for output in STAGES[stage]:
        if output.startswith(WHOLE):
            assert (
                len({found[name] == OLD_SHA256 for name in found if name.startswith(output)}) == 1
            )


@pytest.mark.parametrize("stage", STAGES)
def test_a_file_that_grows_too_large_leaves_the_old_outputs_whole(
    outcomes: Outcomes, pipeline_folder: Path, stage: str
) -> None:
    outcome = outcomes[stage, "limit"]
    assert "File too large" in outcome["said"]
    assert_old_is_whole(outcome, stage, Project(pipeline_folder).hashes())
    code, said = outcome["later"]
    assert code == 0
    # a simulation says what it has made
    assert re.fullmatch(r"(epochs-left: \w+: [\d,]+ runs .*\n)?", said)
    assert bool(said) == stage.startswith("simulate")


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_leaves_the_old_outputs_whole(
    outcomes: Outcomes, pipeline_folder: Path, stage: str
) -> None:
    if (stage, "room") not in outcomes:
        pytest.skip("no file system can be mounted here")
    outcome = outcomes[stage, "room"]
    assert "No space left on device" in outcome["said"]
    assert_old_is_whole(outcome, stage, Project(pipeline_folder).hashes())
