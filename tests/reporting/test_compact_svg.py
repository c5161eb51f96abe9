"""Fewer bytes, the same picture."""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from xml.etree import ElementTree as Tree

import numpy as np
import pytest

from epochs_left.reporting.charts.boxes import draw_boxes
from epochs_left.reporting.charts.canvas import new_chart
from epochs_left.reporting.charts.dots import dot_chart
from epochs_left.reporting.charts.hexes import hex_chart, hexagons
from epochs_left.reporting.charts.histogram import histogram_chart
from epochs_left.reporting.charts.lines import line_chart
from epochs_left.reporting.charts.plane import plane_chart
from epochs_left.reporting.charts.shares import share_chart
from epochs_left.reporting.compact_svg import compact
from epochs_left.reporting.svg import StyleSheet, chart_svg

BOUNDS = (0.0, 3.0, -1.0, 1.0)
ROUNDED = 0.0501  # px: half a tenth
Points = list[tuple[float, float]]


def _charts(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 3, 300), rng.uniform(-1, 1, 300)
    ticks: Any = [{"at": at, "label": f"<{at}>"} for at in (0.0, 1.0, 2.0)]
    estimate = {"value": float(x[0]), "lower": float(x[1]), "upper": 9.0}
    dot: Any = {"estimate": estimate, "colour": "blue", "mark": "diamond", "tip": "a & b"}
    points: Any = [
        {"x": float(a), "y": float(b), "lower": b - 0.1, "upper": b + 0.1, "tip": f"{a:.1f}"}
        for a, b in zip(np.sort(x[:9]), y[:9], strict=True)
    ]
    line: Any = {"label": "l", "colour": "green", "dashed": False, "mark": "open", "points": points}
    axes: Any = {"x_label": "x", "y_label": "y", "x_ticks": ticks, "y_ticks": ticks}
    layers: Any = [{"label": n, "colour": "blue", "counts": [3.0, 0.0, 5.0]} for n in "ab"]
    rows: Any = [{"label": "r", "shares": [0.25, 0.0, 0.75], "n": 8}]
    return [
        dot_chart("R²", [{"label": "m", "quiet": True, "dots": [dot]}], floor=0.0, ceiling=3.0),
        line_chart([line], **axes),
        hex_chart(hexagons(x, y, BOUNDS), BOUNDS, **axes, guide="zero", medians=[]),
        histogram_chart("x", "y", [1.0, 2.0, 5.0, 9.0], layers),
        share_chart("x", ["a", "b", "c"], ["blue", "orange", "grey"], rows),
        plane_chart([[0, None], [7, 3]], (-1, 1, -1, 1), x_label="x", y_label="y", boundary="B",
                    hatched="H"),
    ]  # fmt: skip


@cache
def _pictures(seed: int) -> list[str]:
    return [_drawn(chart) for chart in _charts(seed)]


def _drawn(chart: Any, name: str = "n") -> str:
    return chart_svg(chart, name=name, title="T & t", description="D", sheet=StyleSheet())


def _places(path: str) -> Points:
    """Follow a path of straight lines, absolute or relative, slowly."""
    at, start, places = (0.0, 0.0), (0.0, 0.0), []
    for letter, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        numbers = [float(each) for each in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", rest)]
        if letter == "z":
            at = start
            continue
        dx, dy = {"h": (*numbers, 0.0), "v": (0.0, *numbers)}.get(letter, tuple(numbers))[:2]
        at = (dx, dy) if letter in "ML" else (at[0] + dx, at[1] + dy)
        start = at if letter == "M" else start
        places.append(at)
    return places


def _straight(svg: str) -> list[str]:
    paths = [element.get("d", "") for element in Tree.fromstring(svg).iter("path")]
    return [path for path in paths if "C" not in path]


@pytest.mark.parametrize("seed", range(3))
def test_every_corner_of_every_path_stays_where_it_is(seed: int) -> None:
    for before in _pictures(seed):
        after = compact(before, prefix="p")
        pairs = list(zip(_straight(before), _straight(after), strict=True))
        assert pairs
        for old, new in pairs:
            np.testing.assert_allclose(_places(new), _places(old), atol=ROUNDED)


@pytest.mark.parametrize("seed", range(3))
def test_words_tooltips_marks_and_classes_stay(seed: int) -> None:
    for picture in _pictures(seed):
        before = Tree.fromstring(picture)
        after = Tree.fromstring(compact(picture, prefix="p"))
        for tag in ("text", "title", "desc", "use", "image"):
            old, new = (list(root.iter(tag)) for root in (before, after))
            assert [(e.text, e.get("class")) for e in old] == [
                (e.text, e.get("class")) for e in new
            ]
        assert {e.get("class") for e in before.iter("path")} == {
            e.get("class") for e in after.iter("path")
        }
        assert after.get("aria-labelledby") == before.get("aria-labelledby")


@pytest.mark.parametrize("seed", range(3))
def test_a_picture_refers_to_its_own_parts_alone(seed: int) -> None:
    for picture in _pictures(seed):
        svg = compact(picture, prefix="p7-")
        own = set(re.findall(r' id="([^"]+)"', svg))
        referred = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)", svg))
        assert referred <= own
        assert own - {"n-title", "n-desc"} == referred
        assert all(name.startswith("p7-") for name in referred)


def test_it_takes_less_than_two_thirds_of_the_bytes() -> None:
    for chart in _charts(0)[:-1]:  # the plane is a raster image
        svg = _drawn(chart, "leaderboard-neuron-ranking-1")
        assert len(compact(svg, prefix="p1-")) < 0.66 * len(svg)


def test_what_reaches_over_the_edge_of_the_axes_stays_clipped() -> None:
    estimate = {"value": 0.5, "lower": -7.0, "upper": 0.6}
    dot: Any = {"estimate": estimate, "colour": "blue", "mark": "circle", "tip": "t"}
    chart = dot_chart("x", [{"label": "m", "quiet": False, "dots": [dot]}], floor=0.0, ceiling=1.0)
    svg = compact(_drawn(chart), prefix="p")
    clipped = [path for path in Tree.fromstring(svg).iter("path") if path.get("clip-path")]
    assert len(clipped) == 1
    assert min(x for x, _ in _places(clipped[0].get("d", ""))) < 0


def test_without_boxes_there_is_no_shape() -> None:
    _, axes = new_chart(100)
    draw_boxes(axes, [], "blue", tip="t")
    assert not axes.patches
    draw_boxes(axes, [(0, 0, 1, 1), (1, 0, 1, 2)], "blue", tip="t")
    assert len(axes.patches) == 1
    assert axes.get_ylim()[1] >= 2
