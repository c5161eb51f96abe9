"""Comparisons of models of which it is known which is better."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import r2_score
from statsmodels.stats.multitest import multipletests

from epochs_left.evaluation.comparisons import comparisons, run_densities
from epochs_left.evaluation.held_out import held_out
from epochs_left.evaluation.paired_tests import ALPHA, fold_errors
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import View

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))

#: Two of equal noise, one that is worse, one on the scale of epochs.
NOISE = {"log_linear": 0.2, "polynomial": 0.2, "constant": 0.8, "linear": 0.4}
PAIRS = 3 + 6  # of three regressors in the oracle view, and with the baseline in the causal one


def frame_of(seed: int, noise: dict[str, float] = NOISE, n_lineages: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return planted["out_of_fold"](rng, planted["rows"](rng, n_lineages), noise)


def context_of(frame: pd.DataFrame, names: Any = NOISE) -> Any:
    return planted["context"](list(names), out_of_fold=frame)


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = comparisons(context_of(frame_of(0)))
    return found


def weights_of(frame: pd.DataFrame) -> np.ndarray:
    return (1 / frame.groupby("run_id")["epoch"].transform("size")).to_numpy()


def pair(entries: list[dict[str, Any]], first: str, second: str) -> dict[str, Any]:
    (found,) = [
        e
        for e in entries
        if (e["first"], e["second"], e["view"]) == (first, second, View.CAUSAL.value)
    ]
    return found


def test_every_pair_of_a_view_is_compared_once(entries: list[dict[str, Any]]) -> None:
    pairs = {(e["view"], frozenset((e["first"], e["second"]))) for e in entries}
    assert len(entries) == len(pairs) == PAIRS
    json.dumps(entries, allow_nan=False)


@pytest.mark.parametrize("seed", range(5))
def test_the_model_with_less_noise_is_named(seed: int) -> None:
    found = pair(comparisons(context_of(frame_of(seed, n_lineages=100))), "log_linear", "constant")
    assert found["better"] == "log_linear"
    assert found["squared_error"]["difference"] < 0 < found["r2"]["lower"]
    assert found["vuong"]["statistic"] > 3
    assert found["vuong_by_lineage"]["p_holm"] < ALPHA


def test_equal_models_are_seldom_told_apart() -> None:
    names = ("log_linear", "polynomial", "random_forest", "xgboost")
    twins = dict.fromkeys(names, 0.3)
    views = [
        [e["better"] for e in entries if e["view"] == view.value]
        for seed in range(4)
        for entries in [comparisons(context_of(frame_of(seed, twins), twins))]
        for view in View
    ]
    assert sum(any(better) for better in views) <= 1  # of 8, each with 5 % to err at all


def test_rows_of_a_fold_weigh_by_run() -> None:
    frame = frame_of(1)
    rows = held_out(context_of(frame))
    found = fold_errors(rows, rows.predicted(("linear", View.CAUSAL)))
    squares = (np.log1p(frame["linear-causal"]) - np.log1p(frame["remaining"])) ** 2
    for fold, value in enumerate(found):
        inside = frame["fold"] == fold
        by_run = squares[inside].groupby(frame["run_id"][inside]).mean()
        assert value == pytest.approx(by_run.mean())


def test_the_t_test_is_the_corrected_one_in_lineages(entries: list[dict[str, Any]]) -> None:
    found = pair(entries, "log_linear", "linear")
    rows = held_out(context_of(frame_of(0)))
    errors = [
        fold_errors(rows, rows.predicted((name, View.CAUSAL))) for name in ("log_linear", "linear")
    ]
    difference = errors[0] - errors[1]
    error = np.std(difference, ddof=1) * np.sqrt(1 / 5 + 6 / 24)  # 30 lineages, 5 folds
    test = found["squared_error"]
    assert test["t"] == pytest.approx(difference.mean() / error)
    assert (test["n_folds"], test["n_repeats"], test["degrees_of_freedom"]) == (5, 1, 4)


def test_difference_in_r2_is_that_of_scikit_learn(entries: list[dict[str, Any]]) -> None:
    frame = frame_of(0)
    truth, weight = np.log1p(frame["remaining"]), weights_of(frame)
    first, second = (
        r2_score(truth, np.log1p(frame[f"{name}-causal"]), sample_weight=weight)
        for name in ("log_linear", "linear")
    )
    assert pair(entries, "log_linear", "linear")["r2"]["estimate"] == pytest.approx(first - second)


@pytest.mark.parametrize("test", ["squared_error", "vuong", "vuong_by_lineage"])
def test_p_values_are_adjusted_within_a_view(entries: list[dict[str, Any]], test: str) -> None:
    for view in View:
        tests = [e[test] for e in entries if e["view"] == view.value]
        expected = multipletests([t["p_value"] for t in tests], method="holm")[1]
        np.testing.assert_allclose([t["p_holm"] for t in tests], expected)


@pytest.mark.parametrize("name", ["log_linear", "linear"])
def test_densities_are_those_of_the_epochs(name: str) -> None:
    """Each integrates to 1 over R, whatever the scale of the model."""
    frame = frame_of(2)
    rows = held_out(context_of(frame))
    found = run_densities(context_of(frame), rows, (name, View.CAUSAL))
    on_log = REGRESSORS[name].scale != "epochs"
    weight = weights_of(frame)
    u, u_hat = (np.log1p(frame[c]) if on_log else frame[c] for c in ("remaining", f"{name}-causal"))
    for i in range(0, len(frame), 17):
        others = frame["fold"] != frame["fold"][i]
        spread = np.sqrt(np.average((u_hat - u)[others] ** 2, weights=weight[others]))
        slope = 1 / (1 + frame["remaining"][i]) if on_log else 1.0
        density = norm.pdf(u[i], u_hat[i], spread) * slope
        assert found[i] == pytest.approx(weight[i] * np.log(density))


def test_order_of_the_models_changes_signs_alone() -> None:
    names = ["log_linear", "linear"]
    frame = frame_of(3)
    there = pair(comparisons(context_of(frame, names)), *names)
    back = pair(comparisons(context_of(frame, names[::-1])), *names[::-1])
    assert there["better"] == back["better"]
    for value, figure in (("squared_error", "difference"), ("vuong", "statistic")):
        assert there[value][figure] == pytest.approx(-back[value][figure])
        assert there[value]["p_value"] == pytest.approx(back[value]["p_value"])


def test_an_exact_model_has_no_density() -> None:
    frame = frame_of(4)
    frame["linear-causal"] = frame["remaining"]
    found = pair(comparisons(context_of(frame)), "log_linear", "linear")
    assert found["vuong"] is None
    assert found["better"] == "linear"


def test_other_splits_are_left_out(entries: list[dict[str, Any]]) -> None:
    frame = frame_of(0)
    leaking = frame.assign(split="row-wise", **{"constant-causal": frame["remaining"]})
    both = pd.concat([frame, leaking], ignore_index=True)
    assert comparisons(context_of(both)) == entries
