"""How the error depends on how much is left."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log10, sqrt

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Table,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import is_below, said, value_of
from epochs_left.reporting.ladders import count_ticks, factor_position, factor_ticks
from epochs_left.reporting.results import Results, Row, count, number, word
from epochs_left.reporting.scoring import estimate, view_title
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import CONFIDENCE, integer, joined

DECILES = "metrics_by_decile.json"
#: The figure drawn: exp of the mean absolute error of log(1 + R) is a factor.
METRIC, SCALE = "mae", "log"
MEDIAN = "median_relative_error"
CAUSAL = "causal"
LARGEST = 50.0  # logarithm; larger errors are useless alike
COLOURS = {"causal": "blue", "oracle": "vermillion"}


@section(
    title="Error by epochs left",
    question="Are the predictions better near the end of a run or far from it?",
    order=62,
    reads=[DECILES],
    of=EACH,
)
def error_by_decile(results: Results) -> Sequence[Block]:
    """Draw the typical factor of the error by decile of the remaining epochs."""
    rows = [row for row in results.rows(DECILES) if _is_drawable(row)]
    keys = _shown(rows)
    own = [row for row in rows if _key(row) in keys and row.get("decile") is not None]
    if not own:
        return []
    medians = [row for row in results.rows(DECILES) if row.get("metric") == MEDIAN]
    return [text(_answer(own)), _figure(own, medians)]


def _is_drawable(row: Row) -> bool:
    is_factor = row.get("metric") == METRIC and row.get("scale") == SCALE
    return is_factor and estimate(row, "estimate")["value"] is not None and _middle(row) > 0


def _key(row: Row) -> tuple[str, str]:
    return word(row.get("model")), word(row.get("view"))


def _middle(row: Row) -> float:
    """Return the geometric mean of the least and the largest R of a decile, 0 where unknown."""
    low, high = number(row.get("from")), number(row.get("to"))
    return sqrt(max(low, 0.0) * max(high, 0.0)) if low is not None and high is not None else 0.0


def _shown(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the models of both views and the baseline that is best over all rows."""
    whole = [row for row in rows if row.get("decile") is None]
    models = [_key(row) for row in whole if not row.get("baseline")]
    rivals = [row for row in whole if row.get("baseline")]
    best = min(rivals, key=_error, default=None)
    return [*models, *([_key(best)] if best else [])]


def _error(row: Row) -> float:
    return value_of(estimate(row, "estimate"))


def _factor(row: Row) -> Estimate:
    error = estimate(row, "estimate")
    value, lower, upper = (
        None if bound is None else exp(min(bound, LARGEST))
        for bound in (error["value"], error["lower"], error["upper"])
    )
    return {"value": value, "lower": lower, "upper": upper}


def _answer(rows: Sequence[Row]) -> str:
    """Say what the causal model's typical error is at both ends, and where it is largest."""
    own = [row for row in rows if row.get("view") == CAUSAL and not row.get("baseline")]
    if not own:
        return "No result for predictions from the past alone."
    ordered = sorted(own, key=_middle)
    first, last, best, worst = ordered[0], ordered[-1], min(own, key=_error), max(own, key=_error)
    extremes = (("best", best), ("worst", worst))
    middle = [f"{name} with {_range(row)} left: {_spoken(row)}"
              for name, row in extremes if row not in (first, last)]  # fmt: skip
    aside = f" It is {joined(middle)}." if middle else ""
    aside += _rival(rows, own)
    return (
        f"{_trend(_factor(first), _factor(last))}: from the past alone a prediction is typically "
        f"off by a factor of {_spoken(first)} with {_left(first)} and of "
        f"{_spoken(last)} with {_range(last)} ({CONFIDENCE}s over lineages).{aside}"
    )


