"""Edges over the learning rate, beyond which runs no longer converge, and who foresees them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
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
    text,
)
from epochs_left.reporting.estimates import measured, said
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.ticks import decade_ticks, share_ticks
from epochs_left.reporting.wording import brief, decimal, percent

PHASES = "phases.json"
#: Sweeps that are shown by their sharpest fall: the clearest, those of so many runs first.
SHOWN_SWEEPS, MANY_RUNS = 6, 100
#: What was recorded and what was predicted.
LOOKS: tuple[tuple[str, str, Mark], ...] = (
    ("recorded", "blue", "circle"),
    ("predicted", "vermillion", "diamond"),
)


@section(
    title="Edges of the learning rate",
    question="Is there a learning rate from which runs fail, and is it seen coming?",
    order=105,
    reads=[PHASES],
    of=EACH,
)
def learning_rate_edges(results: Results) -> Sequence[Block]:
    """Draw the share of converged runs by learning rate, and its sharpest fall, as predicted."""
    entries = map(mapping, sequence(results.record(PHASES).get("over_lr")))
    sweeps = sorted(filter(_drop, entries), key=_clarity, reverse=True)
    if not sweeps:
        return []
    return [text(_words(sweeps)), _sweep_figure(sweeps[0]), _edges_figure(sweeps)]


def _clarity(sweep: Row) -> tuple[bool, float]:
    """Return how sure the sharpest fall is: whether of many runs, and its lower bound."""
    lower = measured(_drop(sweep), "drop")["lower"]
    return count(sweep.get("n_runs")) >= MANY_RUNS, -1.0 if lower is None else lower


def _drop(sweep: Row) -> Row:
    """Return the sharpest drop of a sweep, empty where none was found."""
    found = mapping(sweep.get("sharpest_drop"))
    has_place = number(found.get("lr")) is not None
    return found if has_place and measured(found, "drop")["value"] is not None else {}


def _name(row: Row) -> str:
    names = (word(row.get(name)) for name in ("task", "optimizers", "batch"))
    return ", ".join(name.replace("_", " ") for name in names)


def _words(sweeps: Sequence[Row]) -> str:
    first = sweeps[0]
    drop, gaps, near = _drop(first), _gaps(first), sum(map(_follows, sweeps))
    return (
        f"The clearest edge ({_name(first)}) is at a learning rate of "
        f"{brief(number(drop.get('lr')))}, where the share of runs that converge falls by "
        f"{said(measured(drop, 'drop'), _points)} points from one bin to the next; the prediction "
        f"before training falls by {_points(number(drop.get('predicted_drop')))} there. Over all "
        f"bins it is {_points(number(gaps.get('gap')))} points off, one probability for all "
        f"learning rates {_points(number(gaps.get('gap_of_constant')))}; in {near} of "
        f"{len(sweeps)} sweeps it is nearer than that. {_seen(sweeps)}"
    )


def _seen(sweeps: Sequence[Row]) -> str:
    """Say how many of the falls beyond chance are predicted to within their intervals."""
    pairs = [(measured(_drop(each), "drop")["lower"], _predicted(each)["value"]) for each in sweeps]
    sure = [(lower, at) for lower, at in pairs if lower is not None and lower > 0]
    within = sum(at is not None and at >= lower for lower, at in sure)
    return (
        f"Of {len(sure)} sharpest falls beyond chance, {within} are predicted as sharp as their "
        "intervals say."
    )


def _points(share: float | None) -> str:
    return decimal(None if share is None else 100 * share, 0)


def _gaps(sweep: Row) -> Row:
    """Return how far predicted probabilities are from the shares, and one for all would be."""
    return mapping(sweep.get("p_converges"))


def _follows(row: Row) -> bool:
    """Tell whether predicted probabilities are nearer to the shares than one for all would be."""
    gap, constant = (number(_gaps(row).get(name)) for name in ("gap", "gap_of_constant"))
    return gap is not None and constant is not None and gap < constant


def _sweep_figure(sweep: Row) -> Figure:
    columns = [
        column("lr from", "brief"), column("converged", "percent"), column("of runs", "integer"),
        column("predicted", "percent"), column("of runs", "integer"),
    ]  # fmt: skip
    return figure(
        "over-lr",
        "Share of runs that converge, by learning rate",
        "Bins of the learning rate, of the sweep with the clearest edge. Recorded: all runs. "
        "Predicted: the mean probability before training of those in the locked test set, which "
        "are fewer, so that the curves jump by chance.",
        [_sweep_panel(sweep)],
        table("data", "Bins of the learning rate.", columns, map(_bin_cells, _bins(sweep))),
        key=legend(*LOOKS),
    )


def _bins(row: Row) -> list[Row]:
    entries = [mapping(each) for each in sequence(row.get("bins"))]
    return [each for each in entries if _middle(each) is not None]


def _bin_cells(entry: Row) -> list[Cell]:
    return [
        number(entry.get("lr_from")), number(entry.get("converged_share")),
        count(entry.get("n_runs")), number(entry.get("predicted_share")),
        count(entry.get("n_tested")),
    ]  # fmt: skip


def _middle(entry: Row) -> float | None:
    """Return log10 of the geometric middle of a bin; None without positive ends."""
    ends = number(entry.get("lr_from")), number(entry.get("lr_to"))
    if any(end is None or end <= 0 for end in ends):
        return None
    return sum(log10(end or 1.0) for end in ends) / 2


def _sweep_panel(row: Row) -> Panel:
    lines = [
        _line(row, field, *look)
        for field, look in zip(("converged_share", "predicted_share"), LOOKS, strict=True)
    ]
    ends = [number(each.get(name)) for each in _bins(row) for name in ("lr_from", "lr_to")]
    chart = line_chart(
        [line for line in lines if line["points"]],
        x_label="learning rate",
        y_label="share that converges",
        x_ticks=decade_ticks(ends),
        y_ticks=share_ticks(),
    )
    told = "; ".join(point["tip"] for line in lines for point in line["points"])
    return panel(_name(row), told, chart)


def _line(row: Row, field: str, label: str, colour: str, mark: Mark) -> Line:
    found = [(_middle(each), number(each.get(field)), each) for each in _bins(row)]
    points: list[LinePoint] = [
        {"x": x, "y": y, "lower": None, "upper": None, "tip": _bin_tip(each, label, y)}
        for x, y, each in found
        if x is not None and y is not None
    ]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _bin_tip(entry: Row, label: str, share: float) -> str:
    low, high = (brief(number(entry.get(name))) for name in ("lr_from", "lr_to"))
    return f"{label}, lr {low} to {high}: {percent(share)}"


def _edges_figure(sweeps: Sequence[Row]) -> Figure:
    shown = sweeps[:SHOWN_SWEEPS]
    rows = [_edge_row(row) for row in shown]
    columns = [
        column("sweep"), column("at lr", "brief"), column("fall", "percent"),
        column("predicted", "percent"), column("p off by", "percent"),
        column("one for all off by", "percent"), column("runs", "integer"),
    ]  # fmt: skip
    chart = dot_chart("fall of the share that converges", rows, reference=0.0)
    return figure(
        "edges",
        "The sharpest fall over the learning rate, recorded and predicted",
        "Recorded: between the two bins where the share falls most, with its 95\u202f% interval "
        "over lineages at that place; the largest of many falls is by chance the larger, so that "
        "a good prediction lies somewhat below it. Predicted: the fall of the mean probability "
        "there, on the locked test set. Mini: minibatches, full: all examples at once. "
        f"{_left_out(len(sweeps) - len(shown))}",
        [panel("Sharpest fall", _spoken(rows), chart)],
        table("data", "The sharpest fall of each sweep.", columns, map(_edge_cells, shown)),
        key=legend(*LOOKS),
    )


def _left_out(many: int) -> str:
    return f"{many} sweeps of less clear falls stand in the results file alone." if many else ""


def _predicted(sweep: Row) -> Estimate:
    value = number(_drop(sweep).get("predicted_drop"))
    return {"value": value, "lower": None, "upper": None}


def _edge_row(row: Row) -> DotRow:
    found = (measured(_drop(row), "drop"), _predicted(row))
    dots = [_dot(value, *look) for value, look in zip(found, LOOKS, strict=True)]
    label = _name(row).removesuffix("batch")
    return {"label": label, "quiet": False, "dots": dots}


def _edge_cells(row: Row) -> list[Cell]:
    drop, gaps = _drop(row), _gaps(row)
    return [
        _name(row), number(drop.get("lr")), measured(drop, "drop"),
        number(drop.get("predicted_drop")), number(gaps.get("gap")),
        number(gaps.get("gap_of_constant")), count(row.get("n_runs")),
    ]  # fmt: skip


def _dot(value: Estimate, what: str, colour: str, mark: Mark) -> Dot:
    tip = f"{what}: {said(value, percent)}"
    return {"estimate": value, "colour": colour, "mark": mark, "tip": tip}


def _spoken(rows: Sequence[DotRow]) -> str:
    told = (f"{row['label']}: {', '.join(dot['tip'] for dot in row['dots'])}" for row in rows)
    return "; ".join(told)
