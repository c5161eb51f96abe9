"""Claims of the seeds beside what was measured."""

from __future__ import annotations

from epochs_left.reporting.content import Estimate, Points, points

HOLDS, FAILS, OPEN = "holds", "does not hold", "is undecided"


def claim(source: str, quoted: str, measured: str, verdict: str) -> Points:
    """Return a claim or question as it stands in its source, the figures, and what they say of it.

    ``source`` ends with what the source does: ``"Seed 000 claims"``.
    """
    return points((f"{source}:", f"“{quoted}”"), ("Measured:", measured), ("Verdict:", verdict))


def at_least(found: Estimate, bound: float) -> str:
    """Return whether a figure is ``bound`` or more: open where its interval holds the bound.

    Without an interval the figure alone decides.
    """
    value, lower, upper = found["value"], found["lower"], found["upper"]
    if value is None:
        return OPEN
    if (value if lower is None else lower) >= bound:
        return HOLDS
    return FAILS if (value if upper is None else upper) < bound else OPEN
