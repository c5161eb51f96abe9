"""Plateaus of unseen families: how often intervals hold, and on which side they miss (2 s)."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.config import EvaluateSettings, parse_settings
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.unseen_plateaus import unseen_plateaus
from epochs_left.prediction.plateaus import HELD_OUT_LEVEL, RATES
from epochs_left.prediction.pool import LANDMARK, PRIOR

SETTINGS = runpy.run_path(str(Path(__file__).parent / "planted.py"))["SETTINGS"]
RUNS = 60
SEEDS = range(3)
AVAILABILITIES = ("all", RATES, "loss_only")


def table(seed: int, family: str = "mlp", availability: str = "all") -> pd.DataFrame:
    """Rows of runs of which some have more rows than others, and not all a plateau in time."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(RUNS), rng.integers(2, 7, RUNS))
    reached = (np.arange(RUNS) % 4 > 0)[run]
    remaining = np.round(np.exp(rng.normal(3, 1, run.size))) + 1
    predicted = remaining * np.exp(0.5 * rng.normal(size=run.size))
    first = np.diff(run, prepend=-1) > 0
    return pd.DataFrame(
        {
            "family": family,
            "availability": availability,
            "run_id": [f"{family}-r{number:03}" for number in run],
            "lineage_id": [f"{family}-l{number // 2:03}" for number in run],
            "epoch": np.where(first, LANDMARK, LANDMARK + 7),
            "remaining": np.where(reached, remaining, np.nan),
            "converged": reached,
            "sampled": rng.random(run.size) < 0.8,
            "predicted": predicted,
            "p_converges": rng.random(run.size),
            "lower": predicted * np.exp(-rng.uniform(0.1, 1, run.size)),
            "upper": predicted * np.exp(rng.uniform(0.1, 1, run.size)),
        }
    )


def entries(rows: pd.DataFrame | None) -> list[dict[str, Any]]:
    values = {**SETTINGS, "bootstrap_replicates": 100}
    context = EvaluationContext(
        families={},
        stores={},
        settings=parse_settings(EvaluateSettings, values, "evaluate"),
        root_seed=7,
        models_folder=Path("no such folder"),
    )
    vars(context)["pooled"] = rows  # where the cached property keeps its value
    return unseen_plateaus(context)


def only(rows: pd.DataFrame) -> dict[str, Any]:
    (entry,) = entries(rows)
    return entry


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_are_those_of_a_loop_in_which_every_run_counts_as_much(seed: int) -> None:
    rows = table(seed)
    entry = only(rows)
    scored = rows[rows["sampled"] & rows["converged"]]
    shares = {"sooner": 0.0, "later": 0.0, "held": 0.0}
    for _, run in scored.groupby("run_id"):
        for row in run.itertuples():
            side = "held"
            if row.remaining < row.lower:
                side = "sooner"
            if row.remaining > row.upper:
                side = "later"
            shares[side] += 1 / len(run) / scored["run_id"].nunique()
    found = {"sooner": entry["sooner"], "later": entry["later"]}
    found["held"] = entry["coverage"]["estimate"]
    assert found == pytest.approx(shares)
    assert min(shares.values()) > 0.05
    assert entry["level"] == HELD_OUT_LEVEL


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_missed_is_missed_on_one_side_or_the_other(seed: int) -> None:
    rows = table(seed)
    for factor, whole, none in ((100.0, "sooner", "later"), (0.01, "later", "sooner")):
        shifted = rows.assign(lower=factor * rows["lower"], upper=factor * rows["upper"])
        entry = only(shifted)
        assert (entry[whole], entry[none]) == (pytest.approx(1.0), 0.0)
        assert entry["coverage"]["estimate"] == 0.0
    wide = only(rows.assign(lower=0.0, upper=1e9))
    assert (wide["sooner"], wide["later"], wide["coverage"]["estimate"]) == (0.0, 0.0, 1.0)
    at_the_ends = only(rows.assign(lower=rows["remaining"], upper=rows["remaining"] + 1))
    assert (at_the_ends["sooner"], at_the_ends["later"]) == (0.0, 0.0)


def test_each_family_is_scored_by_what_was_known() -> None:
    parts = [
        table(seed, family, availability)
        for seed, family in enumerate(("mlp", "neuron"))
        for availability in AVAILABILITIES
    ]
    found = entries(pd.concat(parts, ignore_index=True))
    named = {(entry["family"], entry["availability"]) for entry in found}
    assert named == {(family, name) for family in ("mlp", "neuron") for name in AVAILABILITIES}
    assert len(found) == len(named)
    for entry, rows in zip(sorted(found, key=lambda e: e["family"]), parts, strict=True):
        assert entry["n_runs"] == rows.loc[rows["sampled"], "run_id"].nunique()


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_have_no_interval_or_no_end_are_not_scored(seed: int) -> None:
    """Those of the prior have none; those that were not drawn, or never end, say nothing."""
    rows = table(seed)
    entry = only(rows)
    prior = table(seed + 9, PRIOR).assign(lower=np.nan, upper=np.nan)
    assert entries(pd.concat([rows, prior], ignore_index=True)) == [entry]
    silent = ~(rows["sampled"] & rows["converged"])
    assert silent.sum() > 20
    changed = only(rows.assign(lower=rows["lower"].where(~silent, 1e6), upper=rows["upper"] + 1e-9))
    for name in ("sooner", "later", "log_width"):
        assert changed[name] == pytest.approx(entry[name])
    assert changed["coverage"] == pytest.approx(entry["coverage"])


def test_without_intervals_there_is_no_result() -> None:
    assert entries(None) == []
    assert entries(table(0).drop(columns=["lower", "upper"])) == []


def test_plateaus_that_no_run_reaches_have_no_score() -> None:
    entry = only(table(0).assign(converged=False, remaining=np.nan))
    assert (entry["sooner"], entry["later"], entry["log_width"]) == (None, None, None)
    assert entry["coverage"]["estimate"] is None
    assert entry["share_reached"] == 0
