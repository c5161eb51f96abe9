"""Whether the gradient's alignment with the way to the end tells the time that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.claims import HOLDS, at_least, claim
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
from epochs_left.reporting.estimates import measured
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    LEAST_LINEAGES,
    family_legend,
    told,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.ticks import Tick, epoch_position, epoch_ticks
from epochs_left.reporting.wording import decimal, integer, joined

ALIGNMENT = "alignment.json"
#: What is ranked against the epochs left.
SIZE, COSINE = "log_grad_alignment", "grad_alignment_cosine"
MEASURES = ((SIZE, "Size of the alignment"), (COSINE, "Its cosine"))
SURE = 1e-9  # a figure is above 0 for sure if its interval begins here
SAID_AT = 10  # epochs seen, of the correlations that are quoted
#: R² of what the epochs left are predicted from, with the looks of each.
INPUTS: Sequence[tuple[str, str, str, Mark]] = (
    ("distance", "distance to the end", "blue", "circle"),
    ("alignment", "alignment", "vermillion", "diamond"),
    ("both", "both", "green", "square"),
)

#: Entries of ``ranks``, each with its family.
Ranks = Sequence[tuple[str, Row]]


@section(
    title="Gradient alignment",
    question="Does it help to know whether the gradient points to the solution?",
    order=87,
    reads=[f"{family}/{ALIGNMENT}" for family in FAMILIES],
)
def gradient_alignment(results: Results) -> Sequence[Block]:
    """Answer seed 003's question on (current − final) · gradient: ranks, and R² beside distance."""
    records = {name: results.below(name).record(ALIGNMENT) for name in FAMILIES}
    ranks = [
        (name, row)
        for name, record in records.items()
        for row in map(mapping, sequence(record.get("ranks")))
        if _rho(row)["value"] is not None and _seen(row) is not None
    ]
    predicted = {
        name: mapping(record.get("prediction"))
        for name, record in records.items()
        if measured(mapping(record.get("prediction")), "alignment")["value"] is not None
    }
    drawn = {name: record for name, record in predicted.items() if _is_drawn(record)}
    claims = [_question(ranks)] if _said(ranks, SIZE) else []
    if not ranks and not predicted:
        return []
    return [
        *([text(_predicts(drawn))] if drawn else []),
        *claims,
        *([_rank_figure(ranks)] if ranks else []),
        *([_r2_figure(drawn, predicted)] if drawn else []),
    ]


def _is_drawn(record: Row) -> bool:
    return count(mapping(record.get("both")).get("n_lineages")) >= LEAST_LINEAGES


def _seen(row: Row) -> float | None:
    """Return the epochs that were seen; None for what is no epoch."""
    found = number(row.get("epochs_seen"))
    return found if found is not None and found >= 0 else None


def _rho(row: Row) -> Estimate:
    return measured(row, "spearman")


def _said(ranks: Ranks, feature: str) -> dict[str, Estimate]:
    """Return the correlations that are quoted, by family."""
    return {
        name: _rho(row)
        for name, row in ranks
        if row.get("feature") == feature and row.get("epochs_seen") == SAID_AT
    }


def _listed(found: Mapping[str, Estimate]) -> str:
    return joined([f"{told(each)} on {name}" for name, each in found.items()])


def _predicts(predicted: Mapping[str, Row]) -> str:
    """Say in which families alignment adds to the distance to the end, and how much."""
    gains = {name: measured(record, "gain") for name, record in predicted.items()}
    adds = {name: gain for name, gain in gains.items() if at_least(gain, SURE) == HOLDS}
    others = {name: gain for name, gain in gains.items() if name not in adds}
    parts = [f"it adds {_listed(adds)}"] if adds else []
    parts += [f"its gain of {_listed(others)} may be none"] if others else []
    return (
        "Where the end is known, the alignment says a little more than the distance to it: to "
        f"the R² of that, {'; '.join(parts)}."
        if adds
        else f"Where the distance to the end is known, the alignment adds nothing sure: {parts[0]}."
    )


def _question(ranks: Ranks) -> Block:
    size, cosine = (_said(ranks, feature) for feature, _ in MEASURES)
    yes = [name for name, rho in size.items() if at_least(rho, SURE) == HOLDS]
    figures = f"Spearman after {SAID_AT} epochs: its size {_listed(size)}"
    return claim(
        "Seed 003 asks (section 5.2)",
        "Does (current − final) · ∇loss predict convergence speed?",
        f"{figures}; its cosine {_listed(cosine)}." if cosine else f"{figures}.",
        f"its size does on {joined(yes)}." if yes else "In no family for sure.",
    )


