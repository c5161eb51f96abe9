"""--set says of every run what a column of the log would say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from epochs_left.storage.bundle_choice import PLATEAU
from epochs_left.storage.released import RELEASED

STATED = {"lr": 0.1, "optimizer": "unheard-of", "lr_schedule": "constant", "momentum": 0.0}
OPTIONS = [part for name, value in STATED.items() for part in ("--set", f"{name}={value}")]
COMMANDS = {
    "predict": ["predict", "-i", "log.csv"],
    "explain": ["explain", "-i", "log.csv", "--json"],
    "validate": ["validate", "log.csv", "--json"],
    "watch": ["watch", "log.csv", "--once", "--json"],
    "backtest": ["backtest", "log.csv", "--target", "0.3", "--horizon", "20", "-o", "-"],
}


@pytest.fixture
def log(place: Path) -> Path:
    """A log of the loss alone, and beside it the same with columns that say the rest."""
    epoch = range(21)
    frame = pd.DataFrame({"epoch": epoch, "loss": [0.9**t for t in epoch]})
    frame.to_csv("log.csv", index=False)
    Path("said").mkdir()
    frame.assign(**STATED).to_csv("said/log.csv", index=False)
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_the_same_as_a_column(
    cli: Any, log: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = cli(*COMMANDS[command], *OPTIONS)
    plain = cli(*COMMANDS[command])
    monkeypatch.setenv("EPOCHS_LEFT_MODEL", str(log / "models" / "xgboost" / "neuron-causal"))
    monkeypatch.chdir(log / "said")
    written = cli(*COMMANDS[command])
    assert stated.code == written.code == 0, (stated, written)
    assert stated.out == written.out
    if command != "backtest":  # scores do not say why a row is unlike the training data
        assert stated.out != plain.out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("momentum", "expected NAME=VALUE, got 'momentum'"),
        ("=0.1", "expected NAME=VALUE"),
        ("momentum=fast", "momentum: expected a number from 0 on"),
        ("lr=0", "lr: expected a number above 0"),
        ("lr_scheduler=cosine", "did you mean 'lr_schedule'?"),
        ("horizon=30", "unknown setting 'horizon'"),
        ("epoch=3", "unknown setting 'epoch'"),
        ("lr_schedule=cosin", "did you mean 'cosine'?"),
        ("lr_schedule=wsd", "known: constant, cosine, linear, step, one_cycle, trapezoid"),
        ("lr_schedule=polynomial", "trapezoid, and such as step:0.3,0.6,0.8x0.2"),
        ("lr_schedule=step:1.5", "unknown schedule 'step:1.5'"),
    ],
)
def test_what_is_no_setting_is_refused(cli: Any, log: Path, text: str, told: str) -> None:
    found = cli("predict", "-i", "log.csv", "--set", text)
    assert found.code == 2
    assert told in found.error


def test_a_setting_is_stated_once(cli: Any, log: Path) -> None:
    found = cli("predict", "-i", "log.csv", "--set", "lr=0.1", "--set", "lr=0.2")
    assert found.code == 2
    assert "--set lr: given twice" in found.error


@pytest.mark.parametrize("column", ["lr", "learning_rate"])
def test_what_the_log_says_is_not_overruled(cli: Any, log: Path, column: str) -> None:
    frame = pd.read_csv("log.csv")
    frame.assign(**{column: 0.1}).to_csv("log.csv", index=False)
    found = cli("predict", "-i", "log.csv", "--set", "lr=0.2")
    assert found.code != 0
    assert f"the log says it in its column {column!r}" in found.error


def answers_of_plateaus(cli: Any, *options: str) -> list[dict[str, Any]]:
    """Ask the package's own predictor for the plateau of the log."""
    goal = ("-m", str(RELEASED / PLATEAU), "--plateau", "0.02", "--horizon", "60", "--json")
    done = cli("predict", "-i", "log.csv", "-q", *goal, *options)
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_stated_rate_is_no_recorded_one(cli: Any, log: Path) -> None:
    """A plateau is foreseen by what the rates do: one number for all epochs says nothing of it."""
    alone = answers_of_plateaus(cli)
    assert {row["reason"] for row in alone[2:]} == {"predicted from the loss alone"}
    assert answers_of_plateaus(cli, "--set", "lr=0.1") == alone
    Path("log.csv").write_text(Path("said/log.csv").read_text())
    frame = pd.read_csv("log.csv")
    frame[["epoch", "loss", "lr"]].to_csv("log.csv", index=False)
    recorded = answers_of_plateaus(cli)
    assert {row["reason"] for row in recorded[2:]} == {""}
    assert recorded[2:] != alone[2:]


@pytest.mark.parametrize("name", ["cosine", "step:0.3,0.6,0.8x0.2", "step:.4"])
def test_a_stated_schedule_needs_no_rate_for_a_plateau(cli: Any, log: Path, name: str) -> None:
    planned = answers_of_plateaus(cli, "--set", f"lr_schedule={name}")
    assert {row["reason"] for row in planned[2:]} == {""}
    with_rate = answers_of_plateaus(cli, "--set", f"lr_schedule={name}", "--set", "lr=0.25")
    for one, other in zip(planned[1:], with_rate[1:], strict=True):
        assert one["epochs_remaining"] == pytest.approx(other["epochs_remaining"], rel=1e-3)
