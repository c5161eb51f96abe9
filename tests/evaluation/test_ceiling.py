"""The ceiling where it is known how much a state leaves open."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.evaluation.ceiling import ceiling, random_share
from epochs_left.evaluation.held_out import held_out
from epochs_left.simulation.branching import BRANCHES

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))

WITHIN = 0.4  # standard deviation of log(1 + R) among the continuations of a state
BETWEEN = 0.8
HIGHEST = BETWEEN**2 / (BETWEEN**2 + WITHIN**2)
NAMES = ("log_linear", "constant")


def context_of(seed: int, *, full: float = 0.0, n_states: int = 40, n_lineages: int = 300) -> Any:
    """``log_linear`` knows the state, ``constant`` nothing; a share of lineages is in full batch.

    Full-batch runs have the same variance, all of it between states.
    """
    rng = np.random.default_rng(seed)
    frame = planted["rows"](rng, n_lineages, rows_of_run=1)
    in_full = np.unique(frame["lineage_id"], return_inverse=True)[1] < full * n_lineages
    state = 6 + BETWEEN * frame["own"]
    surprise = WITHIN * rng.normal(size=len(frame))
    remaining = np.expm1(state + surprise)
    known = np.where(in_full, remaining, np.expm1(state))
    table = planted["out_of_fold"](rng, frame.assign(remaining=remaining), {})
    constants = {"log_linear": known, "constant": np.expm1(6)}
    predicted = {f"{name}-{view}": constants[name] for name in NAMES for view in VIEWS}
    return planted["context"](
        NAMES,
        out_of_fold=table.assign(**predicted),
        examples=planted["examples"](
            frame, {"batch_size": np.where(in_full, 64, 8), "n_examples": 64}
        ),
        branches=branches_of(rng, n_states),
    )


VIEWS = ("causal", "oracle")


def branches_of(rng: np.random.Generator, n_states: int, n_branches: int = 16) -> pd.DataFrame:
    """Continuations from epoch 3 of runs, ends rounded to whole epochs."""
    state = np.repeat(np.arange(n_states), n_branches)
    log_ends = 6 + BETWEEN * rng.normal(size=n_states)[state]
    ends = 3 + np.round(np.expm1(log_ends + WITHIN * rng.normal(size=state.size)))
    table = pd.DataFrame(
        {
            "run_id": [f"r{number}" for number in state],
            "epoch": 3,
            "branch": np.tile(np.arange(n_branches), n_states),
            "outcome": "converged",
            "outcome_epoch": ends.astype(int),
        }
    )
    assert list(table) == BRANCHES.names
    return table


def share_of(found: dict[str, Any], name: str) -> float:
    (entry,) = [e for e in found["models"] if e["model"] == name]
    return float(entry["share"])


def test_without_branches_there_is_no_ceiling() -> None:
    context = context_of(0)
    vars(context).pop("branches")  # back to a folder that does not exist
    assert ceiling(context) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_knows_the_state_reaches_the_ceiling(seed: int) -> None:
    found = ceiling(context_of(seed))
    assert found is not None
    json.dumps(found, allow_nan=False)
    top = found["ceiling"]
    assert top["estimate"] == pytest.approx(HIGHEST, abs=0.04)
    assert top["lower"] < top["estimate"] < top["upper"]
    assert share_of(found, "log_linear") == pytest.approx(1, abs=0.05)
    assert share_of(found, "constant") == pytest.approx(0, abs=0.05)
    for entry in found["models"]:
        assert entry["view"] == "causal"
        if entry["estimate"] > 0:
            assert entry["share_if_high"] < entry["share"] < entry["share_if_low"]


@pytest.mark.parametrize("full", [0.5, 1.0])
def test_full_batch_lifts_the_ceiling_by_its_share(full: float) -> None:
    context = context_of(1, full=full)
    found = ceiling(context)
    assert found is not None
    share = random_share(context, held_out(context))
    assert share == pytest.approx(1 - full, abs=1e-12)
    expected = 1 - (1 - full) * (1 - HIGHEST)
    assert found["ceiling"]["estimate"] == pytest.approx(expected, abs=0.03)
    assert share_of(found, "log_linear") == pytest.approx(1, abs=0.03)


def test_total_variance_is_that_of_the_scored_rows() -> None:
    context = context_of(2)
    found = ceiling(context)
    assert found is not None
    table = context.out_of_fold
    y = np.log1p(table["remaining"])
    weight = 1 / table.groupby("run_id")["epoch"].transform("size")
    mean = np.average(y, weights=weight)
    assert found["ceiling"]["total"] == pytest.approx(np.average((y - mean) ** 2, weights=weight))
    assert found["ceiling"]["n_rows"] == len(table)


def test_branches_that_did_not_converge_are_counted_not_measured() -> None:
    context = context_of(3)
    branches = context.branches
    lost = branches["branch"] == 0
    branches.loc[lost, ["outcome", "outcome_epoch"]] = ["capped", 10**6]
    found = ceiling(context)
    assert found is not None
    assert found["ceiling"]["estimate"] == pytest.approx(HIGHEST, abs=0.05)
    assert found["ceiling"]["estimate_complete"] is None
    assert found["ceiling"]["n_incomplete"] == 40
    assert found["ceiling"]["converged_share"] == pytest.approx(15 / 16)
