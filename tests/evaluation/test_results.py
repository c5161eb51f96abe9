"""The results that `evaluate` writes, one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.dynamics.closed_form import reaches_solution
from epochs_left.evaluation import ALL, EACH, RESULTS, ResultSpec, result
from epochs_left.evaluation.closed_form import closed_form
from epochs_left.evaluation.context import EvaluationContext, FamilyContext
from epochs_left.evaluation.convergence import convergence
from epochs_left.evaluation.data_card import data_card
from epochs_left.evaluation.error_by_epoch import error_by_epoch
from epochs_left.evaluation.importance import importance
from epochs_left.evaluation.parameter_plane import (
    at_initialisation,
    parameter_plane,
    parameter_plane_summary,
)
from epochs_left.evaluation.predictions import predictions
from epochs_left.evaluation.provenance import provenance
from epochs_left.features import compute_features
from epochs_left.schema import OUTCOMES, View

Make = Callable[..., FamilyContext]


@pytest.mark.parametrize("file", ["scores.csv", "scores"])
def test_a_result_is_json_or_parquet(file: str) -> None:
    with pytest.raises(ValueError, match=r"expected a \.json or \.parquet file"):
        result(file)


@pytest.mark.parametrize("file", list(RESULTS))
def test_a_result_is_documented_under_its_name(file: str) -> None:
    assert RESULTS[file].file == file
    assert RESULTS[file].summary.endswith(".")


@pytest.mark.parametrize(
    ("of", "names"),
    [
        (EACH, ["one/file.json", "two/file.json"]),
        ("two", ["two/file.json"]),
        ("absent", []),
        (ALL, ["file.json"]),
    ],
)
def test_a_result_is_computed_of_what_it_is_about(of: str, names: list[str]) -> None:
    families = SimpleNamespace(families={"one": 1, "two": 2})
    spec = ResultSpec(file="file.json", of=of, summary="Made up.", compute=lambda about: about)
    parts = spec.parts(list(families.families))
    assert parts == names
    found = {part: spec.computed(families, part) for part in parts}  # type: ignore[arg-type]
    about = {"one/file.json": 1, "two/file.json": 2, "file.json": families}
    assert found == {name: about[name] for name in names}


def exact_runs(context: FamilyContext) -> pd.DataFrame:
    runs = context.runs
    plain = (runs["architecture"] == "abs-unit") & (runs["momentum"] == 0)
    return runs[plain & (runs["batch_size"] == 4) & (runs["lr"] < 0.5)]


def test_every_exact_run_equals_the_closed_form(context: FamilyContext) -> None:
    found = closed_form(context)
    runs = exact_runs(context)
    assert found["n_runs"] == found["n_equal"] == len(runs) > 20
    assert found["share_equal"] == 1.0
    assert sum(found[f"n_{outcome.value}"] for outcome in OUTCOMES) == len(runs)


@pytest.mark.parametrize("column", ["outcome", "outcome_epoch"])
def test_a_run_that_differs_from_the_closed_form_is_counted(
    make_context: Make, context: FamilyContext, column: str
) -> None:
    runs = context.runs.copy()
    changed = exact_runs(context).index[:3]
    other = {"outcome": "diverged", "outcome_epoch": runs["outcome_epoch"] + 1}[column]
    runs.loc[changed, column] = other
    found = closed_form(make_context(runs=runs))
    assert found["n_runs"] - found["n_equal"] == 3


def test_without_exact_runs_the_closed_form_counts_none(
    make_context: Make, context: FamilyContext
) -> None:
    found = closed_form(make_context(runs=context.runs.query("architecture != 'abs-unit'")))
    assert (found["n_runs"], found["share_equal"], found["n01"]["converged_share"]) == (
        0,
        None,
        None,
    )
    json.dumps(found, allow_nan=False)


def test_recorded_medians_are_those_of_the_closed_form(context: FamilyContext) -> None:
    found = closed_form(context)["medians"]
    assert found
    for row in found:
        assert row["epochs"] == row["closed_form"]
    medians = [row["epochs"] for row in found]
    assert medians == sorted(medians, reverse=True)  # a larger learning rate is faster below 1/2


def test_data_card_counts_every_run(
    context: FamilyContext, all_families: EvaluationContext
) -> None:
    card = data_card(all_families)["neuron"]
    runs = context.runs
    assert card["n_runs"] == len(runs) == sum(card["outcomes"].values())
    assert card["outcomes"] == {o.value: int((runs["outcome"] == o).sum()) for o in OUTCOMES}
    for outcome in card["outcomes"]:
        for dimension in {part["dimension"] for part in card["by"]}:
            parts = [part for part in card["by"] if part["dimension"] == dimension]
            assert len(parts) > 1
            total = sum(part["outcomes"][outcome] for part in parts)
            assert total == card["outcomes"][outcome]
        assert sum(card["histogram"][outcome]) == card["outcomes"][outcome]
        assert len(card["histogram"]["edges"]) == len(card["histogram"][outcome]) + 1
    quantiles = list(card["epochs_to_convergence"].values())
    assert quantiles == sorted(quantiles)


def test_convergence_is_scored_on_one_row_a_run(context: FamilyContext) -> None:
    found = convergence(context)
    rows = context.locked[context.locked["epoch"] == found["at_epoch"]]
    assert found["n_runs"] == len(rows) == rows["run_id"].nunique()
    assert 0 <= found["auc_lower"] <= found["auc"] <= found["auc_upper"] <= 1
    assert sum(part["n"] for part in found["reliability"]) == len(rows)


def test_error_by_epoch_is_that_of_the_landmarks(context: FamilyContext) -> None:
    found = error_by_epoch(context)
    at_start = [entry for entry in found if entry["epochs_seen"] == 0]
    assert len(at_start) == len(context.models)
    rows = context.locked.query("epoch == 0 and converged")
    for entry in at_start:
        key = (entry["model"], View(entry["view"]))
        predicted = context.forecasts[key].remaining[rows.index]
        errors = np.sort(np.abs(predicted - rows["remaining"]) / rows["remaining"])
        assert entry["n_runs"] == len(rows)
        assert errors[(len(rows) - 1) // 2] <= entry["median_relative_error"] + 1e-12
        assert entry["median_relative_error"] <= errors[len(rows) // 2] + 1e-12


def test_importance_of_what_a_model_uses(context: FamilyContext) -> None:
    found = importance(context)
    for view in View:
        groups = {entry["group"] for entry in found if entry["view"] == view.value}
        assert ("oracle_distances" in groups) == (view is View.ORACLE)
        assert "loss_level" in groups
        assert "theory" not in groups
    assert max(entry["importance"] for entry in found) > 0.01
    assert all(math.isfinite(entry["importance"]) for entry in found)


@pytest.fixture(scope="module")
def plane(context: FamilyContext) -> pd.DataFrame:
    return parameter_plane(context).to_pandas()


def test_plane_knows_who_converges(plane: pd.DataFrame) -> None:
    params = np.stack([-plane["w_minus"] / 2, plane["w_minus"] / 2, plane["b"]], axis=1)
    reached = reaches_solution(params)
    np.testing.assert_array_equal(plane["outcome"] == "converged", reached)
    np.testing.assert_array_equal(plane["epochs"].notna(), reached)


def test_no_point_of_the_plane_lies_on_the_boundary(plane: pd.DataFrame) -> None:
    """There the closed form does not hold."""
    assert np.abs(plane["w_minus"].abs() - plane["b"].abs()).min() > 1e-6
    assert plane["w_minus"].nunique() == plane["b"].nunique() + 1 == 5


def test_plane_predicts_where_convergence_is_likely(plane: pd.DataFrame) -> None:
    np.testing.assert_array_equal(plane["predicted"].notna(), plane["p_converges"] >= 0.5)


def test_what_is_known_of_a_recorded_unit_is_known_of_the_plane(context: FamilyContext) -> None:
    """A model that misses one of its inputs there would draw a picture of its own."""
    rows = context.examples
    of_units = rows[(rows["architecture"] == "abs-unit") & (rows["epoch"] == 0)]
    predictor = context.predictors["xgboost", View.CAUSAL]
    names = predictor.manifest.features
    runs = at_initialisation(context, np.array([[0.9, -0.7, 0.3], [0.3, 0.4, 1.2]]))
    found = compute_features(runs, predictor.groups, names=names)
    recorded = [name for name in names if np.isfinite(of_units[name]).all()]
    assert "log_linearised_epochs" in recorded
    assert [name for name in recorded if not np.isfinite(found[name]).all()] == []


def test_plane_summary_is_that_of_the_plane(context: FamilyContext, plane: pd.DataFrame) -> None:
    found = parameter_plane_summary(context)
    right = (plane["p_converges"] >= 0.5) == (plane["outcome"] == "converged")
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["n"] == len(plane)


def test_predictions_are_those_of_the_locked_runs(context: FamilyContext) -> None:
    table = predictions(context)
    assert isinstance(table, pa.Table)
    frame = table.to_pandas()
    locked = context.locked.query("sampled and converged")
    for _, part in frame.groupby(["model", "view"]):
        assert set(part["run_id"]) == set(locked["run_id"])
        assert len(part) == len(locked)
    assert np.all(frame["lower"] <= frame["predicted"])
    assert np.all((frame["predicted"] <= frame["upper"]) | frame["upper"].isna())
    np.testing.assert_array_equal(frame["outcome_epoch"], frame["epoch"] + frame["actual"])


def test_provenance_names_the_data(context: FamilyContext, all_families: EvaluationContext) -> None:
    found = provenance(all_families)
    assert found["data_sha256"] == {"neuron": context.store.manifest["data_sha256"]}
    assert {"numpy", "numba", "scikit-learn", "xgboost", "python"} <= set(found["versions"])


def test_best_causal_model_is_the_one_with_the_least_error(make_context: Make) -> None:
    frame = make_context().out_of_fold
    for best, worst in (("linear", "xgboost"), ("xgboost", "linear")):
        planted = frame.assign(
            **{f"{best}-causal": frame["remaining"], f"{worst}-causal": frame["remaining"] + 50}
        )
        assert make_context(out_of_fold=planted).best_causal == best


def test_a_baseline_is_never_the_best(make_context: Make) -> None:
    context = make_context()
    frame = context.out_of_fold.assign(**{"theory-causal": context.out_of_fold["remaining"]})
    with_theory = make_context(out_of_fold=frame)
    object.__setattr__(with_theory, "regressors", ("theory", "linear", "xgboost"))
    assert with_theory.best_causal != "theory"


def test_randomness_of_a_result_is_its_own(context: FamilyContext) -> None:
    first = {name: context.rng(name).random() for name in ("scores", "medians", "auc")}
    assert len(set(first.values())) == 3
    assert context.rng("scores").random() == first["scores"]


def test_results_hold_no_nan(context: FamilyContext, all_families: EvaluationContext) -> None:
    computed: list[Any] = [data_card(all_families), importance(context), provenance(all_families)]
    json.dumps(computed, allow_nan=False)
