"""What choosing by predicted time is worth: initialisations, hyperparameters, both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Mark,
    Panel,
    Table,
    column,
    figure,
    legend,
    panel,
    points,
    table,
    text,
)
from epochs_left.reporting.estimates import measured, said, value_of
from epochs_left.reporting.ladders import factor_position, factor_ticks
from epochs_left.reporting.results import Results, Row, count, mapping, sequence, word
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import CONFIDENCE, brief

SAVINGS = "savings.json"
#: What is compared: field, what it is called, colour and mark ("" for lines without one).
WAYS: Mapping[str, tuple[str, str, Mark]] = {
    "ratio": ("chosen by prediction", "blue", "circle"),
    "ratio_with_trials": ("with the epochs of the trials", "orange", "diamond"),
    "random_ratio": ("chosen at random", "grey", "dash"),
    "train_all_ratio": ("all trained to their end", "ink", "dash"),
}


class Claim(NamedTuple):
    """Words of a seed, and the choice of savings.json that they are about."""

    words: str
    choice: str


HYPERPARAMETERS = "hyperparameters, initialisation fixed"
INITIALISATION = "initialisation, hyperparameters fixed"
BOTH = "initialisation and hyperparameters"
#: Kinds of choice as words, in the order in which they are drawn.
WORDS: Mapping[str, str] = {
    HYPERPARAMETERS: "hyperparameters for a given initialisation",
    INITIALISATION: "an initialisation for given hyperparameters",
    BOTH: "initialisation and hyperparameters together",
}
#: Kinds in the picture; the data have all.
MOST_PANELS = 2
CLAIMS = (
    Claim(
        "Seed 003 (7.3): “Hyperparameter selection: Choose settings that lead to fast "
        "convergence”.",
        HYPERPARAMETERS,
    ),
    Claim(
        "Seed 000: “choose initializations that start closer to the final state”; seed 003 (7.3): "
        "“Avoid slow-converging regions”.",
        INITIALISATION,
    ),
)


@section(
    title="What it is good for: choosing",
    question="Can one choose what to train by the predicted time, before training it?",
    order=79,
    reads=[SAVINGS],
    of=EACH,
)
def savings_choice(results: Results) -> Sequence[Block]:
    """Draw the epochs of the chosen run over those of the best, a panel a kind of choice."""
    found = map(mapping, sequence(results.record(SAVINGS).get("choosing")))
    entries = [entry for entry in found if measured(entry, "ratio")["value"]]
    if not entries:
        return []
    found_kinds = {word(entry.get("choice")) for entry in entries}
    kinds = [kind for kind in WORDS if kind in found_kinds][:MOST_PANELS]
    return [
        text(_answer(entries[0])),
        points(*(_verdict(claim, entries) for claim in CLAIMS)),
        *([_figure(kinds, entries)] if kinds else []),
    ]


def _answer(entry: Row) -> str:
    at_random, all_trained = (measured(entry, key) for key in ("random_ratio", "train_all_ratio"))
    return (
        f"{_chosen(word(entry.get('choice')))} {_when(entry)}: what is predicted to be fastest "
        f"takes {said(measured(entry, 'ratio'))} times the epochs of what is; a choice at random "
        f"takes {said(at_random, brief)} times those of the fastest, and training all of them "
        f"{said(all_trained, brief)} times ({CONFIDENCE}s)."
    )


def _chosen(choice: str) -> str:
    return f"Choosing {WORDS.get(choice, choice)}"


def _when(entry: Row) -> str:
    seen = count(entry.get("epochs_seen"))
    return f"after {seen} epochs of each" if seen else "before any training"


def _verdict(claim: Claim, entries: Sequence[Row]) -> tuple[str, str]:
    """Say whether choosing before training beats chance, by the paired gain over it."""
    own = [entry for entry in entries if entry.get("choice") == claim.choice]
    first = min(own, key=lambda entry: count(entry.get("epochs_seen")), default=None)
    if first is None:
        return claim.words, "Not measured in this family: no runs differ in this alone."
    gain = measured(first, "gain_over_random")
    bound = gain["value"] if gain["lower"] is None else gain["lower"]
    verdict = "holds" if bound is not None and bound > 1 else "does not hold"
    return claim.words, (
        f"Measured: {_chosen(claim.choice).lower()} {_when(first)} takes {said(gain, brief)} times "
        f"fewer epochs than by chance, 1 being no gain: {verdict}."
    )


def _figure(kinds: Sequence[str], entries: Sequence[Row]) -> Figure:
    return figure(
        "choosing",
        "Epochs of the chosen run over those of the best",
        "×1 is the choice of who knows beforehand. The longer the candidates are looked at, the "
        "better the choice and the more their trials cost. Geometric means over choices in which "
        "some run converges; a run that does not is charged its cap. Locked test set, past alone; "
        f"bands are {CONFIDENCE}s over lineages, or over pools of four lineages.",
        [_panel(kind, entries) for kind in kinds],
        _table(entries),
        key=legend(*WAYS.values()),
    )


def _panel(kind: str, entries: Sequence[Row]) -> Panel:
    own = [entry for entry in entries if word(entry.get("choice")) == kind]
    own.sort(key=lambda entry: count(entry.get("epochs_seen")))
    seen = sorted({count(entry.get("epochs_seen")) for entry in own})
    chart = line_chart(
        [_line(way, own) for way in WAYS],
        x_label="epochs that each candidate is trained before the choice",
        y_label="epochs over the best choice's",
        x_ticks=[{"at": float(at), "label": str(at)} for at in seen],
        y_ticks=factor_ticks(max(value_of(measured(each, way)) for each in own for way in WAYS)),
    )
    return panel(_chosen(kind), f"{_spoken(own[0])}; {_spoken(own[-1])}", chart)


def _spoken(entry: Row) -> str:
    parts = [f"{WAYS[way][0]} ×{said(measured(entry, way), brief)}" for way in WAYS]
    return f"{_when(entry)}: {', '.join(parts)}"


def _line(way: str, entries: Sequence[Row]) -> Line:
    label, colour, mark = WAYS[way]
    is_dashed = mark == "dash"
    made = [_point(label, measured(entry, way), entry) for entry in entries]
    return {
        "label": "",
        "colour": colour,
        "dashed": is_dashed,
        "mark": "" if is_dashed else mark,
        "points": [point for point in made if point],
    }


def _point(label: str, ratio: Estimate, entry: Row) -> LinePoint | None:
    if not ratio["value"] or ratio["value"] <= 0:
        return None
    seen = count(entry.get("epochs_seen"))
    return {
        "x": float(seen),
        "y": factor_position(ratio["value"]),
        "lower": _position(ratio["lower"]),
        "upper": _position(ratio["upper"]),
        "tip": f"{label}, after {seen} epochs: ×{said(ratio, brief)}",
    }


def _position(bound: float | None) -> float | None:
    return factor_position(bound) if bound is not None and bound > 0 else None


def _table(entries: Sequence[Row]) -> Table:
    columns = [
        column("what is chosen", start=""), column("epochs seen", "integer"),
        *(column(f"{label} (×)", "brief") for label, _, _ in WAYS.values()),
        column("gain over chance (×)", "brief"), column("choices", "integer"),
    ]  # fmt: skip
    cells: list[list[Cell]] = [
        [
            word(entry.get("choice")),
            count(entry.get("epochs_seen")),
            *(measured(entry, way) for way in WAYS),
            measured(entry, "gain_over_random"),
            count(entry.get("n_choices")),
        ]
        for entry in entries
    ]
    return table("data", "Epochs over those of the best choice.", columns, cells)
