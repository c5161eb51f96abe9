"""Errors over epochs, sizes and runs: what is drawn and said of predictions."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
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
NAMES = ("error_by_epoch", "predicted_actual", "residuals", "worst_runs")


def landmarks(model: str, errors: dict[int, float], view: str = "causal") -> list[dict[str, Any]]:
    return [
        {"model": model, "view": view, "epochs_seen": at, "n_runs": 50,
         "median_relative_error": error, "lower": error * 0.9, "upper": error * 1.1}
        for at, error in errors.items()
    ]  # fmt: skip


def predictions(seed: int = 0, *, bias: float = 0.0, n: int = 400, **columns: Any) -> pa.Table:
    """Return rows of one model; ``bias`` is that of log10 of predictions above 10 epochs."""
    rng = np.random.default_rng(seed)
    actual = 10 ** rng.uniform(0, 2, n)
    logs = np.log10(actual) + rng.normal(0, 0.05, n)
    predicted = 10 ** (logs + bias * (logs > 1))
    return pa.table(
        {
            "model": ["best"] * n, "view": ["causal"] * n,
            "run_id": [f"run{i % (n // 4):05d}" for i in range(n)],
            "epoch": np.arange(n) // (n // 4) * 10, "outcome_epoch": np.full(n, 99),
            "actual": actual, "predicted": predicted, "lower": predicted, "upper": predicted,
            "activation": ["abs", "relu"] * (n // 2), "batch": ["full"] * n, "lr": [0.05] * n,
            **columns,
        }
    )  # fmt: skip


def make(table: pa.Table | None = None, rows: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    scores = small["scores"]({"causal": {"best": 0.9, "second": 0.8, "third": 0.7}})
    scores += [
        small["score"]("rule", 0.5, baseline=True),
        small["score"]("best", 0.11, metric="median_relative_error", scale="epochs",
                       split="locked test"),
    ]  # fmt: skip
    return {
        "mlp/scores.json": scores,
        "mlp/predictions.parquet": predictions() if table is None else table,
        "mlp/error_by_epoch.json": landmarks("best", {0: 0.4, 10: 0.1}) if rows is None else rows,
    }


def blocks(name: str, results: dict[str, Any]) -> dict[str, Any]:
    """Return the blocks of the one family, figures by their names and the others by kind."""
    (choice,) = summarise_section(SECTIONS[name], Results(results))["blocks"]
    (option,) = choice["options"]  # type: ignore[typeddict-item]
    return {block.get("id", block["kind"]): block for block in option["blocks"]}


def said(name: str, results: dict[str, Any]) -> str:
    return " ".join(blocks(name, results)["text"]["paragraphs"])


@pytest.mark.parametrize("late", [0.1, 0.5])
def test_the_error_early_and_late_is_told_and_whether_it_falls(late: float) -> None:
    words = said("error_by_epoch", make(rows=landmarks("best", {10: late, 0: 0.4, 100: 0.01})))
    assert f"off by 40.0{SPACE}% (36.0 to 44.0{SPACE}%) at initialisation" in words
    assert f"by {100 * late:.1f}{SPACE}%" in words
    assert "after 10 epochs (95" in words
    assert ("among the runs still going, no less" in words) == (late > 0.4)


def test_a_simple_rule_that_is_more_exact_in_the_middle_is_named() -> None:
    for error, is_named in ((0.05, True), (0.2, False)):
        rows = landmarks("best", {0: 0.4, 10: 0.1}) + landmarks("rule", {0: 0.01, 10: error})
        words = said("error_by_epoch", make(rows=rows))
        assert ("Smaller there: Rule" in words) == is_named


def test_the_best_models_and_rules_are_drawn_and_only_their_rows_kept() -> None:
    errors = {0: 0.4, 1: 0.3, 10: 0.1}
    models = ("third", "rule", "best", "second", "nameless")
    rows = [row for model in models for row in landmarks(model, errors)]
    figure = blocks("error_by_epoch", make(rows=rows))["landmarks"]
    lines = figure["panels"][0]["chart"]["lines"]
    assert [line["label"] for line in lines] == ["Best", "Second", "Rule"]
    assert [line["dashed"] for line in lines] == [False, False, True]
    assert len({line["colour"] for line in lines}) == 3
    assert {row[1] for row in figure["table"]["rows"]} == {"Best", "Second", "Rule"}
    assert len(figure["table"]["rows"]) == 3 * len(errors)


@pytest.mark.parametrize("errors", [(0.02, 0.4), (1e-5, 3.0), (0.0, 0.0), (0.3, 0.31), (1.0, 1.0)])
def test_ticks_of_errors_enclose_them_and_are_few(errors: tuple[float, float]) -> None:
    rows = landmarks("best", dict(enumerate(errors)))
    chart = blocks("error_by_epoch", make(rows=rows))["landmarks"]["panels"][0]["chart"]
    ticks = [tick["at"] for tick in chart["y_ticks"]]
    places = [point["y"] for line in chart["lines"] for point in line["points"]]
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= min(places) <= max(places) <= ticks[-1]


def test_the_typical_error_and_that_of_nine_in_ten_are_told() -> None:
    words = said("predicted_actual", make())
    assert (
        f"Past alone, Best: a typical run is off by 11.0{SPACE}% (95{SPACE}% interval 10.0" in words
    )
    shares = np.abs(10 ** np.random.default_rng(1).normal(0, 0.05, 9999) - 1)
    far = float(words.rpartition("within ")[2].partition(SPACE)[0]) / 100
    assert far == pytest.approx(np.quantile(shares, 0.9), abs=0.03)
    bare = make()
    bare["mlp/scores.json"] = []
    assert said("predicted_actual", bare).startswith("Past alone, best: nine in ten")


@pytest.mark.parametrize("bias", [0.0, 0.2, -0.2])
@pytest.mark.parametrize("seed", range(3))
def test_a_bias_by_size_is_called_a_pattern(seed: int, bias: float) -> None:
    results = make(predictions(seed, bias=bias))
    words = said("residuals", results)
    assert words.endswith("no pattern to speak of." if bias == 0 else ", a pattern.")
    chart = blocks("residuals", results)["factor"]["panels"][0]["chart"]
    line = chart["lines"][-1]["points"]
    assert line[-1]["y"] == pytest.approx(bias, abs=0.05)
    assert all(point["lower"] <= point["y"] <= point["upper"] for point in line)
    highest = max(abs(tick["at"]) for tick in chart["y_ticks"])
    assert highest >= max(abs(point[end]) for point in line for end in ("lower", "upper"))


def test_too_few_rows_make_no_line() -> None:
    found = blocks("residuals", make(predictions(n=8)))
    assert "factor" not in found
    assert "groups" in found


def test_the_worst_runs_are_ranked_by_their_worst_row_and_drawn_if_they_have_enough() -> None:
    table = predictions(n=40)
    runs, actual = table["run_id"].to_pylist(), table["actual"].to_numpy().copy()
    predicted = table["predicted"].to_numpy().copy()
    for run, factor in (("run00003", 30.0), ("run00007", 1 / 40.0), ("run00001", 5.0)):
        predicted[runs.index(run)] = max(0.6, factor * actual[runs.index(run)])
    changed = table.set_column(
        table.column_names.index("predicted"), "predicted", pa.array(predicted)
    )
    found = blocks("worst_runs", make(changed))
    factors = np.abs(np.log10(predicted / actual))
    ranked = list(dict.fromkeys(runs[i] for i in np.argsort(-factors)))
    assert [row[0] for row in found["runs"]["rows"]] == ranked[:10]
    assert [entry["label"] for entry in found["curves"]["legend"]] == ranked[:4]
    within = np.mean([max(factors[np.array(runs) == run]) <= np.log10(2) for run in ranked])
    assert f"{100 * within:.0f}{SPACE}% of 10 runs" in found["text"]["paragraphs"][0]


def test_runs_of_few_rows_are_not_drawn() -> None:
    alone = predictions(n=40, run_id=[f"run{i}" for i in range(40)])
    assert "curves" not in blocks("worst_runs", make(alone))


@pytest.mark.parametrize("name", NAMES)
def test_without_rows_a_family_is_no_option(name: str) -> None:
    section = summarise_section(SECTIONS[name], Results({"mlp/scores.json": small["scores"]({})}))
    assert section["blocks"] == []
    assert section["missing"]


@pytest.mark.parametrize("name", NAMES)
def test_malicious_names_stay_text_and_figures_have_words_and_data(name: str) -> None:
    table = predictions(activation=[EVIL] * 400, run_id=[EVIL] * 400)
    results = make(table)
    for row in results["mlp/scores.json"]:
        row["title"] = EVIL
    section = summarise_section(SECTIONS[name], Results(results))
    read = audit(render({"title": "t", "sections": [section]}))
    assert read.faults == []
    assert EVIL in read.text
    assert read.tags.count("script") == 1
    figures = [each for each in blocks(name, results).values() if each["kind"] == "figure"]
    assert figures
    for figure in figures:
        assert figure["caption"]
        assert figure["table"]["rows"]
        assert all(panel["title"] and panel["description"] for panel in figure["panels"])