def _rival(rows: Sequence[Row], own: Sequence[Row]) -> str:
    """Say in which tenths the best baseline is better than the causal model."""
    errors = {count(row.get("decile")): _error(row) for row in own}
    rivals = [row for row in rows if row.get("baseline") and count(row.get("decile")) in errors]
    if not rivals:
        return ""
    name = word(rivals[0].get("title"))
    better = [row for row in rivals if _error(row) < errors[count(row.get("decile"))]]
    if not better:
        return f" The best baseline, {name}, is worse in every tenth."
    places = joined([f"{_range(row)}" for row in better])
    return f" The best baseline, {name}, is better with {places} left."


def _trend(near: Estimate, far: Estimate) -> str:
    if is_below(near, far):
        return "Better near the end"
    return (
        "Better far from the end"
        if is_below(far, near)
        else "No clear difference between the two ends"
    )


def _spoken(row: Row) -> str:
    return said(_factor(row))


def _range(row: Row) -> str:
    low, high = count(row.get("from")), count(row.get("to"))
    return integer(low) if low == high else f"{integer(low)} to {integer(high)}"


def _left(row: Row) -> str:
    left = _range(row)
    return f"{left} epoch{'' if left == '1' else 's'} left"


def _figure(rows: Sequence[Row], medians: Sequence[Row]) -> Figure:
    lines = [_line(key, rows) for key in dict.fromkeys(map(_key, rows))]
    lines = [line for line in lines if line["points"]]
    top = max(_factor(row)["value"] or 1.0 for row in rows)
    chart = line_chart(
        lines,
        x_label="epochs left",
        y_label="typical factor between predicted and actual",
        x_ticks=count_ticks(1, max(map(_middle, rows))),
        y_ticks=factor_ticks(top),
    )
    spoken = "; ".join(line["points"][at]["tip"] for line in lines for at in (0, -1))
    return figure(
        "deciles",
        "Typical error by tenths of the remaining epochs",
        "Each point is a tenth of the rows, by the epochs that were really left; 1 is a perfect "
        "prediction, and 2 is off by half or by double. The factor is exp of the mean absolute "
        "error of log(1 + R), every run weighing the same, predicted out of fold by lineage; "
        f"bands are {CONFIDENCE}s over lineages. The baseline, dashed, is the best over all rows.",
        [panel("Typical factor", spoken, chart)],
        _table(rows, medians),
    )


def _line(key: tuple[str, str], rows: Sequence[Row]) -> Line:
    own = sorted((row for row in rows if _key(row) == key), key=_middle)
    is_baseline = bool(own[0].get("baseline"))
    view = word(own[0].get("view"))
    return {
        "label": word(own[0].get("title")) if is_baseline else view_title(view),
        "colour": "grey" if is_baseline else COLOURS.get(view, "green"),
        "dashed": is_baseline,
        "mark": "circle",
        "points": [_point(row) for row in own],
    }


def _point(row: Row) -> LinePoint:
    factor = _factor(row)
    return {
        "x": log10(_middle(row)),
        "y": factor_position(factor["value"] or 1.0),
        "lower": _position(factor["lower"]),
        "upper": _position(factor["upper"]),
        "tip": f"{_title(row)}, {_range(row)} epochs left: ×{_spoken(row)}",
    }


def _position(bound: float | None) -> float | None:
    return None if bound is None else factor_position(bound)


def _title(row: Row) -> str:
    title = word(row.get("title"))
    return title if row.get("baseline") else f"{title}, {view_title(word(row.get('view')))}"


def _table(rows: Sequence[Row], medians: Sequence[Row]) -> Table:
    relative = {
        (_key(row), count(row.get("decile"))): number(row.get("estimate")) for row in medians
    }
    columns = [
        column("model", start=""), column("epochs left"),
        column("typical factor", "decimal"), column("median relative error", "percent"),
        column("runs", "integer"),
    ]  # fmt: skip
    cells: list[list[Cell]] = [
        [
            _title(row),
            _range(row),
            _factor(row),
            relative.get((_key(row), count(row.get("decile")))),
            count(row.get("n_runs")),
        ]
        for row in rows
    ]
    return table("data", "Error by tenths of the remaining epochs.", columns, cells)
