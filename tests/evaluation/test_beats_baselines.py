"""Whether the best model beats every baseline, where the answer is known."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from epochs_left.evaluation.baselines import SIBLINGS
from epochs_left.evaluation.beats_baselines import _sibling_median, beats_baselines
from epochs_left.evaluation.held_out import held_out
from epochs_left.evaluation.paired_tests import ALPHA

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))

BASELINES = ("constant", "lr_only")
KINDS = {"task": "two_moons", "architecture": "16-16", "optimizer": "sgd"}


def found_with(noise: dict[str, float], seed: int = 0, **kinds: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = planted["rows"](rng, 40)
    frame = planted["out_of_fold"](rng, rows, noise)
    training = planted["examples"](rows, {}, **{**KINDS, **kinds})
    context = planted["context"](list(noise), out_of_fold=frame, training=training)
    return dict(beats_baselines(context))


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    return {entry["baseline"]: entry for entry in found["baselines"]}


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_is_better_beats_all_of_them(seed: int) -> None:
    found = found_with({"xgboost": 0.1, "constant": 0.6, "lr_only": 0.6}, seed)
    assert found["model"] == "xgboost"
    assert found["all_beaten"]
    assert set(by_name(found)) == {*BASELINES, *(f"median, {name}" for name in SIBLINGS)}
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_like_a_baseline_does_not_beat_it(seed: int) -> None:
    found = found_with({"xgboost": 0.3, "constant": 0.3, "lr_only": 0.9}, seed)
    assert not by_name(found)["constant"]["beaten"]
    assert not found["all_beaten"]


def test_a_worse_model_beats_none_however_sure_the_difference() -> None:
    found = found_with({"xgboost": 0.9, "constant": 0.1, "lr_only": 0.1})
    assert not any(by_name(found)[name]["beaten"] for name in BASELINES)
    assert by_name(found)["constant"]["r2_gain"] < 0


def test_p_values_are_corrected_for_the_number_of_baselines() -> None:
    tests = [
        entry["squared_error"]
        for entry in found_with(dict.fromkeys(BASELINES, 0.5) | {"xgboost": 0.4})["baselines"]
    ]
    expected = multipletests([test["p_value"] for test in tests], ALPHA, "holm")[1]
    np.testing.assert_allclose([test["p_holm"] for test in tests], expected)


@pytest.mark.parametrize("siblings", list(SIBLINGS))
def test_the_runs_of_a_fold_do_not_tell_what_their_siblings_took(siblings: str) -> None:
    """Whatever they took, the medians for the fold stay the same, and those for others move."""
    rng = np.random.default_rng(0)
    rows = planted["rows"](rng, 40)
    frame = planted["out_of_fold"](rng, rows, {"xgboost": 0.5})
    task = np.where(rows["lineage_id"].str[-1].astype(int) < 5, "a", "b")
    training = planted["examples"](rows, {}, **{**KINDS, "task": task})
    of_fold = (frame["fold"] == 1).to_numpy()
    slower = frame.assign(remaining=frame["remaining"] + 1_000 * of_fold)
    before, after = (
        _sibling_median(context, held_out(context), siblings)
        for context in (
            planted["context"](["xgboost"], out_of_fold=table, training=training)
            for table in (frame, slower)
        )
    )
    np.testing.assert_array_equal(after[of_fold], before[of_fold])
    assert (after[~of_fold] > before[~of_fold]).mean() > 0.2


def test_siblings_tell_what_their_kind_has_in_common() -> None:
    """Runs of two tasks that last 10 and 300 epochs: the median of the task is nearly right."""
    rng = np.random.default_rng(0)
    rows = planted["rows"](rng, 40)
    of_run = rows["run_id"].str[1:].astype(int)
    task = np.where(of_run % 2, "short", "long")
    total = np.where(of_run % 2, 10, 300) + of_run % 3
    rows = rows.assign(remaining=(total - rows["epoch"]).clip(lower=1).astype(float))
    frame = planted["out_of_fold"](rng, rows, {"xgboost": 0.5, "constant": 0.5})
    training = planted["examples"](rows, {}, **{**KINDS, "task": task})
    context = planted["context"](["xgboost", "constant"], out_of_fold=frame, training=training)
    found = by_name(dict(beats_baselines(context)))
    gains = {name: found[f"median, {name}"]["r2_gain"] for name in SIBLINGS}
    assert gains["same task and architecture"] < 0 < gains["all runs"]
    assert isinstance(training, pd.DataFrame)
