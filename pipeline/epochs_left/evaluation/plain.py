"""Counts as the plain data that results hold."""

from __future__ import annotations

import pandas as pd


def counts(rows: pd.DataFrame) -> dict[str, int]:
    """Return how many rows, runs and lineages there are."""
    return {
        "n_rows": len(rows),
        "n_runs": int(rows["run_id"].nunique()),
        "n_lineages": int(rows["lineage_id"].nunique()),
    }
