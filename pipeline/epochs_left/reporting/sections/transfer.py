"""What a model of one family is worth on another."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting.charts.matrix import MatrixCell, matrix_chart, step_of
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Table,
    column,
    figure,
    legend,
    panel,
    points,
    table,
    text,
)
from epochs_left.reporting.estimates import is_below, said, value_of
from epochs_left.reporting.results import Results, Row, count, word
from epochs_left.reporting.scoring import estimate
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import CONFIDENCE, decimal, joined

TRANSFER = "transfer_families.json"
TOGETHER = "all others"
COUNTS = ("n_features", "n_runs", "n_lineages")
#: The single unit that seed 003 studies, and the networks that people train.
SIMPLE, PRACTICAL = "neuron", ("resnet", "char_lm")

#: R² by (trained on, tested on).
Scores = dict[tuple[str, str], Estimate]


@section(
    title="Transfer between families",
    question="Does a model that has learnt from one kind of run help with another?",
    order=76,
    reads=[TRANSFER],
)
def transfer(results: Results) -> Sequence[Block]:
    """Draw R² by the family trained on and the family tested on."""
    rows = [row for row in results.rows(TRANSFER) if _r2(row)["value"] is not None]
    scores = {_pair(row): _r2(row) for row in rows}
    if not scores:
        return []
    return [text(*_answer(scores)), *_claim(scores), _figure(scores, rows)]


def _pair(row: Row) -> tuple[str, str]:
    return word(row.get("trained_on")), word(row.get("tested_on"))


def _r2(row: Row) -> Estimate:
    return estimate(row, "estimate")


def _answer(scores: Scores) -> list[str]:
    """Say in how many families another's model comes near its own, and which pairs fail."""
    own = {tested: r2 for (trained, tested), r2 in scores.items() if trained == tested}
    foreign = {pair: r2 for pair, r2 in scores.items() if pair[0] != pair[1] and pair[1] in own}
    if not foreign:
        return ["No model was tried on a family other than its own."]
    near = [name for name in own if _comes_near(name, own[name], foreign)]
    pair = min(foreign, key=lambda pair: value_of(own[pair[1]]) - value_of(foreign[pair]))
    return [
        f"{_verdict(near, len(own))} The smallest loss is that of {_named(pair)}: R² "
        f"{said(foreign[pair])} against {said(own[pair[1]])} by a model of {pair[1]} itself on "
        f"lineages that it has not seen ({CONFIDENCE}s over lineages in brackets).",
        _failures(foreign),
    ]


def _comes_near(name: str, own: Estimate, foreign: Scores) -> bool:
    return any(not is_below(r2, own) for (_, tested), r2 in foreign.items() if tested == name)


def _verdict(near: Sequence[str], n_families: int) -> str:
    if not near:
        return (
            f"No: in none of the {n_families} families does a model that has learnt from others "
            "come near one of its own."
        )
    only = "" if len(near) == n_families else ", and in no other family"
    return (
        f"Models that have learnt from other families come near its own in {joined([*near])}{only}."
    )


def _failures(foreign: Scores) -> str:
    pairs = {pair: r2 for pair, r2 in foreign.items() if pair[0] != TOGETHER}
    lost = [f"{_named(pair)} ({decimal(value_of(r2))})"
            for pair, r2 in pairs.items() if value_of(r2) <= 0]  # fmt: skip
    if not lost:
        return f"Each of the {len(pairs)} pairs does better than guessing the mean."
    return (
        f"{len(lost)} of the {len(pairs)} pairs do no better than guessing the mean of the family "
        f"tested, R² at or below 0: {joined(lost)}."
    )


def _named(pair: tuple[str, str]) -> str:
    return f"{pair[0]} → {pair[1]}"


def _claim(scores: Scores) -> list[Block]:
    """Answer seed 003 on what the single unit says of networks that people train."""
    tried = {
        name: scores[SIMPLE, name]
        for name in PRACTICAL
        if (SIMPLE, name) in scores and (name, name) in scores
    }
    if not tried:
        return []
    holds = [name for name, r2 in tried.items() if not is_below(r2, scores[name, name])]
    verdict = f"holds for {joined(holds)}" if holds else "does not hold"
    figures = joined([f"{_named((SIMPLE, name))} R² {said(r2)}" for name, r2 in tried.items()])
    question = "Seed 003 (8.3): “Do insights transfer to practical deep learning scenarios?”"
    return [points((question, f"Measured: {figures}: {verdict}."))]


def _figure(scores: Scores, rows: Sequence[Row]) -> Figure:
    trained, tested = (_ordered({pair[side] for pair in scores}) for side in (0, 1))
    chart = matrix_chart(
        trained,
        tested,
        [[_cell(scores, (row, name)) for name in tested] for row in trained],
        x_label="tested on",
        y_label="trained on",
    )
    spoken = "; ".join(f"{_named(pair)}: {said(r2)}" for pair, r2 in scores.items())
    return figure(
        "families",
        "R² of log epochs by the family trained on and the family tested on",
        "Read along a row what a model that has learnt from one family is worth on each. Framed: "
        "the family itself, by lineage. Gradient boosting on the causal features that both "
        "families know, in samples of runs outside the locked test set, every run weighing the "
        f"same; {CONFIDENCE}s over the lineages tested are in the data and under the pointer.",
        [panel("R² of log epochs", spoken, chart)],
        _table(rows),
        key=legend(
            ("R² from 0 to 1", "blue", "ramp"),
            ("no better than the mean", "grey", "hatch"),
            ("by lineage within the family", "orange", "line"),
        ),
    )


def _ordered(names: set[str]) -> list[str]:
    """Put families in their usual order, then the others by name."""
    places = {name: at for at, name in enumerate(FAMILIES)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def _cell(scores: Scores, pair: tuple[str, str]) -> MatrixCell | None:
    r2 = scores.get(pair)
    if r2 is None:
        return None
    return {
        "words": decimal(r2["value"]),
        "step": step_of(value_of(r2)),
        "framed": pair[0] == pair[1],
        "tip": f"{_named(pair)}: {said(r2)}",
    }


def _table(rows: Sequence[Row]) -> Table:
    columns = [
        column("trained on", start=""), column("tested on", start=""),
        column("R² of log epochs", "decimal"), column("features", "integer"),
        column("runs tested", "integer"), column("lineages tested", "integer"),
    ]  # fmt: skip
    cells: list[list[Cell]] = [
        [*_pair(row), _r2(row), *(count(row.get(key)) for key in COUNTS)] for row in rows
    ]
    return table("data", "R² of log(1 + R) on each family by what was trained on.", columns, cells)
