"""Every prediction against what happened."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.hexes import Bounds, Vertex, hex_chart, hexagons
from epochs_left.reporting.content import (
    Block,
    Cell,
    Panel,
    column,
    figure,
    legend,
    panel,
    table,
    text,
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
from epochs_left.reporting.scoring import Score, told_percent
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.ticks import decade_ticks
from epochs_left.reporting.wording import brief, percent


@section(
    title="Predicted against actual",
    question="What does a prediction look like beside the truth?",
    order=40,
    reads=[PREDICTIONS, scoring.SCORES],
    of=EACH,
)
def predicted_actual(results: Results) -> Sequence[Block]:
    """Show the density of predictions on logarithmic axes, a panel a view."""
    scores = scoring.read_scores(results, scope="all")
    shown = shown_by_view(scores, read_predictions(results))
    if not shown:
        return []
    answers = [_answer(view, title, rows, scores) for view, title, rows in reversed(shown)]
    top = top_edge([rows[name] for _, _, rows in shown for name in ("actual", "predicted")])
    bounds = (math.log10(LOW_EDGE), top, math.log10(LOW_EDGE), top)
    cells = [cells for view, _, rows in shown for cells in _bin_cells(view, rows)]
    columns = [column("view", start=""), column("actual from", "brief"), column("to", "brief")]
    columns += [column("rows", "integer")]
    columns += [
        column(f"predicted, {name}", "brief") for name in ("quarter", "median", "three quarters")
    ]
    return [
        text(" ".join(answers)),
        figure(
            "density",
            "Epochs remaining, predicted and actual",
            "A sample of rows of converged runs in the locked test, on logarithmic axes. On the "
            "dashed line a prediction is exact; the orange line is the median prediction. Colours "
            "go by the logarithm of the number of rows. Predictions below half an epoch are drawn "
            "as half an epoch.",
            [_panel(view, title, rows, bounds) for view, title, rows in shown],
            table("data", "Predictions by actual epochs remaining.", columns, cells),
            key=legend(
                ("few to many rows", "blue", "ramp"),
                ("exact", "ink", "dash"),
                ("median prediction", "vermillion", "line"),
            ),
        ),
    ]


def _answer(view: str, title: str, rows: Predictions, scores: Sequence[Score]) -> str:
    """Say how far off a typical run is, with its interval, and how far nine in ten rows are."""
    model = str(rows["model"][0])
    score = scoring.first(
        scores, metric="median_relative_error", view=view, model=model, weighting="run",
        split=scoring.LOCKED_TEST,
    )  # fmt: skip
    far = percent(float(np.quantile(rows.relative_error, 0.9)))
    start = f"{scoring.view_title(view)}, {title}:"
    if score is None:
        return f"{start} nine in ten predictions are within {far} of the truth."
    off = told_percent(score.estimate, 1, named=True)
    return f"{start} a typical run is off by {off}; nine in ten predictions are within {far}."


def _panel(view: str, title: str, rows: Predictions, bounds: Bounds) -> Panel:
    x, y = np.log10(rows["actual"]), np.log10(np.maximum(rows["predicted"], LEAST))
    ticks = [tick for tick in decade_ticks([1.0, 10 ** bounds[1]]) if tick["at"] <= bounds[1]]
    medians = running_median(x, y)
    error = percent(float(np.median(rows.relative_error)))
    words = (
        f"{title}, {len(rows):,} rows. Half of the predictions are within {error} of the truth. "
        f"Median prediction by actual epochs remaining: {_spoken(medians)}."
    )
    chart = hex_chart(
        hexagons(x, y, bounds),
        bounds,
        x_label="actual epochs remaining",
        y_label="predicted epochs remaining",
        x_ticks=ticks,
        y_ticks=ticks,
        guide="diagonal",
        medians=medians,
    )
    return panel(f"{scoring.view_title(view)}: {title}", words, chart)


def _bin_cells(view: str, rows: Predictions) -> list[list[Cell]]:
    x = np.log10(rows["actual"])
    quartiles = [0.25, 0.5, 0.75]
    return [
        [
            scoring.view_title(view),
            10**low,
            10**high,
            int(inside.sum()),
            *np.quantile(rows["predicted"][inside], quartiles).tolist(),
        ]
        for low, high, inside in decade_bins(x)
    ]


def _spoken(medians: Sequence[Vertex]) -> str:
    shown = medians[:: max(1, len(medians) // 4)]
    return ", ".join(f"{brief(10 ** at['x'])} gives {brief(10 ** at['y'])}" for at in shown)
