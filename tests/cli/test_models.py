from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from epochs_left.storage import bundle_choice


def test_the_list_has_a_line_a_bundle(cli: Any) -> None:
    done = cli("models", "list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["id", "default", "view", "title", "target", "features", "runs"]
    assert [line.split()[0] for line in lines[1:]] == [
        "released/threshold",
        "released/plateau",
        "linear-causal",
        "loss-causal",
        "params-causal",
        "plateau-causal",
        "xgboost-oracle",
        "xgboost/neuron-causal",
    ]
    rows = {row["id"]: row for row in json.loads(cli("models", "list", "--json").out)}
    assert list(rows) == [line.split()[0] for line in lines[1:]]
    assert [line.split()[0] for line in lines[1:] if line.split()[1] == "yes"] == [
        "xgboost/neuron-causal"
    ]
    goals = {line.split()[0]: line.split()[-4:-2] for line in lines[1:]}
    assert goals["released/threshold"] == ["any", "loss"]
    assert goals["released/plateau"] == goals["plateau-causal"] == ["a", "plateau"]
    assert goals["loss-causal"][-1] == "0.001"
    assert [name for name, row in rows.items() if row["target"] is None] == [
        name for name, goal in goals.items() if goal[-1] in {"loss", "plateau"}
    ]


def test_both_released_bundles_are_the_default_where_none_is_set(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EPOCHS_LEFT_MODEL")
    rows = json.loads(cli("models", "list", "--json").out)
    default = [row["id"] for row in rows if row["default"]]
    assert default == ["released/threshold", "released/plateau"]


def test_an_empty_list_says_how_to_fill_it(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_choice, "RELEASED", place / "nowhere")
    (place / "models").unlink()
    done = cli("models", "list")
    assert (done.code, done.out) == (0, "")
    assert "make reproduce" in done.err
    assert json.loads(cli("models", "list", "--json").out) == []


def test_a_broken_bundle_is_left_out_with_a_warning(cli: Any, place: Path, models: Path) -> None:
    (place / "models").unlink()
    (place / "models" / "broken").mkdir(parents=True)
    (place / "models" / "broken" / "manifest.json").write_text("{}")
    (place / "models" / "fine").symlink_to(models / "loss-causal")
    done = cli("models", "list")
    assert done.code == 0
    found = [line.split()[0] for line in done.out.splitlines()[1:]]
    assert found == ["released/threshold", "released/plateau", "loss-causal"]
    assert "left out broken: " in done.err


def test_show_names_what_the_bundle_needs_and_knows(cli: Any, models: Path) -> None:
    done = cli("models", "show", "xgboost/neuron-causal")
    assert done.code == 0
    for fact in ("causal", "log_grad_norm", "optimizers seen", "sgd", "interval, loss_only", "90%"):
        assert fact in done.out
    manifest = json.loads(cli("models", "show", models / "xgboost/neuron-causal", "--json").out)
    assert manifest == json.loads((models / "xgboost/neuron-causal" / "manifest.json").read_text())


def test_show_refuses_what_is_not_there(cli: Any) -> None:
    done = cli("models", "show", "absent")
    assert done.code == 4
    assert "`epochs-left models list` names all 8" in done.error
    assert len(done.error) < 200


@pytest.mark.parametrize(("goal", "target"), [("threshold", "any loss"), ("plateau", "a plateau")])
def test_show_takes_a_released_bundle_by_its_name(
    cli: Any, released: Path, goal: str, target: str
) -> None:
    done = cli("models", "show", f"released/{goal}")
    assert done.code == 0
    assert re.search(rf"^id +released/{goal}$", done.out, re.M)
    assert re.search(rf"^target +{target}$", done.out, re.M)
    shown = json.loads(cli("models", "show", f"released/{goal}", "--json").out)
    assert shown == json.loads((released / goal / "manifest.json").read_text())


def test_show_of_a_folder_with_both_names_them(cli: Any) -> None:
    done = cli("models", "show", "released")
    assert done.code == 4
    assert re.search(r"below it: \S+/plateau, \S+/threshold; pass one of them", done.error)
