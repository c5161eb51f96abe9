"""Ticks of logarithmic axes that enclose what is drawn; ``at`` is log10."""

from __future__ import annotations

from math import log10

from epochs_left.reporting.ticks import Tick
from epochs_left.reporting.wording import brief

#: Factors that may stand at an axis.
FACTORS = (1, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 30, 50, 100, 300, 1000)
LARGEST_FACTOR = FACTORS[-1]
ROOM = 0.09  # of the axis, between two ticks
#: Largest number at an axis of counts, and ticks from which only powers of ten stand there.
LARGEST_COUNT, MOST_TICKS = 10**7, 7


def count_ticks(low: float, high: float) -> list[Tick]:
    """Return ticks at 1, 2, 5, 10, ... (or 1, 10, 100, ...) from below ``low`` to above ``high``.

    Both are at least 1; what lies beyond ten million is not enclosed.
    """
    for steps in ((1, 2, 5), (1,)):
        places = [step * 10**decade for decade in range(8) for step in steps]
        first = max(place for place in places if place <= max(low, 1))
        last = min(
            (place for place in places if place >= high and place > first), default=LARGEST_COUNT
        )
        kept = [place for place in places if first <= place <= last]
        if len(kept) <= MOST_TICKS:
            break
    return [{"at": log10(place), "label": f"{place:,}"} for place in kept]


def factor_ticks(top: float) -> list[Tick]:
    """Return ticks at factors from 1 to the first that is at least ``top``, none too near.

    Nothing beyond `LARGEST_FACTOR` is enclosed.
    """
    end = next((factor for factor in FACTORS[1:] if factor >= top), LARGEST_FACTOR)
    ticks: list[Tick] = []
    for factor in (factor for factor in FACTORS if factor <= end):
        if not ticks or log10(factor) - ticks[-1]["at"] >= ROOM * log10(end):
            ticks.append({"at": log10(factor), "label": f"×{brief(factor)}"})
    return _ending(ticks, end)


def factor_position(factor: float) -> float:
    """Return the place of a factor above 0; what is beyond the last tick stands there."""
    return log10(min(factor, LARGEST_FACTOR))


def _ending(ticks: list[Tick], end: float) -> list[Tick]:
    """Make the last tick the end of the axis, moving it where another is too near."""
    last: Tick = {"at": log10(end), "label": f"×{brief(end)}"}
    return ticks if ticks[-1] == last else [*ticks[:-1], last]
