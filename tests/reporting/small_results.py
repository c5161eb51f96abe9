"""Results of a few rows, made up, for tests that change them; loaded by path."""

from __future__ import annotations

from typing import Any

SPLITS = ("row-wise", "by lineage", "locked test")
VIEWS = ("oracle", "causal")


def figure(value: float | None, half: float | None = 0.01) -> dict[str, float | None]:
    """Return a figure and an interval of this half-width, without one for None."""
    has_interval = value is not None and half is not None
    return {
        "estimate": value,
        "lower": value - half if has_interval else None,
        "upper": value + half if has_interval else None,
    }


def score(model: str, value: float | None, **changes: Any) -> dict[str, Any]:
    """Return an entry of scores.json: primary, causal, by lineage."""
    half = changes.pop("half", 0.01)
    entry = {
        "model": model, "title": model.title(), "view": "causal", "baseline": False,
        "split": "by lineage", "scope": "all", "scale": "log", "weighting": "run", "metric": "r2",
        "level": None, "n_rows": 900, "n_runs": 120, "n_lineages": 40, **figure(value, half),
    }  # fmt: skip
    return {**entry, **changes}


def scores(levels: dict[str, dict[str, float]], *, half: float | None = 0.01) -> list[Any]:
    """Return R² by view and model under every split; row-wise is .02 higher, also on equal rows."""
    entries = []
    for view, models in levels.items():
        for model, value in models.items():
            same = {"view": view, "half": half}
            gains = dict(zip(SPLITS, (0.02, 0.0, 0.005), strict=True))
            entries += [score(model, value + gains[at], split=at, **same) for at in SPLITS]
            entries.append(score(model, 0.02, split="row-wise", metric="r2_gap", **same))
    return entries
