"""Bars from zero with intervals, a row a name, each with its figure at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.content import Estimate
from epochs_left.reporting.palette import colour
from epochs_left.reporting.wording import decimal

ROW_HEIGHT = 23.0  # px
MARGIN = 58.0  # px: axis, its labels and the padding
ROOM = 1.32  # of the longest bar: what the figure at its end needs


class BarRow(TypedDict):
    """One name and its figure; ``tip`` shows when a pointer rests on the bar."""

    label: str
    estimate: Estimate
    colour: str
    tip: str


class BarChart(TypedDict):
    """Rows on one axis that starts at zero; figures are written with ``digits`` decimals."""

    kind: Literal["bars"]
    x_label: str
    rows: list[BarRow]
    digits: int


def bar_chart(x_label: str, rows: Sequence[BarRow], *, digits: int = 2) -> BarChart:
    """Return the specification of a bar chart."""
    return {"kind": "bars", "x_label": x_label, "rows": list(rows), "digits": digits}


@chart
def bars(spec: BarChart) -> Figure:
    """Draw the bars from the top down, intervals across their ends."""
    figure, axes = canvas.new_chart(MARGIN + ROW_HEIGHT * max(1, len(spec["rows"])))
    canvas.rows_axis(axes, [row["label"] for row in spec["rows"]])
    canvas.grid(axes, "x")
    axes.axvline(0, color=colour("muted"), linewidth=1)
    for at, row in enumerate(spec["rows"]):
        _draw_bar(axes, at, row, spec["digits"])
    _limit(axes, [edge for row in spec["rows"] for edge in _ends(row)])
    axes.set_xlabel(spec["x_label"])
    return figure


def _draw_bar(axes: Axes, at: int, row: BarRow, digits: int) -> None:
    found = row["estimate"]
    value, lower, upper = found["value"], found["lower"], found["upper"]
    if value is None:
        return
    shade = colour(row["colour"])
    axes.barh(at, value, height=0.56, color=shade, alpha=0.75, gid=canvas.tip(row["tip"]))
    if lower is not None and upper is not None:
        axes.plot([lower, upper], [at, at], color=colour("ink"), linewidth=1.5)
    axes.annotate(
        decimal(value, digits), (max(0.0, *_ends(row)), at), (5, 0), textcoords="offset points",
        va="center", fontsize=canvas.SMALL, annotation_clip=False,
    )  # fmt: skip


def _ends(row: BarRow) -> list[float]:
    """Return where the bar and its interval end, and 0."""
    found = row["estimate"]
    known = (found["value"], found["lower"], found["upper"])
    return [0.0, *(each for each in known if each is not None)]


def _limit(axes: Axes, edges: Sequence[float]) -> None:
    low, high = min(edges, default=0.0), max(edges, default=1.0)
    span = (high - low) or 1.0
    axes.set_xlim(low - 0.03 * span if low < 0 else 0.0, low + ROOM * span)
