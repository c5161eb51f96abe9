"""Slow and hopeless regions of the neuron's parameter plane, true and predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.reporting.charts.plane import plane_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Facts,
    LegendEntry,
    Panel,
    Table,
    column,
    fact,
    facts,
    figure,
    panel,
    table,
)
from epochs_left.reporting.palette import REGION_LEVELS
from epochs_left.reporting.results import Results, Row, number, word
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import brief, decimal, integer, percent

CELLS = "neuron/parameter_plane.parquet"
FACTS = "neuron/parameter_plane.json"
BOUNDARY = "|w2 − w1| = |b|"  # what the chart draws
N_BLOCKS = 8  # the table behind the figure has 8 x 8 blocks of cells
Grid = NDArray[np.float64]


@section(
    title="Parameter plane",
    question="Which initialisations are slow, which never arrive, and is it seen in advance?",
    order=90,
    reads=[CELLS, FACTS],
)
def parameter_plane(results: Results) -> Sequence[Block]:
    """Draw true and predicted epochs over (w2 - w1, b) with the exact boundary."""
    x, y = results.numbers(CELLS, "w_minus"), results.numbers(CELLS, "b")
    is_placed = np.isfinite(x) & np.isfinite(y)
    if not is_placed.any():
        return []
    x, y = x[is_placed], y[is_placed]
    columns = {
        name: results.numbers(CELLS, name)[is_placed]
        for name in ("epochs", "predicted", "p_converges")
    }
    record = results.record(FACTS)
    blocks: list[Block] = [_agreement(record)] if record else []
    return [*blocks, *_figure(x, y, columns, record)]


def _agreement(record: Row) -> Facts:
    return facts(
        fact(
            "Told apart before the first step",
            percent(number(record.get("accuracy")), 1),
            "of the plane: P(converges) ≥ .5 agrees with the exact boundary " + BOUNDARY,
        ),
        fact(
            "Typical error of the predicted epochs",
            percent(number(record.get("median_relative_error"))),
            f"{word(record.get('model'))} at epoch 0, lr {brief(number(record.get('lr')))}",
        ),
    )


def _figure(x: Grid, y: Grid, columns: dict[str, Grid], record: Row) -> list[Block]:
    rasters = {name: _raster(x, y, values) for name, values in columns.items()}
    bounds = _level_bounds(columns)
    extent = (float(x.min()), float(x.max()), float(y.min()), float(y.max()))
    if extent[0] == extent[1] or extent[2] == extent[3]:
        return []
    panels = [
        _panel(title, hatched, rasters[name], bounds, extent)
        for title, name, hatched in (
            ("True epochs to convergence", "epochs", "stuck: never converges"),
            ("Predicted at initialisation", "predicted", "predicted not to converge"),
        )
    ]
    return [
        figure(
            "epochs",
            "Epochs to convergence over the plane of initialisations",
            "One run an initialisation: w1 + w2 = "
            f"{decimal(number(record.get('w_plus')) or 0.0, 1)}, full batch, lr "
            f"{brief(number(record.get('lr')))}. The lines are the exact boundary between "
            "initialisations that converge and those that get stuck.",
            panels,
            _block_table(x, y, columns),
            key=_level_legend(bounds),
        )
    ]


def _raster(x: Grid, y: Grid, values: Grid) -> Grid:
    """Return the values on the grid of distinct y (rows) and x (columns), NaN where none is."""
    xs, columns = np.unique(x, return_inverse=True)
    ys, rows = np.unique(y, return_inverse=True)
    raster = np.full((ys.size, xs.size), np.nan)
    raster[rows, columns] = values
    return raster


def _level_bounds(columns: dict[str, Grid]) -> list[float]:
    """Return the upper bounds of the colour levels, in epochs: rounded quantiles of both panels."""
    both = np.concatenate([columns["epochs"], columns["predicted"]])
    known = both[np.isfinite(both)]
    if not known.size:
        return []
    shares = np.linspace(0, 1, len(REGION_LEVELS) + 1)[1:-1]
    return sorted({float(round(q)) for q in np.quantile(known, shares)})


def _panel(
    title: str,
    hatched: str,
    raster: Grid,
    bounds: Sequence[float],
    extent: tuple[float, float, float, float],
) -> Panel:
    levels = np.searchsorted(np.array(bounds), np.nan_to_num(raster), side="left")
    finite = np.isfinite(raster)
    indexed = [
        [
            _spread(int(level), len(bounds)) if known else None
            for level, known in zip(*row, strict=True)
        ]
        for row in zip(levels, finite, strict=True)
    ]
    chart = plane_chart(
        indexed,
        extent,
        x_label="w2 − w1 at initialisation",
        y_label="b at initialisation",
        boundary=BOUNDARY,
        hatched=hatched,
    )
    middle = brief(float(np.median(raster[finite]))) if finite.any() else "no"
    words = (
        f"{percent(float(finite.mean()))} of the plane has an epoch count, {middle} epochs in the "
        f"median; the rest, {hatched}, is hatched: above and below the lines {BOUNDARY}."
    )
    return panel(title, words, chart)


def _spread(level: int, n_bounds: int) -> int:
    """Return the colour of a level, using the whole range of colours however few levels are."""
    return round(level * (len(REGION_LEVELS) - 1) / n_bounds) if n_bounds else 0


def _level_legend(bounds: Sequence[float]) -> list[LegendEntry]:
    """Return what each colour means."""
    names = _level_names(bounds)
    entries: list[LegendEntry] = [
        {"label": name, "colour": f"region{_spread(level, len(bounds))}", "mark": "square"}
        for level, name in enumerate(names)
    ]
    hatch: LegendEntry = {"label": "does not converge", "colour": "grey", "mark": "hatch"}
    return [*entries, hatch]


def _level_names(bounds: Sequence[float]) -> list[str]:
    if not bounds:
        return []
    inner = [
        f"{integer(low + 1)}–{integer(high)}" if low + 1 < high else integer(high)
        for low, high in pairwise(bounds)
    ]
    return [f"up to {integer(bounds[0])} epochs", *inner, f"over {integer(bounds[-1])}"]


def _block_table(x: Grid, y: Grid, columns: dict[str, Grid]) -> Table:
    edges_x, edges_y = (np.linspace(v.min(), v.max(), N_BLOCKS + 1) for v in (x, y))
    in_x = np.clip(np.searchsorted(edges_x, x, side="right") - 1, 0, N_BLOCKS - 1)
    in_y = np.clip(np.searchsorted(edges_y, y, side="right") - 1, 0, N_BLOCKS - 1)
    rows: list[list[Cell]] = []
    for i in range(N_BLOCKS):
        for j in range(N_BLOCKS):
            inside = (in_x == i) & (in_y == j)
            if inside.any():
                centre = [_middle(edges_x, i), _middle(edges_y, j)]
                rows.append([*centre, *_block_cells(columns, inside)])
    names = [column("w2 − w1", "brief"), column("b", "brief"), column("converge", "percent")]
    names += [column("epochs, median", "brief"), column("predicted, median", "brief")]
    names.append(column("P(converges), mean", "decimal"))
    return table(
        "data", f"The plane in {N_BLOCKS} × {N_BLOCKS} blocks, by their centres.", names, rows
    )


def _middle(edges: Grid, index: int) -> float:
    return float(edges[index] + edges[index + 1]) / 2


def _block_cells(columns: dict[str, Grid], inside: NDArray[np.bool_]) -> list[Cell]:
    epochs, predicted = columns["epochs"][inside], columns["predicted"][inside]
    chances = columns["p_converges"][inside]
    return [
        float(np.isfinite(epochs).mean()),
        _reduced(epochs, np.median),
        _reduced(predicted, np.median),
        _reduced(chances, np.mean),
    ]


def _reduced(values: Grid, reduce: Callable[[Grid], Any]) -> float | None:
    known = values[np.isfinite(values)]
    return float(reduce(known)) if known.size else None
