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

from epochs_left.evaluation.baselines import SIBLINGS, _out_of_fold, baselines, median_left
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import FOLDS
from epochs_left.prediction.training import estimator_seed
from epochs_left.seeding import Purpose
from epochs_left.statistics.folds import grouped_folds

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


def test_the_runs_of_a_fold_do_not_tell_what_their_siblings_took() -> None:
    """Whatever they took, the medians for the fold stay the same, and those for others move."""
    context = planted({f"net{i}": 3 + 2 * i for i in range(40)}, 1)
    number = context.training["run_id"].str.extract(r"(\d+)")[0].astype(int)
    rows = context.training.assign(architecture=np.where(number % 4 < 2, "a", "b"))
    seed = estimator_seed(context.root_seed, Purpose.FOLDS)
    _, test = grouped_folds(rows["lineage_id"].to_numpy(), FOLDS, seed)[0]
    of_fold = np.isin(np.arange(len(rows)), test)
    slower = rows.assign(remaining=rows["remaining"] + 1_000 * of_fold)
    before, after = (_out_of_fold(context, table) for table in (rows, slower))
    for key, values in before.items():
        np.testing.assert_array_equal(after[key][of_fold], values[of_fold])
        assert (after[key] > values)[~of_fold].mean() > 0.2


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
