"""Whether the best model beats every simple rule, family by family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from epochs_left.reporting.content import Block, Cell, column, table, text
from epochs_left.reporting.results import Results, Row, mapping, number, sequence, word
from epochs_left.reporting.scoring import FAMILIES, of_family
from epochs_left.reporting.sections import section

BEATEN = "beats_baselines.json"


@section(
    title="Against simple rules",
    question="Is it better than what one could do without it?",
    order=35,
    reads=[BEATEN],
)
def baselines_beaten(results: Results) -> Sequence[Block]:
    """Table the paired test of the best causal model against each baseline."""
    found = {name: of_family(results, name).record(BEATEN) for name in FAMILIES}
    rows = [row for name, record in found.items() for row in _rows(name, record)]
    if not rows:
        return []
    columns = [
        column("family", start=""),
        column("model"),
        column("simple rule"),
        column("R² gained", "decimal"),
        column("corrected p", "brief"),
        column("beaten", start=""),
    ]
    return [
        text(
            "The best causal model against each simple rule on folds by lineage: Nadeau and "
            "Bengio's corrected resampled t-test of squared errors of log epochs, n counted in "
            "lineages, Holm-adjusted over the rules of a family.",
            *map(_verdict, found, found.values()),
        ),
        table("beaten", "The best causal model against simple rules.", columns, rows),
    ]


def _rows(name: str, record: Row) -> Iterator[list[Cell]]:
    for entry in map(mapping, sequence(record.get("baselines"))):
        yield [
            name,
            word(record.get("title")),
            word(entry.get("title")),
            number(entry.get("r2_gain")),
            number(mapping(entry.get("squared_error")).get("p_holm")),
            "yes" if entry.get("beaten") else "no",
        ]


def _verdict(name: str, record: Row) -> str:
    entries = [mapping(entry) for entry in sequence(record.get("baselines"))]
    if not entries:
        return f"{name}: not tested."
    left = [word(entry.get("title")) for entry in entries if not entry.get("beaten")]
    return f"{name}: beats all {len(entries)}." if not left else f"{name}: not {', '.join(left)}."
