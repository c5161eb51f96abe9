from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epochs_left.cli import models as models_commands


def test_the_list_has_a_line_a_bundle(cli: Any) -> None:
    done = cli("models", "list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["id", "default", "view", "title", "target", "features", "runs"]
    assert [line.split()[0] for line in lines[1:]] == [
        "released",
        "linear-causal",
        "loss-causal",
        "params-causal",
        "plateau-causal",
        "xgboost-oracle",
        "xgboost/neuron-causal",
    ]
    assert [row["id"] for row in json.loads(cli("models", "list", "--json").out)] == [
        line.split()[0] for line in lines[1:]
    ]
    assert [line.split()[0] for line in lines[1:] if line.split()[1] == "yes"] == [
        "xgboost/neuron-causal"
    ]
    assert lines[1].split()[-3] == lines[5].split()[-3] == "any"


def test_an_empty_list_says_how_to_fill_it(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_commands, "RELEASED", place / "nowhere")
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
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["released", "loss-causal"]
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
    assert "`epochs-left models list` names all 7" in done.error
    assert len(done.error) < 200
