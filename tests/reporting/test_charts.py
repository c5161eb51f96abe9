from __future__ import annotations

import re

import numpy as np
import pytest

from epochs_left.reporting.charts.dots import dot_chart
from epochs_left.reporting.charts.hexes import cell_size, hexagons
from epochs_left.reporting.charts.lines import line_chart
from epochs_left.reporting.charts.plane import plane_chart
from epochs_left.reporting.svg import StyleSheet, chart_svg

BOUNDS = (0.0, 3.0, -1.0, 1.0)


def _dots(label: str = "m", value: float = 0.5) -> dict:
    dot = {
        "estimate": {"value": value, "lower": 0.4, "upper": 0.6}, "colour": "blue",
        "mark": "circle", "tip": f"{label} & co",
    }  # fmt: skip
    return dot_chart("R²", [{"label": label, "quiet": False, "dots": [dot]}], floor=0.0)


def _svg(chart: dict, name: str = "n", sheet: StyleSheet | None = None) -> str:
    return chart_svg(
        chart, name=name, title="Title", description="Words", sheet=sheet or StyleSheet()
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_point_is_counted_in_its_nearest_hexagon(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 3, 200), rng.uniform(-1, 1, 200)
    cells = {(round(c["x"], 9), round(c["y"], 9)): c["n"] for c in hexagons(x, y, BOUNDS)}
    slow: dict[tuple[float, float], int] = {}
    centres, step = _all_centres(), cell_size(BOUNDS)
    for point in np.stack([x, y], axis=1):
        away = ((centres - point) / [step[0], step[1] / np.sqrt(3)]) ** 2
        nearest = centres[np.argmin(away.sum(axis=1))]
        key = (round(float(nearest[0]), 9), round(float(nearest[1]), 9))
        slow[key] = slow.get(key, 0) + 1
    assert cells == slow


def _all_centres() -> np.ndarray:
    step_x, step_y = cell_size(BOUNDS)
    return np.array(
        [
            (BOUNDS[0] + (i + half) * step_x, BOUNDS[2] + (j + half) * step_y)
            for half in (0.0, 0.5)
            for i in range(-2, 40)
            for j in range(-2, 40)
        ]
    )


def test_points_out_of_bounds_are_moved_to_the_edge() -> None:
    cells = hexagons(np.array([-9.0, 99.0]), np.array([50.0, -50.0]), BOUNDS)
    assert sum(cell["n"] for cell in cells) == 2
    step, _ = cell_size(BOUNDS)
    left, right = sorted(cell["x"] for cell in cells)
    assert abs(left - BOUNDS[0]) <= step
    assert abs(right - BOUNDS[1]) <= step


def test_styles_become_classes_and_colours_become_variables() -> None:
    sheet = StyleSheet()
    svg = _svg(_dots(), sheet=sheet)
    assert "style=" not in svg
    assert "var(--blue)" in sheet.css()
    assert "#0072b2" not in sheet.css() + svg
    used = set(re.findall(r'class="(m\d+)"', svg))
    assert used == set(re.findall(r"^\.(m\d+)\{", sheet.css(), flags=re.MULTILINE))


def test_marks_have_tooltips_and_pictures_have_words() -> None:
    svg = _svg(_dots())
    assert "<title>m &amp; co</title>" in svg
    assert '<title id="n-title">Title</title><desc id="n-desc">Words</desc>' in svg
    assert 'aria-labelledby="n-title n-desc"' in svg


def test_two_pictures_share_no_id() -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', _svg(_dots(), name))) for name in "ab")
    assert first
    assert not first & second


@pytest.mark.parametrize("label", ["$x_{\\1}$", "<b>", "日本語", "a" * 300, "_^{}\\"])
def test_labels_are_drawn_as_text_whatever_signs_they_hold(label: str) -> None:
    svg = _svg(_dots(label))
    assert "<b>" not in svg
    assert "<text" in svg


def test_a_value_below_the_floor_stands_at_the_edge_with_its_figure() -> None:
    assert "−3.2" in _svg(_dots(value=-3.2))
    assert "−3.2" not in _svg(_dots(value=0.5))


def test_charts_without_data_are_empty_pictures() -> None:
    empty = line_chart([], x_label="x", y_label="y", x_ticks=[], y_ticks=[])
    assert "<svg" in _svg(empty)
    assert "<svg" in _svg(dot_chart("x", []))


def test_the_plane_is_a_raster_inside_the_page_over_a_hatch() -> None:
    chart = plane_chart(
        [[0, None], [7, 3]], (-1, 1, -1, 1), x_label="x", y_label="y", boundary="B", hatched="H"
    )
    svg = _svg(chart)
    assert 'href="data:image/png;base64,' in svg
    assert re.search(r'fill="url\(#n-h\w+\)"', svg)
    assert svg.count("<pattern") == 1
