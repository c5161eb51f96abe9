"""A process that has imported DVC and every stage, and forks them on demand (`launch.Preloaded`).

Takes the number of workers that stages shall have. Reads one JSON object a line (folder, log,
targets); for each it forks a `dvc repro`, answers with its process id, and when it has ended with
its exit code. What the forked processes import on top is imported here before the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import dvc.cli
import dvc.stage.run
from dvc.stage.exceptions import StageCmdFailedError

from epochs_left.orphans import STARTED_BY, end_with_dvc
from epochs_left.registry import module_names
from epochs_left.stages.__main__ import main as stage_main
from epochs_left.stages._command import run_stage

#: Where forked processes say what they have imported.
IMPORTS = Path("imports.txt").resolve()


def main() -> None:
    for name in module_names("epochs_left.stages"):
        importlib.import_module(f"epochs_left.stages.{name}")
    dvc.stage.run._run = run_command
    cores = int(sys.argv[1])
    os.cpu_count = lambda: cores  # what a stage takes for the number of its workers
    for line in sys.stdin.buffer:
        import_seen()
        pid = fork(functools.partial(reproduce, json.loads(line)))
        answer(pid)
        answer(wait_for(pid))


def import_seen() -> None:
    """Import what processes of earlier runs had imported in the end."""
    if IMPORTS.exists():
        for name in sorted({*IMPORTS.read_text().split()} - {*sys.modules}):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        IMPORTS.unlink()


def answer(number: int) -> None:
    os.write(sys.__stdout__.fileno(), f"{number}\n".encode())


def fork(work: Callable[[], int]) -> int:
    """Fork a process that does the work and ends with its exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        end_with(work)
    return pid


def end_with(work: Callable[[], int]) -> NoReturn:
    """Do the work and what a Python process does at its end, but never return into the caller."""
    code = 1
    try:
        code = work()
        threading._shutdown()
        atexit._run_exitfuncs()
        with IMPORTS.open("a") as file:
            file.write("\n".join(["", *sys.modules, ""]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def reproduce(order: dict[str, Any]) -> int:
    """Be `dvc repro` in a session of its own, with its output in a file."""
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(order["folder"])
    return int(dvc.cli.main(["repro", *order["targets"]]))


def run_command(executable: str, cmd: str, *, cwd: str, env: dict[str, str], **_: object) -> None:
    """Do what DVC does to run a stage's command, by a fork."""
    environment = {**env, STARTED_BY: str(os.getpid())}
    code = wait_for(fork(lambda: be_stage(cmd, cwd, environment)))
    if code:
        raise StageCmdFailedError(cmd, code)


def be_stage(cmd: str, cwd: str, environment: dict[str, str]) -> int:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    words = shlex.split(cmd)
    sys.argv = words[words.index("epochs_left.stages") :]
    end_with_dvc()
    try:
        run_stage(stage_main)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


if __name__ == "__main__":
    main()
