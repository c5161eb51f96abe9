"""Whether the best model beats every simple rule, family by family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, mapping, number, sequence, word
from epochs_left.reporting.scoring import (
    CAUSAL,
    FAMILY_LOOKS,
    NOTHING,
    estimate,
    family_legend,
    told,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import CONFIDENCE, joined

BEATEN, COMPARISONS = "beats_baselines.json", "comparisons.json"
FLOOR = -2.0  # R² behind the best model below which a rule stands at the edge

#: The rules of a family by name, and how far each is behind the best model.
Rules = Mapping[str, Row]


@section(
    title="Against simple rules",
    question="Is it better than what one could do without it?",
    order=35,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (BEATEN, COMPARISONS)],
)
def baselines_beaten(results: Results) -> Sequence[Block]:
    """Show how far each simple rule is behind the best causal model, with the paired test."""
    records = {name: results.below(name).record(BEATEN) for name in FAMILIES}
    found = {name: _rules(record) for name, record in records.items() if _rules(record)}
    if not found:
        return []
    behind = {name: _behind(results.below(name), records[name], found[name]) for name in found}
    return [
        text(_answer(found), _nearest(behind, found)),
        _figure(records, found, behind),
    ]


def _rules(record: Row) -> dict[str, Row]:
    rules = map(mapping, sequence(record.get("baselines")))
    named = [(word(rule.get("baseline"), word(rule.get("title"), "")), rule) for rule in rules]
    return {name: rule for name, rule in named if name}


def _behind(own: Results, record: Row, rules: Rules) -> dict[str, Estimate]:
    """Return R² of each rule less that of the best model, its interval where there is one."""
    best = record.get("model")
    intervals: dict[str, Estimate] = {}
    for pair in own.rows(COMPARISONS):
        if pair.get("view") == CAUSAL and best in (pair.get("first"), pair.get("second")):
            is_first = pair.get("first") == best
            other = word(pair.get("second" if is_first else "first"))
            gain = estimate(mapping(pair.get("r2")), "estimate")
            intervals[other] = scoring.negated(gain) if is_first else gain
    return {
        name: intervals.get(
            name, scoring.negated({**NOTHING, "value": number(rule.get("r2_gain"))})
        )
        for name, rule in rules.items()
    }


def _answer(found: Mapping[str, Rules]) -> str:
    left = {name: _unbeaten(rules) for name, rules in found.items()}
    n_beaten = sum(not titles for titles in left.values())
    words = (
        f"In {n_beaten} of {len(found)} families the best model that sees the past alone beats "
        "every simple rule."
    )
    failing = [_failing(name, left[name], found[name]) for name in left if left[name]]
    return " ".join([words, *failing])


def _failing(name: str, left: Sequence[str], rules: Rules) -> str:
    are = "is" if len(left) == 1 else "are"
    return (
        f"In {name} {len(left)} of {len(rules)} {are} not beaten for certain: {joined(list(left))}."
    )


def _unbeaten(rules: Rules) -> list[str]:
    return [word(rule.get("title")) for rule in rules.values() if not rule.get("beaten")]


def _nearest(behind: Mapping[str, Mapping[str, Estimate]], found: Mapping[str, Rules]) -> str:
    listed = []
    for name, each in behind.items():
        best = max(each, key=lambda rule: _size(each[rule]))
        title, short = word(found[name][best].get("title")), scoring.negated(each[best])
        listed.append(f"in {name} {title}, {told(short)}")
    return f"The best rules, and how far R² is behind with them: {'; '.join(listed)}."


def _size(figure: Estimate) -> float:
    return float("-inf") if figure["value"] is None else figure["value"]


def _figure(
    records: Mapping[str, Row],
    found: Mapping[str, Rules],
    behind: Mapping[str, Mapping[str, Estimate]],
) -> Figure:
    titles = {
        name: word(rule.get("title")) for rules in found.values() for name, rule in rules.items()
    }
    rows = [_row(name, title, behind) for name, title in titles.items()]
    spoken = "; ".join(dot["tip"] for row in rows for dot in row["dots"])
    chart = dot_chart("R² less that of the best model", rows, floor=FLOOR, reference=0.0)
    columns = [
        column("family", start=""), column("model"), column("simple rule"),
        column("R² behind", "decimal"), column("corrected p", "brief"), column("beaten", start=""),
    ]  # fmt: skip
    return figure(
        "behind",
        "How far simple rules are behind the best model",
        "R² of log(1 + epochs remaining) by lineage, of each rule less that of the best model that "
        f"sees the past alone, every run weighing the same, with paired {CONFIDENCE}s over "
        "lineages where they were made. What lies left of the axis stands at its edge with its "
        "value. The test of the table is Nadeau and Bengio's corrected resampled t-test of squared "
        "errors, n counted in lineages, Holm-adjusted over the rules of a family.",
        [panel("R² behind the best model", f"{spoken}.", chart)],
        table(
            "data", "The best model against simple rules.", columns, _cells(records, found, behind)
        ),
        key=family_legend(found),
    )


def _row(name: str, title: str, behind: Mapping[str, Mapping[str, Estimate]]) -> DotRow:
    dots = [_dot(family, title, each[name]) for family, each in behind.items() if name in each]
    return {"label": title, "quiet": False, "dots": dots}


def _dot(family: str, title: str, figure: Estimate) -> Dot:
    colour, mark = FAMILY_LOOKS[family]
    tip = f"{title}, {family} {told(figure)}"
    return {"estimate": figure, "colour": colour, "mark": mark, "tip": tip}


def _cells(
    records: Mapping[str, Row],
    found: Mapping[str, Rules],
    behind: Mapping[str, Mapping[str, Estimate]],
) -> Iterator[list[Cell]]:
    for family, rules in found.items():
        for name, rule in rules.items():
            yield [
                family,
                word(records[family].get("title")),
                word(rule.get("title")),
                behind[family][name],
                number(mapping(rule.get("squared_error")).get("p_holm")),
                "yes" if rule.get("beaten") else "no",
            ]
