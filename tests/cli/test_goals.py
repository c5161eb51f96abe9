"""Losses and plateaus, asked of a folder with a bundle for either, and of the wrong bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LOG = "epoch,loss,task\n" + "".join(f"{t},{0.9**t},x\n" for t in range(20))
SWEEP = "run_id,epoch,loss\n" + "".join(
    f"{run},{t},{(0.5 + run / 30) ** t}\n" for run in range(8) for t in range(30)
)
#: Goals as they are asked for, by the bundle that is to answer.
ASKED = {
    "threshold": ("--target", "0.001"),
    "plateau": ("--plateau", "0.003", "--horizon", "79"),
}
ALONE = "was trained on plateaus alone; pass --plateau SHARE --horizon EPOCHS, or another bundle"


@pytest.fixture(autouse=True)
def logs(place: Path) -> None:
    (place / "x.csv").write_text(LOG)
    (place / "sweep.csv").write_text(SWEEP)


def model_id(text: str) -> str:
    """Return the bundle that answered, from the last line of JSON."""
    return str(json.loads(text.splitlines()[-1])["model_id"])


@pytest.mark.parametrize("goal", ASKED)
@pytest.mark.parametrize("where", ["-m folder", "-m released", "variable", "default"])
def test_the_bundle_for_the_goal_answers(
    cli: Any, both_goals: Path, monkeypatch: pytest.MonkeyPatch, goal: str, where: str
) -> None:
    model: tuple[str, ...] = ()
    if where == "variable":
        monkeypatch.setenv("EPOCHS_LEFT_MODEL", str(both_goals))
    elif where == "default":
        monkeypatch.delenv("EPOCHS_LEFT_MODEL")
    else:
        model = ("-m", str(both_goals) if where == "-m folder" else "released")
    options = (*ASKED[goal], *model, "-q")
    commands = [
        ("predict", "-i", "x.csv", "--at", "last", "--json"),
        ("watch", "x.csv", "--once", "--json"),
    ]
    for command in commands:
        done = cli(*command, *options)
        assert done.code == 0, done.err
        assert model_id(done.out) == f"released/{goal}"
    done = cli("explain", "-i", "x.csv", *options)
    assert (done.code, done.err) == (0, "")
    alone = ("-m", str(both_goals / goal))
    assert done.out == cli("explain", "-i", "x.csv", *ASKED[goal], *alone, "-q").out


@pytest.mark.parametrize("goal", ASKED)
def test_a_backtest_asks_the_bundle_for_its_goal(cli: Any, both_goals: Path, goal: str) -> None:
    asked = (*ASKED[goal][:2], "--horizon", "29", "-o", "-")
    done, alone = (
        cli("backtest", "sweep.csv", *asked, "-m", model)
        for model in (both_goals, both_goals / goal)
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["model"] == f"released/{goal}"
    assert done.out == alone.out


def test_validate_asks_the_bundle_of_losses(cli: Any, both_goals: Path) -> None:
    done = cli("validate", "x.csv", "-m", both_goals, "--json")
    assert done.code == 0, done.err
    assert done.out == cli("validate", "x.csv", "-m", both_goals / "threshold", "--json").out


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "-i", "x.csv", "--target", "0.1"),
        ("explain", "-i", "x.csv", "--target", "0.1"),
        ("watch", "x.csv", "--once", "--target", "0.1"),
        ("backtest", "sweep.csv", "--target", "0.1"),
        ("backtest", "sweep.csv", "--target-column", "config.goal"),
    ],
)
def test_a_loss_asked_of_a_bundle_of_plateaus_exits_4(cli: Any, command: tuple[str, ...]) -> None:
    done = cli(*command, "-m", "plateau-causal")
    assert done.code == 4
    assert f"bundle plateau-causal {ALONE}" in done.error


@pytest.mark.parametrize("command", [("predict", "-i"), ("explain", "-i"), ("watch",)])
def test_nothing_asked_of_a_bundle_of_plateaus_says_what_to_ask(
    cli: Any, command: tuple[str, ...]
) -> None:
    done = cli(*command, "x.csv", "-m", "plateau-causal")
    assert done.code == 2
    expected = "plateau-causal has no target of its own; pass --plateau SHARE --horizon EPOCHS"
    assert done.error.endswith(expected)


def test_nothing_asked_of_the_package_wants_either(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EPOCHS_LEFT_MODEL")
    done = cli("predict", "-i", "x.csv")
    assert done.code == 2
    assert "pass --target LOSS, or --plateau SHARE --horizon EPOCHS" in done.error


def test_a_plateau_asked_of_the_bundle_of_losses_exits_4(cli: Any, both_goals: Path) -> None:
    done = cli("predict", "-i", "x.csv", *ASKED["plateau"], "-m", both_goals / "threshold")
    assert done.code == 4
    assert "released/threshold was not trained on plateaus; pass --target LOSS" in done.error


def test_a_folder_without_the_bundle_of_the_goal_names_the_other(
    cli: Any, place: Path, both_goals: Path
) -> None:
    (place / "half").mkdir()
    (place / "half" / "threshold").symlink_to(both_goals / "threshold")
    assert cli("predict", "-i", "x.csv", *ASKED["threshold"], "-m", "half", "-q").code == 0
    done = cli("predict", "-i", "x.csv", *ASKED["plateau"], "-m", "half")
    assert done.code == 4
    assert "no bundle in half: it has no manifest.json; below it: half/threshold" in done.error
