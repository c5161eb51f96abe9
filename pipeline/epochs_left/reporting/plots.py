"""Small tables for `dvc plots`: what two commits are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochs_left.reporting import scoring
from epochs_left.reporting.results import Results, Row, count, number
from epochs_left.reporting.sections import FAMILIES

PlotRow = Mapping[str, str | float | int | None]


def plot_tables(results: Mapping[str, Any]) -> dict[str, list[PlotRow]]:
    """Return rows by file name, of the best causal model of each family by lineage.

    ``r2.json``: R² of log epochs by family and split. ``error_by_epoch.json``: epochs seen, and the
    median relative error of each family in a column of its name, null where none got so far.
    """
    read = Results(results)
    r2: list[PlotRow] = []
    errors: dict[int, dict[str, float]] = {}
    for family in FAMILIES:
        of_family = read.below(family)
        scores = scoring.read_scores(of_family)
        best = scoring.champion_of(scores, "causal")
        if best is None:
            continue
        found = scoring.known(scoring.primary(scores), model=best.model, view=best.view)
        r2 += [
            {"score": f"{family}, {score.split}", "r2": score.estimate["value"] or 0.0}
            for score in found
        ]
        for row in of_family.rows("error_by_epoch.json"):
            if _is_of(row, best):
                error = number(row.get("median_relative_error")) or 0.0
                errors.setdefault(count(row.get("epochs_seen")), {})[family] = error
    by_epoch: list[PlotRow] = [
        {"epochs_seen": seen, **{name: errors[seen].get(name) for name in FAMILIES}}
        for seen in sorted(errors)
    ]
    return {"error_by_epoch.json": by_epoch, "r2.json": r2}


def _is_of(row: Row, best: scoring.Score) -> bool:
    known = number(row.get("median_relative_error")) is not None
    return known and (row.get("model"), row.get("view")) == (best.model, best.view)
