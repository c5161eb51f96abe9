"""Estimates as the plain data that results hold: None for what is undefined."""

from __future__ import annotations

import math

from epochs_left.statistics.bootstrap import Estimate


def entry_of(estimate: Estimate) -> dict[str, float | None]:
    """Return an estimate and its interval as plain data, None for what is undefined."""
    lower, upper = estimate.interval or (None, None)
    return {"estimate": finite(estimate.value), "lower": lower, "upper": upper}


def finite(value: float) -> float | None:
    """Return a number as JSON holds it: None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None
