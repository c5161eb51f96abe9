"""Sections on calibration, convergence, survival and unseen families: what they pick and say."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from typing import Any

import pytest

from epochs_left.reporting import summarise
from epochs_left.reporting.charts.reliability import reliability_chart
from epochs_left.reporting.svg import StyleSheet, chart_svg
from epochs_left.reporting.ticks import epoch_position, epoch_ticks


@pytest.fixture(scope="module")
def results(results: dict[str, Any]) -> dict[str, Any]:
    """Results of the neuron, and of all families together."""
    return {name: value for name, value in results.items() if not name.startswith("mlp/")}


def _section(results: dict[str, Any], name: str) -> list[dict[str, Any]]:
    sections = summarise(results)["sections"]
    (blocks,) = (section["blocks"] for section in sections if section["name"] == name)
    return [dict(block) for block in blocks]


def _words(blocks: list[dict[str, Any]]) -> str:
    return " ".join(
        line for block in blocks if block["kind"] == "text" for line in block["paragraphs"]
    )


def _figure(blocks: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (block for block in blocks if block["kind"] == "figure" and block["id"] == name)
    return found


def _column(table: dict[str, Any], label: str) -> list[Any]:
    at = [column["label"] for column in table["columns"]].index(label)
    return [row[at] for row in table["rows"]]


def _families(results: dict[str, Any], file: str, n_lineages: int) -> dict[str, Any]:
    """Give the transformers the neuron's results with other numbers of lineages."""
    text = re.sub(r'"n_lineages": \d+', f'"n_lineages": {n_lineages}', json.dumps(results[file]))
    return {**results, file.replace("neuron/", "char_lm/"): json.loads(text)}


def test_coverage_and_width_are_those_of_the_best_model_over_the_whole(
    results: dict[str, Any],
) -> None:
    found = _figure(_section(results, "calibration"), "coverage")
    held, width = (panel["chart"]["lines"] for panel in found["panels"])
    best = results["neuron/calibration.json"]["intervals"][:3]
    assert [point["y"] for point in held[-1]["points"]] == [
        entry["coverage"]["estimate"] for entry in best
    ]
    assert [point["y"] for point in width[0]["points"]] == [entry["median_ratio"] for entry in best]
    assert set(_column(found["table"], "model")) == {"XGBoost", "Random forest"}


@pytest.mark.parametrize(
    ("name", "file", "figure"),
    [
        ("calibration", "neuron/calibration.json", "coverage"),
        ("calibration", "neuron/calibration.json", "pit"),
        ("will_it_converge", "neuron/convergence.json", "auc"),
        ("will_it_converge", "neuron/convergence.json", "reliability"),
    ],
)
def test_a_family_of_few_lineages_stands_in_the_table_alone(
    results: dict[str, Any], name: str, file: str, figure: str
) -> None:
    for n_lineages, is_drawn in ((3, False), (30, True)):
        found = _figure(_section(_families(results, file, n_lineages), name), figure)
        assert "char_lm" in _column(found["table"], "family")
        drawn = json.dumps([found["panels"], found["legend"]])
        assert ("char_lm" in drawn) == is_drawn


def test_a_part_of_a_family_has_its_coverage_once(results: dict[str, Any]) -> None:
    (table,) = (
        block for block in _section(results, "coverage_by_part") if block["kind"] == "table"
    )
    parts = _column(table, "part")
    assert len(parts) == len(set(parts))
    assert {"all", "hidden units", "optimizer sgd"} <= set(parts)


def test_reliability_and_coverage_by_level_stand_in_one_place_each(
    results: dict[str, Any],
) -> None:
    places: dict[str, list[str]] = {"reliability": [], "promised share": []}
    for section in summarise(results)["sections"]:
        text = json.dumps(section["blocks"])
        for what, names in places.items():
            names.extend([section["name"]] if f'"{what}"' in text else [])
    assert places == {"reliability": ["will_it_converge"], "promised share": ["calibration"]}


