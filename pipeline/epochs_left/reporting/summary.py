"""Results to a dictionary that JSON can carry: what the report says, before any HTML."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from epochs_left.reporting.content import Block, choice
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import ALL, FAMILIES, SECTIONS, SectionSpec

#: What the paths of results begin with that benchmarks make, and where these lie.
BENCHMARKS, MEASURED = "benchmarks", "benchmarks/results"


class SectionSummary(TypedDict):
    """One section with where its figures come from; ``missing`` names files that were not there."""

    name: str
    title: str
    question: str
    reads: list[str]
    missing: list[str]
    command: str
    blocks: list[Block]


class Summary(TypedDict):
    """The whole report."""

    title: str
    sections: list[SectionSummary]


def summarise(results: Mapping[str, Any]) -> Summary:
    """Return the content of the report as plain data (see `build_report` for the arguments)."""
    read = Results(results)
    return {
        "title": "How many epochs are left?",
        "sections": [summarise_section(spec, read) for spec in ordered_sections()],
    }


def summarise_section(spec: SectionSpec, results: Results) -> SectionSummary:
    """Return one section: its strings fit for HTML and XML, its numbers finite or null."""
    section: SectionSummary = {
        "name": spec.name,
        "title": spec.title,
        "question": spec.question,
        "reads": [_location(name if spec.of == ALL else f"FAMILY/{name}") for name in spec.reads],
        "missing": [_location(name) for name in _missing(spec, results)],
        "command": spec.command,
        "blocks": _blocks(spec, results),
    }
    return cast(SectionSummary, _cleaned(section))


def _location(name: str) -> str:
    """Return where in the repository a result lies."""
    folder, _, file = name.partition("/")
    return f"{MEASURED}/{file}" if folder == BENCHMARKS else f"reports/results/{name}"


def _missing(spec: SectionSpec, results: Results) -> list[str]:
    """Return the files that are not there, but of families of which nothing is."""
    absent = {name for name in FAMILIES if not results.has_folder(name)}
    if len(absent) == len(FAMILIES):
        absent = set()
    return [
        name for name in spec.files if name not in results and name.partition("/")[0] not in absent
    ]


def _blocks(spec: SectionSpec, results: Results) -> list[Block]:
    if spec.of == ALL:
        return list(spec.compose(results))
    composed = {name: spec.compose(results.below(name)) for name in FAMILIES}
    told = [(name, name, blocks) for name, blocks in composed.items() if blocks]
    return [choice("Family", told)] if told else []


def ordered_sections() -> list[SectionSpec]:
    """Return the registered sections in the order of the page."""
    return sorted((spec for _, spec in SECTIONS.items()), key=lambda spec: (spec.order, spec.name))


def result_files() -> tuple[str, ...]:
    """Return the names of all files that some section reads, in alphabetical order."""
    return tuple(sorted({name for spec in ordered_sections() for name in spec.files}))


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _printable(text: str) -> str:
    """Replace what neither HTML nor XML may hold, and marks that reorder the text around them."""
    return "".join(
        " " if character in "\t\n\r" else "\ufffd" if _is_forbidden(character) else character
        for character in text
    )


def _is_forbidden(character: str) -> bool:
    reorders = unicodedata.bidirectional(character) in {
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
    }  # fmt: skip
    is_noncharacter = ord(character) & 0xFFFE == 0xFFFE
    return reorders or is_noncharacter or unicodedata.category(character) in {"Cc", "Cs"}
