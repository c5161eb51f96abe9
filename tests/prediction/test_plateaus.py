"""The predictor of plateaus: taught by synthetic curves alone, measured on real runs (55 s)."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction.plateaus import (
    PLAN_FEATURES,
    PLAN_GROUPS,
    PRIOR_ALONE,
    RATE_GROUPS,
    RATES,
    plateau_examples,
)
from epochs_left.prediction.pool import LANDMARK, PRIOR
from epochs_left.prediction.predictor import Predictor
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.storage.bundles import REFERENCE
from epochs_left.trajectories import PLAN_INPUTS

rows = runpy.run_path(str(Path(__file__).parent / "plateau_rows.py"))
DICTIONARY, MODELS, RUNS, SETTINGS, SHARE = (
    rows[name] for name in ("DICTIONARY", "MODELS", "RUNS", "SETTINGS", "SHARE")
)
Fit, drawn = rows["Fit"], rows["drawn"]


@pytest.fixture(autouse=True, scope="module")
def few_trees() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"n_estimators": 30, "learning_rate": 0.3, "max_depth": 3}.items():
            patch.setitem(BOOSTING, name, value)  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return drawn()


@pytest.fixture(scope="module")
def fit(frame: pd.DataFrame) -> Any:
    return Fit.of(frame)


@pytest.fixture
def predictor(fit: Any, tmp_path: Path) -> Predictor:
    return fit.predictor(tmp_path / "plateau")


def test_features_are_those_of_the_loss_and_of_the_schedule(fit: Any) -> None:
    """Not the learning rate itself, nor what towards a plateau nobody knows."""
    of_loss = ("log_plateau_share", "log_late_fall_over_plateau")
    assert fit.manifest.features == (*of_loss, "log_late_rate_change", "log_clock_ahead")
    assert fit.pool.examples.loss_only.tolist() == [True, True, False, False]


def test_every_run_is_learnt_from_whatever_thresholds_take(fit: Any) -> None:
    assert min(RUNS.values()) > SETTINGS.runs_per_family
    assert fit.manifest.training["runs"] == RUNS


def test_other_goals_are_left_out(frame: pd.DataFrame, fit: Any) -> None:
    assert set(fit.pool.keys["target_kind"]) == {"plateau"}
    other = frame["target_kind"] != "plateau"
    changed = frame.assign(
        remaining=frame["remaining"].where(~other, 1.0),
        log_late_fall_over_plateau=frame["log_late_fall_over_plateau"].where(~other, 9),
    )
    assert Fit.of(changed).files == fit.files


def test_real_runs_change_the_intervals_and_never_the_models(frame: pd.DataFrame, fit: Any) -> None:
    real = frame["family"] != PRIOR
    sooner = frame.assign(remaining=(frame["remaining"] / 4).where(real, frame["remaining"]))
    fewer = frame[frame["family"] != "neuron"]
    strange = frame.assign(
        log_clock_ahead=frame["log_clock_ahead"].where(~real, -5),
        converged=frame["converged"] & (~real | (frame.index % 2 == 0)),
        max_epochs=frame["max_epochs"].where(~real, 10_000).astype(np.int32),
    )
    for changed in map(Fit.of, (sooner, fewer, strange)):
        assert changed.models == fit.models
        for availability, found in changed.manifest.residual_quantiles.items():
            assert found != fit.manifest.residual_quantiles[availability]
        assert changed.files["spread.ubj"] != fit.files["spread.ubj"]


def test_the_prior_changes_every_model(frame: pd.DataFrame, fit: Any) -> None:
    synthetic = frame["family"] == PRIOR
    left = frame["remaining"].where(~synthetic, np.floor(frame["remaining"] / 2))
    reached = frame["converged"].where(~synthetic, ~frame["converged"])
    later = Fit.of(frame.assign(remaining=left))
    swapped = Fit.of(frame.assign(converged=reached, remaining=frame["remaining"].fillna(5.0)))
    for name in MODELS:
        changed = later if name.startswith("time") else swapped
        assert changed.files[name] != fit.files[name]


def test_every_drawn_row_is_predicted_once(fit: Any) -> None:
    """From the loss alone once, though each row is learnt from with its plan and without."""
    keys = fit.pool.keys
    asked = keys["sampled"] | (keys["epoch"] == LANDMARK)
    first_half = np.arange(len(keys)) < len(keys) // 2
    assert set(fit.predictions["availability"]) == {"all", RATES, "loss_only"}
    for availability, part in fit.predictions.groupby("availability"):
        of_rates = availability == RATES
        expected = np.flatnonzero(asked & (first_half != of_rates))
        assert sorted(part["row"]) == expected.tolist()
        assert (part["run_id"].to_numpy() == keys["run_id"].to_numpy()[part["row"]]).all()
    assert set(fit.predictions["material"]) == {PRIOR_ALONE}
    assert "planned" not in fit.predictions


def test_a_plan_is_what_only_a_stated_schedule_tells() -> None:
    for name in PLAN_GROUPS:
        assert PLAN_INPUTS & set(FEATURE_GROUPS[name].requires)
        assert PLAN_FEATURES.issuperset(FEATURE_GROUPS[name].units)
    for name in RATE_GROUPS:
        assert "lr_in_force" in FEATURE_GROUPS[name].requires
        assert not PLAN_INPUTS & set(FEATURE_GROUPS[name].requires)
        assert PLAN_FEATURES.isdisjoint(FEATURE_GROUPS[name].units)


def test_every_row_has_a_twin_without_a_plan_that_weighs_as_much(fit: Any) -> None:
    examples, names = fit.pool.examples, fit.manifest.features
    n = len(fit.pool.keys) // 2
    planned, unplanned = examples.X[:n], examples.X[n:]
    of_plan = np.array([name in PLAN_FEATURES for name in names])
    assert of_plan.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(planned[:, ~of_plan], unplanned[:, ~of_plan])
    assert np.isnan(unplanned[:, of_plan]).all()
    assert not np.isnan(planned).any()
    keys = fit.pool.keys.drop(columns="planned")
    pd.testing.assert_frame_equal(keys[:n], keys[n:].reset_index(drop=True))
    for weight in (fit.pool.weight, fit.pool.whether_weight):
        np.testing.assert_allclose(weight[:n], weight[n:])


def test_without_a_plan_a_plan_changes_no_prediction(frame: pd.DataFrame, fit: Any) -> None:
    """The plans of real runs: those of the prior are what is learnt."""
    real = frame["family"] != PRIOR
    other = frame.assign(log_clock_ahead=frame["log_clock_ahead"].where(~real, np.float32(2.5)))
    found = Fit.of(other).predictions
    of_real = (found["family"] != PRIOR) & (found["family"] == fit.predictions["family"])
    assert of_real.sum() > 500
    for availability in ("all", RATES, "loss_only"):
        part = of_real & (found["availability"] == availability)
        for name in ("predicted", "p_converges"):
            same = found.loc[part, name] == fit.predictions.loc[part, name]
            assert same.all() == (availability != "all")


def test_rates_are_worth_a_part_of_the_plan(fit: Any) -> None:
    scores = [r2_of_odds(fit, name) for name in ("loss_only", RATES, "all")]
    assert scores == sorted(scores)
    assert min(np.diff(scores)) > 0.08


def test_curves_of_the_prior_are_predicted_by_models_of_other_ones(
    frame: pd.DataFrame, fit: Any
) -> None:
    """A curve whose end is made up changes its own fold's training, never its own prediction."""
    own = frame["lineage_id"] == f"{PRIOR}-l000"
    changed = frame.assign(remaining=frame["remaining"].where(~own, 1.0))
    before, after = (
        each.predictions.loc[each.predictions["lineage_id"] == f"{PRIOR}-l000", "predicted"]
        for each in (fit, Fit.of(changed))
    )
    assert len(before) > 0
    np.testing.assert_array_equal(before, after)


