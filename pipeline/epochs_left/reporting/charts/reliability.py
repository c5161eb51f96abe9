"""Predicted probabilities against what happened, with the number of cases at the foot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.palette import colour
from epochs_left.reporting.ticks import share_ticks
from epochs_left.reporting.wording import integer, percent

HEIGHT = 340.0  # px
FOOT = 0.16  # height of the tallest bar, below 0 in units of the axis
N_BARS = 20


class ReliabilityBin(TypedDict):
    """Cases of about the same probability: its mean, the share that came true, how many."""

    predicted: float
    observed: float
    lower: float | None
    upper: float | None
    n: int


class ReliabilityChart(TypedDict):
    """Bins of one forecaster."""

    kind: Literal["reliability"]
    x_label: str
    y_label: str
    bins: list[ReliabilityBin]


def reliability_chart(
    x_label: str, y_label: str, bins: Sequence[ReliabilityBin]
) -> ReliabilityChart:
    """Return the specification of a reliability diagram."""
    return {"kind": "reliability", "x_label": x_label, "y_label": y_label, "bins": list(bins)}


@chart
def reliability(spec: ReliabilityChart) -> Figure:
    """Draw the diagonal, a dot with its interval a bin, and the cases as bars at the foot."""
    figure, axes = canvas.new_chart(HEIGHT)
    canvas.grid(axes, "both")
    for along in ("x", "y"):
        canvas.set_ticks(axes, along, share_ticks())
    axes.plot([0, 1], [0, 1], color=colour("ink"), linewidth=1, dashes=(4, 3))
    axes.set_xlim(0, 1)
    axes.set_ylim(-FOOT - 0.02, 1)
    axes.axhline(0, color=colour("muted"), linewidth=0.8)
    _draw_counts(axes, spec["bins"])
    for each in spec["bins"]:
        _draw_bin(axes, each)
    axes.set_xlabel(spec["x_label"])
    axes.set_ylabel(spec["y_label"])
    return figure


def _draw_counts(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    edges = np.linspace(0, 1, N_BARS + 1)
    weights = [each["n"] for each in bins]
    counts = np.histogram([each["predicted"] for each in bins], edges, weights=weights)[0]
    for left, right, n in zip(edges[:-1], edges[1:], counts, strict=True):
        if n:
            words = f"{integer(n)} cases from {percent(left)} to {percent(right)}"
            axes.bar(
                left, FOOT * n / counts.max(), right - left, bottom=-FOOT - 0.02, align="edge",
                color=colour("grey"), edgecolor=colour("paper"), linewidth=0.6,
                gid=canvas.tip(words),
            )  # fmt: skip


def _draw_bin(axes: Axes, each: ReliabilityBin) -> None:
    at, lower, upper = each["predicted"], each["lower"], each["upper"]
    if lower is not None and upper is not None:
        axes.plot([at, at], [lower, upper], color=colour("blue"), linewidth=1.5, clip_on=False)
    words = (
        f"predicted {percent(at, 1)}, came true {percent(each['observed'], 1)}, "
        f"{integer(each['n'])} cases"
    )
    style = canvas.mark_style("circle", "blue")
    axes.plot([at], [each["observed"]], gid=canvas.tip(words), clip_on=False, zorder=3, **style)
