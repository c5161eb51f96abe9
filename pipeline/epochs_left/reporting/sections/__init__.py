"""Report sections: one file each, found by name.

A section is a function from results to blocks of content (`reporting.content`). It returns no block
where its results are missing; the page then says which file is missing and what makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epochs_left.registry import Registry
from epochs_left.reporting.content import Block
from epochs_left.reporting.results import Results

Compose = Callable[[Results], Sequence[Block]]

#: Every results file so far comes from this stage.
EVALUATE = "dvc repro evaluate"


@dataclass(frozen=True, kw_only=True)
class SectionSpec:
    """What a section is called, where it stands, what it reads and how that is made."""

    name: str
    title: str
    question: str
    order: int
    reads: tuple[str, ...]
    command: str
    compose: Compose


SECTIONS: Registry[SectionSpec] = Registry("section", __name__)


def section(
    *, title: str, question: str, order: int, reads: Sequence[str], command: str = EVALUATE
) -> Callable[[Compose], Compose]:
    """Register a function ``(results) -> blocks`` under the function's name.

    Parameters
    ----------
    title
        Heading and entry in the navigation.
    question
        What the section answers, in a reader's words; stands under the heading.
    order
        Place in the page, in steps of ten so that a section can go between two others.
    reads
        Names of the files in reports/results/ that it uses.
    command
        Command line that makes these files.
    """

    def register(compose: Compose) -> Compose:
        name = str(compose.__name__)
        spec = SectionSpec(
            name=name,
            title=title,
            question=question,
            order=order,
            reads=tuple(reads),
            command=command,
            compose=compose,
        )
        SECTIONS.add(name, spec)
        return compose

    return register
