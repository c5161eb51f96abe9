"""How to get the same figures again."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting.content import (
    Block,
    Cell,
    column,
    commands,
    fact,
    facts,
    table,
    text,
)
from epochs_left.reporting.results import Results, mapping, sequence, word
from epochs_left.reporting.sections import section

PROVENANCE = "provenance.json"
OPTIONAL = (("Platform", "platform"), ("Revision", "git"))


@section(
    title="Reproducibility",
    question="How does one get the same figures again?",
    order=110,
    reads=[PROVENANCE],
)
def reproducibility(results: Results) -> Sequence[Block]:
    """State seeds, commands, versions and the hashes of the data."""
    record = results.record(PROVENANCE)
    if not record:
        return []
    words = (
        "Every random number comes from the root seed, the run and its purpose, never from the "
        "order of the work: the same versions on the same platform give the same bytes, whatever "
        "the number of workers. Compare the hashes to see whether yours are."
    )
    lines = [word(line) for line in sequence(record.get("commands"))]
    hashes = mapping(record.get("data_sha256"))
    versions = mapping(record.get("versions"))
    return [
        facts(
            fact("Root seed", word(record.get("root_seed"), missing="–")),
            *(fact(label, word(record[key])) for label, key in OPTIONAL if record.get(key)),
        ),
        text(words),
        *([commands(*lines)] if lines else []),
        *_listing("hashes", "SHA-256 of the data, by family.", ("family", "sha256"), hashes),
        *_listing("versions", "Versions in use.", ("package", "version"), versions),
    ]


def _listing(name: str, caption: str, titles: tuple[str, str], pairs: object) -> list[Block]:
    rows: list[list[Cell]] = [
        [str(key), word(value, missing="–")] for key, value in sorted(mapping(pairs).items())
    ]
    columns = [column(titles[0]), column(titles[1], "code")]
    return [table(name, caption, columns, rows)] if rows else []
