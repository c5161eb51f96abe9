"""Families held out: what is planted comes out, and nothing of a family is seen."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import epochs_left.evaluation.held_out_families as module
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.held_out_families import (
    AS_MEASURED,
    FOLDS,
    UNSEEN,
    WIDENED,
    held_out_families,
)
from epochs_left.regressors._boosting import BOOSTING

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))
NAMES = ("char_lm", "mlp", "resnet")
RUNS = 60


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"n_estimators": 30, "learning_rate": 0.3, "max_depth": 3}.items():
            patch.setitem(BOOSTING, name, value)  # type: ignore[arg-type]
        yield


def rows_of(family: str, bias: float, seed: int, *, architecture: str = "same") -> pd.DataFrame:
    """Draw runs whose log ratio of epochs is a feature, give or take a bias of the family."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(RUNS), 5)
    epoch = np.tile([1, 5, 10, 20, 40], RUNS)
    told = rng.normal(0.5, 0.8, size=run.size)
    log_left = told + np.log1p(epoch) + bias + 0.3 * rng.normal(size=run.size)
    reached = rng.random(RUNS) < 0.8
    return pd.DataFrame(
        {
            "family": family,
            "run_id": [f"{family}{number}" for number in run],
            "lineage_id": [f"{family}{number // 2}" for number in run],
            "target_kind": "epsilon",
            "target": 0.1,
            "plateau": np.nan,
            "optimizer": "sgd",
            "activation": "relu",
            "architecture": architecture,
            "epoch": epoch,
            "remaining": np.where(reached[run], np.expm1(np.maximum(log_left, 0.7)), np.nan),
            "observed": 100.0 - epoch,
            "converged": reached[run],
            "locked": False,
            "sampled": True,
            "told": told.astype(np.float32),
            "hint": (reached[run] + 0.3 * rng.normal(size=run.size)).astype(np.float32),
        }
    )


def context(folder: Path, frames: dict[str, pd.DataFrame]) -> EvaluationContext:
    dictionary = planted["dictionary"]({"told": "loss_slopes", "hint": "loss_level"})
    dictionary[1]["loss_only"] = False
    families = {}
    for name, frame in frames.items():
        (folder / name).mkdir()
        pq.write_table(pa.Table.from_pandas(frame), folder / name / "examples.parquet")
        (folder / name / "features.json").write_text(json.dumps(dictionary))
        families[name] = planted["context"](["xgboost"], family=name)
        object.__setattr__(families[name], "features_folder", folder)
    any_family = planted["context"](["xgboost"])
    return EvaluationContext(
        families=families,
        stores={},
        settings=any_family.settings,
        root_seed=7,
        models_folder=folder,
    )


def entries_of(folder: Path, bias: dict[str, float], **labels: Any) -> dict[str, dict[str, Any]]:
    frames = {name: rows_of(name, bias.get(name, 0.0), i) for i, name in enumerate(NAMES)}
    for name, label in labels.items():
        frames[name] = frames[name].assign(architecture=label)
    entries = held_out_families(context(folder, frames))
    json.dumps(entries, allow_nan=False)
    return {entry["family"]: entry for entry in entries}


def answer(entry: dict[str, Any], interval: str, inputs: str = "all") -> dict[str, Any]:
    (found,) = (
        each
        for each in entry["answers"]
        if (each["inputs"], each["interval"]) == (inputs, interval)
    )
    return found


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return entries_of(tmp_path_factory.mktemp("alike"), {}, mlp="new")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return entries_of(tmp_path_factory.mktemp("apart"), {"mlp": 1.5, "resnet": -1.0})


def test_families_of_one_law_are_predicted_as_from_within(
    alike: dict[str, dict[str, Any]],
) -> None:
    assert set(alike) == set(NAMES)
    for entry in alike.values():
        assert entry["r2"] == pytest.approx(entry["in_family"]["r2"], abs=0.1)
        assert entry["r2"] > 0.75
        assert answer(entry, WIDENED)["auc"] > 0.9
        assert answer(entry, AS_MEASURED)["coverage"]["estimate"] > 0.8
        assert 0.8 < entry["in_family"]["coverage"] < 1


def test_a_name_that_no_other_family_has_widens_the_intervals(
    alike: dict[str, dict[str, Any]],
) -> None:
    assert alike["mlp"]["share_unlike"] == 1
    assert alike["resnet"]["share_unlike"] == alike["resnet"]["share_unlike_features"] < 0.3
    for entry in alike.values():
        narrow, wide = (answer(entry, kind, "loss_only") for kind in (AS_MEASURED, WIDENED))
        assert entry["coverage"] == wide["coverage"]["estimate"]
        assert wide["log_width"] >= narrow["log_width"]
    mlp = alike["mlp"]
    assert mlp["log_width"] > 1.5 * answer(mlp, AS_MEASURED, "loss_only")["log_width"]


def test_families_apart_are_not_covered_unless_other_families_warned(
    apart: dict[str, dict[str, Any]],
) -> None:
    for name in ("mlp", "resnet"):
        entry = apart[name]
        assert entry["r2"] < entry["in_family"]["r2"] - 0.1
        unseen, measured = (answer(entry, kind)["coverage"] for kind in (UNSEEN, AS_MEASURED))
        assert measured["estimate"] < 0.8
        assert unseen["estimate"] >= measured["estimate"]
    between = apart["char_lm"]  # it lies between those that warn of it
    assert answer(between, UNSEEN)["coverage"]["estimate"] > 0.95


def test_the_loss_alone_is_scored_too(alike: dict[str, dict[str, Any]]) -> None:
    for entry in alike.values():
        alone = answer(entry, UNSEEN, "loss_only")
        assert alone["r2"] == pytest.approx(entry["r2"], abs=0.1)
        assert answer(entry, UNSEEN)["auc"] > 0.9
        assert entry["auc"] == alone["auc"] < 0.7  # the hint is no matter of the loss
        assert len(entry["answers"]) == 6


def test_no_model_sees_a_row_of_the_family_that_it_is_scored_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[frozenset[float], frozenset[float]]] = []
    residual = module._Families.residual

    def spy(self: Any, availability: str, train: Any, test: Any) -> Any:
        lineage = self.pool.examples.lineage
        seen.append((frozenset(lineage[train].tolist()), frozenset(lineage[test].tolist())))
        return residual(self, availability, train, test)

    monkeypatch.setattr(module._Families, "residual", spy)
    entries_of(tmp_path, {})
    families, pairs, both = len(NAMES), len(NAMES) * (len(NAMES) - 1) // 2, 2
    assert len(seen) == both * (families + pairs + FOLDS * (families + 1))
    assert all(not train & test for train, test in seen)


def test_two_families_leave_too_little_to_train_on(tmp_path: Path) -> None:
    frames = {name: rows_of(name, 0.0, 0) for name in NAMES[:2]}
    assert held_out_families(context(tmp_path, frames)) == []
