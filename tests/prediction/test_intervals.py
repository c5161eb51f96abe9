"""Intervals from out-of-fold residuals: by whole lineages, as wide as a row is hard."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from epochs_left.arrays import FloatArray
from epochs_left.config import FitSettings
from epochs_left.prediction import intervals
from epochs_left.prediction.intervals import Intervals, Residuals, calibrated, intervals_of
from epochs_left.prediction.training import Examples, out_of_fold
from epochs_left.regressors import REGRESSORS
from epochs_left.statistics.conformal import (
    MIN_HALF_WIDTH,
    centre_and_half_width,
    conformal_offsets,
    offsets_at,
)
from epochs_left.statistics.folds import grouped_folds, run_weights
from epochs_left.storage.estimators import dump_estimator

LEVEL = 0.9
FOLDS = 3
SEEDS = range(4)


def draw(seed: int, n_lineages: int = 300) -> Residuals:
    """Residuals of ten rows a lineage whose scale is the first feature; a lineage shares a half."""
    rng = np.random.default_rng(seed)
    lineage = np.repeat(np.arange(n_lineages), 10)
    scale = np.exp(rng.uniform(-3, 0, n_lineages))[lineage]
    noise = rng.normal(size=n_lineages)[lineage] + rng.normal(size=lineage.size)
    fold = np.empty(lineage.size, dtype=np.int64)
    for number, (_, test) in enumerate(grouped_folds(lineage, FOLDS, 0)):
        fold[test] = number
    return Residuals(
        X=np.stack([np.log(scale), rng.normal(size=lineage.size)], axis=1).astype(np.float32),
        residual=scale * noise,
        lineage=lineage,
        run=lineage,
        fold=fold,
    )


def bounds(found: Intervals, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of the residual of each row."""
    low, high = offsets_at(
        LEVEL,
        tuple(
            np.array(column)
            for column in (found.quantiles.levels, found.quantiles.lower, found.quantiles.upper)
        ),
    )
    centre, half_width = np.zeros(len(X)), np.ones(len(X))
    if found.spread is not None:
        centre, half_width = centre_and_half_width(found.spread.predict(X))
    return centre + low * half_width, centre + high * half_width


@pytest.mark.parametrize("seed", SEEDS)
def test_adaptive_intervals_cover_easy_and_hard_rows_of_new_lineages(seed: int) -> None:
    known, new = draw(seed), draw(100 + seed)
    low, high = bounds(calibrated(known, seed, adaptive=True), new.X)
    inside = (low <= new.residual) & (new.residual <= high)
    hard = new.X[:, 0] > np.median(new.X[:, 0])
    for rows in (np.ones_like(hard), hard, ~hard):
        assert abs(inside[rows].mean() - LEVEL) < 0.06
    assert np.median((high - low)[hard]) > 2 * np.median((high - low)[~hard])


@pytest.mark.parametrize("seed", SEEDS)
def test_constant_intervals_cover_all_rows_but_not_the_hard_ones(seed: int) -> None:
    known, new = draw(seed), draw(100 + seed)
    low, high = bounds(calibrated(known, seed, adaptive=False), new.X)
    inside = (low <= new.residual) & (new.residual <= high)
    hard = new.X[:, 0] > np.median(new.X[:, 0])
    assert abs(inside.mean() - LEVEL) < 0.06
    assert inside[hard].mean() < LEVEL - 0.05


def test_offsets_come_from_quantiles_that_have_not_seen_the_lineage() -> None:
    """Against the obvious loop, and against quantiles that have seen every row."""
    known = draw(0, n_lineages=40)
    weight = known.weight
    everything = np.ones(weight.size, dtype=np.bool_)
    quantiles = np.empty((weight.size, 2))
    for fold in range(FOLDS):
        test = known.fold == fold
        model = intervals._fit_spread(known, ~test, 0)
        quantiles[test] = model.predict(known.X[test])
    centre, half_width = centre_and_half_width(quantiles)
    expected = conformal_offsets((known.residual - centre) / half_width, known.lineage, weight)
    found = calibrated(known, 0, adaptive=True).quantiles
    np.testing.assert_array_equal(found.upper, expected[2])
    seen = intervals._fit_spread(known, everything, 0).predict(known.X)
    centre, half_width = centre_and_half_width(seen)
    leaking = conformal_offsets((known.residual - centre) / half_width, known.lineage, weight)
    level = list(found.levels).index(LEVEL)
    assert leaking[2][level] - leaking[1][level] < found.upper[level] - found.lower[level]


