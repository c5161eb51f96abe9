"""Epochs saved by stopping and choosing on predictions that a test makes up."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.arrays import FloatArray
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.savings import (
    CHOOSE_AT,
    FACTORS,
    PROBABILITIES,
    STOP_AT,
    expected_epochs,
    savings,
)
from epochs_left.prediction.predictor import Forecast
from epochs_left.schema import View

planted_context = runpy.run_path(str(Path(__file__).parent / "planted.py"))["planted_context"]

CAP, N_LINEAGES = 100, 60


def planted_runs(seed: int) -> pd.DataFrame:
    """Four runs a lineage, a third of the lineages at fixed hyperparameters."""
    rng = np.random.default_rng(seed)
    n = 4 * N_LINEAGES
    outcome = rng.choice(["converged", "capped", "diverged"], n, p=[0.6, 0.25, 0.15])
    end = np.where(outcome == "capped", CAP, rng.integers(1, CAP, n))
    fixed = np.arange(n) < n // 3
    return pd.DataFrame(
        {
            "run_id": [f"r{i:04d}" for i in range(n)],
            "lineage_id": [f"l{i // 4:03d}" for i in range(n)],
            "cohort": np.where(fixed, "fixed", "swept"),
            "task": "digits",
            "architecture": np.where(np.arange(n) % 8 < 4, "8-8", "16"),
            "optimizer": "sgd",
            "lr": np.where(fixed, 0.1, rng.uniform(0.01, 1, n)),
            "outcome": outcome,
            "outcome_epoch": end,
            "max_epochs": CAP,
        }
    )


def planted(
    runs: pd.DataFrame, p: FloatArray | None = None, total: FloatArray | None = None
) -> FamilyContext:
    """Build a context in which p and the total are predicted of each run; by default the truth."""
    p = (runs["outcome"] == "converged").to_numpy(float) if p is None else p
    total = runs["outcome_epoch"].to_numpy(float) if total is None else total
    table = runs[["run_id", "lineage_id"]].assign(p=p, total=total, end=runs["outcome_epoch"])
    locked = pd.concat([table[table["end"] > at].assign(epoch=at) for at in STOP_AT])
    remaining = np.maximum(locked["total"] - locked["epoch"], 0.0).to_numpy()
    forecast = Forecast(
        remaining=remaining, lower=remaining, upper=remaining, p_converges=locked["p"].to_numpy()
    )
    return planted_context(  # type: ignore[no-any-return]
        runs=runs,
        locked=locked.reset_index(drop=True),
        best_causal="planted",
        forecasts={("planted", View.CAUSAL): forecast},
    )


def of_rule(found: dict[str, Any], rule: str, at: int, threshold: float) -> dict[str, Any]:
    (entry,) = (
        e
        for e in found["stopping"]
        if (e["rule"], e["epochs_seen"], e["threshold"]) == (rule, at, threshold)
    )
    return dict(entry)


def values(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: part["estimate"] for name, part in entry.items() if isinstance(part, dict)}


@pytest.fixture(scope="module", params=[0, 1])
def known(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Runs of which the truth is predicted, and what is found."""
    runs = planted_runs(request.param)
    return runs, savings(planted(runs))


