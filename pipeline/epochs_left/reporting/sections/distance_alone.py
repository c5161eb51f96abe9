"""How much the distance to the end explains alone, and what else there is."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.claims import FAILS, HOLDS, OPEN, at_least, claim
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Panel,
    Points,
    Table,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, count, word
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    LEAST_LINEAGES,
    estimate,
    family_legend,
    told,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import decimal, joined, span

DISTANCES = "distance_alone.json"
FIXED = "hyperparameters fixed"
#: A family with one cohort alone has its hyperparameters varied.
VARIED = ("hyperparameters varied", "all")
TO_END, COVERED, CURVE = "distance to the end", "distance from the start", "loss curve"
CLAIMED = 0.8  # of the variance: the lower end of seed 000's claim
FLOOR, CEILING = -0.2, 1.04  # of R²: below the floor a model is useless
WORDS = {"everything causal": "all of the past", "everything, oracle": "all, end point known"}

#: Entries of distance_alone.json, each with its family.
Entries = Sequence[tuple[str, Row]]


@section(
    title="Distance alone",
    question="Is the distance to the solution enough to know the time that is left?",
    order=84,
    reads=[f"{family}/{DISTANCES}" for family in FAMILIES],
)
def distance_alone(results: Results) -> Sequence[Block]:
    """Hold seed 000's claim against R² of each kind of feature, hyperparameters fixed and not."""
    entries = [
        (name, row)
        for name in FAMILIES
        for row in results.below(name).rows(DISTANCES)
        if estimate(row, "estimate")["value"] is not None
    ]
    if not entries:
        return []
    fixed = [(name, row) for name, row in entries if row.get("cohort") == FIXED]
    varied = [(name, row) for name, row in entries if row.get("cohort") in VARIED]
    words = [_sentence("At fixed hyperparameters", fixed), _sentence("Once they vary", varied)]
    words += [_beside(fixed, varied)]
    return [
        text(" ".join(filter(None, words))),
        *_claims(fixed),
        *_figures({"Hyperparameters fixed": fixed, "Hyperparameters varied": varied}, entries),
    ]


def _of(entries: Entries, features: str) -> dict[str, Row]:
    """Return the entry of a kind of features by family."""
    return {name: row for name, row in entries if row.get("features") == features}


def _spoken(found: dict[str, Row]) -> str:
    return joined([f"{name} {told(estimate(row, 'estimate'))}" for name, row in found.items()])


def _sentence(when: str, entries: Entries) -> str:
    """Say whether the distance to the end is enough, with the worst and the best family."""
    found = _of(entries, TO_END)
    if not found:
        return ""
    judged = {at_least(estimate(row, "estimate"), CLAIMED) for row in found.values()}
    answer = {HOLDS: "it is", FAILS: "it is not", OPEN: "this is open"}
    said = answer[judged.pop()] if len(judged) == 1 else "it is in some families"
    ranked = sorted(found.items(), key=lambda pair: estimate(pair[1], "estimate")["value"] or 0.0)
    bounds = " to ".join(
        f"{told(estimate(row, 'estimate'))} on {name}"
        for name, row in (ranked[:1] if len(ranked) == 1 else (ranked[0], ranked[-1]))
    )
    return f"{when} {said}: the R² of the distance to the end alone is {bounds}."


def _beside(fixed: Entries, varied: Entries) -> str:
    """Say what the loss curve alone explains, for which nobody needs to know the end."""
    curves = [_of(entries, CURVE) for entries in (fixed, varied)]
    if not all(curves):
        return ""
    spans = [
        span(estimate(row, "estimate")["value"] or 0.0 for row in found.values())
        for found in curves
    ]
    return (
        f"The loss curve alone, which knows no end point, has {spans[0]} where they are fixed and "
        f"{spans[1]} where they vary."
    )


