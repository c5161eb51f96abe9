"""The part of the data where the answer is known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Fact,
    Figure,
    column,
    fact,
    facts,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence
from epochs_left.reporting.sections import section
from epochs_left.reporting.ticks import decade_ticks
from epochs_left.reporting.wording import brief, decimal, integer, percent

CLOSED_FORM = "neuron/closed_form.json"


@section(
    title="Closed form",
    question="Does the simulator do what the mathematics says?",
    order=20,
    reads=[CLOSED_FORM],
)
def closed_form(results: Results) -> Sequence[Block]:
    """Compare recorded runs of the single abs unit with the exact solution."""
    record = results.record(CLOSED_FORM)
    if not record:
        return []
    why = (
        "For the single unit |w·x + b|, full batch, no momentum and a learning rate below 1/2, the "
        "parameters follow an exact formula: within a region of signs the distance from the "
        "solution shrinks by 1 − 2·lr every epoch. Zero loss is reached if and only if "
        "|w2 − w1| > |b| at initialisation; every other run ends at w = 0, |b| = 1/2, loss 1/4. "
        "So outcome and epoch of every run can be checked, and are."
    )
    agreement = [fact for fact in (_agreement(record), _normal_share(record)) if fact is not None]
    return [text(why), facts(*agreement), *_medians(record)]


def _agreement(record: Row) -> Fact | None:
    runs, equal = count(record.get("n_runs")), count(record.get("n_equal"))
    if not runs:
        return None
    ended = ", ".join(
        f"{integer(number(record.get(f'n_{name}')))} {name}"
        for name in ("converged", "stuck", "capped")
    )
    return fact(
        "Outcome and epoch equal to the formula",
        percent(number(record.get("share_equal")), 0 if equal == runs else 2),
        f"{equal:,} of {runs:,} runs ({ended})",
    )


def _normal_share(record: Row) -> Fact | None:
    normal = mapping(record.get("n01"))
    share, expected = number(normal.get("converged_share")), number(normal.get("expected"))
    error = number(normal.get("standard_error"))
    if share is None or expected is None:
        return None
    away = f", {decimal((share - expected) / error, 1)} standard errors away" if error else ""
    return fact(
        "Converged share of N(0, 1) initialisations",
        decimal(share, 3),
        f"theory says (2/π)·atan √2 = {decimal(expected, 4)}; {count(normal.get('n_lineages')):,} "
        f"lineages, standard error {decimal(error, 4)}{away}",
    )


def _medians(record: Row) -> list[Block]:
    rows = [mapping(row) for row in sequence(record.get("medians"))]
    usable = [row for row in rows if (number(row.get("lr")) or 0.0) > 0]
    if not usable:
        return []
    usable.sort(key=lambda row: number(row.get("lr")) or 0.0)
    return [_median_figure(usable)]


def _median_figure(rows: Sequence[Row]) -> Figure:
    theory, measured = _line(rows, "closed_form", "grey"), _line(rows, "epochs", "blue")
    described = "Median epochs by learning rate: " + ", ".join(
        f"lr {brief(number(row.get('lr')))}: {brief(number(row.get('epochs')))}" for row in rows
    )
    chart = line_chart(
        [theory, measured],
        x_label="learning rate (per step)",
        y_label="median epochs to convergence",
        x_ticks=decade_ticks(number(row.get("lr")) for row in rows),
        y_ticks=decade_ticks(
            number(row.get(name)) for row in rows for name in ("epochs", "closed_form")
        ),
    )
    columns = [column("lr", "brief"), column("epochs, recorded", "brief")]
    columns.append(column("epochs, closed form", "brief"))
    cells = [[number(row.get(name)) for name in ("lr", "epochs", "closed_form")] for row in rows]
    return figure(
        "medians",
        "Median epochs by learning rate",
        "Converged runs of these in bins of the learning rate, both axes logarithmic. The epochs "
        "needed go with "
        "1 / −log |1 − 2·lr|: every epoch leaves that share of the distance.",
        [panel("Median epochs to convergence by learning rate", described, chart)],
        table("data", "Median epochs to convergence.", columns, cells),
        key=legend(("closed form", "grey", "square"), ("recorded", "blue", "circle")),
    )


def _line(rows: Sequence[Row], field: str, colour: str) -> Line:
    pairs = [(number(row.get("lr")), number(row.get(field))) for row in rows]
    points: list[LinePoint] = [
        {
            "x": math.log10(lr),
            "y": math.log10(epochs),
            "lower": None,
            "upper": None,
            "tip": f"lr {brief(lr)}: {brief(epochs)} epochs",
        }
        for lr, epochs in pairs
        if lr and epochs and epochs > 0
    ]
    mark = "square" if field == "closed_form" else "circle"
    return {"label": "", "colour": colour, "dashed": True, "mark": mark, "points": points}