def _rank_figure(ranks: Ranks) -> Figure:
    shown = [name for name in FAMILIES if any(name == family for family, _ in ranks)]
    columns = [
        column("family", start=""), column("of the alignment", start=""),
        column("epochs seen", "integer"), column("Spearman", "decimal"), column("runs", "integer"),
    ]  # fmt: skip
    return figure(
        "ranks",
        "Correlation of the alignment with the epochs left",
        "Alignment is (current − final parameters) · gradient; its cosine leaves both lengths out. "
        "Spearman's correlation of runs that are still going, a row a run; bands are 95\u202f% "
        "intervals over lineages. At 0 it ranks no better than chance. It needs the final "
        "parameters, so no live forecast can use it.",
        [_rank_panel(feature, title, ranks) for feature, title in MEASURES],
        table(
            "data", "Spearman's correlation at landmark epochs.", columns, map(_rank_cells, ranks)
        ),
        key=family_legend(shown),
    )


def _rank_panel(feature: str, title: str, ranks: Ranks) -> Panel:
    lines = [
        line
        for name in FAMILIES
        if (line := _line(name, [row for family, row in ranks if family == name], feature))[
            "points"
        ]
    ]
    seen = [_seen(row) for _, row in ranks]
    chart = line_chart(
        [_zero(seen), *lines],
        x_label="epochs seen",
        y_label="Spearman's correlation",
        x_ticks=epoch_ticks(seen),
        y_ticks=_rho_ticks(lines),
    )
    return panel(title, "; ".join(at["tip"] for line in lines for at in line["points"]), chart)


def _rho_ticks(lines: Sequence[Line]) -> list[Tick]:
    lowest = min([0.0, *(at["lower"] or at["y"] for line in lines for at in line["points"])])
    low = -1.0 if lowest < -0.5 else -0.5
    return [
        {"at": low + step / 4, "label": decimal(low + step / 4)}
        for step in range(int((1 - low) * 4) + 1)
    ]


def _zero(seen: Sequence[float | None]) -> Line:
    places = [epoch_position(at) for at in seen if at is not None]
    points = [
        _point(at, 0.0, "no correlation")
        for at in (min(places, default=0.0), max(places, default=1.0))
    ]
    return {"label": "", "colour": "ink", "dashed": True, "mark": "", "points": points}


def _line(name: str, rows: Sequence[Row], feature: str) -> Line:
    colour, mark = FAMILY_LOOKS[name]
    own = [row for row in rows if row.get("feature") == feature]
    points = [_rank_point(name, row) for row in own]
    points.sort(key=lambda point: point["x"])
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _rank_point(name: str, row: Row) -> LinePoint:
    seen, rho = _seen(row) or 0.0, _rho(row)
    point = _point(
        epoch_position(seen), rho["value"] or 0.0, f"{name}, {integer(seen)} epochs: {told(rho)}"
    )
    return {**point, "lower": rho["lower"], "upper": rho["upper"]}


def _point(x: float, y: float, tip: str) -> LinePoint:
    return {"x": x, "y": y, "lower": None, "upper": None, "tip": tip}


def _rank_cells(entry: tuple[str, Row]) -> list[Cell]:
    name, row = entry
    titles = {SIZE: "size", COSINE: "cosine"}
    feature = word(row.get("feature"))
    return [
        name,
        titles.get(feature, feature),
        _seen(row),
        _rho(row),
        count(row.get("n_runs")),
    ]


def _r2_figure(drawn: Mapping[str, Row], predicted: Mapping[str, Row]) -> Figure:
    """Draw the families that have lineages enough, with the data of all."""
    rows = [_dot_row(name, record) for name, record in drawn.items()]
    spoken = "; ".join(dot["tip"] for row in rows for dot in row["dots"])
    columns = [column("family")]
    columns += [column(f"R² of {label}", "decimal") for _, label, *_ in INPUTS]
    columns += [
        column("gained", "decimal"),
        column("runs", "integer"),
        column("lineages", "integer"),
    ]
    cells = [_r2_cells(name, record) for name, record in predicted.items()]
    return figure(
        "beside-distance",
        "What alignment explains beside the distance to the end",
        "R² of log(1 + R) by lineage, gradient boosting on these features alone, on the runs whose "
        "gradient was measured, hyperparameters fixed and varied together; lines are 95\u202f% "
        "intervals over lineages. The data have the paired gain of both over the distance, and "
        f"families of fewer than {LEAST_LINEAGES} lineages.",
        [panel("R² by lineage", spoken, dot_chart("R² alone", rows, reference=0.0, ceiling=1.02))],
        table(
            "data", "R² by lineage, and the paired gain of both over the distance.", columns, cells
        ),
        key=legend(*((label, colour, mark) for _, label, colour, mark in INPUTS)),
    )


def _dot_row(name: str, record: Row) -> DotRow:
    dots: list[Dot] = [
        {
            "estimate": measured(record, key),
            "colour": colour,
            "mark": mark,
            "tip": f"{name}, {label}: {told(measured(record, key))}",
        }
        for key, label, colour, mark in INPUTS
    ]
    return {"label": name, "quiet": False, "dots": dots}


def _r2_cells(name: str, record: Row) -> list[Cell]:
    of = mapping(record.get("both"))
    estimates = [measured(record, key) for key in (*(key for key, *_ in INPUTS), "gain")]
    return [name, *estimates, count(of.get("n_runs")), count(of.get("n_lineages"))]
