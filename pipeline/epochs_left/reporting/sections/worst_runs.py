"""The runs that were predicted worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epochs_left.reporting import scoring
from epochs_left.reporting.content import Block, Cell, column, table, text
from epochs_left.reporting.predictions import (
    PREDICTIONS,
    Predictions,
    read_predictions,
    shown_by_view,
)
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import percent

MOST_RUNS = 15


@dataclass(frozen=True)
class WorstRow:
    """The row of a run with the largest error, as an absolute log10 factor."""

    at: int
    size: float


@section(
    title="Worst runs",
    question="Which runs fooled the predictor, and by how much?",
    order=100,
    reads=[PREDICTIONS, scoring.SCORES],
)
def worst_runs(results: Results) -> Sequence[Block]:
    """List the runs with the largest errors of the best model of each view."""
    shown = shown_by_view(scoring.read_scores(results), read_predictions(results))
    if not shown:
        return []
    cells = [cell for view, _, rows in shown for cell in _worst(view, rows)]
    start = scoring.view_title(shown[-1][0])
    columns = [
        column("run", "code"),
        column("view", start=start),
        column("activation", start=""),
        column("batch", start=""),
        column("lr", "brief"),
        column("epoch", "integer"),
        column("actual", "brief"),
        column("predicted", "brief"),
        column("predicted / actual", "brief"),
    ]
    caption = f"The {MOST_RUNS} runs of each view with the largest error, each by its worst row."
    return [
        text(
            "A factor of 10 means ten times too many epochs predicted, 0.1 ten times too few. "
            f"Among runs of the locked test, {_share_within(shown[-1][2])} are never more than "
            "a factor of two off."
        ),
        table("runs", caption, columns, cells),
    ]


def _worst(view: str, rows: Predictions) -> list[list[Cell]]:
    return [
        [
            str(rows["run_id"][row.at]),
            scoring.view_title(view),
            str(rows["activation"][row.at]),
            str(rows["batch"][row.at]),
            float(rows["lr"][row.at]),
            float(rows["epoch"][row.at]),
            float(rows["actual"][row.at]),
            float(rows["predicted"][row.at]),
            float(10 ** rows.log_factor[row.at]),
        ]
        for row in _worst_rows(rows)[:MOST_RUNS]
    ]


def _worst_rows(rows: Predictions) -> list[WorstRow]:
    """Return the worst row of each run, worst run first."""
    sizes = np.abs(rows.log_factor)
    order = np.argsort(-sizes, kind="stable")
    _, firsts = np.unique(rows["run_id"][order].astype(str), return_index=True)
    return [WorstRow(int(order[i]), float(sizes[order[i]])) for i in sorted(firsts)]


def _share_within(rows: Predictions) -> str:
    sizes = [row.size for row in _worst_rows(rows)]
    return f"{percent(float(np.mean(np.array(sizes) <= np.log10(2))))}"