def test_the_order_of_the_rows_does_not_matter() -> None:
    known = draw(1, n_lineages=60)
    order = np.random.default_rng(0).permutation(known.run.size)
    known = replace(known, part=known.lineage % 2 == 0)
    shuffled = Residuals(**{name: values[order] for name, values in vars(known).items()})
    first, second = (calibrated(rows, 0, adaptive=True) for rows in (known, shuffled))
    np.testing.assert_allclose(first.quantiles.upper, second.quantiles.upper, rtol=1e-3)


def test_the_same_residuals_give_the_same_bytes() -> None:
    one, other = (calibrated(draw(2, 40), 0, adaptive=True) for _ in range(2))
    assert one.quantiles == other.quantiles
    assert dump_estimator(one.spread) == dump_estimator(other.spread)


def test_quantiles_are_learnt_from_few_whole_lineages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "MAX_SPREAD_ROWS", 100)
    known = draw(3, n_lineages=50)
    allowed = known.fold != 0
    taken = intervals._whole_lineages(known.lineage, allowed, 0)
    assert (taken & allowed).sum() == 100
    assert set(known.lineage[taken]).isdisjoint(known.lineage[~taken])


def test_a_lineage_larger_than_the_bound_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "MAX_SPREAD_ROWS", 5)
    known = draw(3, n_lineages=3)
    rows = intervals._whole_lineages(known.lineage, known.run >= 0, 0)
    assert rows.sum() == 10


def test_crossed_quantiles_are_put_in_order_and_none_is_certain() -> None:
    centre, half_width = centre_and_half_width(np.array([[0.3, -0.1], [0.2, 0.2]]))
    np.testing.assert_allclose(centre, [0.1, 0.2])
    np.testing.assert_allclose(half_width, [0.2, MIN_HALF_WIDTH])


@pytest.fixture(scope="module")
def converged() -> Examples:
    """Two runs a lineage, six rows a run, the fifth feature unknown to the loss."""
    rng = np.random.default_rng(0)
    run = np.repeat(np.arange(120), 6)
    X = rng.normal(size=(run.size, 3)).astype(np.float32)
    remaining = np.ceil(np.exp(2 + X @ [0.5, 0.3, 0.8] + 0.2 * rng.normal(size=run.size)))
    return Examples(
        names=("a", "b", "c"),
        loss_only=np.array([True, True, False]),
        X=X,
        elapsed=np.tile(np.arange(6.0), 120),
        remaining=remaining,
        observed=remaining,
        converged=np.ones(run.size, dtype=np.bool_),
        sampled=np.tile(np.arange(6) != 1, 120),
        run=run,
        lineage=run // 2,
    )


SETTINGS = FitSettings(
    regressors={"linear_models": ("linear",)},
    families=("neuron",),
    folds=FOLDS,
    row_wise_folds=FOLDS,
    rows_in_memory=1_000_000,
)


def predictions_of(examples: Examples, name: str = "linear") -> pa.Table:
    return out_of_fold(replace(REGRESSORS[name], columns=None), examples, SETTINGS, 0)


def test_row_wise_residuals_make_no_interval(converged: Examples) -> None:
    """They are those of known runs, and too small."""
    predictions = predictions_of(converged)
    grouped = predictions.filter(pc.equal(predictions["split"], "by lineage"))
    mixed, alone = (
        intervals_of(table, converged, 0, adaptive=True) for table in (predictions, grouped)
    )
    assert {name: found.quantiles for name, found in mixed.items()} == {
        name: found.quantiles for name, found in alone.items()
    }


@pytest.mark.parametrize("adaptive", [False, True])
def test_intervals_hold_their_share_of_the_residuals(converged: Examples, adaptive: bool) -> None:
    predictions = predictions_of(converged, "xgboost")
    found = intervals_of(predictions, converged, 0, adaptive=adaptive)
    frame = predictions.to_pandas().query("split == 'by lineage'")
    assert set(found) == {"all", "loss_only"}
    for availability, part in frame.groupby("availability"):
        row = part["row"].to_numpy()
        residual = np.log1p(converged.remaining[row]) - np.log1p(part["predicted"].to_numpy())
        of_model = found[str(availability)]
        assert list(of_model.quantiles.levels) == sorted(of_model.quantiles.levels)
        low, high = bounds(of_model, converged.inputs(str(availability))[row])
        inside = np.mean((low <= residual) & (residual <= high))
        # The final quantiles have seen these rows, so that they cover a little more.
        assert LEVEL - 0.05 <= inside <= 1
        assert math.isfinite(float((high - low).max()))


