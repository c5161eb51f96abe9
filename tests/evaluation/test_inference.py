"""Coefficients and tests of a linear model whose truth is known."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from epochs_left.evaluation.inference import inference
from epochs_left.schema import View

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))

N_SEEDS = 16
EFFECT = 0.7  # of one unit of `signal` on log(1 + R)
GROUPS = {
    "signal": "signal",
    "useless_a": "useless",
    "useless_b": "useless",
    "copy": "copies",
    "flat": "copies",
    "ahead": "oracle",
}


def context_of(seed: int, n_lineages: int = 60, **changes: Any) -> Any:
    """R follows from ``signal``; lineages differ in R and in the features that say nothing."""
    rng = np.random.default_rng(seed)
    frame = planted["rows"](rng, n_lineages)
    lineage = np.unique(frame["lineage_id"], return_inverse=True)[1]
    useless = rng.normal(size=(2, n_lineages))[:, lineage] + 0.1 * rng.normal(size=(2, len(frame)))
    signal = rng.uniform(-1, 1, len(frame))
    noise = 0.5 * frame["shared"] + 0.2 * frame["own"]
    frame["remaining"] = np.expm1((5 + EFFECT * signal + noise).clip(0.7))
    features = {
        "signal": signal,
        "useless_a": useless[0],
        "useless_b": useless[1],
        "copy": 3 - 2 * signal,
        "flat": 4.0,
        "ahead": noise + 0.1 * rng.normal(size=len(frame)),
    }
    return planted["context"](
        ["log_linear"],
        dictionary=planted["dictionary"](GROUPS, oracle=["ahead"]),
        examples=planted["examples"](frame, features, **changes),
    )


def chosen(entries: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    return [e for e in entries if all(e[key] == value for key, value in wanted.items())]


CAUSAL = {"view": View.CAUSAL.value}


@pytest.fixture(scope="module")
def many() -> list[dict[str, Any]]:
    return [inference(context_of(seed)) for seed in range(N_SEEDS)]


def test_intervals_hold_the_planted_coefficient(many: list[dict[str, Any]]) -> None:
    held = []
    for seed, found in enumerate(many):
        rows = context_of(seed).study
        weight = 1 / rows.groupby("run_id")["epoch"].transform("size")
        mean = np.average(rows["signal"], weights=weight)
        deviation = np.sqrt(np.average((rows["signal"] - mean) ** 2, weights=weight))
        (entry,) = chosen(found["coefficients"], feature="signal", **CAUSAL)
        held.append(entry["lower"] <= EFFECT * deviation <= entry["upper"])
    assert sum(held) >= N_SEEDS - 4


def test_the_robust_test_keeps_its_level_where_the_other_does_not(
    many: list[dict[str, Any]],
) -> None:
    tests = [chosen(found["tests"], group="useless", **CAUSAL)[0] for found in many]
    wald, lr = (np.mean([t[name]["p_value"] < 0.05 for t in tests]) for name in ("wald", "lr"))
    assert wald <= 0.2
    assert lr > 0.3
    assert {t["lr"]["valid"] for t in tests} == {"iid-only"}


def test_what_matters_is_said_to_count(many: list[dict[str, Any]]) -> None:
    for found in many:
        assert chosen(found["tests"], group="signal", **CAUSAL)[0]["counts"]
        assert chosen(found["tests"], group="oracle", view=View.ORACLE.value)[0]["counts"]


def test_collinear_and_constant_features_are_dropped_and_listed(
    many: list[dict[str, Any]],
) -> None:
    for found in many:
        for view in View:
            dropped = chosen(found["dropped"], view=view.value)
            assert [e["feature"] for e in dropped] == ["copy", "flat"]
        assert chosen(found["tests"], group="copies") == []


def test_the_causal_view_has_no_oracle_feature(many: list[dict[str, Any]]) -> None:
    features = {e["feature"] for e in chosen(many[0]["coefficients"], **CAUSAL)}
    assert features == {"(intercept)", "signal", "useless_a", "useless_b"}


@pytest.mark.parametrize("seed", range(3))
def test_coefficients_are_those_of_statsmodels(seed: int) -> None:
    context = context_of(seed)
    rows = context.study
    names = ["signal", "useless_a", "useless_b"]
    X = rows[names].astype(np.float32).astype(float)
    X = X.clip(X.quantile(0.005), X.quantile(0.995), axis=1)
    weight = 1 / rows.groupby("run_id")["epoch"].transform("size")
    mean = np.average(X, axis=0, weights=weight)
    X = (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    codes = np.unique(rows["lineage_id"], return_inverse=True)[1]
    fit = sm.WLS(np.log1p(rows["remaining"]), sm.add_constant(X), weights=weight).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    found = pd.DataFrame(chosen(inference(context)["coefficients"], **CAUSAL))
    np.testing.assert_allclose(found["estimate"], fit.params, rtol=1e-6)
    np.testing.assert_allclose(found["standard_error"], fit.bse, rtol=1e-6)
    np.testing.assert_allclose(found["lower"], fit.conf_int()[0], rtol=1e-6)


def test_landmarks_and_locked_rows_are_not_used() -> None:
    context = context_of(0)
    extra = context.examples.assign(remaining=1e6)
    landmarks = extra.assign(sampled=False, epoch=extra["epoch"] + 1000)
    locked = extra.assign(locked=True, run_id="x" + extra["run_id"])
    locked["lineage_id"] = "x" + locked["lineage_id"]
    examples = pd.concat([context.examples, landmarks, locked], ignore_index=True)
    again = planted["context"](["log_linear"], dictionary=context.dictionary, examples=examples)
    assert inference(again) == inference(context)


@pytest.mark.parametrize("n_lineages", [2, 12])
def test_too_few_lineages_are_said_to_be(n_lineages: int) -> None:
    found = inference(context_of(0, n_lineages=n_lineages))
    (entry,) = chosen(found["tests"], group="useless", **CAUSAL)
    assert entry["wald"] is None
    assert entry["note"] == f"{n_lineages} lineages are too few for 4 columns"
    assert not entry["counts"]
    assert found["coefficients"] == []
    json.dumps(found, allow_nan=False)


def test_features_that_rest_on_one_lineage_each_are_not_tested() -> None:
    context = context_of(0)
    lineage = context.examples["lineage_id"]
    alone = {"useless_a": (lineage == "l0001") * 1.0, "useless_b": (lineage == "l0003") * 1.0}
    again = planted["context"](
        ["log_linear"], dictionary=context.dictionary, examples=context.examples.assign(**alone)
    )
    found = inference(again)
    (entry,) = chosen(found["tests"], group="useless", **CAUSAL)
    assert entry["wald"] is None
    assert "rests on 1." in entry["note"]
    (coefficient,) = chosen(found["coefficients"], feature="useless_a", **CAUSAL)
    assert coefficient["effective_lineages"] < 2
    assert coefficient["lower"] is None
    (signal,) = chosen(found["coefficients"], feature="signal", **CAUSAL)
    assert 40 < signal["effective_lineages"] <= 60
    assert signal["lower"] < signal["upper"]
