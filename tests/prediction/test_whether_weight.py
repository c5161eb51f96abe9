"""Weights that P(converges) is learnt with: every run that is unresolved counts the same."""

from __future__ import annotations

import numpy as np
import pytest
from xgboost import XGBClassifier

from epochs_left.prediction.training import DRAWN_WEIGHT, Examples, fit_converges
from epochs_left.regressors._fitting import fit_weighted

LANDMARKS = (0, 1, 2, 5, 10, 20)
CAP, DRAWN = 40, 4
SEEDS = range(3)


def examples(seed: int, n_runs: int = 4_000) -> Examples:
    """Return runs, half of which converge soon, the others never: nothing but the epoch tells."""
    rng = np.random.default_rng(seed)
    converges = rng.random(n_runs) < 0.5
    length = np.where(converges, rng.integers(2, CAP, n_runs), CAP)
    rows = []
    for run, n_epochs in enumerate(length):
        edges = np.linspace(0, n_epochs, DRAWN + 1)
        drawn = np.unique(rng.uniform(edges[:-1], edges[1:]).astype(int))
        epochs = np.union1d(drawn, [at for at in LANDMARKS if at < n_epochs])
        rows += [(run, epoch, epoch in drawn) for epoch in epochs]
    run, epoch, sampled = (np.array(column) for column in zip(*rows, strict=True))
    return Examples(
        names=("epoch",),
        loss_only=np.ones(1, dtype=bool),
        X=epoch[:, None].astype(np.float32),
        elapsed=epoch.astype(float),
        remaining=np.where(converges[run], length[run] - epoch, np.nan),
        observed=(length[run] - epoch).astype(float),
        converged=converges[run],
        sampled=sampled.astype(bool),
        run=run,
        lineage=run // 2,
    )


def test_a_landmark_weighs_one_and_a_run_s_draw_the_same_for_all() -> None:
    found = examples(0, n_runs=50)
    weight, landmark = found.whether_weight, np.isin(found.elapsed, LANDMARKS)
    np.testing.assert_allclose(weight[~found.sampled], 1)
    drawn = np.bincount(found.run, weights=(weight - landmark) * found.sampled)
    np.testing.assert_allclose(drawn, DRAWN_WEIGHT)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_share_that_converges_is_right_where_run_weights_make_it_too_high(seed: int) -> None:
    found = examples(seed)
    bias = {}
    for name, weight in (("run", found.weight), ("whether", found.whether_weight)):
        model = XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1, random_state=0)
        fit_weighted(model, found.X, found.converged.astype(int), weight)
        at = [found.elapsed == epoch for epoch in LANDMARKS[1:]]
        predicted = model.predict_proba(found.X)[:, 1]
        bias[name] = np.mean([predicted[rows].mean() - found.converged[rows].mean() for rows in at])
    assert abs(bias["whether"]) < 0.03 < bias["run"]
    assert abs(bias["whether"]) < bias["run"] / 2


def test_the_classifier_is_fitted_with_these_weights() -> None:
    found = examples(3)
    at = [found.elapsed == epoch for epoch in LANDMARKS[1:]]
    predicted = fit_converges(found, 0).predict_proba(found.X)[:, 1]
    bias = [predicted[rows].mean() - found.converged[rows].mean() for rows in at]
    assert abs(np.mean(bias)) < 0.03
