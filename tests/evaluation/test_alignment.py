"""Gradient alignment, pairs of paths and variance between initialisations, planted."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway, spearmanr

from epochs_left.arrays import FloatArray
from epochs_left.evaluation.alignment import (
    NEAR,
    alignment,
    anova_sums,
    correlation,
    endpoint_pairs,
    intraclass_correlation,
    rank_sums,
)
from epochs_left.evaluation.context import FamilyContext
from epochs_left.storage.epoch_shards import EpochRows

planted_context = runpy.run_path(str(Path(__file__).parent / "planted.py"))["planted_context"]

N_LINEAGES, PARAMS = 40, 5
GROUPS = {
    "log_grad_alignment": ("oracle_alignment", "oracle"),
    "grad_alignment_cosine": ("oracle_alignment", "oracle"),
    "log_l2_to_final": ("oracle_distances", "oracle"),
    "log_lr": ("learning_rate", "causal"),
}


class PlantedStore:
    """Stands for a run store of one shard: first and last parameters of each run."""

    def __init__(self, ends: dict[str, tuple[FloatArray, FloatArray]], recorded: bool) -> None:
        self._ends, self._recorded = ends, recorded

    def shard_names(self) -> list[str]:
        return ["epochs-0000"]

    def read(self, name: str) -> Iterator[EpochRows]:
        assert name in self.shard_names()
        n = len(self._ends)
        params = np.concatenate([np.stack(pair) for pair in self._ends.values()])
        yield EpochRows(
            run_ids=list(self._ends),
            lengths=np.full(n, 2),
            epoch=np.tile([0, 1], n),
            measures={},
            vectors={"params": params.astype(np.float32)} if self._recorded else {},
        )


def planted(*, probed: bool = True, recorded: bool = True, seed: int = 0) -> FamilyContext:
    """Build runs whose time follows from lr, four a lineage; two and two end at one place."""
    rng = np.random.default_rng(seed)
    n = 4 * N_LINEAGES
    lr = np.exp(rng.uniform(np.log(0.01), np.log(0.3), n))
    total = np.ceil(3 / lr).astype(int)
    runs = pd.DataFrame(
        {
            "run_id": [f"r{i:03d}" for i in range(n)],
            "lineage_id": [f"l{i // 4:03d}" for i in range(n)],
            "cohort": "fixed",
            "task": "digits",
            "architecture": "8-8",
            "init_scheme": "he",
            "optimizer": "sgd",
            "lr_schedule": "constant",
            "lr": lr,
            "batch_size": 32,
            "n_examples": 128,
            "outcome": "converged",
            "outcome_epoch": total,
        }
    )
    study = runs.assign(total=total).merge(pd.DataFrame({"epoch": [0, 2, 5, 10, 20, 50]}), "cross")
    study = study[study["epoch"] < study["total"]].reset_index(drop=True)
    remaining = study["total"] - study["epoch"]
    aligned = -np.log(remaining) + rng.normal(0, 0.1, len(study))
    study = study.assign(
        remaining=remaining,
        converged=True,
        sampled=True,
        log_lr=np.log(study["lr"]),
        log_l2_to_final=rng.normal(size=len(study)),
        log_grad_alignment=aligned if probed else np.nan,
        grad_alignment_cosine=rng.normal(size=len(study)) if probed else np.nan,
    )
    dictionary = [
        {"name": name, "group": group, "view": view, "baseline": False, "probed": False}
        for name, (group, view) in GROUPS.items()
    ]
    start, away = rng.normal(size=(2, N_LINEAGES, PARAMS))
    sides = [(-1.0, -1.0, 1.0, 1.0)[i % 4] for i in range(n)]
    ends = {
        run_id: (
            start[i // 4],
            start[i // 4] + side * away[i // 4] + 0.001 * rng.normal(size=PARAMS),
        )
        for i, (run_id, side) in enumerate(zip(runs["run_id"], sides, strict=True))
    }
    return planted_context(  # type: ignore[no-any-return]
        runs=runs,
        training=study,
        study=study,
        dictionary=dictionary,
        store=PlantedStore(ends, recorded),
    )


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return alignment(planted())


def test_planted_alignment_ranks_runs_and_noise_does_not(found: dict[str, Any]) -> None:
    by_feature = {
        name: [e["spearman"]["estimate"] for e in found["ranks"] if e["feature"] == name]
        for name in ("log_grad_alignment", "grad_alignment_cosine")
    }
    assert max(by_feature["log_grad_alignment"]) < -0.9
    assert max(map(abs, by_feature["grad_alignment_cosine"])) < 0.35


def test_planted_alignment_adds_to_a_distance_that_says_nothing(found: dict[str, Any]) -> None:
    scores = found["prediction"]
    assert scores["distance"]["estimate"] < 0.1
    assert scores["alignment"]["estimate"] > 0.9
    gain = scores["both"]["estimate"] - scores["distance"]["estimate"]
    assert scores["gain"]["estimate"] == pytest.approx(gain)
    assert scores["gain"]["lower"] > 0.5


def test_without_probed_states_alignment_says_nothing() -> None:
    found = alignment(planted(probed=False))
    assert found["ranks"] is None
    assert found["prediction"] is None
    assert found["paths"]["pairs"]


def test_without_recorded_parameters_there_are_no_pairs() -> None:
    assert alignment(planted(recorded=False))["paths"] is None


def test_pairs_are_sorted_by_where_they_end(found: dict[str, Any]) -> None:
    """Of the six pairs of a lineage two end at one place, four at opposite ones."""
    counts = {e["end"]: e["n_pairs"] for e in found["paths"]["pairs"]}
    assert counts == {"one solution": 2 * N_LINEAGES, "other solutions": 4 * N_LINEAGES}
    cosines = {e["end"]: e["median_cosine"] for e in found["paths"]["pairs"]}
    assert cosines["one solution"] > 0.99
    assert cosines["other solutions"] < -0.99


def test_the_faster_run_of_a_pair_is_told_by_its_learning_rate(found: dict[str, Any]) -> None:
    for entry in found["paths"]["pairs"]:
        accuracies = [e["accuracy"]["estimate"] for e in entry["told_apart"]]
        assert accuracies
        assert min(accuracies) > 0.9
        assert entry["median_ratio_of_epochs"] > 1.5


def test_times_that_follow_from_lr_do_not_lie_between_lineages(found: dict[str, Any]) -> None:
    (entry,) = found["initialisation"]
    assert entry["n_lineages"] == N_LINEAGES
    assert abs(entry["share_between_lineages"]["estimate"]) < 0.2
    assert entry["share_of_that_between_schemes"] is None


def test_alignment_is_plain_data(found: dict[str, Any]) -> None:
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("seed", range(4))
def test_rank_sums_give_spearman(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (pd.Series(rng.integers(0, 12, 80)) for _ in range(2))  # ties
    y = y + x * seed
    sums = rank_sums(x, y, pd.Series(rng.integers(0, 20, 80)))
    assert correlation(sums.sum(axis=0)) == pytest.approx(spearmanr(x, y).statistic)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [2, 5])
def test_intraclass_correlation_follows_from_the_f_ratio_of_equal_groups(
    seed: int, size: int
) -> None:
    """(F - 1) / (F - 1 + k), k runs a group."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(30, 1)) * seed + rng.normal(size=(30, size))
    f = f_oneway(*values).statistic
    sums = anova_sums(values.ravel(), np.repeat(np.arange(30), size))
    assert intraclass_correlation(sums.sum(axis=0)) == pytest.approx((f - 1) / (f - 1 + size))