def test_long_runs_do_not_speak_for_short_ones_of_their_lineage() -> None:
    """A lineage shares its mass among its runs, whatever their number of rows."""
    rng = np.random.default_rng(0)
    run = np.repeat(np.arange(80), np.tile([1, 30], 40))
    residuals = Residuals(
        X=np.zeros((run.size, 1), dtype=np.float32),
        residual=rng.normal(size=80)[run] * np.tile([3.0, 0.1], 40)[run],
        lineage=run // 2,
        run=run,
        fold=run // 2 % FOLDS,
    )
    found = calibrated(residuals, 0, adaptive=False).quantiles
    weight = run_weights(run)
    expected = conformal_offsets(residuals.residual, residuals.lineage, weight)
    by_row = conformal_offsets(residuals.residual, residuals.lineage)
    np.testing.assert_array_equal(found.upper, expected[2])
    level = list(found.levels).index(0.8)
    assert found.upper[level] > 3 * by_row[2][level]


def test_long_runs_do_not_speak_for_short_ones_where_their_spread_is_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two short runs of three are easy, the long one is hard, and nothing tells them apart."""
    rng = np.random.default_rng(0)
    run = np.repeat(np.arange(180), np.tile([1, 1, 30], 60))
    residuals = Residuals(
        X=np.zeros((run.size, 1), dtype=np.float32),
        residual=np.tile([0.01, 0.01, 1.0], 60)[run] * rng.normal(size=run.size),
        lineage=run // 3,
        run=run,
        fold=run // 3 % FOLDS,
    )
    spread = calibrated(residuals, 0, adaptive=True).spread
    monkeypatch.setattr(intervals, "run_weights", lambda labels: np.ones(labels.size))
    by_row = calibrated(residuals, 0, adaptive=True).spread
    assert spread is not None
    assert by_row is not None
    one, other = (np.ptp(model.predict(residuals.X[:1])) for model in (spread, by_row))
    assert one < 0.8 * other


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_hold_in_every_part_however_small_it_is(seed: int, adaptive: bool) -> None:
    """A part of a tenth of the rows that is off by twice as much as its features say."""
    drawn = draw(seed)
    hard = drawn.lineage % 10 == 0
    mixed = replace(drawn, residual=np.where(hard, 2 * drawn.residual, drawn.residual), part=hard)
    found = calibrated(mixed, 0, adaptive=adaptive)
    low, high = bounds(found, mixed.X)
    inside = (low <= mixed.residual) & (mixed.residual <= high)
    for rows in mixed.parts:
        assert inside[rows].mean() > LEVEL - 0.03
    # without parts the small one is not seen, and no interval is wider than it has to be
    narrow = bounds(calibrated(replace(mixed, part=None), 0, adaptive=adaptive), mixed.X)
    assert np.mean(high - low) > np.mean(narrow[1] - narrow[0])


def test_offsets_of_parts_are_the_widest_of_theirs() -> None:
    drawn = draw(1)
    hard = drawn.lineage % 3 == 0
    mixed = replace(drawn, residual=np.where(hard, drawn.residual + 1, drawn.residual), part=hard)
    found = calibrated(mixed, 0, adaptive=False).quantiles
    alone = [
        calibrated(
            Residuals(
                X=mixed.X[rows],
                residual=mixed.residual[rows],
                lineage=mixed.lineage[rows],
                run=mixed.run[rows],
                fold=mixed.fold[rows],
            ),
            0,
            adaptive=False,
        ).quantiles
        for rows in (hard, ~hard)
    ]
    n_levels = min(len(each.levels) for each in alone)
    assert len(found.levels) == n_levels
    for name, widest in (("lower", np.min), ("upper", np.max)):
        expected = widest([getattr(each, name)[:n_levels] for each in alone], axis=0)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-12)


def test_parts_weigh_the_same_and_a_run_in_them_is_a_run() -> None:
    drawn = replace(draw(2), part=draw(2).lineage < 30)
    for rows in drawn.parts:
        assert drawn.weight[rows].mean() == pytest.approx(1.0)
        of_runs = np.bincount(drawn.run[rows], weights=drawn.weight[rows])
        assert np.ptp(of_runs[of_runs > 0]) == pytest.approx(0.0, abs=1e-12)
