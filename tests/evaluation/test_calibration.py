"""Calibration of predictors that know the truth, and of such that exaggerate."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.evaluation.calibration import MIN_RUNS, calibration, parts
from epochs_left.evaluation.convergence import AT_EPOCH, convergence
from epochs_left.evaluation.distributions import best_models, distribution
from epochs_left.schema import View

HERE = Path(__file__).parent
planted = runpy.run_path(str(HERE / "planted.py"))
known = runpy.run_path(str(HERE / "known_truth.py"))
KEY = ("xgboost", View.CAUSAL)
SEEDS = range(3)


def context(seed: int = 0, frame: pd.DataFrame | None = None, **predictor: float) -> Any:
    frame = known["examples"](seed) if frame is None else frame
    knowing = known["Knowing"](**predictor)
    built = planted["context"](
        ["xgboost"],
        family="mlp",
        models=[KEY],
        examples=frame,
        out_of_fold=known["out_of_fold"](frame),
        predictors={KEY: knowing},
    )
    vars(built)["forecasts"] = {KEY: built.forecast(KEY, built.locked)}
    return built


@cache
def found(seed: int, factor: float = 1.0) -> dict[str, Any]:
    result: dict[str, Any] = calibration(context(seed, factor=factor))
    json.dumps(result, allow_nan=False)
    return result


def whole(result: dict[str, Any]) -> dict[float, dict[str, Any]]:
    return {e["level"]: e for e in result["intervals"] if e["scope"] == "all"}


def test_intervals_that_are_true_hold_their_level() -> None:
    entries = [entry for seed in range(8) for entry in whole(found(seed)).values()]
    assert np.mean([entry["holds_level"] for entry in entries]) > 0.8
    for entry in entries:
        assert entry["coverage"]["lower"] <= entry["coverage"]["estimate"]
        assert entry["median_ratio"] == pytest.approx(np.exp(entry["median_width"]))


@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_that_are_too_narrow_or_too_wide_do_not(seed: int) -> None:
    for factor, below in ((0.5, True), (2.0, False)):
        for level, entry in whole(found(seed, factor)).items():
            assert entry["holds_level"] is False
            assert (entry["coverage"]["estimate"] < level) == below


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_has_the_best_scores(seed: int) -> None:
    for factor in (0.5, 2.0):
        for level, entry in whole(found(seed)).items():
            other = whole(found(seed, factor))[level]
            assert entry["interval_score"]["estimate"] < other["interval_score"]["estimate"]
        (truth,), (other,) = (r["distributions"] for r in (found(seed), found(seed, factor)))
        assert truth["crps"]["estimate"] < other["crps"]["estimate"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_has_a_flat_pit(seed: int) -> None:
    (truth,), (narrow,) = (r["distributions"] for r in (found(seed), found(seed, 0.5)))
    assert sum(truth["pit"]) == pytest.approx(1)
    assert max(truth["pit"]) < 0.17
    assert min(narrow["pit"][0], narrow["pit"][-1]) > 0.17


def test_parts_of_few_runs_are_left_out() -> None:
    frame = known["examples"](0)
    masks = parts("mlp", frame)
    assert {"all", "optimizer adam", "optimizer sgd"} <= set(masks)
    assert not any(name.startswith("architecture") for name in masks)  # there is one
    runs = frame["run_id"].unique()
    few = frame[frame["run_id"].isin(runs[: MIN_RUNS + 3])]
    assert "optimizer adam" not in parts("mlp", few)
    assert {e["scope"] for e in found(0)["intervals"] if e["level"] == 0.9} == set(masks)


def test_without_rows_there_is_nothing_to_say() -> None:
    frame = known["examples"](0).assign(sampled=False)
    assert calibration(context(frame=frame)) == {"intervals": [], "distributions": []}


def test_quantiles_that_the_data_do_not_support_are_left_out() -> None:
    built = context()

    class Limited(known["Knowing"]):  # type: ignore[misc]
        def forecast(self, *arguments: Any) -> Any:
            answer = super().forecast(*arguments)
            if self.level > 0.8:
                answer.upper[:] = np.nan
            return answer

    built.predictors[KEY] = Limited()
    shares = distribution(built, KEY, built.locked).shares
    assert shares[[0, -1]].tolist() == pytest.approx([0.1, 0.9])
    entry = whole(calibration(built))[0.9]
    assert entry["median_width"] is None
    assert entry["width"]["estimate"] is None
    assert entry["coverage"]["estimate"] is not None


def test_the_best_models_are_those_with_the_least_grouped_error() -> None:
    built = context()
    frame = built.out_of_fold
    worse = frame.assign(**{"linear-causal": frame["xgboost-causal"] * 3})
    vars(built)["out_of_fold"] = worse.assign(**{"constant-causal": frame["remaining"]})
    vars(built)["models"] = [("constant", View.CAUSAL), ("linear", View.CAUSAL), KEY]
    assert best_models(built) == [KEY, ("linear", View.CAUSAL)]  # a baseline is none of them


def test_p_converges_of_the_truth_is_calibrated_at_each_landmark() -> None:
    for seed in SEEDS:
        result = convergence(context(seed))
        assert [entry["at_epoch"] for entry in result["landmarks"]] == [1, 10]
        for entry in result["landmarks"]:
            assert entry["bias"]["lower"] < 0 < entry["bias"]["upper"]
            assert entry["calibration_error"] < 2.5 * entry["calibration_error_by_chance"]
            assert sum(part["n"] for part in entry["reliability"]) == entry["n_runs"]
            parts_of = entry["brier_parts"]
            total = parts_of["reliability"] - parts_of["resolution"]
            total += parts_of["uncertainty"] + parts_of["within"]
            assert total == pytest.approx(entry["brier"]["estimate"])


def test_probabilities_that_are_too_high_are_found_out() -> None:
    truth, high = convergence(context()), convergence(context(shift=1.0))
    for one, other in zip(truth["landmarks"], high["landmarks"], strict=True):
        assert other["bias"]["lower"] > 0
        assert other["brier"]["estimate"] > one["brier"]["estimate"]
        assert other["calibration_error"] > one["calibration_error"]
        assert other["auc"]["estimate"] == pytest.approx(one["auc"]["estimate"], abs=0.01)


def test_the_headline_is_the_landmark_of_its_epoch() -> None:
    result = convergence(context())
    (entry,) = (part for part in result["landmarks"] if part["at_epoch"] == AT_EPOCH)
    assert result["auc"] == entry["auc"]["estimate"]
    assert result["auc_lower"] == entry["auc"]["lower"]
    assert result["brier"] == entry["brier"]["estimate"]
    assert result["reliability"] == entry["reliability"]
    late = known["examples"](0, epochs=(1, 2))
    assert convergence(context(frame=late)) == {}


def test_where_every_run_converges_there_is_no_auc() -> None:
    frame = known["examples"](0)
    converging = frame[frame["converged"]].reset_index(drop=True)
    result = convergence(context(frame=converging))
    assert (result["auc"], result["auc_lower"]) == (None, None)
    assert 0 < result["brier"] < 0.25
    json.dumps(result, allow_nan=False)
