"""The section on plateaus of runs never seen: a row of scores for what was known (1 s)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from epochs_left.prediction.plateaus import RATES
from epochs_left.reporting import build_report, summarise
from epochs_left.reporting.sections.unseen_plateaus import INPUTS, UNSEEN

FAMILIES = ("neuron", "mlp")


def around(value: float) -> dict[str, float]:
    return {"estimate": value, "lower": value - 0.02, "upper": value + 0.02}


def entry(
    family: str, availability: str, held: float = 0.9, sooner: float = 0.07
) -> dict[str, Any]:
    return {
        "family": family,
        "availability": availability,
        "level": 0.9,
        "r2": around(0.4),
        "median_relative_error": 0.25,
        "auc": around(0.8),
        "coverage": around(held),
        "sooner": sooner,
        "later": round(1 - held - sooner, 9),
        "log_width": 1.4,
        "share_reached": 0.6,
        "n_rows": 900,
        "n_runs": 120,
        "n_lineages": 40,
    }


ENTRIES = [entry(family, name) for family in FAMILIES for name in INPUTS]


def blocks(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sections = summarise({UNSEEN: entries})["sections"]
    (found,) = (part["blocks"] for part in sections if part["name"] == "unseen_plateaus")
    return [dict(block) for block in found]


def column(entries: list[dict[str, Any]], label: str) -> list[Any]:
    (table,) = (block for block in blocks(entries) if block["kind"] == "table")
    at = [found["label"] for found in table["columns"]].index(label)
    return [row[at] for row in table["rows"]]


def words(entries: list[dict[str, Any]]) -> str:
    texts = (block for block in blocks(entries) if block["kind"] == "text")
    return " ".join(line for block in texts for line in block["paragraphs"])


def test_every_way_of_knowing_has_a_name_and_a_row() -> None:
    assert set(INPUTS) == {"all", RATES, "loss_only"}
    assert len(set(INPUTS.values())) == len(INPUTS)
    assert column(ENTRIES, "answered from") == [*INPUTS.values()] * len(FAMILIES)
    assert len(column(ENTRIES, "family")) == len(ENTRIES)


def test_misses_stand_beside_what_is_held_and_add_up_with_it() -> None:
    entries = [entry("mlp", "all", 0.7, 0.25), entry("mlp", RATES, 0.8, 0.0)]
    sides = [column(entries, side) for side in ("sooner", "later")]
    assert sides == [[0.25, 0.0], pytest.approx([0.05, 0.2])]
    held = [each["coverage"]["estimate"] for each in entries]
    assert [sum(parts) for parts in zip(held, *sides, strict=True)] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("side", ["sooner", "later"])
def test_results_that_know_no_sides_leave_them_empty(side: str) -> None:
    older = [{name: value for name, value in each.items() if name != side} for each in ENTRIES]
    assert column(older, side) == [None] * len(ENTRIES)
    assert len(column(older, "90 % intervals held")) == len(ENTRIES)


@pytest.mark.parametrize("availability", INPUTS)
def test_a_family_whose_intervals_hold_too_little_is_named_once(availability: str) -> None:
    short = [
        entry("mlp", name, 0.6 if name in {availability, "all"} else 0.9, 0.05) for name in INPUTS
    ]
    told = words([*short, entry("neuron", "all")])
    assert "less than 85% of the truths of: mlp. What they miss are plateaus" in told
    assert "at least 85% in every family" in words(ENTRIES)
    assert "What they miss" not in words(ENTRIES)


def test_the_report_holds_the_table_of_these_results(results: dict[str, Any]) -> None:
    report = build_report({**results, UNSEEN: json.loads(json.dumps(ENTRIES))})
    assert INPUTS[RATES] in report
