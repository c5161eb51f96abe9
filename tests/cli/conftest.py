"""Shared by the tests of the command line: bundles, a folder to work in, and the program."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from epochs_left.cli import main
from epochs_left.storage import bundle_choice
from epochs_left.storage.bundle_choice import PLATEAU, THRESHOLD
from epochs_left.storage.bundles import load_bundle, save_bundle
from epochs_left.storage.released import RELEASED_ID

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


@pytest.fixture(scope="session")
def both_goals(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle for each kind of goal, as the package brings one; read only."""
    folder = tmp_path_factory.mktemp("package") / "predictor"
    for goal, name in {THRESHOLD: "loss-causal", PLATEAU: "plateau-causal"}.items():
        small = load_bundle(models / name)
        manifest = replace(small.manifest, bundle_id=f"{RELEASED_ID}/{goal}", target=None)
        save_bundle(folder / goal, manifest, small.files)
    return folder


@pytest.fixture
def released(both_goals: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what the package brings: small bundles, whatever has been released."""
    monkeypatch.setattr(bundle_choice, "RELEASED", both_goals)
    return both_goals


@pytest.fixture
def cli(place: Path, released: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
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