def test_intraclass_correlation_of_unequal_groups_is_the_planted_share() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3000), rng.integers(1, 6, 3000))
    for share in (0.0, 0.3, 0.8):
        between = rng.normal(0, share**0.5, 3000)[group]
        y = between + rng.normal(0, (1 - share) ** 0.5, group.size)
        found = intraclass_correlation(anova_sums(y, group).sum(axis=0))
        assert found == pytest.approx(share, abs=0.04)


def test_distance_of_ends_has_no_unit_and_no_origin() -> None:
    rng = np.random.default_rng(0)
    lineage = pd.Series({name: name[0] for name in ("a1", "a2", "a3", "b1", "b2")})
    start = {name: rng.normal(size=PARAMS) for name in "ab"}
    ends = {name: (start[name[0]], rng.normal(size=PARAMS)) for name in lineage.index}
    moved = {name: tuple(3 * p + 7 for p in pair) for name, pair in ends.items()}
    here, there = (endpoint_pairs(e, lineage) for e in (ends, moved))
    assert here[["a", "b"]].to_numpy().tolist() == [
        ["a1", "a2"],
        ["a1", "a3"],
        ["a2", "a3"],
        ["b1", "b2"],
    ]
    np.testing.assert_allclose(here["distance"], there["distance"])
    np.testing.assert_allclose(here["cosine"], there["cosine"])
    a, b = ends["a1"][1], ends["a2"][1]
    way = (np.linalg.norm(a - start["a"]) + np.linalg.norm(b - start["a"])) / 2
    assert here["distance"][0] == pytest.approx(np.linalg.norm(a - b) / way)


def test_a_run_that_did_not_move_is_in_no_pair() -> None:
    origin, end = np.zeros(3), np.ones(3)
    ends = {"a1": (origin, origin), "a2": (origin, end), "a3": (origin, end * (1 + NEAR / 2))}
    pairs = endpoint_pairs(ends, pd.Series(dict.fromkeys(ends, "a")))
    assert pairs[["a", "b"]].to_numpy().tolist() == [["a2", "a3"]]
    assert pairs["distance"][0] < NEAR