def test_who_knows_the_outcome_saves_all_epochs_of_failures_and_loses_nothing(
    known: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    runs, found = known
    for at in STOP_AT:
        entry = of_rule(found, "unlikely to converge", at, 0.5)
        failed = runs[(runs["outcome"] != "converged") & (runs["outcome_epoch"] > at)]
        saved = (failed["outcome_epoch"] - at).sum() / runs["outcome_epoch"].sum()
        assert entry["n_stopped"] == len(failed)
        assert values(entry["predictor"]) == pytest.approx(
            {"epochs_saved": saved, "converging_stopped": 0, "lineages_lost": 0, "slowdown": 1}
        )
        assert entry["random"]["lineages_lost"]["estimate"] > 0


def test_who_knows_the_times_keeps_the_best_run_of_each_lineage(
    known: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    for factor in FACTORS:
        entry = of_rule(known[1], "slower than the best sibling", 0, factor)
        assert entry["n_stopped"] > 0
        assert values(entry["predictor"])["slowdown"] == pytest.approx(1)
        assert values(entry["predictor"])["lineages_lost"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_beforehand_saves_most_at_no_regret(seed: int) -> None:
    runs = planted_runs(seed)
    found = savings(planted(runs, p=np.random.default_rng(seed).random(len(runs))))
    for at in STOP_AT:
        never = of_rule(found, "never converges, known beforehand", at, 1.0)["predictor"]
        beaten = of_rule(found, "all but the fastest sibling, known beforehand", at, 1.0)
        kept = [never, beaten["predictor"]]
        assert all(values(entry)["lineages_lost"] == 0 for entry in kept)
        assert all(values(entry)["slowdown"] == pytest.approx(1) for entry in kept)
        assert values(never)["converging_stopped"] == 0
        saved = [values(entry)["epochs_saved"] for entry in kept]
        assert saved[0] < saved[1]
        assert beaten["n_stopped"] <= beaten["n_open"]


def test_stricter_thresholds_never_stop_more() -> None:
    rng = np.random.default_rng(100)
    runs = planted_runs(0)
    found = savings(planted(runs, p=rng.random(len(runs)), total=rng.uniform(1, CAP, len(runs))))
    for at in STOP_AT:
        for rule, thresholds in (
            ("unlikely to converge", PROBABILITIES),
            ("slower than the best sibling", FACTORS[::-1]),
            ("slower than the median sibling", FACTORS[::-1]),
        ):
            stopped = [of_rule(found, rule, at, threshold) for threshold in thresholds]
            assert [e["n_stopped"] for e in stopped] == sorted(e["n_stopped"] for e in stopped)
            saved = [values(e["predictor"])["epochs_saved"] for e in stopped]
            assert saved == sorted(saved)
            assert all(e["n_stopped"] <= e["n_open"] for e in stopped)


def test_random_stopping_is_what_a_simulation_of_it_says() -> None:
    rng = np.random.default_rng(101)
    runs = planted_runs(1)
    found = savings(planted(runs, p=rng.random(len(runs))))
    entry = of_rule(found, "unlikely to converge", 5, 0.5)
    chance = entry["n_stopped"] / entry["n_open"]
    solved = runs[runs["outcome"] == "converged"]
    lost, log_slowdown, n_kept, repeats = 0, 0.0, 0, 2000
    groups = [part["outcome_epoch"].to_numpy() for _, part in solved.groupby("lineage_id")]
    for epochs in groups:
        kept = ~((rng.random((repeats, epochs.size)) < chance) & (epochs > 5))
        best = np.where(kept, epochs, np.inf).min(axis=1)
        lost += np.count_nonzero(np.isinf(best))
        log_slowdown += np.log(best[np.isfinite(best)] / epochs.min()).sum()
        n_kept += np.count_nonzero(np.isfinite(best))
    by_chance = values(entry["random"])
    assert by_chance["lineages_lost"] == pytest.approx(lost / (repeats * len(groups)), abs=0.005)
    assert by_chance["slowdown"] == pytest.approx(np.exp(log_slowdown / n_kept), rel=0.01)


def test_who_knows_the_times_chooses_the_best(
    known: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    found = known[1]["choosing"]
    assert {entry["epochs_seen"] for entry in found} == set(CHOOSE_AT)
    assert {entry["choice"] for entry in found} == {
        "hyperparameters, initialisation fixed",
        "initialisation, hyperparameters fixed",
        "initialisation and hyperparameters",
    }
    for entry in found:
        chosen = values(entry)
        assert chosen["ratio"] == pytest.approx(1)
        assert chosen["solved"] == 1
        assert chosen["gain_over_random"] == pytest.approx(chosen["random_ratio"])
        assert chosen["random_ratio"] > 1.5
        assert chosen["train_all_ratio"] > chosen["ratio_with_trials"] >= 1
        assert (entry["epochs_seen"] == 0) == (chosen["ratio_with_trials"] == pytest.approx(1))


def test_a_guess_is_no_better_than_chance() -> None:
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(100 + seed)
        runs = planted_runs(seed)
        guess = planted(runs, p=rng.random(len(runs)), total=rng.uniform(1, CAP, len(runs)))
        gains += [
            np.log(values(e)["gain_over_random"])
            for e in savings(guess)["choosing"]
            if e["epochs_seen"] == 0
        ]
    assert abs(np.mean(gains)) < 3 * np.std(gains) / len(gains) ** 0.5
    assert abs(np.mean(gains)) < 0.15


def test_choice_is_charged_the_cap_of_a_run_that_fails() -> None:
    """By hand: per lineage one run takes 10 epochs and three fail; the worst is predicted best."""
    runs = planted_runs(0).query("cohort == 'swept'").reset_index(drop=True)
    first = np.arange(len(runs)) % 4 == 0
    runs = runs.assign(
        outcome=np.where(first, "converged", "capped"), outcome_epoch=np.where(first, 10, CAP)
    )
    misled = planted(runs, p=np.where(first, 0.1, 0.9), total=np.where(first, 50.0, 10.0))
    found = savings(misled)["choosing"]
    (entry,) = (
        e
        for e in found
        if e["choice"] == "hyperparameters, initialisation fixed" and e["epochs_seen"] == 5
    )
    assert values(entry) == pytest.approx(
        {
            "ratio": 10,
            "ratio_with_trials": (CAP + 3 * 5) / 10,
            "solved": 0,
            "random_ratio": 10**0.75,
            "random_solved": 0.25,
            "train_all_ratio": 31,
            "gain_over_random": 10**-0.25,
        }
    )


def test_expected_epochs_fall_with_the_chance_and_stay_within_the_cap() -> None:
    p, cap = np.linspace(0, 1, 11), np.full(11, 100.0)
    expected = expected_epochs(p, np.full(11, 20.0), cap)
    assert np.all(np.diff(expected) < 0)
    assert expected[[0, -1]] == pytest.approx([100, 20])
    np.testing.assert_allclose(expected_epochs(p, np.full(11, 1e9), cap), 100)


def test_without_locked_runs_nothing_is_said() -> None:
    assert savings(planted_context(locked=pd.DataFrame({"run_id": []}))) == {}


def test_savings_are_plain_data(known: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    json.dumps(known[1], allow_nan=False)
