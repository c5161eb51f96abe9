"""Shared by the tests of the command line: bundles, a folder to work in, and the program."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from epochs_left.cli import main

TESTS = Path(__file__).parents[1]
PACKAGE_ROOT = TESTS.parent / "pipeline"


@dataclass(frozen=True)
class Finished:
    """A command line that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr; nothing else was said anywhere."""
        assert not self.out
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("epochs-left: error: "), self.err
        return self.err.removeprefix("epochs-left: error: ").strip()


Cli = Callable[..., Finished]


@pytest.fixture(scope="session")
def models(bundles_folder: Path) -> Path:
    """A folder of bundles."""
    return bundles_folder


@pytest.fixture
def place(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty but for the bundles, of which one is the default."""
    (tmp_path / "models").symlink_to(models)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPOCHS_LEFT_MODEL", "xgboost/neuron-causal")
    return tmp_path


@pytest.fixture
def cli(place: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process."""

    def run(*arguments: str | Path) -> Finished:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Finished(code, out, err)

    return run


@pytest.fixture(scope="session")
def example_logs() -> dict[str, Any]:
    """The module that writes data/examples."""
    return runpy.run_path(str(TESTS / "cli" / "example_logs.py"))


@pytest.fixture
def start(place: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start the program in a process of its own, with pipes."""

    def popen(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | options
        command = [sys.executable, "-m", "epochs_left.cli", *map(str, arguments)]
        return subprocess.Popen(command, env=environment, cwd=place, **streams)

    return popen
