from __future__ import annotations

from typing import Any

import pytest

from epochs_left.reporting import scoring
from epochs_left.reporting.results import Results


def _entry(model: str, split: str, estimate: float | None, **changes: Any) -> dict[str, Any]:
    entry = {
        "model": model, "title": model.upper(), "view": "causal", "baseline": False,
        "split": split, "scope": "all", "scale": "log", "weighting": "run", "metric": "r2",
        "estimate": estimate, "lower": None, "upper": None, "level": None,
    }  # fmt: skip
    return {**entry, **changes}


def _read(*entries: dict[str, Any]) -> list[scoring.Score]:
    return scoring.read_scores(Results({"scores": list(entries)}))


def test_the_champion_is_chosen_by_lineage_and_not_on_the_locked_test() -> None:
    scores = _read(
        _entry("steady", "by lineage", 0.8),
        _entry("steady", "locked test", 0.7),
        _entry("lucky", "by lineage", 0.6),
        _entry("lucky", "locked test", 0.9),
        _entry("leaky", "row-wise", 0.99),
    )
    champion = scoring.champion_of(scores, "causal")
    assert champion is not None
    assert champion.model == "steady"


@pytest.mark.parametrize(
    "changes",
    [
        {"baseline": True}, {"view": "oracle"}, {"scale": "epochs"}, {"weighting": "row"},
        {"scope": "hidden units"}, {"metric": "mae"}, {"estimate": None},
        {"estimate": float("nan")}, {"estimate": "0.99"}, {"estimate": True},
    ],
)  # fmt: skip
def test_only_primary_scores_of_models_make_a_champion(changes: dict[str, Any]) -> None:
    scores = _read(
        _entry("plain", "by lineage", 0.2),
        _entry("other", "by lineage", **{"estimate": 0.99, **changes}),
    )
    champion = scoring.champion_of(scores, "causal")
    assert champion is not None
    assert champion.model == "plain"


def test_without_scores_there_is_no_champion() -> None:
    assert scoring.champion_of(_read(), "causal") is None
    assert scoring.champion_of(_read(_entry("m", "row-wise", 0.9)), "causal") is None


def test_a_null_title_falls_back_on_the_name() -> None:
    assert scoring.titles(_read(_entry("m", "by lineage", 0.5, title=None))) == {"m": "m"}


def test_figures_are_told_with_their_interval_where_one_was_made() -> None:
    made: Any = {"value": 0.932, "lower": 0.925, "upper": 0.939}
    bare: Any = {"value": 0.932, "lower": None, "upper": 0.939}
    assert scoring.told(made) == "0.93 (0.93 to 0.94)"
    assert scoring.told(made, 3, named=True) == "0.932 (95\u202f% interval 0.925 to 0.939)"
    assert scoring.told_percent(made, 1) == "93.2\u202f% (92.5 to 93.9\u202f%)"
    assert scoring.told(bare, named=True) == "0.93"
    assert scoring.told_percent(bare) == "93\u202f%"


@pytest.mark.parametrize("fields", [{}, {"scope": "all"}, {"scope": "all", "split": "locked test"}])
def test_scores_are_read_by_their_fields(fields: dict[str, str]) -> None:
    entries = [
        _entry("m", split, 0.5, scope=scope)
        for split in ("by lineage", "locked test")
        for scope in ("all", "part", None)
    ]
    results = Results({"scores": entries})
    wanted = [
        score
        for score in scoring.read_scores(results)
        if all(getattr(score, name) == each for name, each in fields.items())
    ]
    assert scoring.read_scores(results, **fields) == wanted
