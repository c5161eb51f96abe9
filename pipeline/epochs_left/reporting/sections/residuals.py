"""Systematic errors: by how much, at what size, for which runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import DotRow, dot_chart
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
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
    MIN_ROWS,
    PREDICTIONS,
    Predictions,
    decade_bins,
    read_predictions,
    shown_by_view,
)
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.ticks import Tick, decade_ticks
from epochs_left.reporting.wording import brief, percent, span

FACTORS = (1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)  # where the axis may end
NOTABLE = 1.1  # a median factor beyond it, either way, is a pattern
LOW, HIGH = 0.05, 0.95  # quantiles between which nine in ten predictions lie

Shown = Sequence[tuple[str, str, Predictions]]
#: Low and high edge of a bin of predictions, and the mask of its rows.
Bin = tuple[float, float, NDArray[np.bool_]]


@section(
    title="Residuals",
    question="Are the errors noise, or do they follow a pattern?",
    order=50,
    reads=[PREDICTIONS, scoring.SCORES],
    of=EACH,
)
def residuals(results: Results) -> Sequence[Block]:
    """Show errors as factors against the prediction, and their size by kind of run."""
    scores = scoring.read_scores(results, scope="all")
    shown = shown_by_view(scores, read_predictions(results))
    if not shown:
        return []
    told = text(" ".join(_answer(view, rows) for view, _, rows in reversed(shown)))
    has_line = any(len(_full_bins(rows)) > 1 for _, _, rows in shown)
    return [told, *([_factor_figure(shown)] if has_line else []), _group_figure(shown)]


def _answer(view: str, rows: Predictions) -> str:
    """Say whether some size of prediction is biased, from the bins that hold enough rows."""
    low, middle, high = _quantiles(rows.log_factor)
    medians = [_quantiles(rows.log_factor[inside])[1] for *_, inside in _full_bins(rows)]
    words = (
        f"{scoring.view_title(view)}: the median of predicted over actual is {brief(middle)}; nine "
        f"in ten lie between {brief(low)} and {brief(high)}."
    )
    if len(medians) < 2:
        return words
    is_biased = max(*medians, 1 / min(medians)) > NOTABLE
    pattern = "a pattern" if is_biased else "no pattern to speak of"
    return f"{words} Over sizes of the prediction the median is {span(medians)}, {pattern}."


def _quantiles(logs: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the 5 %, 50 % and 95 % quantile of factors, given their log10."""
    low, middle, high = (float(10**at) for at in np.quantile(logs, [LOW, 0.5, HIGH]))
    return low, middle, high


def _bins(rows: Predictions) -> Iterator[Bin]:
    return decade_bins(np.log10(np.maximum(rows["predicted"], LEAST)))


def _full_bins(rows: Predictions) -> list[Bin]:
    return [each for each in _bins(rows) if each[2].sum() >= MIN_ROWS]


def _factor_figure(shown: Shown) -> Figure:
    columns = [column("view", start=""), column("predicted from", "brief"), column("to", "brief")]
    columns += [column("rows", "integer"), column("median factor", "brief")]
    columns += [column("5 % below", "brief"), column("5 % above", "brief")]
    return figure(
        "factor",
        "Error as a factor, against the prediction",
        "Predicted over actual epochs remaining, of a sample of rows of the locked test by what "
        "was predicted; the line is the median, the band holds nine in ten. Above the dashed line "
        "the prediction is too late, below it too early. A line that leaves the dashed one is a "
        "bias that could be corrected; a broad band is what the model does not know. Predictions "
        f"below half an epoch count as half an epoch; bins of fewer than {MIN_ROWS} rows are in "
        "the data alone.",
        [_factor_panel(shown)],
        table(
            "data",
            "Predicted over actual, by predicted epochs.",
            columns,
            [cells for view, _, rows in shown for cells in _bin_cells(view, rows)],
        ),
        key=legend(
            *((scoring.view_title(view), *scoring.VIEW_LOOKS[view]) for view, _, _ in shown),
            ("exact", "ink", "dash"),
        ),
    )


