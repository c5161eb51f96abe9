"""The predictor of plateaus: taught by synthetic curves alone, measured on real runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.config import PoolSettings
from epochs_left.prediction.plateaus import PRIOR_ALONE, fit_plateaus, plateau_examples
from epochs_left.prediction.pooling import LANDMARK, PRIOR, PoolExamples
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.statistics.scales import SCALES
from epochs_left.storage.bundles import REFERENCE, load_bundle, save_bundle
from epochs_left.storage.manifests import BundleManifest

SETTINGS = PoolSettings(families=("neuron", "mlp", PRIOR), runs_per_family=10, folds=2)
#: More of each family than a predictor of thresholds would take.
RUNS = {"neuron": 48, "mlp": 48, PRIOR: 150}
#: Epochs of a run's rows, the last two of which are landmarks.
EPOCHS = np.array([3, 7, 15, 4, LANDMARK])
SAMPLED = np.array([True, True, True, False, False])
#: Name of each feature, and whether it needs the loss alone.
FEATURES = {
    "log_plateau_share": True,
    "log_late_fall_over_plateau": True,
    "log_gap_to_target": True,
    "log_clock_ahead": False,
    "log_lr": False,
    "log_grad_norm": False,
}
DICTIONARY = [
    {"name": name, "view": "causal", "baseline": False, "probed": False, "loss_only": loss_only}
    for name, loss_only in FEATURES.items()
]
HASHES = dict.fromkeys(RUNS, "0" * 64)
SHARE = SCALES["share_ahead"]
MODELS = ("time.ubj", "time_loss_only.ubj", "converges.ubj", "converges_loss_only.ubj")


@pytest.fixture(autouse=True, scope="module")
def few_trees() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"n_estimators": 30, "learning_rate": 0.3, "max_depth": 3}.items():
            patch.setitem(BOOSTING, name, value)  # type: ignore[arg-type]
        yield


def rows_of(
    rng: np.random.Generator, family: str, *, bias: float = 0.0, kind: str = "plateau"
) -> pd.DataFrame:
    """Return rows whose log odds are late fall plus clock plus a bias; two runs a lineage."""
    run = np.repeat(np.arange(RUNS[family]), EPOCHS.size)
    epoch = np.tile(EPOCHS, RUNS[family])
    horizon = rng.integers(60, 400, RUNS[family])[run]
    fall, clock = rng.normal(size=run.size), rng.normal(size=RUNS[family])[run]
    odds = fall + clock + bias + 0.1 * rng.normal(size=run.size)
    reached = (rng.random(RUNS[family]) < 0.8)[run]
    remaining = np.round(SHARE.inverse(odds, epoch, horizon - epoch))
    of_plateau = kind == "plateau"
    return pd.DataFrame(
        {
            "family": family,
            "run_id": [f"{family}-{number:03}" for number in run],
            "lineage_id": [f"{family}-l{number // 2:03}" for number in run],
            "target_kind": kind,
            "target": np.nan if of_plateau else 0.1,
            "plateau": 0.02 if of_plateau else np.nan,
            "max_epochs": horizon.astype(np.int32),
            "epoch": epoch.astype(np.int32),
            "remaining": np.where(reached, remaining, np.nan),
            "observed": remaining,
            "converged": reached,
            "sampled": np.tile(SAMPLED, RUNS[family]),
            "optimizer": "sgd",
            "activation": "relu",
            "architecture": family,
            "log_plateau_share": np.float32(np.log(0.02) if of_plateau else np.nan),
            "log_late_fall_over_plateau": (fall + 3 * ~reached).astype(np.float32),
            "log_gap_to_target": np.float32(np.nan if of_plateau else 1.0),
            "log_clock_ahead": clock.astype(np.float32),
            "log_lr": odds.astype(np.float32),
            "log_grad_norm": odds.astype(np.float32),
        }
    )


def drawn(seed: int = 0, *, bias: float = 0.0) -> pd.DataFrame:
    """Return rows of every family, those of real runs with a bias, and rows of other goals."""
    rng = np.random.default_rng(seed)
    parts = [rows_of(rng, name, bias=0.0 if name == PRIOR else bias) for name in RUNS]
    others = [rows_of(rng, name, kind=kind) for kind in ("epsilon", "threshold") for name in RUNS]
    return pd.concat([*parts, *others], ignore_index=True)


@dataclass(frozen=True)
class Fit:
    """What one table of examples gave."""

    pool: PoolExamples
    predictions: pd.DataFrame
    manifest: BundleManifest
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Fit:
        pool = plateau_examples(pa.Table.from_pandas(frame, preserve_index=False), DICTIONARY)
        predictions, manifest, files = fit_plateaus(pool, SETTINGS, HASHES, 0)
        return cls(pool, predictions.to_pandas(), manifest, files)

    @property
    def models(self) -> dict[str, bytes]:
        """What says when, and what says whether."""
        return {name: self.files[name] for name in MODELS}

    def predictor(self, folder: Path) -> Predictor:
        save_bundle(folder, self.manifest, self.files)
        return predictor_of(load_bundle(folder), level=0.9, jobs=1)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return drawn()


@pytest.fixture(scope="module")
def fit(frame: pd.DataFrame) -> Fit:
    return Fit.of(frame)


@pytest.fixture
def predictor(fit: Fit, tmp_path: Path) -> Predictor:
    return fit.predictor(tmp_path / "plateau")


def test_features_are_those_of_the_loss_and_of_the_schedule(fit: Fit) -> None:
    """Not the learning rate itself, nor what towards a plateau nobody knows."""
    names = ("log_plateau_share", "log_late_fall_over_plateau", "log_clock_ahead")
    assert fit.manifest.features == names
    assert fit.pool.examples.loss_only.tolist() == [True, True, False]


def test_every_run_is_learnt_from_whatever_thresholds_take(fit: Fit) -> None:
    assert min(RUNS.values()) > SETTINGS.runs_per_family
    assert fit.manifest.training["runs"] == RUNS


def test_other_goals_are_left_out(frame: pd.DataFrame, fit: Fit) -> None:
    assert set(fit.pool.keys["target_kind"]) == {"plateau"}
    other = frame["target_kind"] != "plateau"
    changed = frame.assign(
        remaining=frame["remaining"].where(~other, 1.0),
        log_late_fall_over_plateau=frame["log_late_fall_over_plateau"].where(~other, 9),
    )
    assert Fit.of(changed).files == fit.files


def test_real_runs_change_the_intervals_and_never_the_models(frame: pd.DataFrame, fit: Fit) -> None:
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


def test_the_prior_changes_every_model(frame: pd.DataFrame, fit: Fit) -> None:
    synthetic = frame["family"] == PRIOR
    left = frame["remaining"].where(~synthetic, np.floor(frame["remaining"] / 2))
    reached = frame["converged"].where(~synthetic, ~frame["converged"])
    later = Fit.of(frame.assign(remaining=left))
    swapped = Fit.of(frame.assign(converged=reached, remaining=frame["remaining"].fillna(5.0)))
    for name in MODELS:
        changed = later if name.startswith("time") else swapped
        assert changed.files[name] != fit.files[name]


def test_every_drawn_row_is_predicted_once(fit: Fit) -> None:
    keys = fit.pool.keys
    asked = keys["sampled"] | (keys["epoch"] == LANDMARK)
    for availability in ("all", "loss_only"):
        part = fit.predictions[fit.predictions["availability"] == availability]
        assert sorted(part["row"]) == np.flatnonzero(asked).tolist()
        assert (part["run_id"].to_numpy() == keys["run_id"].to_numpy()[part["row"]]).all()
    assert set(fit.predictions["material"]) == {PRIOR_ALONE}


def test_curves_of_the_prior_are_predicted_by_models_of_other_ones(frame: pd.DataFrame) -> None:
    """A curve whose end is made up changes its own fold's training, never its own prediction."""
    own = frame["lineage_id"] == f"{PRIOR}-l000"
    changed = frame.assign(remaining=frame["remaining"].where(~own, 1.0))
    before, after = (
        each.predictions.loc[each.predictions["lineage_id"] == f"{PRIOR}-l000", "predicted"]
        for each in map(Fit.of, (frame, changed))
    )
    assert len(before) > 0
    np.testing.assert_array_equal(before, after)


