"""Results to a dictionary that JSON can carry: what the report says, before any HTML."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from epochs_left.reporting.content import Block
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS, SectionSpec


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


def summarise(results: Mapping[str, Any], paths: Mapping[str, str] | None = None) -> Summary:
    """Return the content of the report as plain data (see `build_report` for the arguments)."""
    read = Results(results)
    return {
        "title": "How many epochs are left?",
        "sections": [summarise_section(spec, read, paths or {}) for spec in ordered_sections()],
    }


def summarise_section(
    spec: SectionSpec, results: Results, paths: Mapping[str, str]
) -> SectionSummary:
    """Return one section: its strings fit for HTML and XML, its numbers finite or null."""
    section: SectionSummary = {
        "name": spec.name,
        "title": spec.title,
        "question": spec.question,
        "reads": [paths.get(name, name) for name in spec.reads],
        "missing": [name for name in spec.reads if name not in results],
        "command": spec.command,
        "blocks": list(spec.compose(results)),
    }
    return cast(SectionSummary, _cleaned(section))


def ordered_sections() -> list[SectionSpec]:
    """Return the registered sections in the order of the page."""
    return sorted((spec for _, spec in SECTIONS.items()), key=lambda spec: (spec.order, spec.name))


def result_files() -> tuple[str, ...]:
    """Return the names of all files that some section reads, in alphabetical order."""
    return tuple(sorted({name for spec in ordered_sections() for name in spec.reads}))


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
