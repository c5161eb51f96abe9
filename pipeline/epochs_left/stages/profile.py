"""Stage profile: run the whole pipeline with other parameters, in a workspace of its own.

The workspace ``build/<profile>`` holds a copy of this checkout's code and dvc.yaml, and the
parameters with the profile's overrides. The stages run that copy, so that the checkout may be
edited meanwhile, and leave the checkout's outputs alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from epochs_left.errors import EpochsLeftError, UsageError
from epochs_left.stages._command import sole_writer, stage_parser
from epochs_left.stages._paths import REPORT
from epochs_left.stages.mend import mend
from epochs_left.storage.params import PARAMS, load_params, merged, write_params
from epochs_left.storage.tables import read_json, write_json
from epochs_left.storage.workspace import make_workspace

PROFILES = Path("pipeline/profiles")
#: File of a workspace with the seconds that ``dvc repro`` has taken there, over all runs.
ELAPSED = Path("elapsed.json")


def main() -> None:
    """Make the workspace of a profile and run ``dvc repro`` there."""
    parser = stage_parser(__doc__)
    known = sorted(path.stem for path in PROFILES.glob("*.yaml"))
    parser.add_argument("name", help=f"one of {', '.join(known)}")
    arguments = parser.parse_args()
    if arguments.name not in known:
        raise UsageError(f"expected one of the profiles {', '.join(known)}, got {arguments.name!r}")
    overrides = load_params(PROFILES / f"{arguments.name}.yaml")
    workspace = Path("build") / arguments.name
    with sole_writer(f"profile-{arguments.name}") as lock:
        make_workspace(workspace)
        write_params(workspace / PARAMS, merged(load_params(), overrides))
        mend(workspace)
        _reproduce(workspace, lock)
    print(f"report: {(workspace / REPORT).resolve()}")  # noqa: T201


def _reproduce(workspace: Path, lock: int) -> None:
    """Run ``dvc repro``, which keeps the lock on the workspace for as long as it lives."""
    # pipeline/python runs the stages with the environment that this one runs in.
    code = str((workspace / "pipeline").resolve())
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "PYTHONPATH": code}
    command = [sys.executable, "-m", "dvc", "repro"]
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=workspace, env=environment, pass_fds=[lock], check=False)
    finally:
        _add_time(workspace / ELAPSED, time.monotonic() - began)
    if done.returncode != 0:
        raise PipelineError(f"dvc repro failed in {workspace}; its messages stand above")


def _add_time(path: Path, seconds: float) -> None:
    """Add to the time that the workspace has taken: it may be made in several runs."""
    before = read_json(path)["seconds"] if path.exists() else 0.0
    write_json(path, {"seconds": before + seconds})


class PipelineError(EpochsLeftError):
    """A stage of the profile's pipeline failed and has said why."""
