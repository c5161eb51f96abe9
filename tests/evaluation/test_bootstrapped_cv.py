"""Bootstrapped cross-validation against plain refits, and on data whose R^2 is known."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score

from epochs_left.evaluation.bootstrapped_cv import (
    CONDITIONAL,
    REFITTED,
    bootstrapped_cv,
    least_squares,
    resampled_lineages,
)
from epochs_left.evaluation.refits import examples_of_rows
from epochs_left.prediction.training import fit_time, predict_remaining
from epochs_left.regressors import REGRESSORS
from epochs_left.regressors._transforms import LEAST_PENALTY
from epochs_left.schema import View
from epochs_left.statistics.bootstrapped_cv import out_of_bag_loss, squared_error_632_plus
from epochs_left.statistics.scales import SCALES

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))

REGRESSOR_NAMES = ("log_linear", "linear", "constant")
N_USELESS = 6


def context_of(
    seed: int, *, effect: float, n_lineages: int = 40, n_useless: int = N_USELESS, **settings: Any
) -> Any:
    """R^2 of log(1 + R) from the features is effect^2 / (effect^2 + 0.25)."""
    rng = np.random.default_rng(seed)
    frame = planted["rows"](rng, n_lineages)
    useless = rng.normal(size=(n_useless, n_lineages))
    lineage = np.unique(frame["lineage_id"], return_inverse=True)[1]
    signal = rng.normal(size=len(frame))
    noise = 0.4 * frame["shared"] + 0.3 * frame["own"]
    frame["remaining"] = np.round(np.expm1((5 + effect * signal + noise).clip(0.7)))
    features = {"signal": signal, "copy": 1 - signal}
    features |= {f"useless_{i}": values[lineage] for i, values in enumerate(useless)}
    drawn = np.arange(len(frame)) % 4 != 0  # the others are landmarks
    table = planted["out_of_fold"](rng, frame[drawn], dict.fromkeys(REGRESSOR_NAMES, 0.3))
    return planted["context"](
        REGRESSOR_NAMES,
        settings=settings,
        dictionary=planted["dictionary"](dict.fromkeys(features, "any")),
        examples=planted["examples"](frame, features, sampled=drawn),
        out_of_fold=table,
    )


def entry_of(context: Any, name: str) -> dict[str, Any]:
    entries = bootstrapped_cv(context)
    json.dumps(entries, allow_nan=False)
    (found,) = [e for e in entries if (e["model"], e["view"]) == (name, View.CAUSAL.value)]
    return found


def examples_of(context: Any) -> Any:
    names = [entry["name"] for entry in context.dictionary]
    return examples_of_rows(context.training, names)


@pytest.mark.parametrize("seed", range(3))
def test_gram_matrices_give_what_repeated_rows_give(seed: int) -> None:
    context = context_of(seed, effect=0.5)
    model = least_squares(examples_of(context))
    y = np.random.default_rng(seed).normal(size=(len(context.training), 2))
    # A ridge penalty is as good as rows of zeros with the root of it in one column each.
    penalty = np.sqrt(LEAST_PENALTY / model.weight.size) * np.eye(model.X.shape[1])[1:]
    drawn = resampled_lineages(context, 40)
    assert (drawn.sum(axis=1) == 40).all()
    assert (drawn == 0).any(axis=1).all()
    for counts, found in zip(drawn, model.coefficients(y, drawn), strict=True):
        rows = np.repeat(np.arange(len(y)), counts.astype(int)[model.lineage])
        root = np.sqrt(model.weight[rows])[:, None]
        X = np.concatenate([root * model.X[rows], penalty])
        responses = np.concatenate([root * y[rows], np.zeros((len(penalty), 2))])
        expected = np.linalg.lstsq(X, responses, rcond=None)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["log_linear", "linear"])
def test_it_equals_refits_of_the_whole_pipeline(name: str) -> None:
    """Bounds that are learnt once rather than on every resample do not matter."""
    context = context_of(0, effect=0.5)
    spec, examples = replace(REGRESSORS[name], candidates=()), examples_of(context)
    scored = examples.sampled
    actual = np.log1p(examples.remaining[scored])

    def predicted(train: Any) -> np.ndarray:
        model = fit_time(spec, train, 0)
        scale = SCALES[spec.scale]
        values = predict_remaining(model, scale, examples.X[scored], examples.elapsed[scored])
        return np.log1p(values)

    losses = []
    for counts in resampled_lineages(context, 40):
        parts = [examples.take(counts[examples.lineage] > k) for k in range(int(counts.max()))]
        values = predicted(_joined(parts))
        out = np.flatnonzero(counts[examples.lineage[scored]] == 0)
        losses.append((out, (values[out] - actual[out]) ** 2))
    expected = squared_error_632_plus(
        actual, predicted(examples), out_of_bag_loss(actual.size, losses), examples.run[scored]
    )
    found = entry_of(context, name)
    assert found["method"] == REFITTED
    assert found["estimate"] == pytest.approx(expected.r2, abs=0.01)
    assert found["mse"]["out_of_bag"] == pytest.approx(expected.estimate.out_of_bag, rel=0.02)


def _joined(parts: list[Any]) -> Any:
    """Concatenate examples; copies of a run are runs of their own, so that weights stay."""
    first = parts[0]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("X", "elapsed", "remaining", "observed", "converged", "sampled", "lineage")
    }
    run = np.concatenate([part.run + 1_000_000 * k for k, part in enumerate(parts)])
    return type(first)(names=first.names, loss_only=first.loss_only, run=run, **columns)


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_r2_is_found(seed: int) -> None:
    found = entry_of(context_of(seed, effect=1.0, n_lineages=150), "log_linear")
    assert found["estimate"] == pytest.approx(0.8, abs=0.05)
    assert found["out_of_bag"]["lower"] < found["estimate"] < found["out_of_bag"]["upper"]
    assert found["mse"]["apparent"] <= found["mse"]["error"] <= found["mse"]["out_of_bag"]


@pytest.mark.parametrize("seed", range(3))
def test_features_that_say_nothing_have_no_r2(seed: int) -> None:
    found = entry_of(context_of(seed, effect=0.0, n_useless=15), "log_linear")
    mse = found["mse"]
    apparent_r2 = 1 - mse["apparent"] / mse["no_information"]
    assert apparent_r2 > 0.15
    assert found["estimate"] < 0.05
    assert mse["relative_overfitting"] > 0.5


def test_linear_on_epochs_is_worse_where_the_log_is_linear() -> None:
    context = context_of(0, effect=1.0, n_lineages=80)
    assert entry_of(context, "linear")["estimate"] < entry_of(context, "log_linear")["estimate"]


def test_other_models_are_conditional_on_their_fits() -> None:
    context = context_of(0, effect=0.5)
    found = entry_of(context, "constant")
    table = context.out_of_fold
    weight = 1 / table.groupby("run_id")["epoch"].transform("size")
    expected = r2_score(
        np.log1p(table["remaining"]), np.log1p(table["constant-causal"]), sample_weight=weight
    )
    assert found["method"] == CONDITIONAL
    assert found["estimate"] == pytest.approx(expected)
    assert found["lower"] < expected < found["upper"]
    assert found["n_replicates"] == context.settings.bootstrap_replicates


def test_as_many_refits_as_were_asked_for() -> None:
    context = context_of(0, effect=0.5, bootstrap_refits=11)
    assert entry_of(context, "log_linear")["n_replicates"] == 11
