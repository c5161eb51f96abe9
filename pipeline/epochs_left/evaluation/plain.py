"""Estimates and counts as the plain data that results hold: None for what is undefined."""

from __future__ import annotations

import math

import pandas as pd

from epochs_left.statistics.bootstrap import Estimate


def entry_of(estimate: Estimate) -> dict[str, float | None]:
    """Return an estimate and its interval as plain data, None for what is undefined."""
    lower, upper = estimate.interval or (None, None)
    return {"estimate": finite(estimate.value), "lower": lower, "upper": upper}


def counts(rows: pd.DataFrame) -> dict[str, int]:
    """Return how many rows, runs and lineages there are."""
    return {
        "n_rows": len(rows),
        "n_runs": int(rows["run_id"].nunique()),
        "n_lineages": int(rows["lineage_id"].nunique()),
    }


def finite(value: float) -> float | None:
    """Return a number as JSON holds it: None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None
