"""Whether history adds to the present state: the Markov property, as far as features see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.claims import FAILS, HOLDS, OPEN, claim
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Panel,
    Table,
    column,
    figure,
    legend,
    note,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import measured, said, value_of
from epochs_left.reporting.results import Results, Row, count, mapping, word
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import decimal, joined

MARKOV = "markov.json"
PLAIN = "sgd"
#: Parts of a family by optimizer, in the order of the memory that the optimizer keeps.
PARTS = {PLAIN: "plain SGD", "momentum": "momentum", "adaptive": "adaptive"}
CLAIM = (
    "Without momentum or adaptive learning rates, the future trajectory of SGD depends only on "
    "the current parameter state and the loss landscape."
)


class Part(NamedTuple):
    """R² of log epochs of one kind of optimizer in one family, and the paired gain."""

    family: str
    part: str
    state: Estimate
    history: Estimate
    gain: Estimate
    n_runs: int
    n_lineages: int

    @property
    def label(self) -> str:
        """Return what the part is called on an axis."""
        return f"{self.family}, {PARTS.get(self.part, self.part)}"


@section(
    title="State and history",
    question="Is SGD Markov for this purpose: does the past add to the present state?",
    order=102,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (MARKOV,)],
)
def markov(results: Results) -> Sequence[Block]:
    """Draw R² from the state alone and with the history, and what the history gains."""
    parts = [part for name in FAMILIES for part in _parts(name, results.below(name))]
    if not parts:
        return []
    plain = [part for part in parts if part.part == PLAIN]
    other = [part for part in parts if part.part != PLAIN]
    blocks: list[Block] = [text(" ".join(filter(None, (_plain_words(plain), _other_words(other)))))]
    if plain:
        blocks += [_claim(plain), _what_state_is()]
    return [*blocks, _figure(parts)]


def _parts(family: str, results: Results) -> list[Part]:
    found = [_part(family, row) for row in results.rows(MARKOV)]
    order = list(PARTS)
    return sorted(
        (part for part in found if part.gain["value"] is not None),
        key=lambda part: order.index(part.part) if part.part in order else len(order),
    )


def _part(family: str, row: Row) -> Part:
    both = mapping(row.get("state_and_history"))
    return Part(
        family=family,
        part=word(row.get("part")),
        state=measured(row, "state"),
        history=measured(row, "state_and_history"),
        gain=measured(row, "gain"),
        n_runs=count(both.get("n_runs")),
        n_lineages=count(both.get("n_lineages")),
    )


def _gains(part: Part) -> bool | None:
    """Tell whether history adds something beyond chance; None without an interval."""
    lower = part.gain["lower"]
    return None if lower is None else lower > 0


def _plain_words(parts: Sequence[Part]) -> str:
    if not parts:
        return "No family has enough runs of plain SGD to test it without momentum."
    gained = any(map(_gains, parts))
    lead = "history adds to the present state" if gained else "history adds nothing that shows"
    return f"In plain SGD {lead}: R² of log epochs goes {joined([_from_to(p) for p in parts])}."


def _from_to(part: Part) -> str:
    alone, both = (decimal(each["value"]) for each in (part.state, part.history))
    return f"from {alone} to {both} in {part.family}, a gain of {_said(part.gain)}"


def _said(gain: Estimate) -> str:
    return said(gain, lambda value: decimal(value, 3))


def _other_words(parts: Sequence[Part]) -> str:
    if not parts:
        return ""
    most = max(parts, key=lambda part: value_of(part.gain))
    gained = sum(_gains(part) is True for part in parts)
    return (
        "Where the optimizer keeps a memory of its own, history adds beyond chance in "
        f"{gained} of {len(parts)} cases, and most in {most.label}: {_said(most.gain)}."
    )


def _claim(plain: Sequence[Part]) -> Block:
    told = joined([f"{part.family} {_said(part.gain)}" for part in plain])
    return claim(
        "Seed 003 (section 1.2) claims",
        CLAIM,
        f"R² gained by history without momentum or adaptive rates: {told}.",
        f"as a statement on the features of the present state, it {_verdict(plain)}.",
    )


def _verdict(plain: Sequence[Part]) -> str:
    gained = [_gains(part) for part in plain]
    return FAILS if True in gained else OPEN if None in gained else HOLDS


def _what_state_is() -> Block:
    return note(
        "The state here is what its features say of it: loss, gradient, norms and settings, not "
        "the parameters one by one. What history adds in plain SGD is what those features leave "
        "out; it says nothing against the Markov property of the parameters themselves, which "
        "holds by construction. Only runs at a constant learning rate: a schedule would make the "
        "time a part of the state."
    )


def _figure(parts: Sequence[Part]) -> Figure:
    return figure(
        "gain",
        "What history adds to the present state",
        "R² of log epochs, every run weighing the same, by folds over lineages; a row is a kind "
        "of optimizer in a family. Lines are 95\u202f% intervals over lineages, those of the gain "
        "of the paired difference: beyond 0 the history adds something.",
        [_r2_panel(parts), _gain_panel(parts)],
        _table(parts),
        key=legend(
            ("present state alone", "orange", "open"),
            ("state and history", "blue", "circle"),
            ("gain", "green", "diamond"),
        ),
    )


def _r2_panel(parts: Sequence[Part]) -> Panel:
    rows = [
        _row(
            part,
            _dot("state alone", part.state, "orange", "open"),
            _dot("with history", part.history, "blue", "circle"),
        )
        for part in parts
    ]
    return panel("R² by lineage", _spoken(rows), dot_chart("R² of log epochs", rows))


def _gain_panel(parts: Sequence[Part]) -> Panel:
    rows = [_row(part, _dot("gain", part.gain, "green", "diamond")) for part in parts]
    chart = dot_chart("R² gained by history", rows, reference=0.0)
    return panel("Gain of history", _spoken(rows), chart)


def _row(part: Part, *dots: Dot) -> DotRow:
    return {"label": part.label, "quiet": False, "dots": list(dots)}


def _dot(what: str, value: Estimate, colour: str, mark: str) -> Dot:
    return {"estimate": value, "colour": colour, "mark": mark, "tip": f"{what}: {_said(value)}"}


def _spoken(rows: Sequence[DotRow]) -> str:
    told = (f"{row['label']}: {', '.join(dot['tip'] for dot in row['dots'])}" for row in rows)
    return "; ".join(told)


def _table(parts: Sequence[Part]) -> Table:
    columns = [
        column("family", start=""), column("optimizer", start=""),
        column("state alone", "decimal"), column("state and history", "decimal"),
        column("gain", "decimal"), column("runs", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            part.family, PARTS.get(part.part, part.part), part.state, part.history, part.gain,
            part.n_runs, part.n_lineages,
        ]
        for part in parts
    ]  # fmt: skip
    return table("data", "R² of log epochs from the state, and with the history.", columns, rows)
