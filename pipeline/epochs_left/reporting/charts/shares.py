"""Stacked shares, a bar a group, each adding up to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.charts.boxes import Box, draw_boxes
from epochs_left.reporting.palette import colour
from epochs_left.reporting.wording import integer, percent

ROW_HEIGHT = 24.0  # px
MARGIN = 56.0  # px
BAR = 0.72  # height of a bar, of a row's


class ShareRow(TypedDict):
    """One bar: the shares of the series in their order, of how many; a heading has none."""

    label: str
    shares: list[float]
    n: int


class ShareChart(TypedDict):
    """Bars of shares; at the end of each stand the share of the first series, and of how many."""

    kind: Literal["shares"]
    x_label: str
    series: list[str]
    colours: list[str]
    rows: list[ShareRow]


def share_chart(
    x_label: str, series: Sequence[str], colours: Sequence[str], rows: Sequence[ShareRow]
) -> ShareChart:
    """Return the specification of a chart of shares."""
    return {
        "kind": "shares",
        "x_label": x_label,
        "series": list(series),
        "colours": list(colours),
        "rows": list(rows),
    }


@chart
def shares(spec: ShareChart) -> Figure:
    """Draw bars from the left in the order of the series, each series as one shape."""
    figure, axes = canvas.new_chart(MARGIN + ROW_HEIGHT * max(1, len(spec["rows"])))
    canvas.rows_axis(axes, [row["label"] for row in spec["rows"]])
    for order, (name, fill) in enumerate(zip(spec["series"], spec["colours"], strict=True)):
        parts = [part for at, row in enumerate(spec["rows"]) for part in _part(at, row, order)]
        draw_boxes(axes, parts, fill, tip=name)
    for at, row in enumerate(spec["rows"]):
        _draw_words(axes, at, row)
    for label, row in zip(axes.get_yticklabels(), spec["rows"], strict=True):
        label.set_color(colour("ink" if row["shares"] else "muted"))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.set_xlabel(spec["x_label"])
    return figure


def _part(at: int, row: ShareRow, order: int) -> list[Box]:
    """Return the box of one series in one bar, none where its share is 0."""
    width = row["shares"][order] if order < len(row["shares"]) else 0.0
    start = sum(row["shares"][:order])
    return [(start, at - BAR / 2, width, BAR)] if width else []


def _draw_words(axes: Axes, at: int, row: ShareRow) -> None:
    if row["shares"]:
        axes.annotate(
            f"{percent(row['shares'][0])} of {integer(row['n'])}", (1, at), (5, 0),
            textcoords="offset points", va="center", fontsize=canvas.SMALL, annotation_clip=False,
        )  # fmt: skip
