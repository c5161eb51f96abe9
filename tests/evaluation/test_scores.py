"""Scores of models whose quality is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from epochs_left.evaluation.context import FamilyContext, scopes
from epochs_left.evaluation.scores import LEVELS, headline, scores
from epochs_left.schema import View

Make = Callable[..., FamilyContext]
PERFECT = {"r2": 1.0, "mse": 0.0, "mae": 0.0, "median_relative_error": 0.0}
GAP = "r2_gap"


@pytest.fixture(scope="module")
def entries(context: FamilyContext) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scores(context)
    return found


def chosen(entries: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    return [e for e in entries if all(e[key] == value for key, value in wanted.items())]


def test_a_perfect_predictor_has_perfect_scores(make_context: Make) -> None:
    frame = make_context().out_of_fold
    models = [name for name in frame.columns if name.startswith(("linear", "xgboost"))]
    perfect = frame.assign(**dict.fromkeys(models, frame["remaining"]))
    found = scores(make_context(out_of_fold=perfect))
    for split in ("by lineage", "row-wise"):
        of_split = chosen(found, split=split)
        assert {entry["metric"] for entry in of_split} - {GAP} == set(PERFECT)
        for entry in of_split:
            if entry["estimate"] is not None:  # R^2 of rows that do not vary
                expected = {**PERFECT, GAP: 0.0}[entry["metric"]]
                assert entry["estimate"] == pytest.approx(expected, abs=1e-12)
        assert chosen(of_split, scope="all", estimate=None) == []


def test_scores_equal_scikit_learn_s(context: FamilyContext, entries: list[dict[str, Any]]) -> None:
    rows = context.out_of_fold.query("split == 'by lineage'")
    actual = rows["remaining"].to_numpy(float)
    per_run = 1 / rows.groupby("run_id")["epoch"].transform("size")
    scales = {"epochs": np.asarray, "log": np.log1p}
    weights = {"row": None, "run": per_run}
    metrics = {"r2": r2_score, "mse": mean_squared_error, "mae": mean_absolute_error}
    for entry in chosen(entries, split="by lineage", scope="all"):
        if entry["metric"] not in metrics:
            continue
        scale = scales[entry["scale"]]
        predicted = rows[f"{entry['model']}-{entry['view']}"]
        expected = metrics[entry["metric"]](
            scale(actual), scale(predicted), sample_weight=weights[entry["weighting"]]
        )
        assert entry["estimate"] == pytest.approx(expected, rel=1e-9)
        assert entry["n_rows"] == len(rows)


def test_the_gap_is_that_of_the_rows_that_both_splits_predict(
    context: FamilyContext, entries: list[dict[str, Any]]
) -> None:
    table = context.out_of_fold
    keys = ["run_id", "epoch"]
    pair = table[table["split"] == "row-wise"].merge(
        table[table["split"] == "by lineage"], on=keys, suffixes=("", " by lineage")
    )
    assert 0 < len(pair) < (table["split"] == "by lineage").sum()
    actual = np.log1p(pair["remaining"])
    per_run = 1 / pair.groupby("run_id")["epoch"].transform("size")
    gaps = chosen(entries, metric=GAP, scope="all")
    assert {entry["weighting"] for entry in gaps} == {"run", "row"}
    assert len(gaps) == 2 * len(context.models)
    for entry in gaps:
        weight = per_run if entry["weighting"] == "run" else None
        name = f"{entry['model']}-{entry['view']}"
        row_wise, grouped = (
            r2_score(actual, np.log1p(pair[column]), sample_weight=weight)
            for column in (name, f"{name} by lineage")
        )
        assert entry["estimate"] == pytest.approx(row_wise - grouped, abs=1e-9)
        assert entry["n_rows"] == len(pair)
    assert headline(entries)["row-wise less by lineage"].keys() == {
        f"{model}-{view.value}" for model, view in context.models
    }


def test_every_model_is_scored_on_every_split(entries: list[dict[str, Any]]) -> None:
    wanted = {"scope": "all", "scale": "log", "weighting": "run", "metric": "r2"}
    found = {(e["model"], e["view"], e["split"]) for e in chosen(entries, **wanted)}
    assert found == {
        (model, view.value, split)
        for model in ("linear", "xgboost")
        for view in View
        for split in ("by lineage", "row-wise", "locked test")
    }


def test_intervals_hold_their_estimate(entries: list[dict[str, Any]]) -> None:
    with_interval = [e for e in entries if e["lower"] is not None]
    assert len(with_interval) > 50
    for entry in with_interval:
        assert entry["lower"] <= entry["upper"]
    inside = [e["lower"] <= e["estimate"] <= e["upper"] for e in with_interval]
    assert np.mean(inside) > 0.95


def test_coverage_grows_with_the_level(entries: list[dict[str, Any]]) -> None:
    for model in ("linear", "xgboost"):
        for view in View:
            found = chosen(entries, model=model, view=view.value, metric="coverage")
            by_level = {entry["level"]: entry["estimate"] for entry in found}
            assert sorted(by_level) == sorted(LEVELS)
            assert by_level[0.5] <= by_level[0.8] <= by_level[0.9] <= 1


def test_entries_are_plain_data_without_nan(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        for name in ("estimate", "lower", "upper"):
            assert entry[name] is None or np.isfinite(entry[name])
        assert entry["scope"] in scopes("neuron", FRAME)


FRAME = pd.DataFrame(
    {
        "architecture": ["abs-unit", "abs-unit", "abs-unit", "relu-2", "tanh-4"],
        "batch_size": [4, 4, 1, 4, 1],
        "n_examples": 4,
        "momentum": [0.0, 0.9, 0.0, 0.0, 0.5],
    }
)


def test_scopes_are_the_parts_that_they_name() -> None:
    found = {name: np.flatnonzero(mask).tolist() for name, mask in scopes("neuron", FRAME).items()}
    assert found == {
        "all": [0, 1, 2, 3, 4],
        "abs, full batch": [0, 1],
        "abs, full batch, no momentum": [0],
        "abs, online": [2],
        "hidden units": [3, 4],
        "with momentum": [1, 4],
    }


def test_headline_is_the_run_weighted_r2_of_the_log(entries: list[dict[str, Any]]) -> None:
    found = headline(entries)
    wanted = {"scope": "all", "scale": "log", "weighting": "run", "metric": "r2"}
    for entry in chosen(entries, **wanted):
        assert found[entry["split"]][f"{entry['model']}-{entry['view']}"] == round(
            entry["estimate"], 6
        )
