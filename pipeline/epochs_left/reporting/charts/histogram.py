"""A stacked histogram over bins of equal width in the logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.charts.boxes import draw_boxes
from epochs_left.reporting.ticks import whole_ticks
from epochs_left.reporting.wording import integer

HEIGHT = 300.0  # px


class Layer(TypedDict):
    """One series: a count a bin."""

    label: str
    colour: str
    counts: list[float]


class HistogramChart(TypedDict):
    """Layers over bins with positive, rising ``edges`` (one more than counts)."""

    kind: Literal["histogram"]
    x_label: str
    y_label: str
    edges: list[float]
    layers: list[Layer]


def histogram_chart(
    x_label: str, y_label: str, edges: Sequence[float], layers: Sequence[Layer]
) -> HistogramChart:
    """Return the specification of a histogram."""
    return {
        "kind": "histogram",
        "x_label": x_label,
        "y_label": y_label,
        "edges": list(edges),
        "layers": list(layers),
    }


@chart
def histogram(spec: HistogramChart) -> Figure:
    """Draw the layers one upon the other, the first at the bottom."""
    figure, axes = canvas.new_chart(HEIGHT)
    canvas.grid(axes, "y")
    below = [0.0] * (len(spec["edges"]) - 1)
    for layer in spec["layers"]:
        below = _draw_layer(axes, spec["edges"], layer, below)
    axes.set_xscale("log")
    canvas.set_ticks(axes, "x", whole_ticks(spec["edges"][0], spec["edges"][-1]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: integer(value)))
    axes.set_xlim(spec["edges"][0], spec["edges"][-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(spec["x_label"])
    axes.set_ylabel(spec["y_label"])
    return figure


def _draw_layer(
    axes: Axes, edges: Sequence[float], layer: Layer, below: list[float]
) -> list[float]:
    """Draw a layer as one shape and return the heights upon which the next one stands."""
    bins = zip(edges[:-1], edges[1:], below, layer["counts"], strict=False)
    boxes = [(left, base, right - left, height) for left, right, base, height in bins if height]
    draw_boxes(axes, boxes, layer["colour"], tip=layer["label"])
    return [base + height for base, height in zip(below, layer["counts"], strict=False)]
