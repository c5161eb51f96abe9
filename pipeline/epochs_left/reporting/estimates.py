"""Estimates with their intervals, as sections read, compare and say them."""

from __future__ import annotations

from collections.abc import Callable

from epochs_left.reporting.content import Estimate
from epochs_left.reporting.results import Row, mapping
from epochs_left.reporting.scoring import estimate
from epochs_left.reporting.wording import decimal, percent

Writer = Callable[[float | None], str]


def measured(row: Row, field: str) -> Estimate:
    """Return the estimate and interval of a field; without value where the field has none."""
    return estimate(mapping(row.get(field)), "estimate")


def said(figure: Estimate, write: Writer = decimal) -> str:
    """Return ``0.62 (0.56 to 0.66)``; the estimate alone where no interval was made."""
    lower, upper = figure["lower"], figure["upper"]
    if lower is None or upper is None:
        return write(figure["value"])
    return f"{write(figure['value'])} ({write(lower)} to {write(upper)})"


def said_percent(share: Estimate, digits: int = 0) -> str:
    """Return ``28 % (23 to 33 %)``; the estimate alone where no interval was made."""
    value, lower, upper = (share[key] for key in ("value", "lower", "upper"))
    if lower is None or upper is None:
        return percent(value, digits)
    return f"{percent(value, digits)} ({decimal(100 * lower, digits)} to {percent(upper, digits)})"


def is_below(low: Estimate, high: Estimate) -> bool:
    """Tell whether an interval lies wholly below another; a missing bound is the value itself."""
    top = low["value"] if low["upper"] is None else low["upper"]
    bottom = high["value"] if high["lower"] is None else high["lower"]
    return top is not None and bottom is not None and top < bottom


def value_of(figure: Estimate) -> float:
    """Return the value of an estimate that is known to have one, 0 otherwise."""
    return figure["value"] or 0.0
