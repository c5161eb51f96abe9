"""Dots with intervals, a row a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.content import Estimate
from epochs_left.reporting.palette import colour
from epochs_left.reporting.wording import decimal

DOT_HEIGHT = 11.0  # px: distance between the dots of a row
ROW_GAP = 13.0  # px: what a row has beyond its dots
MARGIN = 62.0  # px: axis, its labels and the padding


class Dot(TypedDict):
    """One estimate of a row; ``tip`` shows when a pointer rests on it."""

    estimate: Estimate
    colour: str
    mark: str
    tip: str


class DotRow(TypedDict):
    """One name and its estimates; ``quiet`` for what is only there for comparison."""

    label: str
    quiet: bool
    dots: list[Dot]


class DotChart(TypedDict):
    """Rows on one axis; what lies below ``floor`` is drawn at the edge with its value."""

    kind: Literal["dots"]
    x_label: str
    rows: list[DotRow]
    floor: float | None
    ceiling: float | None
    reference: float | None


def dot_chart(
    x_label: str,
    rows: Sequence[DotRow],
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    reference: float | None = None,
) -> DotChart:
    """Return the specification of a dot chart."""
    return {
        "kind": "dots",
        "x_label": x_label,
        "rows": list(rows),
        "floor": floor,
        "ceiling": ceiling,
        "reference": reference,
    }


@chart
def dots(spec: DotChart) -> Figure:
    """Draw a dot chart; the dots of a row lie one below the other so that none hides another."""
    most = max((len(row["dots"]) for row in spec["rows"]), default=1)
    row_height = ROW_GAP + DOT_HEIGHT * max(1, most)
    figure, axes = canvas.new_chart(MARGIN + row_height * max(1, len(spec["rows"])))
    canvas.rows_axis(axes, [row["label"] for row in spec["rows"]])
    canvas.grid(axes, "x")
    if spec["reference"] is not None:
        axes.axvline(spec["reference"], color=colour("muted"), linewidth=1)
    for at, row in enumerate(spec["rows"]):
        _draw_row(axes, at, row, spec["floor"], step=DOT_HEIGHT / row_height)
    for label, row in zip(axes.get_yticklabels(), spec["rows"], strict=True):
        label.set_color(colour("muted" if row["quiet"] else "ink"))
    _limit(axes, spec)
    axes.set_xlabel(spec["x_label"])
    return figure


def _draw_row(axes: Axes, at: int, row: DotRow, floor: float | None, *, step: float) -> None:
    axes.axhline(at + 0.5, color=colour("grid"), linewidth=0.8)
    for order, dot in enumerate(row["dots"]):
        y = at + (order - (len(row["dots"]) - 1) / 2) * step
        value = dot["estimate"]["value"]
        if value is None:
            continue
        if floor is not None and value < floor:
            _draw_off_scale(axes, y, dot, floor, value)
        else:
            _draw_dot(axes, y, dot, value)


def _draw_dot(axes: Axes, y: float, dot: Dot, value: float) -> None:
    lower, upper = dot["estimate"]["lower"], dot["estimate"]["upper"]
    if lower is not None and upper is not None:
        axes.plot([lower, upper], [y, y], color=colour(dot["colour"]), linewidth=2, zorder=2)
    axes.plot(
        [value], [y], gid=canvas.tip(dot["tip"]), zorder=3,
        **canvas.mark_style(dot["mark"], dot["colour"]),
    )  # fmt: skip


def _draw_off_scale(axes: Axes, y: float, dot: Dot, floor: float, value: float) -> None:
    axes.annotate(
        "◂", (floor, y), (1, 0), textcoords="offset points", va="center",
        color=colour(dot["colour"]), gid=canvas.tip(dot["tip"]),
    )  # fmt: skip
    axes.annotate(
        decimal(value, 1), (floor, y), (11, 0), textcoords="offset points", va="center",
        fontsize=canvas.SMALL - 1, color=colour("muted"),
    )  # fmt: skip


def _limit(axes: Axes, spec: DotChart) -> None:
    if spec["floor"] is not None:
        axes.set_xlim(left=spec["floor"])
    if spec["ceiling"] is not None:
        axes.set_xlim(right=spec["ceiling"])
