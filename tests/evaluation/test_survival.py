"""Survival scores of a predictor that knows the truth, and of the baselines."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import epochs_left.evaluation.survival as module
from epochs_left.evaluation.survival import MIN_EVENTS, Landmark, siblings_curves, survival
from epochs_left.schema import View

HERE = Path(__file__).parent
planted = runpy.run_path(str(HERE / "planted.py"))
known = runpy.run_path(str(HERE / "known_truth.py"))
KEY = ("xgboost", View.CAUSAL)


def context(frame: pd.DataFrame, **predictor: float) -> Any:
    models = [KEY, module.FAILURE_TIMES]
    knowing = known["Knowing"](**predictor)
    predictions = known["out_of_fold"](frame)
    return planted["context"](
        ["xgboost", "boosted_aft"],
        family="mlp",
        models=models,
        examples=frame,
        dictionary=planted["dictionary"]({"centre": "loss_level"}),
        out_of_fold=predictions.assign(
            **{"boosted_aft-causal": predictions["xgboost-causal"] * 1.01}
        ),
        predictors=dict.fromkeys(models, knowing),
    )


@cache
def scores(seed: int, **predictor: float) -> dict[tuple[str, int], dict[str, Any]]:
    entries = survival(context(known["examples"](seed, epochs=(1, 10)), **predictor))
    json.dumps(entries, allow_nan=False)
    return {(entry["model"], entry["at_epoch"]): entry for entry in entries}


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOREST", {**module.FOREST, "n_estimators": 10})


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_beats_the_forest_which_beats_siblings_that_tell_nothing(seed: int) -> None:
    pytest.importorskip("sksurv")
    found = scores(seed)
    assert {at for _, at in found} == {1, 10}
    for at in (1, 10):
        names = ("xgboost", "survival_forest", "siblings")
        truth, forest, siblings = (found[name, at] for name in names)
        brier = [entry["integrated_brier"]["estimate"] for entry in (truth, forest, siblings)]
        assert brier == sorted(brier)
        order = [entry["c_index"]["estimate"] for entry in (truth, forest, siblings)]
        assert order == sorted(order, reverse=True)
        assert order[0] > 0.8
        assert order[-1] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_p_costs_brier_score(seed: int) -> None:
    pytest.importorskip("sksurv")
    for at in (1, 10):
        truth, wrong = scores(seed)["xgboost", at], scores(seed, shift=2.0)["xgboost", at]
        assert truth["integrated_brier"]["estimate"] < wrong["integrated_brier"]["estimate"]


def test_failure_times_need_no_p() -> None:
    """The median with a normal spread is nearly the truth here, but for runs near the cap."""
    pytest.importorskip("sksurv")
    for at in (1, 10):
        entry, truth = scores(0)["failure_times", at], scores(0)["xgboost", at]
        assert entry["c_index"]["estimate"] == pytest.approx(truth["c_index"]["estimate"], abs=0.02)
        assert entry["integrated_brier"]["estimate"] < 0.1


def test_entries_count_what_they_are_of() -> None:
    frame = known["examples"](0)
    for (_, at), entry in scores(0).items():
        rows = frame[frame["locked"] & (frame["epoch"] == at)]
        assert entry["n_runs"] == len(rows) == 2 * entry["n_lineages"]
        assert entry["n_converged"] == rows["converged"].sum()
        assert entry["last_time"] < known["CAP"] - at


def test_without_scikit_survival_each_entry_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    entries = survival(context(known["examples"](0)))
    assert len(entries) > 3
    for entry in entries:
        assert entry["c_index"]["estimate"] is None
        assert entry["integrated_brier"]["estimate"] is None
        assert "pip install 'epochs-left[survival]'" in entry["missing"]


def test_a_landmark_of_few_events_is_left_out() -> None:
    frame = known["examples"](0)
    converged = frame[frame["converged"] & frame["locked"] & (frame["epoch"] == 10)].index
    few = frame.drop(converged[MIN_EVENTS - 1 :])
    assert {entry["at_epoch"] for entry in survival(context(few))} == {1}
    assert survival(context(frame[frame["epoch"] == 99])) == []


def kind(task: str, durations: list[float], cap: int = 50) -> pd.DataFrame:
    remaining = np.array(durations)
    named = {"task": task, "architecture": "a", "optimizer": "sgd", "epoch": 0, "max_epochs": cap}
    converged = remaining < cap
    return pd.DataFrame({**named, "remaining": remaining, "converged": converged})


def test_siblings_are_runs_of_the_same_kind_or_all_where_there_are_few() -> None:
    train = pd.concat([kind("fast", [2.0] * 20), kind("slow", [40.0] * 20), kind("rare", [9.0])])
    test = pd.concat([kind("slow", [30.0, 50.0]), kind("fast", [3.0, 4.0]), kind("rare", [5.0])])
    landmark = Landmark(at=0, train=train.reset_index(drop=True), test=test.reset_index(drop=True))
    vars(landmark)["times"] = np.array([1.0, 10.0, 45.0])
    curves = siblings_curves(landmark)
    np.testing.assert_allclose(curves[:2], [[1, 1, 0]] * 2)
    np.testing.assert_allclose(curves[2:4], [[1, 0, 0]] * 2)
    np.testing.assert_allclose(curves[4], [1, 20 / 41, 0])
