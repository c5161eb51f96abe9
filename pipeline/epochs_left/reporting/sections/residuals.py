"""Systematic errors: by how much, at what size, for which runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import DotRow, dot_chart
from epochs_left.reporting.charts.hexes import Bounds, hex_chart, hexagons
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Mark,
    Panel,
    column,
    figure,
    legend,
    panel,
    table,
)
from epochs_left.reporting.predictions import (
    LEAST,
    LOW_EDGE,
    PREDICTIONS,
    Predictions,
    decade_bins,
    read_predictions,
    running_median,
    shown_by_view,
    top_edge,
)
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import section
from epochs_left.reporting.ticks import Tick, decade_ticks
from epochs_left.reporting.wording import brief, factor_label, percent

MOST = 2  # errors beyond 10^MOST are drawn at the edge
COLOURS: Mapping[str, tuple[str, Mark]] = {
    "oracle": ("purple", "open"),
    "causal": ("blue", "circle"),
}
Shown = Sequence[tuple[str, str, Predictions]]


@section(
    title="Residuals",
    question="Are the errors noise, or do they follow a pattern?",
    order=50,
    reads=[PREDICTIONS, scoring.SCORES],
)
def residuals(results: Results) -> Sequence[Block]:
    """Show errors as factors against the prediction, and their size by kind of run."""
    shown = shown_by_view(scoring.read_scores(results), read_predictions(results))
    return [_factor_figure(shown), _group_figure(shown)] if shown else []


def _factor_figure(shown: Shown) -> Figure:
    top = top_edge([rows["predicted"] for _, _, rows in shown])
    bounds = (math.log10(LOW_EDGE), top, -MOST, MOST)
    cells = [cell for view, _, rows in shown for cell in _bin_cells(view, rows)]
    columns = [column("view", start=""), column("predicted from", "brief"), column("to", "brief")]
    columns += [column("rows", "integer"), column("median factor", "brief")]
    return figure(
        "factor",
        "Error as a factor, against the prediction",
        "Predicted over actual epochs remaining. Above the dashed line the prediction is too late, "
        "below it too early; the orange line is the median. A line that leaves the dashed one is "
        "a bias that could be corrected; a broad cloud is what the model does not know. "
        "Predictions below half an epoch count as half an epoch.",
        [_factor_panel(view, title, rows, bounds) for view, title, rows in shown],
        table("data", "Median factor by predicted epochs.", columns, cells),
        key=legend(
            ("few to many rows", "blue", "ramp"),
            ("exact", "ink", "dash"),
            ("median", "vermillion", "line"),
        ),
    )


def _factor_panel(view: str, title: str, rows: Predictions, bounds: Bounds) -> Panel:
    x, y = np.log10(np.maximum(rows["predicted"], LEAST)), rows.log_factor
    y_ticks: list[Tick] = [
        {"at": float(at), "label": factor_label(at)} for at in range(-MOST, MOST + 1)
    ]
    low, middle, high = np.quantile(y, [0.05, 0.5, 0.95])
    words = (
        f"{title}. Median factor {brief(10**middle)}; nine in ten predictions lie between "
        f"{brief(10**low)} and {brief(10**high)} times the truth."
    )
    chart = hex_chart(
        hexagons(x, y, bounds),
        bounds,
        x_label="predicted epochs remaining",
        y_label="predicted / actual",
        x_ticks=[t for t in decade_ticks([1.0, 10 ** bounds[1]]) if t["at"] <= bounds[1]],
        y_ticks=y_ticks,
        guide="zero",
        medians=running_median(x, y),
    )
    return panel(f"{scoring.view_title(view)}: {title}", words, chart)


def _bin_cells(view: str, rows: Predictions) -> list[list[Cell]]:
    x, y = np.log10(np.maximum(rows["predicted"], LEAST)), rows.log_factor
    return [
        [scoring.view_title(view), 10**low, 10**high, int(inside.sum()), _factor(y[inside])]
        for low, high, inside in decade_bins(x)
    ]


def _factor(logs: np.ndarray) -> float:
    return float(10 ** np.median(logs))


def _group_figure(shown: Shown) -> Figure:
    groups = list(dict.fromkeys(name for _, _, rows in shown for name, _ in _groups(rows)))
    rows = [_group_row(group, shown) for group in groups]
    spoken = "; ".join(
        f"{row['label']}: " + ", ".join(d["tip"] for d in row["dots"]) for row in rows
    )
    cells: list[list[Cell]] = [
        [group, scoring.view_title(view), int(mask.sum()), _quartiles(rows_of, mask)]
        for view, _, rows_of in shown
        for group, mask in _groups(rows_of)
    ]
    columns = [column("runs"), column("view", start=""), column("rows", "integer")]
    columns.append(column("median relative error", "percent"))
    return figure(
        "groups",
        "Relative error by kind of run",
        "Median of |predicted − actual| / actual; lines span the middle half of the rows. Groups "
        "overlap: each row counts once by activation, once by batch and once by learning rate.",
        [
            panel(
                "Relative error by kind of run",
                spoken,
                dot_chart("relative error (1 = 100 %)", rows, ceiling=_ceiling(rows)),
            )
        ],
        table("data", "Relative error by kind of run; bounds are quartiles.", columns, cells),
        key=legend(*((scoring.view_title(view), *COLOURS[view]) for view, _, _ in shown)),
    )


def _group_row(group: str, shown: Shown) -> DotRow:
    row: DotRow = {"label": group, "quiet": False, "dots": []}
    for view, _, rows in shown:
        mask = dict(_groups(rows)).get(group)
        if mask is not None:
            quartiles = _quartiles(rows, mask)
            colour, mark = COLOURS[view]
            tip = f"{scoring.view_title(view)} {percent(quartiles['value'])}"
            row["dots"].append({"estimate": quartiles, "colour": colour, "mark": mark, "tip": tip})
    return row


def _groups(rows: Predictions) -> Iterator[tuple[str, np.ndarray]]:
    for field in ("activation", "batch"):
        for name in sorted({str(value) for value in rows[field]} - {""}):
            yield f"{name} batch" if field == "batch" else name, rows[field] == name
    with np.errstate(divide="ignore", invalid="ignore"):
        decade = np.floor(np.log10(rows["lr"]))
    for at in np.unique(decade[np.isfinite(decade)]):
        yield f"lr {brief(10.0**at)} to {brief(10.0 ** (at + 1))}", decade == at


def _quartiles(rows: Predictions, mask: np.ndarray) -> Estimate:
    low, middle, high = (
        float(q) for q in np.quantile(rows.relative_error[mask], [0.25, 0.5, 0.75])
    )
    return {"value": middle, "lower": low, "upper": high}


def _ceiling(rows: Sequence[DotRow]) -> float:
    """Return where the axis ends: a group of hopeless predictions must not flatten the rest."""
    uppers = sorted(dot["estimate"]["upper"] or 0.0 for row in rows for dot in row["dots"])
    if not uppers:
        return 1.0
    usual = uppers[len(uppers) // 2]
    return max(0.1, 1.05 * min(uppers[-1], 5 * usual))