def _claims(fixed: Entries) -> list[Points]:
    """Return the claims of seed 000, of the distance that is left and of the one covered."""
    said = {
        TO_END: "distance metrics can explain 80–90% of variance in training time.",
        COVERED: "the distance covered is strongly predictive of time remaining to convergence.",
    }
    return [
        claim(
            "Seed 000 claims (at fixed hyperparameters)",
            words,
            f"R² of the {kind} alone, by lineage: {_spoken(found)}.",
            _verdict(found),
        )
        for kind, words in said.items()
        if (found := _of(fixed, kind))
    ]


def _verdict(found: dict[str, Row]) -> str:
    """Return in which families at least the claimed share is explained."""
    judged = {name: at_least(estimate(row, "estimate"), CLAIMED) for name, row in found.items()}
    parts = [
        f"{verdict} for {joined(names)}"
        for verdict in (HOLDS, FAILS, OPEN)
        if (names := [name for name, each in judged.items() if each == verdict])
    ]
    return f"80\u202f% or more: {'; '.join(parts)}."


def _figures(cohorts: dict[str, Entries], entries: Entries) -> list[Figure]:
    panels = [_panel(title, drawn) for title, own in cohorts.items() if (drawn := _drawn(own))]
    if not panels:
        return []
    shown = [name for name in FAMILIES if any(name == family for family, _ in _drawn(entries))]
    return [
        figure(
            "kinds",
            "What each kind of feature explains alone",
            "R² of log(1 + R) by lineage, every run weighing the same, of gradient boosting on "
            "these features and no others; lines are 95\u202f% intervals over lineages. The "
            "vertical line is where seed 000's claim begins. Distance to the end (L1, L2, cosine, "
            "Chebyshev, and block by block), alignment and the last row know the final "
            "parameters. Features that have to be measured at a state are scored on the runs "
            "where they were. What is below "
            f"{decimal(FLOOR, 1)} stands at the left edge with its value; a family of fewer than "
            f"{LEAST_LINEAGES} lineages stands in the data alone.",
            panels,
            _table(entries),
            key=family_legend(shown),
        )
    ]


def _drawn(entries: Entries) -> list[tuple[str, Row]]:
    """Return the entries of families that have lineages enough for a dot."""
    return [(name, row) for name, row in entries if count(row.get("n_lineages")) >= LEAST_LINEAGES]


def _panel(title: str, entries: Entries) -> Panel:
    rows: dict[str, list[Dot]] = {}
    for name, row in entries:
        rows.setdefault(_kind(row), []).append(_dot(name, row))
    drawn: list[DotRow] = [
        {"label": label, "quiet": label in WORDS.values(), "dots": dots}
        for label, dots in rows.items()
    ]
    chart = dot_chart("R² alone", drawn, floor=FLOOR, ceiling=CEILING, reference=CLAIMED)
    spoken = "; ".join(dot["tip"] for dots in rows.values() for dot in dots)
    return panel(title, spoken, chart)


def _kind(row: Row) -> str:
    features = word(row.get("features"))
    return WORDS.get(features, features)


def _dot(name: str, row: Row) -> Dot:
    colour, mark = FAMILY_LOOKS[name]
    found = estimate(row, "estimate")
    tip = f"{name}, {_kind(row)}: {told(found)}"
    return {"estimate": found, "colour": colour, "mark": mark, "tip": tip}


def _table(entries: Entries) -> Table:
    columns = [
        column("family", start=""), column("runs of", start=""), column("features alone"),
        column("R²", "decimal"), column("how many", "integer"), column("runs", "integer"),
        column("lineages", "integer"),
    ]  # fmt: skip
    return table(
        "data",
        "R² by lineage of each kind of feature.",
        columns,
        map(_cells, *zip(*entries, strict=True)),
    )


def _cells(name: str, row: Row) -> list[Cell]:
    return [
        name,
        FIXED if row.get("cohort") == FIXED else VARIED[0],
        _kind(row),
        estimate(row, "estimate"),
        count(row.get("n_features")),
        count(row.get("n_runs")),
        count(row.get("n_lineages")),
    ]
