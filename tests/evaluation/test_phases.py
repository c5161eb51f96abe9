"""Changes of regime along training and over the learning rate, planted."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.arrays import FloatArray
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.phases import RUNS_PER_SHARD, SHARDS, phases, sampled_curves
from epochs_left.prediction.predictor import Forecast
from epochs_left.schema import View
from epochs_left.storage.epoch_shards import EpochRows

planted_context = runpy.run_path(str(Path(__file__).parent / "planted.py"))["planted_context"]

T, BREAK, CLIFF = 40, 20, 0.3


class PlantedStore:
    """Stands for a run store: loss curves by shard."""

    def __init__(self, shards: Mapping[str, Mapping[str, FloatArray]]) -> None:
        self._shards = shards

    def shard_names(self) -> list[str]:
        return list(self._shards)

    def read(self, name: str) -> Iterator[EpochRows]:
        curves = list(self._shards[name].items())
        for part in (curves[::2], curves[1::2]):  # two row groups
            lengths = np.array([losses.size for _, losses in part])
            yield EpochRows(
                run_ids=[run_id for run_id, _ in part],
                lengths=lengths,
                epoch=np.concatenate([np.arange(n) for n in lengths]),
                measures={"loss": np.concatenate([losses for _, losses in part])},
                vectors={},
            )


def curve(breaks: bool, rng: np.random.Generator) -> FloatArray:
    t = np.arange(T + 1)
    late = -0.5 if breaks else -0.05
    logs = np.where(t < BREAK, -0.05 * t, -0.05 * BREAK + late * (t - BREAK))
    return np.exp(logs + rng.normal(0, 0.01, T + 1)).astype(np.float32)


def planted_runs(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Every third run of the first half breaks, those with tanh; those above the cliff diverge."""
    lr = np.exp(rng.uniform(np.log(0.01), np.log(1), n))
    converged = lr < CLIFF
    breaks = np.arange(n) % 3 == 0
    return pd.DataFrame(
        {
            "run_id": [f"r{i:04d}" for i in range(n)],
            "lineage_id": [f"l{i // 4:03d}" for i in range(n)],
            "cohort": "swept",
            "task": "digits",
            "activation": np.where(breaks, "tanh", "relu"),
            "optimizer": "sgd",
            "lr_schedule": "constant",
            "batch_size": 32,
            "n_examples": 128,
            "lr": lr,
            "outcome": np.where(converged, "converged", "diverged"),
            "outcome_epoch": np.where(converged, T, 3),
        }
    )


