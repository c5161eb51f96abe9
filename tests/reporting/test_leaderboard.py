"""The leaderboard and the simple rules: who equals the best, and who is beaten."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS
from epochs_left.reporting.summary import summarise_section

HERE = Path(__file__).parent
small = runpy.run_path(str(HERE / "small_results.py"))
audit = runpy.run_path(str(HERE / "html_audit.py"))["Audit"]
EVIL = "<script>alert(1)</script>"
SPACE = "\u202f"

MODELS = {"xgboost": 0.95, "random_forest": 0.94, "polynomial": 0.7, "mlp": 0.8}
BASELINES = {"theory": 0.5, "optimus": -3.0}


def pair(first: str, second: str, gain: float, p: float, view: str = "causal") -> dict[str, Any]:
    """Return a comparison of two models."""
    r2 = small["figure"](gain, 0.02)
    return {"view": view, "first": first, "second": second, "r2": r2,
            "squared_error": {"p_holm": p}}  # fmt: skip


def make(models: dict[str, float] = MODELS, pairs: list[Any] | None = None) -> dict[str, Any]:
    rows = small["scores"]({"causal": {**models, **BASELINES}, "oracle": models})
    for row in rows:
        row["baseline"] = row["model"] in BASELINES
        row["title"] = row["model"].upper()
    for model, value in (("xgboost", 0.5), ("theory", 1.0)):
        locked = {"split": "locked test", "level": 0.9}
        rows += [
            small["score"](model, 0.91, metric="coverage", **locked),
            small["score"](model, value, metric="width", **locked),
            small["score"](
                model, 0.07, metric="median_relative_error", scale="epochs", split="locked test"
            ),
        ]
    return {"mlp/scores.json": rows, "mlp/comparisons.json": pairs or []}


def options(name: str, results: dict[str, Any]) -> list[Any]:
    blocks = summarise_section(SECTIONS[name], Results(results))["blocks"]
    return [option for block in blocks for option in block.get("options", [])]  # type: ignore[misc]


def board(results: dict[str, Any]) -> dict[str, Any]:
    """Return the blocks of the leaderboard of the one family by kind."""
    (option,) = options("leaderboard", results)
    assert option["name"] == "mlp"
    return {block["kind"]: block for block in option["blocks"]}


def rows_of(table: dict[str, Any], **wanted: str) -> list[dict[str, Any]]:
    labels = [column["label"] for column in table["columns"]]
    rows = [dict(zip(labels, row, strict=True)) for row in table["rows"]]
    return [row for row in rows if all(row[name] == each for name, each in wanted.items())]


def test_a_table_has_one_row_a_model_and_view_best_first() -> None:
    rows = rows_of(board(make())["table"])
    names = [(row["model"], row["view"]) for row in rows]
    assert len(set(names)) == len(names) == 2 * len(MODELS) + len(BASELINES)
    levels = [row["R² by lineage"]["value"] for row in rows]
    assert levels == sorted(levels, reverse=True)


def test_a_row_has_every_split_and_what_the_intervals_are_worth() -> None:
    (row,) = rows_of(board(make())["table"], model="XGBOOST", view="Past alone")
    assert row["kind"] == "model"
    assert row["R² by lineage"] == {"value": 0.95, "lower": 0.94, "upper": 0.96}
    assert row["R² row-wise"] == pytest.approx(0.97)
    assert row["R² locked test"] == pytest.approx(0.955)
    assert row["median relative error"] == 0.07
    assert row[f"90{SPACE}% intervals held"] == 0.91
    assert row["upper over lower"] == pytest.approx(1.6487, abs=1e-4)


@pytest.mark.parametrize("is_first", [True, False])
def test_differences_are_those_of_the_best_less_the_other_whichever_came_first(
    is_first: bool,
) -> None:
    names = ("xgboost", "random_forest")
    comparison = pair(*names, 0.03, 0.6) if is_first else pair(names[1], names[0], -0.03, 0.6)
    table = board(make(pairs=[comparison]))["figure"]["table"]
    (row,) = rows_of(table, model="RANDOM_FOREST", view="Past alone")
    behind = row["behind the best"]
    assert behind["value"] == pytest.approx(0.03)
    assert (behind["lower"], behind["upper"]) == pytest.approx((0.01, 0.05))
    assert row["corrected p"] == 0.6


@pytest.mark.parametrize(("p", "is_equal"), [(0.051, True), (0.049, False)])
def test_the_test_decides_who_equals_the_best(p: float, is_equal: bool) -> None:
    pairs = [
        pair("xgboost", "random_forest", 0.01, p),
        pair("xgboost", "polynomial", 0.2, 0.001),
        pair("random_forest", "polynomial", 0.2, 0.9),  # not with the best: of no matter
        pair("xgboost", "theory", 0.4, 0.9),  # baselines have a section of their own
    ]
    found = board(make(pairs=pairs))
    words = " ".join(found["text"]["paragraphs"])
    assert ("Not told apart from it: RANDOM_FOREST." in words) == is_equal
    causal = found["figure"]["panels"][-1]["chart"]["rows"]
    marks = {row["label"]: row["dots"][0]["mark"] for row in causal}
    assert marks["XGBOOST"] == "circle"
    assert marks["RANDOM_FOREST"] == ("circle" if is_equal else "open")
    assert marks["POLYNOMIAL"] == marks["○ THEORY"] == "open"


@pytest.mark.parametrize("n_equal", [1, 4, 5, 9])
def test_of_many_equals_the_first_are_named_and_the_others_counted(n_equal: int) -> None:
    models = {"best": 0.95, **{f"m{i}": 0.94 - i / 100 for i in range(n_equal)}}
    pairs = [pair("best", model, 0.01, 0.9) for model in models if model != "best"]
    words = " ".join(board(make(models, pairs))["text"]["paragraphs"])
    named = [f"M{i}" for i in range(n_equal) if f"M{i}" in words]
    counted = words.partition(" others.")[0].rpartition(" ")[2] if " others." in words else "0"
    assert len(named) + int(counted) == n_equal
    assert len(named) <= 4


def test_the_answer_names_the_best_model_its_scores_and_the_best_baseline() -> None:
    causal, oracle = board(make())["text"]["paragraphs"]
    assert causal.startswith("Past alone: XGBOOST predicts best, R² 0.950 (0.940 to 0.960) by line")
    assert "0.955 (0.945 to 0.965) on the locked test" in causal
    assert causal.endswith("The best baseline, THEORY, reaches 0.500 (0.490 to 0.510).")
    assert oracle.startswith("End point known: XGBOOST")
    assert "baseline" not in oracle
    other = board(make({**MODELS, "random_forest": 0.99}))["text"]["paragraphs"][0]
    assert "RANDOM_FOREST predicts best, R² 0.990" in other


@pytest.mark.parametrize(("level", "answer"), [(0.92, "work"), (0.7, "do not suffice")])
def test_linear_models_work_where_they_are_not_far_behind(level: float, answer: str) -> None:
    (claim,) = board(make({**MODELS, "polynomial": level}))["points"]["items"]
    assert "seed 003, section 6.3" in claim["lead"]
    assert f"Linear models {answer} here: {0.95 - level:.3f} behind" in claim["body"]
    assert "best class, which is trees" in claim["body"]
    assert "points" not in board(make({"xgboost": 0.9, "mlp": 0.8}))


def test_few_models_are_drawn_and_all_stand_in_the_table() -> None:
    models = {f"m{i:02d}": 0.9 - i / 100 for i in range(30)}
    found = board(make(models))
    oracle, causal = (panel["chart"]["rows"] for panel in found["figure"]["panels"])
    assert [row["label"] for row in oracle] == [f"M{i:02d}" for i in range(6)]
    assert len(causal) == 6 + len(BASELINES)
    assert len(found["table"]["rows"]) == 2 * 30 + len(BASELINES)


def test_a_locked_test_without_an_interval_is_not_drawn() -> None:
    rows = small["scores"]({"causal": MODELS}, half=None)
    found = board({"mlp/scores.json": rows})
    assert all(len(row["dots"]) == 1 for row in found["figure"]["panels"][0]["chart"]["rows"])
    assert rows_of(found["table"])[0]["R² locked test"] is not None


def test_without_scores_a_family_is_no_option() -> None:
    assert options("leaderboard", {"mlp/comparisons.json": [], "neuron/scores.json": []}) == []


def rules(*beaten: bool, gain: float = 0.4) -> dict[str, Any]:
    entries = [
        {"baseline": f"rule{i}", "title": f"Rule {i}", "r2_gain": gain + i,
         "squared_error": {"p_holm": 0.01 if each else 0.5}, "beaten": each}
        for i, each in enumerate(beaten)
    ]  # fmt: skip
    return {"model": "xgboost", "title": "Boosting", "baselines": entries}


def simple(results: dict[str, Any]) -> dict[str, Any]:
    blocks = summarise_section(SECTIONS["baselines_beaten"], Results(results))["blocks"]
    return {block["kind"]: block for block in blocks}


@pytest.mark.parametrize("beaten", [(True, True), (True, False), (False, False)])
def test_families_that_beat_every_rule_are_counted_and_the_others_named(
    beaten: tuple[bool, ...],
) -> None:
    results = {
        "neuron/beats_baselines.json": rules(True, True, True),
        "mlp/beats_baselines.json": rules(*beaten),
    }
    said = simple(results)["text"]["paragraphs"][0]
    assert said.startswith(f"In {1 + all(beaten)} of 2 families")
    n_left = beaten.count(False)
    assert (f"In mlp {n_left} of 2 " in said) == (n_left > 0)
    assert ("Rule 0" in said) == (not beaten[0])


def test_a_rule_is_behind_by_its_paired_difference_with_its_interval() -> None:
    results = {
        "mlp/beats_baselines.json": rules(True, False),
        "mlp/comparisons.json": [
            pair("rule0", "xgboost", -0.4, 0.9),
            pair("xgboost", "rule1", 1.4, 0.9, view="oracle"),
        ],
    }
    found = simple(results)
    first, second = rows_of(found["figure"]["table"])
    behind = first["R² behind"]
    assert (behind["value"], behind["lower"]) == pytest.approx((-0.4, -0.42))
    assert second["R² behind"] == {"value": -1.4, "lower": None, "upper": None}
    assert [row["beaten"] for row in (first, second)] == ["yes", "no"]
    assert "in mlp Rule 0, 0.40 (0.38 to 0.42)" in found["text"]["paragraphs"][1]
    dots = [row["dots"] for row in found["figure"]["panels"][0]["chart"]["rows"]]
    assert [each[0]["estimate"]["value"] for each in dots] == [-0.4, -1.4]


def test_without_tests_nothing_is_said_of_simple_rules() -> None:
    assert simple({"mlp/beats_baselines.json": {"baselines": []}}) == {}


@pytest.mark.parametrize("name", ["leaderboard", "baselines_beaten"])
def test_malicious_names_stay_text_and_figures_have_words_and_data(name: str) -> None:
    results = {**make(), "mlp/beats_baselines.json": rules(True, False)}
    for row in results["mlp/scores.json"]:
        row["title"] = EVIL
    results["mlp/beats_baselines.json"]["baselines"][0]["title"] = EVIL
    section = summarise_section(SECTIONS[name], Results(results))
    read = audit(render({"title": "t", "sections": [section]}))
    assert read.faults == []
    assert EVIL in read.text
    assert read.tags.count("script") == 1
    blocks = [b for o in options(name, results) for b in o["blocks"]] or section["blocks"]
    figures = [block for block in blocks if block["kind"] == "figure"]
    assert figures
    for figure in figures:
        assert figure["caption"]
        assert figure["table"]["rows"]
        assert all(panel["title"] and panel["description"] for panel in figure["panels"])
