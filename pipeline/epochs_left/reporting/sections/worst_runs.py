"""The runs that were predicted worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Table,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.predictions import (
    PREDICTIONS,
    Predictions,
    read_predictions,
    shown_by_view,
)
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.ticks import Tick, epoch_position, epoch_ticks
from epochs_left.reporting.wording import brief, factor_label, integer, percent

MOST_RUNS = 10  # in the table, of each view
MOST_LINES = 4  # in the picture
LEAST_POINTS = 3  # rows of a run that make a line
COLOURS = ("blue", "vermillion", "green", "purple")


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
    of=EACH,
)
def worst_runs(results: Results) -> Sequence[Block]:
    """List the runs with the largest errors of the best model of each view, and draw some."""
    scores = scoring.read_scores(results, scope="all")
    shown = shown_by_view(scores, read_predictions(results))
    if not shown:
        return []
    view, _, rows = shown[-1]
    drawn = _drawn(rows)
    return [
        text(_answer(view, rows)),
        *([_figure(view, drawn)] if drawn else []),
        _table([cell for view, _, rows in shown for cell in _worst(view, rows)], view),
    ]


def _answer(view: str, rows: Predictions) -> str:
    ranked = _worst_rows(rows)
    within = float(np.mean([row.size <= math.log10(2) for row in ranked]))
    at = ranked[0].at
    return (
        f"{scoring.view_title(view)}, {percent(within)} of {integer(len(ranked))} runs of the "
        "locked test are never more than a factor of two off. The worst prediction says "
        f"{brief(float(rows['predicted'][at]))} epochs where {brief(float(rows['actual'][at]))} "
        "are left."
    )


def _drawn(rows: Predictions) -> list[tuple[str, Predictions]]:
    """Return the worst runs that have enough rows in the sample, with their rows in order."""
    drawn: list[tuple[str, Predictions]] = []
    for row in _worst_rows(rows):
        name = str(rows["run_id"][row.at])
        own = rows.where((rows["run_id"] == name) & (rows["epoch"] >= 0))
        drawn += [(name, own)] if len(own) >= LEAST_POINTS else []
        if len(drawn) == MOST_LINES:
            break
    return drawn


def _figure(view: str, drawn: Sequence[tuple[str, Predictions]]) -> Figure:
    lines = [_line(own, colour) for (_, own), colour in zip(drawn, COLOURS, strict=False)]
    last = max(float(own["epoch"].max()) for _, own in drawn)
    extent = max(1, math.ceil(max(float(np.abs(own.log_factor).max()) for _, own in drawn)))
    y_ticks: list[Tick] = [
        {"at": float(at), "label": factor_label(at)} for at in range(-extent, extent + 1)
    ]
    chart = line_chart(
        lines,
        x_label="epochs seen",
        y_label="predicted / actual",
        x_ticks=epoch_ticks([0.0, *(float(10**at) for at in range(_decades(last) + 1))]),
        y_ticks=y_ticks,
    )
    columns = [column("run", "code"), column("epochs seen", "integer")]
    columns += [column("actual", "brief"), column("predicted", "brief")]
    cells = [cell for name, own in drawn for cell in _curve_cells(name, own)]
    spoken = "; ".join(
        f"{name}: {_ends(line)}" for (name, _), line in zip(drawn, lines, strict=True)
    )
    return figure(
        "curves",
        "Do the worst predictions mend while the run is watched?",
        f"{scoring.view_title(view)}: the {len(lines)} worst runs of the locked test of which at "
        f"least {LEAST_POINTS} rows were kept, worst first. At “equal” a prediction is exact, "
        "above it too late; both axes are logarithmic.",
        [panel("Predicted over actual", spoken, chart)],
        table("data", "The rows of these runs.", columns, cells),
        key=legend(
            *(
                (name, line["colour"], "circle")
                for (name, _), line in zip(drawn, lines, strict=True)
            )
        ),
    )


def _line(own: Predictions, colour: str) -> Line:
    factors, epochs = own.log_factor, own["epoch"]
    points: list[LinePoint] = [
        {
            "x": epoch_position(float(epochs[i])),
            "y": float(factors[i]),
            "lower": None,
            "upper": None,
            "tip": f"after {integer(float(epochs[i]))} epochs: predicted "
            f"{brief(float(own['predicted'][i]))}, actual {brief(float(own['actual'][i]))}",
        }
        for i in np.argsort(epochs, kind="stable")
    ]
    return {"label": "", "colour": colour, "dashed": False, "mark": "circle", "points": points}


def _decades(epochs: float) -> int:
    return max(1, math.ceil(math.log10(max(epochs, 1.0))))


def _ends(line: Line) -> str:
    return f"{line['points'][0]['tip']}, {line['points'][-1]['tip']}"


def _curve_cells(name: str, own: Predictions) -> list[list[Cell]]:
    return [
        [name, *(float(own[key][i]) for key in ("epoch", "actual", "predicted"))]
        for i in np.argsort(own["epoch"], kind="stable")
    ]


def _table(cells: Sequence[Sequence[Cell]], view: str) -> Table:
    columns = [
        column("run", "code"),
        column("view", start=scoring.view_title(view)),
        column("activation"),
        column("batch"),
        column("lr", "brief"),
        column("epoch", "integer"),
        column("actual", "brief"),
        column("predicted", "brief"),
        column("predicted / actual", "brief"),
    ]
    caption = (
        f"The {MOST_RUNS} runs of each view with the largest error, each by its worst row. A "
        "factor of 10 means ten times too many epochs predicted, 0.1 ten times too few."
    )
    return table("runs", caption, columns, cells)


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
