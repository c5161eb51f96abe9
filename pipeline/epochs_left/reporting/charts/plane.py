"""A plane of squares in steps of colour, hatched where there is no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.palette import REGION_LEVELS, colour

HEIGHT = 410.0  # px


class PlaneChart(TypedDict):
    """Levels by row (y rising) and column (x rising), null where hatched; lines |x| = |y| on top.

    ``extent`` is (x low, x high, y low, y high).
    """

    kind: Literal["plane"]
    x_label: str
    y_label: str
    extent: tuple[float, float, float, float]
    levels: list[list[int | None]]
    boundary: str
    hatched: str


def plane_chart(
    levels: Sequence[Sequence[int | None]],
    extent: tuple[float, float, float, float],
    *,
    x_label: str,
    y_label: str,
    boundary: str,
    hatched: str,
) -> PlaneChart:
    """Return the specification of a plane; ``boundary`` and ``hatched`` label line and region."""
    return {
        "kind": "plane",
        "x_label": x_label,
        "y_label": y_label,
        "extent": extent,
        "levels": [list(row) for row in levels],
        "boundary": boundary,
        "hatched": hatched,
    }


@chart
def plane(spec: PlaneChart) -> Figure:
    """Draw the hatch, the raster over it (transparent without a value), and the exact boundary."""
    figure, axes = canvas.new_chart(HEIGHT)
    x_low, x_high, y_low, y_high = spec["extent"]
    axes.add_patch(
        Rectangle(
            (x_low, y_low),
            x_high - x_low,
            y_high - y_low,
            facecolor="none",
            edgecolor=colour("grey"),
            hatch="////",
            linewidth=0,
        )
    )
    axes.imshow(
        _raster(spec["levels"]),
        extent=spec["extent"],
        origin="lower",
        interpolation="none",
        zorder=1.5,
    )
    _draw_boundary(axes, spec)
    axes.set_xlabel(spec["x_label"])
    axes.set_ylabel(spec["y_label"])
    return figure


def _raster(levels: Sequence[Sequence[int | None]]) -> np.ndarray:
    """Return the colours of the levels, shape (rows, columns, 4), transparent for null."""
    palette = np.array([*(to_rgba(code) for code in REGION_LEVELS), (0, 0, 0, 0)])
    index = [[-1 if level is None else level for level in row] for row in levels]
    return np.asarray((palette[np.array(index)] * 255).astype(np.uint8))


def _draw_boundary(axes: Axes, spec: PlaneChart) -> None:
    x_low, x_high, y_low, y_high = spec["extent"]
    for slope in (1, -1):
        axes.plot(
            [x_low, x_high], [slope * x_low, slope * x_high],
            color=colour("ink"), linewidth=1.6, scalex=False, scaley=False,
        )  # fmt: skip
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    for words, y in ((spec["hatched"], 0.84), (spec["boundary"], 0.08)):
        _label(axes, words, y)


def _label(axes: Axes, words: str, y: float) -> None:
    axes.text(
        0.5, y, words, transform=axes.transAxes, ha="center", va="center",
        bbox={"facecolor": colour("paper"), "edgecolor": "none", "pad": 3.5},
        fontsize=canvas.SMALL,
    )  # fmt: skip
