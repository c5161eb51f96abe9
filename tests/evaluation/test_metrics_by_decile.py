"""Scores by decile against slow references."""

from __future__ import annotations

import json
import runpy
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import somersd
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from epochs_left.evaluation.metrics_by_decile import concordance, decile_of, metrics_by_decile

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))

NOISE = {"log_linear": 0.3, "linear": 0.9, "constant": 1.5}
METRICS = {"r2", "mse", "mae", "rmse", "median_relative_error", "spearman", "c_index"}


def frame_of(seed: int, n_lineages: int = 60) -> Any:
    rng = np.random.default_rng(seed)
    return planted["out_of_fold"](rng, planted["rows"](rng, n_lineages), NOISE)


def entries_of(frame: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = metrics_by_decile(
        planted["context"](list(NOISE), out_of_fold=frame)
    )
    return found


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    return entries_of(frame_of(0))


def chosen(entries: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    return [e for e in entries if all(e[key] == value for key, value in wanted.items())]


def ties(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    actual = rng.integers(1, 12, n).astype(float)
    return actual, np.round(actual + rng.normal(0, 4, n))


def slow_concordance(actual: np.ndarray, predicted: np.ndarray) -> float:
    wins = [
        0.5 + 0.5 * np.sign((actual[i] - actual[j]) * (predicted[i] - predicted[j]))
        for i, j in combinations(range(actual.size), 2)
        if actual[i] != actual[j]
    ]
    return float(np.mean(wins))


@pytest.mark.parametrize("seed", range(5))
def test_concordance_counts_pairs(seed: int) -> None:
    actual, predicted = ties(seed)
    assert concordance(actual, predicted) == pytest.approx(slow_concordance(actual, predicted))
    d = somersd(actual, predicted).statistic
    assert concordance(actual, predicted) == pytest.approx((1 + d) / 2)


def test_concordance_of_what_does_not_vary() -> None:
    actual = np.arange(5.0)
    assert concordance(actual, np.ones(5)) == 0.5
    assert np.isnan(concordance(np.ones(5), actual))


@pytest.mark.parametrize("seed", range(3))
def test_deciles_hold_equal_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    remaining, weight = rng.exponential(100, 2000), rng.uniform(0.1, 1, 2000)
    decile = decile_of(remaining, weight)
    shares = np.bincount(decile, weights=weight, minlength=11)[1:] / weight.sum()
    np.testing.assert_allclose(shares, 0.1, atol=0.002)
    order = np.argsort(remaining)
    assert np.all(np.diff(decile[order]) >= 0)


def test_equal_values_share_a_decile() -> None:
    remaining = np.repeat([1.0, 2.0, 9.0], [50, 30, 20])
    decile = decile_of(remaining, np.ones(100))
    assert [np.unique(decile[remaining == value]).size for value in (1, 2, 9)] == [1, 1, 1]
    assert np.unique(decile).size == 3


def test_deciles_cover_the_rows_once(entries: list[dict[str, Any]]) -> None:
    frame = frame_of(0)
    found = chosen(entries, model="log_linear", view="causal", metric="mse", scale="log")
    parts = [e for e in found if e["decile"] is not None]
    assert sum(e["n_rows"] for e in parts) == len(frame)
    bounds = [bound for e in parts for bound in (e["from"], e["to"])]
    assert bounds == sorted(bounds)
    assert len(parts) == 10


def test_best_models_of_both_views_and_the_baselines_are_scored(
    entries: list[dict[str, Any]],
) -> None:
    assert {(e["model"], e["view"]) for e in entries} == {
        ("log_linear", "causal"),
        ("log_linear", "oracle"),
        ("constant", "causal"),
    }
    assert {e["metric"] for e in entries} == METRICS
    json.dumps(entries, allow_nan=False)


@pytest.mark.parametrize("scale", ["log", "epochs"])
def test_scores_of_a_decile_are_those_of_scikit_learn(
    entries: list[dict[str, Any]], scale: str
) -> None:
    frame = frame_of(0)
    metrics = {"r2": r2_score, "mse": mean_squared_error, "mae": mean_absolute_error}
    for metric, reference in metrics.items():
        found = chosen(entries, model="log_linear", view="causal", metric=metric, scale=scale)
        for entry in found:
            part = frame[frame["remaining"].between(entry["from"], entry["to"])]
            pair = [part["remaining"], part["log_linear-causal"]]
            actual, predicted = map(np.log1p, pair) if scale == "log" else pair
            weight = 1 / part.groupby("run_id")["epoch"].transform("size")
            expected = reference(actual, predicted, sample_weight=weight)
            assert entry["estimate"] == pytest.approx(expected, rel=1e-9)
            assert entry["lower"] < entry["estimate"] < entry["upper"]


def test_ranks_take_one_row_a_run(entries: list[dict[str, Any]]) -> None:
    for entry in chosen(entries, scale="rank"):
        assert entry["n_rows"] == entry["n_runs"]
    (overall,) = chosen(entries, model="log_linear", view="causal", decile=None, metric="c_index")
    assert overall["n_rows"] == frame_of(0)["run_id"].nunique()
    assert 0.8 < overall["estimate"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_a_perfect_predictor_has_perfect_scores(seed: int) -> None:
    frame = frame_of(seed)
    perfect = frame.assign(**{"log_linear-causal": frame["remaining"]})
    best = {"r2": 1, "mse": 0, "mae": 0, "rmse": 0, "median_relative_error": 0}
    best |= {"spearman": 1, "c_index": 1}
    for entry in chosen(entries_of(perfect), model="log_linear", view="causal"):
        assert entry["estimate"] == pytest.approx(best[entry["metric"]], abs=1e-12)


def test_a_constant_predictor_orders_nothing() -> None:
    frame = frame_of(0)
    entries = entries_of(frame.assign(**{"constant-causal": 30.0}))
    assert {e["estimate"] for e in chosen(entries, model="constant", metric="c_index")} == {0.5}
    assert {e["estimate"] for e in chosen(entries, model="constant", metric="spearman")} == {None}
