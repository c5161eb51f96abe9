"""Ticks of the axes, in the units in which charts are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypedDict

from epochs_left.reporting.wording import brief, decade_label, integer, percent


class Tick(TypedDict):
    """A tick of an axis and its label."""

    at: float
    label: str


def decade_ticks(values: Iterable[float | None]) -> list[Tick]:
    """Return ticks at the powers of ten that enclose the positive values; ``at`` is log10."""
    logs = [math.log10(value) for value in values if value is not None and value > 0]
    if not logs:
        return []
    low = math.floor(min(logs))
    high = max(math.ceil(max(logs)), low + 1)
    return [{"at": float(at), "label": _power_of_ten(at)} for at in range(low, high + 1)]


def whole_ticks(low: float, high: float) -> list[Tick]:
    """Return ticks at whole numbers from 1 on for a logarithmic axis; ``at`` is the number.

    Powers of ten, or 1, 2, 5, 10, ... where there would be fewer than three of them.
    """
    decades = range(max(0, math.ceil(math.log10(max(high, 1)))) + 1)
    steps = (1,) if math.log10(max(high, 1)) >= 2 else (1, 2, 5)
    places = [step * 10**decade for decade in decades for step in steps]
    return [{"at": float(at), "label": f"{at:,}"} for at in places if max(low, 1) <= at <= high]


def share_ticks(step: float = 0.2, *, high: float = 1.0) -> list[Tick]:
    """Return ticks from 0 to ``high`` as percentages."""
    n_steps = max(1, math.ceil(high / step - 1e-9))
    return [{"at": i * step, "label": percent(i * step)} for i in range(n_steps + 1)]


def epoch_position(epochs: float) -> float:
    """Return the place of an epoch on a logarithmic axis that has epoch 0 on it."""
    return math.log10(1 + epochs)


def epoch_ticks(epochs: Iterable[float | None]) -> list[Tick]:
    """Return ticks at these epochs, without those too near to the one before for a label."""
    known = sorted({at for at in epochs if at is not None})
    ticks: list[Tick] = []
    for at in known:  # a label every 26 px or so of 300
        room = 0.09 * epoch_position(known[-1])
        if not ticks or epoch_position(at) - ticks[-1]["at"] >= room:
            ticks.append({"at": epoch_position(at), "label": integer(at)})
    return ticks


def _power_of_ten(exponent: int) -> str:
    return decade_label(exponent) if exponent >= 0 else brief(10.0**exponent)
