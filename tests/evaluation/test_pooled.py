"""What the one predictor of any target is worth, by family, target, inputs and material."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from epochs_left.config import EvaluateSettings, parse_settings
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.pooled import pooled
from epochs_left.prediction.pool import LANDMARK

SETTINGS = runpy.run_path(str(Path(__file__).parent / "planted.py"))["SETTINGS"]
RUNS, ROWS = 120, 4


def context(table: pd.DataFrame | None) -> EvaluationContext:
    values = {**SETTINGS, "bootstrap_replicates": 100}
    built = EvaluationContext(
        families={},
        stores={},
        settings=parse_settings(EvaluateSettings, values, "evaluate"),
        root_seed=7,
        models_folder=Path("no such folder"),
    )
    vars(built)["pooled"] = table  # where the cached property keeps its value
    return built


def predictions(rng: np.random.Generator, noise: float = 0.5, **labels: str) -> pd.DataFrame:
    """Return rows of two runs a lineage, two in three of which reach their target."""
    run = np.repeat(np.arange(RUNS), ROWS)
    reached = (np.arange(RUNS) % 3 > 0)[run]
    log_remaining = rng.normal(3, 1, run.size).clip(0.7)
    named = {"family": "mlp", "target_kind": "epsilon", "material": "all", "availability": "all"}
    return pd.DataFrame(
        {
            **named,
            **labels,
            "run_id": [f"r{number:03}" for number in run],
            "lineage_id": [f"l{number // 2:03}" for number in run],
            "epoch": np.tile(LANDMARK + np.arange(ROWS), RUNS),
            "remaining": np.where(reached, np.round(np.expm1(log_remaining)), np.nan),
            "converged": reached,
            "sampled": True,
            "predicted": np.expm1((log_remaining + noise * rng.normal(size=run.size)).clip(0)),
            "p_converges": np.clip(
                0.5 + 0.2 * (2 * reached - 1) + rng.normal(0, 0.2, run.size), 0, 1
            ),
        }
    )


def only(entries: list[dict[str, Any]]) -> dict[str, Any]:
    (entry,) = entries
    return entry


def test_without_a_pooled_model_there_is_no_result() -> None:
    assert pooled(context(None)) == []


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_their_definitions(seed: int) -> None:
    table = predictions(np.random.default_rng(seed))
    entry = only(pooled(context(table)))
    reached = table[table["converged"]]
    # all runs have as many rows here, so that run-weighted is row-weighted
    y, predicted = np.log1p(reached["remaining"]), np.log1p(reached["predicted"])
    r2 = 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
    assert entry["r2"]["estimate"] == pytest.approx(r2, abs=1e-9)
    assert entry["r2"]["lower"] < r2 < entry["r2"]["upper"]
    first = table[table["epoch"] == LANDMARK]
    auc = roc_auc_score(first["converged"], first["p_converges"])
    assert entry["auc"]["estimate"] == pytest.approx(auc, abs=1e-9)
    errors = (reached["predicted"] - reached["remaining"]).abs() / reached["remaining"]
    assert entry["median_relative_error"] == pytest.approx(errors.median(), rel=0.02)
    assert entry["share_reached"] == pytest.approx(2 / 3)
    assert (entry["n_runs"], entry["n_lineages"]) == (RUNS, RUNS // 2)


def test_each_combination_has_an_entry_of_its_own() -> None:
    rng = np.random.default_rng(0)
    good = predictions(rng, 0.1, availability="all")
    poor = predictions(rng, 1.0, availability="loss_only")
    other = predictions(rng, 0.1, target_kind="plateau")
    entries = pooled(context(pd.concat([good, poor, other], ignore_index=True)))
    found = {(entry["target_kind"], entry["availability"]): entry for entry in entries}
    assert set(found) == {("epsilon", "all"), ("epsilon", "loss_only"), ("plateau", "all")}
    r2 = {key: entry["r2"]["estimate"] for key, entry in found.items()}
    assert r2["epsilon", "all"] > r2["epsilon", "loss_only"] + 0.3


def test_targets_that_no_run_reaches_have_no_score() -> None:
    table = predictions(np.random.default_rng(0))
    never = table.assign(converged=False, remaining=np.nan)
    entry = only(pooled(context(never)))
    assert entry["r2"]["estimate"] is None
    assert entry["median_relative_error"] is None
    assert entry["auc"]["estimate"] is None
    assert entry["share_reached"] == 0
