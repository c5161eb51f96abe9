"""Processes end with the one that needs them, and no others do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PIPELINE = Path(__file__).parents[1] / "pipeline"

#: Seconds in which an orphan must have noticed, on a machine that others use too.
SOON = 5.0

STAGE = """
import os, sys, time
from pathlib import Path
from epochs_left.orphans import end_with_dvc

end_with_dvc()
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""

WORKER = """
import os, sys, time
from pathlib import Path
from epochs_left.orphans import end_with_parent

end_with_parent(int(sys.argv[2]))
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""

#: Starts a command and waits for it, as DVC and shells do; the arguments are the command.
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"

#: A shell that becomes its last command, as most do, and one that waits for it.
SHELLS = {"becomes it": 'exec "$0" "$@"', "waits for it": '"$0" "$@"; exit $?'}


def process_in(path: Path) -> int:
    """Wait until a process has written its id to a file; return it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("the process did not start")


def is_alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ends_soon(process: int) -> bool:
    deadline = time.monotonic() + SOON
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(process)


def environment(**more: str) -> dict[str, str]:
    mine = {name: text for name, text in os.environ.items() if not name.startswith("DVC_")}
    return {**mine, "VIRTUAL_ENV": sys.prefix, "PYTHONPATH": str(PIPELINE), **more}


def start(command: list[str], **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, *command], env=environment(**more), start_new_session=True
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path: Path, shell: str) -> None:
    """DVC sets DVC_STAGE for its commands; in between are its shell and pipeline/python."""
    note = tmp_path / "pid"
    script = ["sh", str(PIPELINE / "python"), "-c", STAGE, str(note)]
    prefix = ["env", "DVC_STAGE=fit@linear", "sh", "-c", SHELLS[shell]]
    with start([*prefix, *script]) as dvc:
        stage = process_in(note)
        dvc.send_signal(signal.SIGKILL)
    assert ends_soon(stage)


def test_a_stage_that_comes_to_life_after_its_dvc_died_ends_too(tmp_path: Path) -> None:
    """What started pipeline/python is noted there, before Python has been loaded."""
    note = tmp_path / "pid"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [sys.executable, "-c", STAGE, str(note)]
    late = environment(DVC_STAGE="report", EPOCHS_LEFT_STARTED_BY=str(gone.pid))
    with subprocess.Popen(command, env=late) as stage:
        assert stage.wait(SOON) == 1


def test_a_stage_started_by_hand_outlives_its_shell(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = ["sh", str(PIPELINE / "python"), "-c", STAGE, str(note)]
    with start(["nohup", *script]) as shell:
        stage = process_in(note)
        shell.send_signal(signal.SIGKILL)
    time.sleep(1.0)
    assert is_alive(stage)
    os.kill(stage, signal.SIGKILL)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with start(
        ["sh", "-c", f'exec "{sys.executable}" -c "$0" "$1" "$PPID"', WORKER, str(note)]
    ) as (parent):
        worker = process_in(note)
        parent.send_signal(signal.SIGKILL)
    assert ends_soon(worker)


def test_a_worker_whose_parent_died_before_it_began_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "pid"), "1"]
    with subprocess.Popen(command, env=environment()) as worker:
        assert worker.wait(SOON) == 1


def test_a_stage_lives_as_long_as_its_dvc(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = ["sh", str(PIPELINE / "python"), "-c", STAGE, str(note)]
    with start(["env", "DVC_STAGE=report", *command]) as dvc:
        stage = process_in(note)
        time.sleep(1.0)
        assert is_alive(stage)
        os.kill(stage, signal.SIGKILL)
        assert dvc.wait(SOON) == 0