def planted(seed: int = 0, n: int = 480, p: FloatArray | None = None) -> FamilyContext:
    """Build a context whose model predicts twice the epochs until it has seen the break."""
    rng = np.random.default_rng(seed)
    runs = planted_runs(n, rng)
    breaks = runs["activation"] == "tanh"
    ends = zip(runs["run_id"], breaks, runs["outcome"], strict=True)
    curves = {
        run_id: curve(broken, rng)[: None if outcome == "converged" else 4]
        for run_id, broken, outcome in ends
    }
    shards = {
        f"epochs-{i}": dict(list(curves.items())[i :: SHARDS // 2]) for i in range(SHARDS // 2)
    }
    drawn = runs[runs["outcome"] == "converged"].merge(
        pd.DataFrame({"epoch": range(3, T, 5)}), "cross"
    )
    remaining = T - drawn["epoch"]
    misled = (drawn["activation"] == "tanh") & (drawn["epoch"] < BREAK)
    out_of_fold = drawn[["run_id", "lineage_id", "epoch"]].assign(
        split="by lineage",
        remaining=remaining,
        **{"planted-causal": np.where(misled, 2 * remaining + 1, remaining)},
    )
    p = (runs["outcome"] == "converged").to_numpy(float) if p is None else p
    none = np.zeros(n)
    forecast = Forecast(remaining=none, lower=none, upper=none, p_converges=p)
    return planted_context(  # type: ignore[no-any-return]
        runs=runs,
        store=PlantedStore(shards),
        out_of_fold=out_of_fold,
        locked=runs[["run_id", "lineage_id"]].assign(epoch=0),
        best_causal="planted",
        forecasts={("planted", View.CAUSAL): forecast},
    )


@pytest.fixture(scope="module", params=[0, 1])
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    return phases(planted(request.param))


def test_changes_are_counted_where_they_were_planted(found: dict[str, Any]) -> None:
    shares = {e["group"]: e for e in found["along_training"] if e["dimension"] == "activation"}
    assert shares["tanh"]["changed"]["estimate"] == shares["tanh"]["speeds_up"]["estimate"] == 1
    assert shares["relu"]["changed"]["estimate"] < 0.05
    quartiles = shares["tanh"]["share_of_training_quartiles"]
    assert quartiles == pytest.approx([BREAK / T] * 3, abs=0.06)


def test_groups_add_up_to_all_runs(found: dict[str, Any]) -> None:
    entries = found["along_training"]
    (everything,) = (e["n_runs"] for e in entries if e["dimension"] == "all")
    for dimension in ("activation", "optimizer", "lr_schedule"):
        assert sum(e["n_runs"] for e in entries if e["dimension"] == dimension) == everything


def test_predictions_made_before_a_change_are_too_late(found: dict[str, Any]) -> None:
    by_side = {(e["change"], e["rows"]): e for e in found["prediction"]}
    before = by_side["speeds up", "before the change"]
    assert before["bias"]["estimate"] == pytest.approx(np.log(2), abs=0.05)
    for side in (("speeds up", "after the change"), ("none", "all")):
        assert by_side[side]["bias"]["estimate"] == pytest.approx(0, abs=0.02)
        assert by_side[side]["median_relative_error"] == 0
    assert before["median_relative_error"] > 1


def test_sharpest_drop_is_at_the_cliff(found: dict[str, Any]) -> None:
    (entry,) = found["over_lr"]
    edges = [part["lr_from"] for part in entry["bins"]]
    width = edges[1] / edges[0]
    assert CLIFF / width < entry["sharpest_drop"]["lr"] < CLIFF * width
    assert entry["sharpest_drop"]["drop"]["estimate"] >= 0.5
    assert entry["sharpest_drop"]["predicted_drop"] == entry["sharpest_drop"]["tested_drop"]
    assert sum(part["n_runs"] for part in entry["bins"]) == entry["n_runs"]


def test_who_knows_the_outcome_follows_it_over_the_learning_rate(found: dict[str, Any]) -> None:
    follows = found["over_lr"][0]["p_converges"]
    assert follows["gap"] == pytest.approx(0)
    assert follows["gap_of_constant"] > 0.3


def test_who_says_the_same_everywhere_is_as_far_off_as_a_constant() -> None:
    share = float((planted().runs["outcome"] == "converged").mean())
    follows = phases(planted(p=np.full(480, share)))["over_lr"][0]["p_converges"]
    assert follows["gap"] == pytest.approx(follows["gap_of_constant"])


def test_sampled_curves_are_those_of_the_store_and_no_more_than_said() -> None:
    context = planted(n=2000)
    curves = sampled_curves(context, context.runs[context.runs["outcome"] == "converged"])
    assert len(curves) == RUNS_PER_SHARD * len(context.store.shard_names())
    rows = [part for name in context.store.shard_names() for part in context.store.read(name)]
    ends = {
        run_id: n for part in rows for run_id, n in zip(part.run_ids, part.lengths, strict=True)
    }
    assert all(curves[run_id].size == ends[run_id] == T + 1 for run_id in curves)


def test_without_converged_or_locked_runs_there_is_nothing_to_count() -> None:
    context = planted(n=60)
    vars(context)["runs"] = context.runs.assign(outcome="capped")
    vars(context)["locked"] = context.locked.iloc[:0]
    found = phases(context)
    assert found["along_training"] == found["prediction"] == []
    assert found["over_lr"][0]["p_converges"]["gap"] is None


def test_phases_are_plain_data(found: dict[str, Any]) -> None:
    json.dumps(found, allow_nan=False)
