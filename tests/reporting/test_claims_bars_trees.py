"""Claims beside figures, bars and trees: what they say and draw (about 1 s)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from epochs_left.reporting.charts.bars import bar_chart
from epochs_left.reporting.charts.tree import tree_chart
from epochs_left.reporting.claims import FAILS, HOLDS, OPEN, at_least, claim
from epochs_left.reporting.svg import StyleSheet, chart_svg


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.9, 0.05, HOLDS),
        (0.7, 0.05, FAILS),
        (0.79, 0.05, OPEN),
        (0.8, None, HOLDS),
        (0.7, None, FAILS),
    ],
)
def test_an_interval_that_holds_the_bound_leaves_a_claim_open(
    value: float, half: float | None, verdict: str
) -> None:
    lower, upper = (None, None) if half is None else (value - half, value + half)
    assert at_least({"value": value, "lower": lower, "upper": upper}, 0.8) == verdict


def test_without_a_figure_a_claim_is_open() -> None:
    assert at_least({"value": None, "lower": None, "upper": None}, 0.8) == OPEN


def test_a_claim_is_quoted_with_its_source_and_verdict() -> None:
    found = claim("Seed 000 claims", "far is slow", "0.9", HOLDS)["items"]
    assert [each["lead"] for each in found] == ["Seed 000 claims:", "Measured:", "Verdict:"]
    assert [each["body"] for each in found] == ["“far is slow”", "0.9", HOLDS]


@pytest.mark.parametrize("values", [[0.5, 0.1, -0.2], [0.0], [1e-9, 1e-9], []])
def test_bars_carry_their_figures(values: list[float]) -> None:
    rows = [
        {
            "label": f"row {i}", "colour": "blue", "tip": f"tip {i}",
            "estimate": {"value": value, "lower": value - 0.01, "upper": value + 0.01},
        }
        for i, value in enumerate(values)
    ]  # fmt: skip
    svg = _svg(bar_chart("drop", rows))  # type: ignore[arg-type]
    assert svg.count("<title>tip ") == len(values)
    assert all(f"row {i}" in svg for i in range(len(values)))
    assert svg.count("−0.20") == sum(value == -0.2 for value in values)


def test_a_figure_stands_beyond_its_bar_and_its_interval() -> None:
    rows = [
        {
            "label": "row", "colour": "blue", "tip": "tip",
            "estimate": {"value": value, "lower": None, "upper": upper},
        }
        for value, upper in ((0.1, None), (0.1, 0.3), (-0.1, None), (0.0, None))
    ]  # fmt: skip
    svg = _svg(bar_chart("drop", rows))  # type: ignore[arg-type]
    short, long, negative, none = (
        float(re.search(r'x="([\d.]+)"', each)[1])  # type: ignore[index]
        for each in re.findall(r"<text[^>]*>(?=−?0\.[01]0<)", svg)[-4:]
    )
    assert negative == pytest.approx(none, abs=0.1)
    assert none < short < long


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_every_question_and_answer_of_a_tree_is_drawn(depth: int) -> None:
    svg = _svg(tree_chart("epochs left", _tree(depth)))
    assert svg.count(">ask<") == 2**depth - 1
    assert svg.count(">answer<") == 2**depth


def _tree(depth: int) -> Any:
    branches = [_tree(depth - 1) for _ in range(2)] if depth else []
    return {"label": "ask" if depth else "answer", "tip": "tip", "branches": branches}


def _svg(chart: Any) -> str:
    return chart_svg(chart, name="n", title="Title", description="Words", sheet=StyleSheet())