def _factor_panel(shown: Shown) -> Panel:
    lines = [_line(view, rows) for view, _, rows in shown]
    places = [point["x"] for line in lines for point in line["points"]]
    ends = [
        abs(at) for line in lines for point in line["points"]
        for at in (point["lower"], point["upper"]) if at is not None
    ]  # fmt: skip
    x_ticks = _size_ticks(places)
    spoken = "; ".join(
        f"{title}: {_spoken(line)}" for (_, title, _), line in zip(shown, lines, strict=True)
    )
    chart = line_chart(
        [_exact(x_ticks), *lines],
        x_label="predicted epochs remaining",
        y_label="predicted / actual",
        x_ticks=x_ticks,
        y_ticks=_factor_ticks(max(ends, default=0.0)),
    )
    return panel("Error as a factor", spoken, chart)


def _size_ticks(places: Sequence[float]) -> list[Tick]:
    """Return decades from the least prediction on."""
    least: Tick = {"at": math.log10(LEAST), "label": brief(LEAST)}
    decades = [tick for tick in decade_ticks(10**at for at in places) if tick["at"] >= 0.0]
    return [least, *decades] if min(places, default=0.0) < 0.0 else decades


def _exact(x_ticks: Sequence[Tick]) -> Line:
    points: list[LinePoint] = [
        {"x": tick["at"], "y": 0.0, "lower": None, "upper": None, "tip": ""} for tick in x_ticks
    ]
    return {"label": "", "colour": "ink", "dashed": True, "mark": "", "points": points}


def _line(view: str, rows: Predictions) -> Line:
    colour, mark = scoring.VIEW_LOOKS[view]
    points = [_point(each, rows.log_factor) for each in _full_bins(rows)]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _point(each: Bin, logs: NDArray[np.float64]) -> LinePoint:
    start, end, inside = each
    low, middle, high = _quantiles(logs[inside])
    return {
        "x": (start + end) / 2,
        "y": math.log10(middle),
        "lower": math.log10(low),
        "upper": math.log10(high),
        "tip": f"predicted {brief(10**start)} to {brief(10**end)}: median ×{brief(middle)}, "
        f"nine in ten ×{brief(low)} to ×{brief(high)}",
    }


def _spoken(line: Line) -> str:
    points = line["points"]
    return "; ".join(point["tip"] for point in points[:: max(1, len(points) // 3)])


def _factor_ticks(extent: float) -> list[Tick]:
    """Return ticks up to the next factor that encloses log10 of one, either way."""
    top = next((at for at in FACTORS if math.log10(at) >= extent), FACTORS[-1])
    shown = [at for at in FACTORS if at <= top][-3:]
    above: list[Tick] = [{"at": math.log10(at), "label": f"×{brief(at)}"} for at in shown]
    below: list[Tick] = [
        {"at": -math.log10(at), "label": f"÷{brief(at)}"} for at in reversed(shown)
    ]
    return [*below, {"at": 0.0, "label": "equal"}, *above]


def _bin_cells(view: str, rows: Predictions) -> list[list[Cell]]:
    return [
        [scoring.view_title(view), 10**start, 10**end, int(inside.sum()), *_in_order(rows, inside)]
        for start, end, inside in _bins(rows)
    ]


def _in_order(rows: Predictions, inside: NDArray[np.bool_]) -> list[float]:
    low, middle, high = _quantiles(rows.log_factor[inside])
    return [middle, low, high]


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
        key=legend(
            *((scoring.view_title(view), *scoring.VIEW_LOOKS[view]) for view, _, _ in shown)
        ),
    )


def _group_row(group: str, shown: Shown) -> DotRow:
    row: DotRow = {"label": group, "quiet": False, "dots": []}
    for view, _, rows in shown:
        mask = dict(_groups(rows)).get(group)
        if mask is not None:
            quartiles = _quartiles(rows, mask)
            colour, mark = scoring.VIEW_LOOKS[view]
            tip = f"{scoring.view_title(view)} {percent(quartiles['value'])}"
            row["dots"].append({"estimate": quartiles, "colour": colour, "mark": mark, "tip": tip})
    return row


def _groups(rows: Predictions) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for field in ("activation", "batch"):
        for name in sorted({str(value) for value in rows[field]} - {""}):
            yield f"{name} batch" if field == "batch" else name, rows[field] == name
    with np.errstate(divide="ignore", invalid="ignore"):
        decade = np.floor(np.log10(rows["lr"]))
    for at in np.unique(decade[np.isfinite(decade)]):
        yield f"lr {10.0**at:g} to {10.0 ** (at + 1):g}", decade == at


def _quartiles(rows: Predictions, mask: NDArray[np.bool_]) -> Estimate:
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
