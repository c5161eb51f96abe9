"""The command `explain`, completion, and what `--help` shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochs_left.cli import explain_run
from epochs_left.cli.light_imports import light_imports
from epochs_left.statistics.scales import SCALES

PACKAGE_ROOT = Path(__file__).parents[2] / "pipeline"
EXAMPLES = Path(__file__).parents[2] / "data" / "examples"
RELEASED = PACKAGE_ROOT / "epochs_left" / "released" / "predictor"
ROWS = "".join(f"{run},{t},{0.9**t},0.1,{0.3 * 0.9**t}\n" for run in ("a", "b") for t in range(20))
LOG = "run_id,epoch,loss,lr,grad_norm\n" + ROWS


@pytest.fixture
def log(place: Path) -> Path:
    path = place / "x.csv"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize("model", ["xgboost/neuron-causal", "linear-causal"])
def test_the_answer_is_that_of_predict(cli: Any, log: Path, model: str) -> None:
    done = cli("explain", "-i", log, "--run", "b", "--at", "7", "-m", model, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    predicted = cli("predict", "-i", log, "--at", "7", "-m", model, "--json").out.splitlines()
    assert found["answer"] == json.loads(predicted[1]) | {"reason": found["answer"]["reason"]}
    features = [item for group in found["groups"] for item in group["features"]]
    total = sum(item["contribution"] for item in features)
    assert found["value"] == pytest.approx(found["base"] + total + found["left_over"])


def test_the_text_names_groups_values_and_what_is_missing(cli: Any, log: Path) -> None:
    log.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in LOG.splitlines()))
    done = cli("explain", "-i", log, "--run", "a")
    assert done.code == 0
    head = done.out.splitlines()[0]
    assert head.startswith("Run a at epoch 19: ")
    assert "epochs left, from " in head
    assert "Slope of log loss over the last 1, 4 and 16 epochs" in done.out
    assert "The log does not say, and the model would use:\n  grad_norm: L2 norm" in done.out
    assert " x" in done.out


@pytest.mark.parametrize("model", ["xgboost/neuron-causal", "linear-causal"])
@pytest.mark.parametrize("least", [0.0, 0.01, 0.2, 2.0])
def test_the_lines_of_the_text_add_up_to_the_answer(
    cli: Any, log: Path, monkeypatch: pytest.MonkeyPatch, model: str, least: float
) -> None:
    """Those of the groups, and those of the features of each group."""
    monkeypatch.setattr("epochs_left.cli.explain_run._SHOWN_SHARE", least)
    done = cli("explain", "-i", log, "--run", "a", "--at", "9", "-m", model)
    head, body = done.out.split("\n\n")[1:3]
    total = float(next(line for line in head.splitlines() if "below" in line).split()[-2])
    groups: list[list[float]] = []
    for line in body.splitlines():
        size, text = float(line[:8]), line[17:] if line[8:].startswith("  x") else line[8:]
        if text.startswith("    "):
            groups[-1].append(size)
        else:
            groups.append([size])
    assert sum(group[0] for group in groups) == pytest.approx(total, abs=5e-4 * (len(groups) + 1))
    for first, *members in groups:
        if members:
            assert sum(members) == pytest.approx(first, abs=5e-4 * (len(members) + 1))
    others = sum(line.endswith("  all others") for line in body.splitlines())
    assert (others > 0) is (least > 0)


def test_a_plateau_can_be_explained(cli: Any, log: Path) -> None:
    goal = ("-m", "plateau-causal", "--plateau", "0.003", "--horizon", "79")
    done = cli("explain", "-i", log, "--run", "a", *goal, "--json")
    assert done.code == 0
    assert json.loads(done.out)["plateau"] == 0.003


def test_the_only_run_needs_no_name(cli: Any, log: Path) -> None:
    log.write_text("".join(line for line in LOG.splitlines(True) if not line.startswith("b")))
    assert cli("explain", "-i", log).out == cli("explain", "-i", log, "--run", "a").out


def test_without_a_prediction_it_says_why(cli: Any, log: Path) -> None:
    done = cli("explain", "-i", log, "--run", "a", "--at", "0")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "Run a at epoch 0: no prediction"
    assert lines[1].startswith("insufficient_history: fewer than 2 epochs")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "the log has several runs, 'a', 'b', ...; name one with --run"),
        (("--run", "aa"), 3, "x.csv: no rows of run 'aa', did you mean 'a'?"),
        (("--run", "a", "--at", "x"), 2, "--at: expected an epoch"),
        (("--run", "a", "--plateau", "0.1"), 4, "was not trained on plateaus"),
        (("--run", "a", "-m", "plateau-causal"), 2, "has no target of its own"),
        (("--run", "a", "-m", "xgboost-oracle"), 4, "of the oracle view"),
        (("--run", "a", "--target", "1", "--strict"), 2, "leave out --strict"),
        (("--run", "a", "--metric", "los"), 3, "missing columns ['los']"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    cli: Any, log: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = cli("explain", "-i", "x.csv", *arguments)
    assert done.code == code
    assert message in done.error


@pytest.mark.parametrize(
    "command", [("predict",), ("explain",), ("models", "list"), ("models", "show")]
)
def test_every_command_shows_examples(cli: Any, command: tuple[str, ...]) -> None:
    done = cli(*command, "--help")
    assert done.code == 0
    assert "Examples" in done.out
    assert f"epochs-left {' '.join(command)}" in done.out


def completed(place: Path, **variables: str) -> str:
    """What the program prints for a shell."""
    done = subprocess.run(
        [sys.executable, "-m", "epochs_left.cli"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), **variables},
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script(place: Path, shell: str) -> None:
    script = completed(place, _EPOCHS_LEFT_COMPLETE=f"source_{shell}")
    assert "epochs-left" in script
    assert "_EPOCHS_LEFT_COMPLETE" in script


def test_names_of_bundles_complete(place: Path) -> None:
    line = "epochs-left predict -m l"
    found = completed(place, _EPOCHS_LEFT_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD="3")
    assert found.split() == ["linear-causal", "loss-causal"]


def test_pandas_is_hidden_for_the_time_of_a_block_alone() -> None:
    script = (
        "import importlib.util, sys\n"
        f"sys.path.insert(0, {str(PACKAGE_ROOT)!r})\n"
        "from epochs_left.cli.light_imports import light_imports\n"
        "with light_imports():\n"
        "    try: import pandas; print('there')\n"
        "    except ImportError: print('hidden')\n"
        "import pandas; print('there')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["hidden", "there"]


def test_pandas_that_is_imported_stays() -> None:
    import pandas  # noqa: PLC0415

    with light_imports():
        import pandas as again  # noqa: PLC0415
    assert again is pandas


def test_help_offers_completion(cli: Callable[..., Any]) -> None:
    assert "--install-completion" in cli("--help").out


def test_every_scale_of_a_model_has_words() -> None:
    assert set(explain_run._SCALES) == set(SCALES)


@pytest.mark.parametrize(
    "goal",
    [("--target", "1e-6"), ("--plateau", "0.01", "--horizon", "200")],
    ids=["loss", "plateau"],
)
def test_what_is_released_can_be_explained(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch, goal: tuple[str, ...]
) -> None:
    """By the real bundles of the package, whose scales are not those of the small ones."""
    if not RELEASED.is_dir():
        pytest.skip("nothing is released")
    monkeypatch.setenv("EPOCHS_LEFT_MODEL", str(RELEASED))
    done = cli("explain", "-i", str(EXAMPLES / "units.csv"), "--run", "slow", *goal)
    assert done.code == 0, done.err
    assert "predicted" in done.out
