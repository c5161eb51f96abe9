"""The examples run as they are and print an ETA a line (30 s, most of it imports)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "pytorch_loop.py": ("torch",),
    "lightning_eta.py": ("torch", "lightning"),
    "huggingface_eta.py": ("torch", "transformers", "accelerate"),
    "keras_eta.py": ("torch", "keras"),
}
#: As `Eta` is printed where something is known.
LINE = re.compile(r"^(?:epoch \d+: )?[\d.,e+]+ epochs? left \(.* at 90 %\), .*; converges with p")


def test_every_example_is_run_here_and_named_in_the_readme() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(NEEDS)
    readme = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"python examples/(\w+\.py)", readme)) == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < 60


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_runs_and_says_how_many_epochs_are_left(name: str, tmp_path: Path) -> None:
    absent = [module for module in NEEDS[name] if importlib.util.find_spec(module) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} is not installed; see examples/README.md")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if LINE.match(line)]) >= 5
    assert "0 epochs left: the loss has reached the target" in done.stdout
    assert not list(tmp_path.iterdir())
