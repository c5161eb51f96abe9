"""The common look of the charts: sizes, axes, labels, marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from epochs_left.reporting.palette import colour
from epochs_left.reporting.ticks import Tick

WIDTH = 400.0  # px: a telephone's width less its margins
POINTS_PER_INCH = 72.0
FONT_SIZE = 12.0  # px
SMALL = 11.0  # px
MAX_LABEL = 30  # characters

#: Marker and size (px) of each mark; squares are larger, as they stand behind circles.
MARKERS = {"circle": ("o", 6.5), "open": ("o", 6.5), "diamond": ("D", 5.5), "square": ("s", 9.0)}

#: matplotlib settings under which charts are drawn and written.
SETTINGS: dict[str, Any] = {
    "axes.edgecolor": colour("muted"),
    "axes.formatter.use_mathtext": False,
    "axes.labelcolor": colour("ink"),
    "axes.labelsize": FONT_SIZE,
    "axes.linewidth": 0.8,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "font.family": "DejaVu Sans",  # the widest of the fonts that readers may have
    "font.size": FONT_SIZE,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "none",
    "text.color": colour("ink"),
    "text.parse_math": False,  # names from data are text, whatever signs they hold
    "xtick.color": colour("muted"),
    "xtick.labelcolor": colour("ink"),
    "xtick.labelsize": SMALL,
    "ytick.color": colour("muted"),
    "ytick.labelcolor": colour("ink"),
    "ytick.labelsize": SMALL,
}


def new_chart(height: float) -> tuple[Figure, Axes]:
    """Return an empty chart of ``WIDTH`` by ``height`` px, transparent, without upper spines."""
    figure = Figure(
        figsize=(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH),
        dpi=POINTS_PER_INCH,
        layout="constrained",
    )
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def grid(axes: Axes, along: str) -> None:
    """Draw faint lines at the ticks of one axis, ``"x"`` or ``"y"``, or of both."""
    axes.set_axisbelow(True)
    axes.grid(axis=along, color=colour("grid"), linewidth=0.8)  # type: ignore[arg-type]


def set_ticks(axes: Axes, along: str, ticks: Sequence[Tick]) -> None:
    """Put ticks where they are asked for, without minor ones."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_ticks([tick["at"] for tick in ticks], [tick["label"] for tick in ticks])
    axis.set_minor_locator(NullLocator())


def rows_axis(axes: Axes, labels: Sequence[str]) -> None:
    """Label rows from the top down at y = 0, 1, ..., without ticks or a vertical line."""
    axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
    axes.set_ylim(max(1, len(labels)) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.spines["left"].set_visible(False)


def mark_style(mark: str, colour_name: str) -> dict[str, Any]:
    """Return the marker of one series: filled, or open so that what is below shows through."""
    shape, size = MARKERS[mark]
    return {
        "linestyle": "none",
        "marker": shape,
        "markersize": size,
        "markerfacecolor": colour("paper") if mark == "open" else colour(colour_name),
        "markeredgecolor": colour(colour_name),
        "markeredgewidth": 1.5,
    }


def shortened(label: str, limit: int = MAX_LABEL) -> str:
    """Cut a label so that it leaves room for the chart."""
    return label if len(label) <= limit else f"{label[: limit - 1]}…"


def tip(words: str) -> str:
    """Return the group id that the page turns into a tooltip with these words."""
    return f"tip:{words}"