@pytest.mark.parametrize("n", [(3, 40, 7), (1, 1, 1), (0, 5, 5)])
def test_bars_at_the_foot_count_every_case(n: tuple[int, int, int]) -> None:
    bins = [
        {"predicted": at, "observed": at, "lower": None, "upper": None, "n": many}
        for at, many in zip((0.01, 0.52, 1.0), n, strict=True)
    ]
    svg = chart_svg(
        reliability_chart("p", "share", bins),  # type: ignore[arg-type]
        name="n",
        title="Title",
        description="Words",
        sheet=StyleSheet(),
    )
    counted = re.findall(r"<title>([\d,]+) cases from", svg)
    assert sum(map(int, counted)) == sum(n)
    assert svg.count("came true") == len(bins)


def test_survival_shows_the_best_regressor_against_its_rivals(results: dict[str, Any]) -> None:
    found = _figure(_section(results, "survival"), "c-index")
    lines = found["panels"][0]["chart"]["lines"]
    assert [line["points"][0]["y"] for line in lines] == pytest.approx([0.95, 0.85, 0.75, 0.65])
    assert [line["dashed"] for line in lines] == [False, False, False, True]
    assert lines[0]["points"][0]["lower"] is not None
    assert len(found["table"]["rows"]) == len(results["neuron/survival.json"])


def test_survival_says_why_it_has_nothing(results: dict[str, Any]) -> None:
    nothing = {"estimate": None, "lower": None, "upper": None}
    bare = {"c_index": nothing, "integrated_brier": nothing, "missing": "no library"}
    rows = [{**row, **bare} for row in results["neuron/survival.json"]]
    (only,) = _section({**results, "neuron/survival.json": rows}, "survival")
    assert (only["kind"], only["paragraphs"]) == ("note", ["no library"])


def test_parts_that_fail_are_named_with_their_side_and_width(results: dict[str, Any]) -> None:
    blocks = _section(results, "unseen_families")
    words = _words(blocks)
    assert "The intervals hold less than 85% of the truths of: neuron." in words
    assert "The weakest is neuron, epochs left 1 to 10: 69\u202f% held" in words
    assert "30\u202f% of the runs ended sooner and 1\u202f% later" in words
    assert "Predictions are 3 times too high there, 1.22 times too low in the whole family" in words
    assert f"{math.exp(2.9):.1f} times the lower there, {math.exp(3.9):.1f} times" in words
    (short,) = (block for block in blocks if block.get("id") == "short")
    assert _column(short, "family left out") == ["neuron", "neuron"]


def test_without_a_part_below_the_goal_none_is_named(results: dict[str, Any]) -> None:
    entries = [{**entry, "parts": []} for entry in results["held_out_families.json"]]
    blocks = _section({**results, "held_out_families.json": entries}, "unseen_families")
    assert not [block for block in blocks if block.get("id") == "short"]


def test_the_gap_is_not_the_difference_of_scores_on_different_rows(
    results: dict[str, Any],
) -> None:
    rows = [
        {**row, "estimate": 0.123} if row["metric"] == "r2_gap" else row
        for row in results["neuron/scores.json"]
    ]
    changed = {**results, "neuron/scores.json": rows}
    assert "0.123" in json.dumps(_section(changed, "families"))


def test_ticks_of_epochs_are_epochs_and_leave_room() -> None:
    ticks = epoch_ticks([100, 0, 1, None, 99, 2, 5])
    assert {tick["label"] for tick in ticks} < {"0", "1", "2", "5", "99", "100"}
    places = [tick["at"] for tick in ticks]
    assert places[0] == epoch_position(0) == 0
    assert min(b - a for a, b in pairwise(places)) >= 0.09 * epoch_position(100)
    assert epoch_ticks([]) == []


def test_families_whose_plateaus_are_covered_too_seldom_are_named(
    results: dict[str, Any],
) -> None:
    words = _words(_section(results, "unseen_plateaus"))
    assert "less than 85% of the truths of: neuron." in words
    covered = [
        {**entry, "coverage": {"estimate": 0.9, "lower": 0.8, "upper": 0.95}}
        for entry in results["unseen_plateaus.json"]
    ]
    words = _words(_section({**results, "unseen_plateaus.json": covered}, "unseen_plateaus"))
    assert "at least 85% in every family" in words
