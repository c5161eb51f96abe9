"""The card says what the results say, and what they do not say is a dash."""

from __future__ import annotations

import re
from typing import Any

import pytest

from epochs_left.reporting.model_card import CardFacts, model_card

THRESHOLD: dict[str, Any] = {
    "features": ("log_loss", "log_lr"),
    "vocabulary": {"optimizer": ("adam", "sgd")},
    "training": {
        "runs": {"mlp": 1234, "curve_prior": 50},
        "n_rows": 98765,
        "root_seed": 20031,
        "data_sha256": {"mlp": "ab" * 32, "char_lm": "ef" * 32, "curve_prior": "cd" * 32},
    },
    "versions": {"xgboost": "3.2.0"},
}
PLATEAU: dict[str, Any] = {
    "features": ("log_plateau_share", "log_clock", "schedule_linear"),
    "vocabulary": {},
    "training": {
        "runs": {"mlp": 321, "char_lm": 77, "curve_prior": 5678},
        "n_rows": 45678,
        "root_seed": 20031,
        "data_sha256": THRESHOLD["training"]["data_sha256"],
    },
    "versions": {"xgboost": "3.2.0"},
}
MANIFESTS = {"threshold": THRESHOLD, "plateau": PLATEAU}


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "family": "mlp",
        "target_kind": "epsilon",
        "availability": "all",
        "n_runs": 321,
        "n_lineages": 81,
        "r2": {"estimate": 0.8768},
        "median_relative_error": 0.1234,
        "auc": {"estimate": 0.965},
        "coverage": {"estimate": 0.912, "lower": 0.888, "upper": 0.934},
        "log_width": {"estimate": 1.0},
        **changes,
    }


HELD_OUT = {
    "family": "mlp",
    "n_runs": 300,
    "r2": 0.5,
    "median_relative_error": 0.4,
    "coverage": 0.86,
    "share_unlike": 0.7,
}


def card(full: list[dict[str, Any]], default: list[dict[str, Any]]) -> str:
    return model_card(
        MANIFESTS,
        CardFacts(
            command="make full",
            hours=1.5,
            results={"pooled_locked": full, "held_out_families": [HELD_OUT]},
            default_results={"pooled_locked": default, "held_out_families": []},
        ),
    )


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_scores_of_both_profiles_stand_side_by_side() -> None:
    text = card([entry()], [entry(r2={"estimate": 0.8}, n_runs=99)])
    assert row(text, "mlp | the run's own")[3:] == [
        "321",
        "81",
        "0.877 [0.800]",
        "12.3% [12.3%]",
        "0.965 [0.965]",
        "0.912 (0.888-0.934) [0.912]",
        "x 2.72 [x 2.72]",
    ]


def test_without_a_default_score_there_is_no_bracket() -> None:
    assert row(card([entry()], []), "mlp | the run's own")[5] == "0.877"


def test_what_is_unknown_is_a_dash() -> None:
    nothing = {"estimate": None, "lower": None, "upper": None}
    unknown = entry(r2=nothing, auc=nothing, coverage=nothing, log_width=nothing)
    cells = row(card([unknown], []), "mlp | the run's own")
    assert [cells[i] for i in (5, 7, 8, 9)] == ["-"] * 4


@pytest.mark.parametrize(
    "wanted",
    [
        "make full",
        "1.5 hours",
        "20031",
        "xgboost 3.2.0",
        "98,765 rows",
        "45,678 rows",
        "2 and 3 features",
        "Optimizers: adam, sgd",
    ],
)
def test_the_card_says_where_the_predictors_come_from(wanted: str) -> None:
    assert wanted in " ".join(card([entry()], []).split())


def test_a_family_has_its_runs_for_either_predictor_beside_the_hash_of_its_data() -> None:
    text = card([entry()], [])
    assert row(text, "mlp | 1,234")[1:] == ["1,234", "321", f"`{'ab' * 8}`"]
    assert row(text, "char_lm")[1:] == ["0", "77", f"`{'ef' * 8}`"]
    assert row(text, "curve_prior")[1:] == ["50", "5,678", f"`{'cd' * 8}`"]


def test_every_table_has_a_header_and_as_many_cells_in_each_row() -> None:
    for block in re.findall(r"(?:^\|.*\n?)+", card([entry()], [entry()]), flags=re.MULTILINE):
        widths = {line.count("|") for line in block.strip().splitlines()}
        assert len(widths) == 1
