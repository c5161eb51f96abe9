"""Abrupt changes of regime along training, and whether predictions see them coming."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Panel,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import Writer, measured, said
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import brief, decimal, integer, joined, percent

PHASES = "phases.json"
#: Fewer changes than this say nothing of when they happen.
LEAST_CHANGES = 5
#: Errors up to so many times those of runs without a change are as good as those.
AS_USUAL = 1.25
NO_CHANGE, BEFORE = ("none", "all"), "before the change"


@section(
    title="Phases",
    question="Does training change its regime abruptly, and is that seen coming?",
    order=104,
    reads=[PHASES],
    of=EACH,
)
def phases(results: Results) -> Sequence[Block]:
    """Draw how many runs change their regime, where, and the errors before and after it."""
    record = results.record(PHASES)
    along, errors = (
        [mapping(each) for each in sequence(record.get(name))]
        for name in ("along_training", "prediction")
    )
    shares = [row for row in along if measured(row, "changed")["value"] is not None]
    errors = [row for row in errors if measured(row, "bias")["value"] is not None]
    if not shares:
        return []
    blocks: list[Block] = [text(_words(shares[0], errors), _definition(record))]
    blocks.append(_changes_figure(shares))
    return [*blocks, _errors_figure(errors)] if len(errors) > 1 else blocks


def _words(all_runs: Row, errors: Sequence[Row]) -> str:
    told = (_share_words(all_runs), _place_words(all_runs), _error_words(errors))
    return " ".join(filter(None, told))


def _share_words(all_runs: Row) -> str:
    changed, faster = (measured(all_runs, name) for name in ("changed", "speeds_up"))
    runs = f"{integer(count(all_runs.get('n_runs')))} converged runs"
    if not changed["value"]:
        return f"None of {runs} changes its regime on the way."
    return (
        f"{said(changed, percent)} of {runs} change their regime on the way, "
        f"{said(faster, percent)} to a faster one."
    )


def _place_words(all_runs: Row) -> str:
    place = _when(all_runs)
    if place["value"] is None:
        return ""
    ends = f"{percent(place['lower'])} and {percent(place['upper'])}"
    return f"Half of the changes lie between {ends} of the way to the end."


def _definition(record: Row) -> str:
    found = mapping(record.get("definition"))
    ratio, least = (brief(number(found.get(name))) for name in ("slope_ratio", "min_epochs"))
    return (
        "A change is where two straight lines describe log loss better than one does and better "
        f"than a smooth curve (by BIC), one at least {ratio} times as steep as the other; looked "
        f"for in a sample of runs of {least} epochs or more."
    )


def _error_words(errors: Sequence[Row]) -> str:
    before = [row for row in errors if row.get("rows") == BEFORE]
    calm = next((row for row in errors if _kind(row) == NO_CHANGE), None)
    if not before or calm is None:
        return "Too few change for an error before and after."
    told = joined([f"{percent(_error(row))} before one that {row.get('change')}" for row in before])
    return (
        f"Changes are {_foreseen(before, calm)}: the median error is {told}, "
        f"{percent(_error(calm))} in runs without a change{_side_words(before)}."
    )


def _foreseen(before: Sequence[Row], calm: Row) -> str:
    """Return whether the errors before the changes are about those of runs without one."""
    usual = [_error(row) <= AS_USUAL * _error(calm) and not _side(row) for row in before]
    return (
        "seen coming" if all(usual) else "in part seen coming" if any(usual) else "not seen coming"
    )


def _error(row: Row) -> float:
    return number(row.get("median_relative_error")) or 0.0


def _side_words(before: Sequence[Row]) -> str:
    told = [
        f"before one that {row.get('change')} the end is predicted too {side}, by a factor of "
        f"{said(_factor(row))}"
        for row in before
        if (side := _side(row))
    ]
    return f"; {joined(told)}" if told else "; to neither side beyond chance"


def _side(row: Row) -> str:
    """Return to which side predictions miss beyond chance, "" for none."""
    bias = measured(row, "bias")
    is_late, is_early = (bias["lower"] or 0.0) > 0, (bias["upper"] or 0.0) < 0
    return "late" if is_late else "early" if is_early else ""


def _kind(row: Row) -> tuple[str, str]:
    return word(row.get("change")), word(row.get("rows"))


def _group(row: Row) -> str:
    dimension, group = word(row.get("dimension")), word(row.get("group"))
    return "all runs" if dimension == "all" else f"{dimension.replace('_', ' ')} {group}"


def _changes_figure(shares: Sequence[Row]) -> Figure:
    columns = [
        column("runs of"), column("change", "percent"), column("to a faster one", "percent"),
        column("where, median", "percent"), column("runs", "integer"),
    ]  # fmt: skip
    parts = _telling(shares)
    cells: list[list[Cell]] = [
        [_group(row), measured(row, "changed"), measured(row, "speeds_up")["value"],
         _when(row)["value"], count(row.get("n_runs"))]
        for row in parts
    ]  # fmt: skip
    return figure(
        "changes",
        "Runs that change their regime",
        "Shares of a sample of converged runs, with 95\u202f% intervals over lineages. The data "
        "also tell how far on the way to the end the changes lie, for groups of "
        f"{LEAST_CHANGES} changes or more.",
        [_share_panel(parts)],
        table("data", "Changes of regime along training.", columns, cells),
    )


def _telling(shares: Sequence[Row]) -> list[Row]:
    """Return all runs, and the groups that are not all of them again."""
    everybody = count(shares[0].get("n_runs"))
    return [shares[0], *(row for row in shares[1:] if count(row.get("n_runs")) < everybody)]


def _share_panel(shares: Sequence[Row]) -> Panel:
    rows = [
        _row(_group(row), _dot(measured(row, "changed"), "blue", "circle", percent))
        for row in shares
    ]
    chart = dot_chart("share of the runs that change", rows, reference=0.0)
    return panel("How many", _spoken(rows), chart)


def _when(row: Row) -> Estimate:
    """Return the quartiles of the share of training at which runs change."""
    found = [number(each) for each in sequence(row.get("share_of_training_quartiles"))]
    changes = (measured(row, "changed")["value"] or 0.0) * count(row.get("n_runs"))
    if len(found) != 3 or changes < LEAST_CHANGES - 0.5:
        return {"value": None, "lower": None, "upper": None}
    return {"value": found[1], "lower": found[0], "upper": found[2]}


def _errors_figure(errors: Sequence[Row]) -> Figure:
    columns = [
        column("change"), column("rows"), column("predicted over actual", "decimal"),
        column("median error", "percent"), column("runs", "integer"),
    ]  # fmt: skip
    cells: list[list[Cell]] = [
        [*_kind(row), _factor(row), number(row.get("median_relative_error")),
         count(row.get("n_runs"))]
        for row in errors
    ]  # fmt: skip
    return figure(
        "errors",
        "Predictions before and after a change",
        "Out-of-fold predictions by lineage of the best model that sees only the past. Off to "
        "which side: the typical factor of predicted over actual epochs left, with 95\u202f% "
        "intervals over lineages; beyond 1 the end was predicted too late. How far off: the median "
        "relative error, which has no interval here. Kinds of fewer than 20 runs are left out.",
        [_factor_panel(errors), _error_panel(errors)],
        table("data", "Errors by what the run does, every run weighing the same.", columns, cells),
    )


def _factor(row: Row) -> Estimate:
    """Return the typical factor of predicted over actual epochs, both plus one."""
    bias = measured(row, "bias")
    return {
        "value": _exp(bias["value"]), "lower": _exp(bias["lower"]), "upper": _exp(bias["upper"]),
    }  # fmt: skip


def _exp(value: float | None) -> float | None:
    return None if value is None else exp(value)


def _case(row: Row) -> str:
    change, rows = _kind(row)
    return "no change" if (change, rows) == NO_CHANGE else f"{change}, {rows.split(' ')[0]}"


def _factor_panel(errors: Sequence[Row]) -> Panel:
    rows = [_row(_case(row), _dot(_factor(row), "blue", "circle", decimal)) for row in errors]
    chart = dot_chart("predicted over actual epochs left", rows, reference=1.0)
    return panel("Off to which side", _spoken(rows), chart)


def _error_panel(errors: Sequence[Row]) -> Panel:
    rows = [_row(_case(row), _error_dot(row)) for row in errors]
    chart = dot_chart("median relative error", rows, floor=0.0)
    return panel("How far off", _spoken(rows), chart)


def _error_dot(row: Row) -> Dot:
    error = number(row.get("median_relative_error"))
    alone: Estimate = {"value": error, "lower": None, "upper": None}
    return _dot(alone, "vermillion", "diamond", percent)


def _row(label: str, *dots: Dot) -> DotRow:
    return {"label": label, "quiet": False, "dots": list(dots)}


def _dot(value: Estimate, colour: str, mark: str, write: Writer) -> Dot:
    return {"estimate": value, "colour": colour, "mark": mark, "tip": said(value, write)}


def _spoken(rows: Sequence[DotRow]) -> str:
    return "; ".join(f"{row['label']}: {row['dots'][0]['tip']}" for row in rows)
