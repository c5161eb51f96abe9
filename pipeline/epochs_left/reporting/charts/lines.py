"""Lines with bands, labelled where they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.palette import colour
from epochs_left.reporting.ticks import Tick

HEIGHT = 320.0  # px
BAND_OPACITY = 0.18
LABEL_GAP = 14.0  # px between the labels of two lines


class LinePoint(TypedDict):
    """A point of a line with its interval, in the units of the axes."""

    x: float
    y: float
    lower: float | None
    upper: float | None
    tip: str


class Line(TypedDict):
    """One series; ``label`` is written at its last point, "" for none; a dashed one has no band.

    The mark ``""`` draws none, for a line that is only a guide.
    """

    label: str
    colour: str
    dashed: bool
    mark: str
    points: list[LinePoint]


class LineChart(TypedDict):
    """Lines over common axes; ``diagonal`` draws y = x."""

    kind: Literal["lines"]
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    diagonal: bool


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    diagonal: bool = False,
) -> LineChart:
    """Return the specification of a line chart; the ticks span the axes."""
    return {
        "kind": "lines",
        "x_label": x_label,
        "y_label": y_label,
        "x_ticks": list(x_ticks),
        "y_ticks": list(y_ticks),
        "lines": list(lines),
        "diagonal": diagonal,
    }


@chart
def lines(spec: LineChart) -> Figure:
    """Draw bands first, then the lines, then their labels, moved apart where they would meet."""
    figure, axes = canvas.new_chart(HEIGHT)
    canvas.grid(axes, "both")
    canvas.set_ticks(axes, "x", spec["x_ticks"])
    canvas.set_ticks(axes, "y", spec["y_ticks"])
    if spec["diagonal"]:
        axes.axline((0, 0), slope=1, color=colour("ink"), linewidth=1, dashes=(4, 3))
    for line in spec["lines"]:
        _draw_line(axes, line)
    _span(axes, spec)
    _draw_labels(axes, [line for line in spec["lines"] if line["label"] and line["points"]])
    axes.set_xlabel(spec["x_label"])
    axes.set_ylabel(spec["y_label"])
    return figure


def _draw_line(axes: Axes, line: Line) -> None:
    shade = colour(line["colour"])
    drawn = [] if line["dashed"] else line["points"]
    banded = [at for at in drawn if at["lower"] is not None and at["upper"] is not None]
    axes.fill_between(
        [at["x"] for at in banded],
        [at["lower"] or 0.0 for at in banded],
        [at["upper"] or 0.0 for at in banded],
        color=shade, alpha=BAND_OPACITY, linewidth=0,
    )  # fmt: skip
    axes.plot(
        [at["x"] for at in line["points"]], [at["y"] for at in line["points"]],
        color=shade, linewidth=1.5 if line["dashed"] else 2,
        linestyle=(0, (2, 2)) if line["dashed"] else "-",
    )  # fmt: skip
    for at in line["points"] if line["mark"] else []:
        style = canvas.mark_style(line["mark"], line["colour"])
        axes.plot([at["x"]], [at["y"]], gid=canvas.tip(at["tip"]), clip_on=False, **style)


def _span(axes: Axes, spec: LineChart) -> None:
    xs, ys = ([tick["at"] for tick in spec[name]] for name in ("x_ticks", "y_ticks"))
    if len(xs) > 1:
        axes.set_xlim(min(xs), max(xs))
    if len(ys) > 1:
        axes.set_ylim(min(ys), max(ys))


def _draw_labels(axes: Axes, labelled: Sequence[Line]) -> None:
    low, high = axes.get_ylim()
    unit = (high - low) / (HEIGHT * 0.8)  # a pixel in units of the axis, nearly
    at_y = float("-inf")
    for line in sorted(labelled, key=lambda line: line["points"][-1]["y"]):
        last = line["points"][-1]
        at_y = max(min(last["y"], high), at_y + LABEL_GAP * unit)
        for words, offset, shade in (("●", 8, line["colour"]), (line["label"], 19, "ink")):
            axes.annotate(
                canvas.shortened(words, 18), (last["x"], at_y), (offset, 0), va="center",
                textcoords="offset points", color=colour(shade), fontsize=canvas.SMALL,
                annotation_clip=False,
            )  # fmt: skip
