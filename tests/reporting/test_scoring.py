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
    assert scoring.headline_score(scores, champion).estimate["value"] == 0.7


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
