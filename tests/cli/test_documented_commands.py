"""Every command of the documentation runs as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "data/examples/README.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SHELL = {"", "sh"}


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in BLOCK.findall((ROOT / page).read_text())]
    lines = [line for kind, block in blocks if kind in SHELL for line in block.splitlines()]
    return [line for line in lines if line.startswith("epochs-left ")]


def test_the_documentation_shows_every_command() -> None:
    assert {command.split()[1] for command in commands()} == {
        "predict",
        "models",
        "validate",
        "explain",
        "watch",
        "backtest",
        "report",
    }


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_runs(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EPOCHS_LEFT_MODEL")  # what people have is the released predictor
    (place / "data").symlink_to(ROOT / "data")
    (place / "reports" / "results" / "mlp").mkdir(parents=True)
    (place / "reports" / "results" / "mlp" / "scores.json").write_text("[]")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = (place / "eta.parquet", place / "reports" / "index.html")
    assert done.stdout or any(path.exists() for path in outputs)
