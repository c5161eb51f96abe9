"""Ways to start `dvc repro`, and what lives below it."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil

from kills.project import KillError, Project

#: Seconds that anything may take before it counts as hung.
PATIENCE = 600.0


class Run(Protocol):
    """A `dvc repro` that was started as the leader of a group of its own."""

    pid: int
    log: Path

    def wait(self, seconds: float) -> int | None:
        """Return the exit code; None if it still runs after so many seconds."""


class Launcher(Protocol):
    """Starts `dvc repro` in a project."""

    def start(self, project: Project, *targets: str) -> Run: ...


class _Started:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.pid, self.log = process.pid, log

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class Commands:
    """Starts DVC as a person would."""

    def start(self, project: Project, *targets: str, log: str = "log.txt") -> Run:
        path = project.folder / log
        command = [sys.executable, "-m", "dvc", "repro", *targets]
        with path.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=project.folder,
                env=project.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return _Started(process, path)


class _Forked:
    def __init__(self, zygote: subprocess.Popen[bytes], log: Path) -> None:
        self._zygote, self._code, self.log = zygote, None, log
        self.pid = self._number(PATIENCE)

    def wait(self, seconds: float) -> int | None:
        if self._code is None:
            self._code = self._number(seconds)
        return self._code

    def _number(self, seconds: float) -> Any:
        """Read one of the two answers: the process id, the exit code."""
        assert self._zygote.stdout is not None
        if not select.select([self._zygote.stdout], [], [], seconds)[0]:
            return None
        line = self._zygote.stdout.readline()
        if not line:
            raise KillError(f"the process to fork from died; see {self.log}")
        return int(line)


class Preloaded:
    """Forks DVC and its stages from a process that has imported them."""

    def __init__(self, project: Project, jobs: int) -> None:
        program = Path(__file__).with_name("zygote.py")
        self._zygote = subprocess.Popen(
            [sys.executable, str(program), str(jobs)],
            cwd=project.folder,
            env=project.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def start(self, project: Project, *targets: str) -> Run:
        log = project.folder / "log.txt"
        log.write_bytes(b"")
        order = {"folder": str(project.folder), "log": str(log), "targets": targets}
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order).encode() + b"\n")
        return _Forked(self._zygote, log)

    def close(self) -> None:
        self._zygote.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def preloaded(project: Project, jobs: int) -> Iterator[Preloaded]:
    """Yield a launcher that forks; its stages have so many workers."""
    launcher = Preloaded(project, jobs)
    try:
        yield launcher
    finally:
        launcher.close()


def below(pid: int) -> list[psutil.Process]:
    """Return the living descendants of a process."""
    try:
        family = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in family if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kind_of(process: psutil.Process, dvc: int) -> str:
    """Say what a descendant of DVC is: a stage, a worker, or a helper of the workers."""
    with contextlib.suppress(psutil.Error):
        words = " ".join(process.cmdline())
        if "popen_loky" in words:
            return "worker"
        if "resource_tracker" in words:
            return "helper"
        if process.ppid() == dvc:
            return "stage"
    return "other"
