"""Medians of finished sibling runs."""

from __future__ import annotations

import json
import runpy
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.evaluation.baselines import SIBLINGS, baselines, median_left
from epochs_left.evaluation.context import FamilyContext

planted_context = runpy.run_path(str(Path(__file__).parent / "planted.py"))["planted_context"]

KIND = "same task and architecture"
MEDIAN, OUTLASTING = "median T", "median T of those that lasted longer"


def slow_median_left(
    finished: pd.DataFrame, row: Any, kind: tuple[str, ...], outlasting: bool
) -> float:
    siblings = [
        run.total
        for run in finished.itertuples()
        if all(getattr(run, name) == getattr(row, name) for name in kind)
    ]
    siblings = siblings or finished["total"].tolist()
    if not outlasting:
        return max(statistics.median(siblings) - row.epoch, 0.0)
    longer = [total for total in siblings if total > row.epoch]
    return statistics.median(longer) - row.epoch if longer else 1.0


def made_up(rng: np.random.Generator, n: int, names: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": "digits",
            "architecture": rng.choice(list(names), n),
            "optimizer": rng.choice(["sgd", "adam"], n),
            "total": rng.integers(1, 30, n),
            "epoch": rng.integers(0, 32, n),
        }
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", list(SIBLINGS.values()))
@pytest.mark.parametrize("outlasting", [False, True])
def test_median_left_is_that_of_a_loop(seed: int, kind: tuple[str, ...], outlasting: bool) -> None:
    rng = np.random.default_rng(seed)
    finished, rows = made_up(rng, 40, "abc"), made_up(rng, 60, "abcd")  # no sibling has a d
    found = median_left(finished, rows, kind, outlasting=outlasting)
    expected = [slow_median_left(finished, row, kind, outlasting) for row in rows.itertuples()]
    np.testing.assert_allclose(found, expected)


def planted(total_of: dict[str, int], lineages_of_each: int) -> FamilyContext:
    """Build a context of runs whose epochs follow from their architecture, at every epoch."""
    frames = [
        pd.DataFrame(
            {
                "run_id": f"{name}-{number}",
                "lineage_id": f"{name}-{number}",
                "cohort": "swept",
                "task": "digits",
                "architecture": name,
                "optimizer": "sgd",
                "epoch": np.arange(total),
                "remaining": total - np.arange(total),
                "sampled": True,
            }
        )
        for name, total in total_of.items()
        for number in range(lineages_of_each)
    ]
    training = pd.concat(frames, ignore_index=True)
    predicted = training.assign(split="by lineage", **{"planted-causal": training["remaining"]})
    return planted_context(  # type: ignore[no-any-return]
        training=training, out_of_fold=predicted, best_causal="planted"
    )


def scores(context: FamilyContext) -> dict[tuple[str, str], tuple[float, float]]:
    return {
        (e["baseline"], e["siblings"]): (e["r2"]["estimate"], e["median_relative_error"])
        for e in baselines(context)
        if e["scope"] == "all"
    }


def test_siblings_that_take_the_same_time_tell_it() -> None:
    found = scores(planted({"a": 5, "b": 20, "c": 45}, 12))
    for name in (MEDIAN, OUTLASTING):
        assert found[name, KIND] == pytest.approx((1, 0))
        assert found[name, "all runs"][0] < 0.5
    assert found["best causal model", "planted"] == pytest.approx((1, 0))


def test_knowing_that_a_run_is_not_over_helps() -> None:
    found = scores(planted({"a": 5, "b": 20, "c": 45}, 12))
    assert found[OUTLASTING, "all runs"][0] > found[MEDIAN, "all runs"][0]


def test_a_lineage_is_never_its_own_sibling() -> None:
    """Where each lineage has an architecture of its own, there are no siblings."""
    found = scores(planted({f"net{i}": 3 + 2 * i for i in range(15)}, 1))
    for name in (MEDIAN, OUTLASTING):
        assert found[name, KIND] == found[name, "all runs"]
        assert found[name, KIND][1] > 0


def test_rows_of_the_model_are_those_of_the_baselines() -> None:
    context = planted({"a": 5, "b": 20}, 6)
    shuffled = context.out_of_fold.sample(frac=1, random_state=0)
    other = shuffled.assign(split="row-wise", **{"planted-causal": 1.0})
    vars(context)["out_of_fold"] = pd.concat([other, shuffled])
    assert scores(context)["best causal model", "planted"] == pytest.approx((1, 0))


def test_few_lineages_have_no_baselines() -> None:
    assert baselines(planted({"a": 5}, 4)) == []


def test_baselines_are_plain_data() -> None:
    json.dumps(baselines(planted({"a": 5, "b": 20}, 6)), allow_nan=False)