def test_the_bounds_of_a_family_come_from_the_others(frame: pd.DataFrame, fit: Any) -> None:
    """What it is off by itself changes nothing there, and something for every other family."""
    own = frame["family"] == "mlp"
    sooner = frame.assign(remaining=np.where(own, frame["remaining"] // 4, frame["remaining"]))
    before, after = fit.predictions, Fit.of(sooner).predictions
    for family in set(RUNS) - {PRIOR}:
        rows = before["family"] == family
        same = [np.array_equal(before.loc[rows, n], after.loc[rows, n]) for n in ("lower", "upper")]
        assert all(same) == (family == "mlp")
        assert before.loc[rows, ["lower", "upper"]].notna().all(axis=None)
    assert before.loc[before["family"] == PRIOR, ["lower", "upper"]].isna().all(axis=None)
    known = before.dropna(subset=["lower"])
    assert (known["lower"] <= known["predicted"]).all()
    assert (known["predicted"] <= known["upper"]).all()
    assert (known["upper"] <= fit.pool.ahead[known["row"]]).all()


def test_runs_without_a_plateau_in_time_make_the_intervals_later(
    frame: pd.DataFrame, fit: Any, tmp_path: Path
) -> None:
    """They count as of one in the last tenth; left out, the intervals would know of none."""
    real = frame["family"] != PRIOR
    reached = frame["converged"] & ~(real & (frame.index // 5 % 4 == 0))
    few = frame.assign(converged=reached)
    left_out = few.assign(sampled=few["sampled"] & (reached | ~real))
    rows = np.flatnonzero(fit.pool.family != PRIOR)
    X, elapsed, ahead = fit.pool.examples.X[rows], fit.pool.examples.elapsed[rows], fit.pool.ahead
    every = np.ones(rows.size, dtype=np.bool_)
    ends = []
    for name, each in (("left out", left_out), ("few", few)):
        found = Fit.of(each).predictor(tmp_path / name)
        upper = found.forecast(X, elapsed, every, ~every, ahead[rows]).upper
        ends.append(SHARE.forward(upper, np.array(0.0), ahead[rows]))
    assert np.median(ends[1] - ends[0]) > 0.3


def test_widths_are_cross_fitted_on_other_lineages(fit: Any) -> None:
    folds = fit.predictions.groupby("lineage_id")["fold"].nunique()
    assert (folds == 1).all()
    assert set(fit.predictions["fold"]) == set(range(SETTINGS.folds))


def test_predictions_lie_between_now_and_the_horizon(frame: pd.DataFrame) -> None:
    """Also where the horizon is an epoch ahead, or here."""
    near = frame["family"] == "mlp"
    soon = (frame["epoch"] + frame.index % 2).astype(np.int32)
    changed = frame.assign(max_epochs=frame["max_epochs"].where(~near, soon))
    fit = Fit.of(changed)
    rows = fit.predictions
    ahead = fit.pool.ahead[rows["row"]]
    assert ahead.min() == 0
    assert rows["predicted"].between(0, ahead).all()
    assert rows["predicted"].nunique() > 20


def test_a_horizon_farther_away_stretches_the_answer(frame: pd.DataFrame, fit: Any) -> None:
    """The features being the same, what is said is the same share of the epochs ahead."""
    real = frame["family"] != PRIOR
    longer = frame["max_epochs"] + 9 * (frame["max_epochs"] - frame["epoch"])
    far = Fit.of(frame.assign(max_epochs=longer.where(real, frame["max_epochs"])))
    near_odds, far_odds = (
        SHARE.forward(each.predictions["predicted"], np.array(0.0), each.pool.ahead[row])
        for each, row in ((fit, fit.predictions["row"]), (far, far.predictions["row"]))
    )
    assert fit.predictions["predicted"].between(1, fit.pool.ahead[fit.predictions["row"]] - 1).all()
    np.testing.assert_allclose(far_odds, near_odds, atol=1e-9)


def r2_of_odds(fit: Any, availability: str) -> float:
    """Return how much of the variance of the truth, in log odds, the predictions explain."""
    rows = fit.predictions[fit.predictions["converged"] & (fit.predictions["family"] != PRIOR)]
    rows = rows[rows["availability"] == availability]
    ahead = fit.pool.ahead[rows["row"]]
    names = ("remaining", "predicted")
    actual, predicted = (SHARE.forward(rows[name], np.array(0), ahead) for name in names)
    return float(1 - np.mean((actual - predicted) ** 2) / np.var(actual))


@pytest.mark.parametrize("seed", range(3))
def test_unseen_families_are_predicted_by_what_the_prior_teaches(seed: int) -> None:
    fit = Fit.of(drawn(seed))
    assert r2_of_odds(fit, "all") > 0.8
    assert r2_of_odds(fit, "loss_only") < 0.6  # the clock is half of the truth
    p = fit.predictions["p_converges"].groupby(fit.predictions["converged"]).mean()
    assert p[True] > p[False] + 0.3


@pytest.mark.parametrize("seed", range(3))
def test_ends_that_are_shuffled_between_curves_teach_nothing(seed: int) -> None:
    frame = drawn(seed)
    ended = (frame["family"] == PRIOR) & (frame["target_kind"] == "plateau") & frame["converged"]
    ahead = (frame["max_epochs"] - frame["epoch"]).to_numpy()[ended]
    odds = SHARE.forward(frame["remaining"].to_numpy()[ended], np.array(0), ahead)
    mixed = np.random.default_rng(seed).permutation(odds)
    frame.loc[ended, "remaining"] = SHARE.inverse(mixed, np.array(0), ahead)
    assert r2_of_odds(Fit.of(frame), "all") < 0.2


@pytest.mark.parametrize("bias", [-1.5, 0.0, 1.5])
def test_what_real_runs_are_off_by_is_in_the_intervals(tmp_path: Path, bias: float) -> None:
    """Others that are off by as much are covered, though the prediction is as wrong as ever."""
    predictor = Fit.of(drawn(0, bias=bias)).predictor(tmp_path / "plateau")
    new = plateau_examples(pa.Table.from_pandas(drawn(1, bias=bias)), DICTIONARY)
    rows = np.flatnonzero(new.examples.sampled & new.examples.converged & (new.family != PRIOR))
    every = np.ones(rows.size, dtype=np.bool_)
    X, elapsed = new.examples.X[rows], new.examples.elapsed[rows]
    found = predictor.forecast(X, elapsed, every, ~every, new.ahead[rows])
    actual = new.examples.remaining[rows]
    assert np.sign(np.median(actual - found.remaining)) == np.sign(bias) or bias == 0
    assert np.mean((found.lower <= actual) & (actual <= found.upper)) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_forecasts_are_as_often_too_early_as_too_late(seed: int) -> None:
    """Also where the truth is skewed: of an exponential law .63 lie below the mean."""
    rng = np.random.default_rng(seed)
    frame = drawn(seed)
    odds = frame["log_late_fall_over_plateau"] + frame["log_clock_ahead"]
    odds += rng.exponential(size=len(frame))
    ahead = (frame["max_epochs"] - frame["epoch"]).to_numpy()
    skewed = SHARE.inverse(odds.to_numpy(), np.array(0), ahead)
    truth = np.where(frame["converged"], skewed, np.nan)
    rows = Fit.of(frame.assign(remaining=truth)).predictions
    rows = rows[rows["converged"] & (rows["availability"] == "all")]
    assert np.mean(rows["remaining"] > rows["predicted"]) == pytest.approx(0.5, abs=0.08)


def test_the_bundle_knows_no_names_so_that_no_run_lacks_one(fit: Any, predictor: Predictor) -> None:
    """A run unlike the training data is answered from every input all the same, just wider."""
    assert fit.manifest.bundle_id == "pooled/plateau"
    assert fit.manifest.of_plateaus
    assert (fit.manifest.target, fit.manifest.vocabulary, fit.manifest.must_state) == (None, {}, ())
    X, elapsed = fit.pool.examples.X, fit.pool.examples.elapsed
    every = np.ones(len(X), dtype=np.bool_)
    like, unlike = (
        predictor.forecast(X, elapsed, every, flags, fit.pool.ahead) for flags in (~every, every)
    )
    np.testing.assert_array_equal(like.remaining, unlike.remaining)
    assert np.all(unlike.upper >= like.upper)
    assert np.mean(unlike.upper - unlike.lower > like.upper - like.lower) > 0.9
    named = replace(predictor, manifest=replace(fit.manifest, vocabulary={"optimizer": ("sgd",)}))
    by_loss = named.forecast(X, elapsed, every, every, fit.pool.ahead)
    assert not np.array_equal(by_loss.remaining, like.remaining)


def test_the_bundle_answers_as_its_table_says_and_wants_the_epochs_ahead(
    fit: Any, predictor: Predictor
) -> None:
    every = np.ones(len(fit.pool.keys), dtype=np.bool_)
    X, elapsed = fit.pool.examples.X, fit.pool.examples.elapsed
    for availability in ("all", RATES, "loss_only"):
        complete = every & (availability != "loss_only")
        found = predictor.forecast(X, elapsed, complete, ~every, fit.pool.ahead)
        rows = fit.predictions[fit.predictions["availability"] == availability]
        rows = rows[rows["family"] != PRIOR]  # the prior's are predicted by models of other folds
        np.testing.assert_array_equal(found.remaining[rows["row"]], rows["predicted"])
        assert found.p_converges is not None
        np.testing.assert_array_equal(found.p_converges[rows["row"]], rows["p_converges"])
    with pytest.raises(ValueError, match="needs the epochs ahead"):
        predictor.forecast(X, elapsed, every, ~every)


def test_the_bytes_are_the_same_again_and_every_file_is_there(
    frame: pd.DataFrame, fit: Any
) -> None:
    again = Fit.of(frame)
    assert (again.manifest, again.files) == (fit.manifest, fit.files)
    spread = {"spread.ubj", "spread_loss_only.ubj"}
    assert set(fit.files) == {*MODELS, *spread, REFERENCE}
