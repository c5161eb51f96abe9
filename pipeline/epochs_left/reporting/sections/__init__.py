"""Report sections: one file each, found by name.

A section is a function from results to blocks of content (`reporting.content`). It returns no block
where its results are missing; the page then says which file is missing and what makes it. One that
is about a single family is asked for each, and the page offers the choice between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epochs_left.registry import Registry
from epochs_left.reporting.content import Block
from epochs_left.reporting.results import Results

Compose = Callable[[Results], Sequence[Block]]

#: `SectionSpec.of`: composed from the results of each family, or once from those of all.
EACH, ALL = "each", "all"
#: Families in the order of their size; a choice begins with the first.
FAMILIES = ("neuron", "mlp", "resnet", "char_lm")

#: Every results file so far comes from this stage.
EVALUATE = "dvc repro evaluate"


@dataclass(frozen=True, kw_only=True)
class SectionSpec:
    """What a section is called, where it stands, what it reads and how that is made.

    Attributes
    ----------
    of
        `EACH` for a function of one family's results, by their plain names; `ALL` for one of all
        results, by their paths below reports/results/.
    """

    name: str
    title: str
    question: str
    order: int
    reads: tuple[str, ...]
    command: str
    compose: Compose
    of: str = ALL

    @property
    def files(self) -> tuple[str, ...]:
        """Paths below reports/results/ of the files that it reads."""
        if self.of == ALL:
            return self.reads
        return tuple(f"{family}/{name}" for family in FAMILIES for name in self.reads)


SECTIONS: Registry[SectionSpec] = Registry("section", __name__)


def section(
    *,
    title: str,
    question: str,
    order: int,
    reads: Sequence[str],
    command: str = EVALUATE,
    of: str = ALL,
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
        Files that it uses: paths below reports/results/, or names of files of a family's folder.
    command
        Command line that makes these files.
    of
        `EACH` or `ALL` (`SectionSpec.of`).
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
            of=of,
        )
        SECTIONS.add(name, spec)
        return compose

    return register
