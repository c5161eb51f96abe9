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
    EVEN,
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
            "max_epochs": 100_000,
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


def with_nonsense(frame: pd.DataFrame) -> pd.DataFrame:
    """Add twins of every run that take for ever: locked, and towards a plateau."""
    names = {name: "locked " + frame[name] for name in ("run_id", "lineage_id")}
    for_ever = frame.assign(converged=True, remaining=50_000.0)
    locked = for_ever.assign(locked=True, **names)
    of_plateaus = for_ever.assign(target_kind="plateau", target=np.nan, plateau=0.01)
    return pd.concat([frame, locked, of_plateaus], ignore_index=True)


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
    mixed = {name: with_nonsense(frame) for name, frame in frames.items()}
    entries = held_out_families(context(folder, mixed))
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
    return entries_of(tmp_path_factory.mktemp("apart"), {"mlp": 2.0, "resnet": -1.5})


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


def test_locked_runs_and_plateaus_are_neither_scored_nor_learnt_from(
    alike: dict[str, dict[str, Any]],
) -> None:
    """They take 50,000 epochs: the other tests, too, fail when they are among the others."""
    for seed, name in enumerate(NAMES):
        scored = rows_of(name, 0.0, seed).query("converged and remaining > 0")
        assert alike[name]["n_rows"] == len(scored)
        assert alike[name]["n_runs"] == scored["run_id"].nunique()
        assert alike[name]["n_lineages"] == scored["lineage_id"].nunique()
        assert alike[name]["median_relative_error"] < 1


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
        assert len(entry["answers"]) == 8


def test_what_is_not_held_lies_on_either_side(apart: dict[str, dict[str, Any]]) -> None:
    for entry in apart.values():
        for found in (entry, *entry["answers"], *entry["parts"]):
            held = found["coverage"]
            held = held["estimate"] if isinstance(held, dict) else held
            assert held + found["sooner"] + found["later"] == pytest.approx(1)
    mlp, resnet = (answer(apart[name], AS_MEASURED) for name in ("mlp", "resnet"))
    assert mlp["later"] > 10 * mlp["sooner"]  # it lasts longer than the others
    assert resnet["sooner"] > 10 * resnet["later"]
    assert mlp["bias"] > 0.7  # 1.5 longer than the law, the others half a unit shorter on average
    assert resnet["bias"] < -0.7


def test_parts_are_some_of_the_rows_and_those_of_a_kind_are_all(
    alike: dict[str, dict[str, Any]],
) -> None:
    for entry in alike.values():
        parts = {part["part"]: part for part in entry["parts"]}
        assert not {"optimizer sgd", "target epsilon"} & set(parts)  # they are the whole family
        seen = [part for name, part in parts.items() if name.startswith("epochs seen")]
        assert sum(part["n_rows"] for part in seen) == entry["n_rows"]
        assert len(seen) == 2


@pytest.mark.parametrize("seed", [0, 10])
def test_intervals_are_wide_where_rows_are_hard(tmp_path: Path, seed: int) -> None:
    frames = {}
    for i, name in enumerate(NAMES):
        frame = rows_of(name, 0.0, seed + i)
        hard = frame["told"] > 0.5
        noise = np.random.default_rng([seed, i]).normal(size=len(frame))
        blur = np.where(hard, 1.0, 0.1) * noise
        left = np.log1p(frame["epoch"]) + frame["told"] + 2 + blur
        remaining = np.expm1(left.clip(0.7)).where(frame["converged"])
        kind = np.where(hard, "hard", "easy")
        frames[name] = frame.assign(remaining=remaining, activation=kind)
    for entry in held_out_families(context(tmp_path, frames)):
        parts = {part["part"]: part for part in entry["parts"]}
        hard, easy = (parts[f"activation {kind}"] for kind in ("hard", "easy"))
        assert hard["log_width"] > 1.7 * easy["log_width"]
        assert min(hard["coverage"]["estimate"], easy["coverage"]["estimate"]) > 0.75
        even = answer(entry, EVEN, "loss_only")["log_width"]
        assert easy["log_width"] < even < hard["log_width"]


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
    assert len(seen) == both * (families + pairs + FOLDS * families) + FOLDS
    assert all(not train & test for train, test in seen)


def test_two_families_leave_too_little_to_train_on(tmp_path: Path) -> None:
    frames = {name: rows_of(name, 0.0, 0) for name in NAMES[:2]}
    assert held_out_families(context(tmp_path, frames)) == []