def test_the_bounds_of_a_family_come_from_the_others(frame: pd.DataFrame, fit: Fit) -> None:
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


def test_runs_without_a_plateau_in_time_make_the_intervals_later(frame: pd.DataFrame) -> None:
    """They count as of one in the last tenth; left out, the intervals would know of none."""
    late = frame["family"] != PRIOR
    none = frame.assign(converged=frame["converged"] & ~(late & (frame.index // 16 % 2 == 0)))
    all_in_time = none.assign(
        converged=frame["converged"] | late,
        remaining=frame["remaining"].fillna(1.0).where(late, frame["remaining"]),
    )
    offsets = [
        dict(zip(found.levels, found.upper, strict=True))[0.9]
        for found in (
            Fit.of(each).manifest.residual_quantiles["all"] for each in (all_in_time, none)
        )
    ]
    assert offsets[1] > offsets[0]


def test_widths_are_cross_fitted_on_other_lineages(fit: Fit) -> None:
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


def test_a_horizon_farther_away_stretches_the_answer(frame: pd.DataFrame, fit: Fit) -> None:
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


def r2_of_odds(fit: Fit, availability: str) -> float:
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


def test_the_bundle_knows_no_names_so_that_no_run_lacks_one(fit: Fit, predictor: Predictor) -> None:
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
    fit: Fit, predictor: Predictor
) -> None:
    every = np.ones(len(fit.pool.keys), dtype=np.bool_)
    X, elapsed = fit.pool.examples.X, fit.pool.examples.elapsed
    for availability in ("all", "loss_only"):
        complete = every & (availability == "all")
        found = predictor.forecast(X, elapsed, complete, ~every, fit.pool.ahead)
        rows = fit.predictions[fit.predictions["availability"] == availability]
        rows = rows[rows["family"] != PRIOR]  # the prior's are predicted by models of other folds
        np.testing.assert_array_equal(found.remaining[rows["row"]], rows["predicted"])
        assert found.p_converges is not None
        np.testing.assert_array_equal(found.p_converges[rows["row"]], rows["p_converges"])
    with pytest.raises(ValueError, match="needs the epochs ahead"):
        predictor.forecast(X, elapsed, every, ~every)


def test_the_bytes_are_the_same_again_and_every_file_is_there(
    frame: pd.DataFrame, fit: Fit
) -> None:
    again = Fit.of(frame)
    assert (again.manifest, again.files) == (fit.manifest, fit.files)
    spread = {"spread.ubj", "spread_loss_only.ubj"}
    assert set(fit.files) == {*MODELS, *spread, REFERENCE}
