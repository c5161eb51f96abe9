"""From examples to out-of-fold predictions and bundles, without a leak."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold

from epochs_left.config import FitSettings
from epochs_left.prediction.bundling import BundleFacts, Folds, build_bundle
from epochs_left.prediction.intervals import Intervals, intervals_of
from epochs_left.prediction.predictor import predictor_of
from epochs_left.prediction.training import (
    AVAILABILITIES,
    LANDMARK_WEIGHT,
    Examples,
    examples_of_view,
    feature_names,
    fit_converges,
    fit_time,
    fold_scores,
    out_of_fold,
    predict_remaining,
    settled_by_folds,
)
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.schema import View
from epochs_left.statistics import folds
from epochs_left.statistics.scales import SCALES
from epochs_left.statistics.scores import error_sums, r2
from epochs_left.storage.bundles import load_bundle, save_bundle
from epochs_left.storage.manifests import ResidualQuantiles

SETTINGS = FitSettings(
    regressors={"linear_models": ("linear",)},
    families=("neuron",),
    folds=3,
    row_wise_folds=3,
    rows_in_memory=1_000_000,
)
NAMES = ("log_loss", "log_loss_slope_1", "log_elapsed", "log_lr", "log_grad_norm")
LOSS_ONLY = np.array([True, True, True, False, False])
N_LINEAGES, N_ROWS = 60, 6
NO_PREDICTIONS = pa.table({})


def draw_examples(seed: int = 0) -> Examples:
    """Geometric decays, two runs a lineage, that reach their target unless they are stuck."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(2 * N_LINEAGES), N_ROWS)
    log_rate = np.log(rng.uniform(0.6, 0.97, size=2 * N_LINEAGES))[run]
    epochs = np.ceil(rng.uniform(-9, -6, size=2 * N_LINEAGES)[run] / log_rate)
    elapsed = np.floor(epochs * np.tile(np.arange(N_ROWS) / N_ROWS, 2 * N_LINEAGES))
    remaining = epochs - elapsed
    converged = (rng.random(2 * N_LINEAGES) < 0.7)[run]
    noise = 0.1 * rng.normal(size=(5, run.size))
    log_loss = -remaining * log_rate + np.where(converged, 0, 3)
    columns = [log_loss, log_rate, np.log1p(elapsed), 0 * log_rate, log_rate]
    return Examples(
        names=NAMES,
        loss_only=LOSS_ONLY,
        X=(np.stack(columns) + noise).T.astype(np.float32),
        elapsed=elapsed,
        remaining=np.where(converged, remaining, np.nan),
        observed=remaining,
        converged=converged,
        sampled=np.tile(np.arange(N_ROWS) != 1, 2 * N_LINEAGES),
        run=run,
        lineage=run // 2,
    )


@pytest.fixture
def examples() -> Examples:
    every = draw_examples()
    return every.take(every.converged)


def spec_of(name: str) -> RegressorSpec:
    return replace(REGRESSORS[name], columns=None)


def log_r2(predictions: pa.Table, examples: Examples, split: str) -> float:
    frame = predictions.to_pandas()
    frame = frame[(frame["split"] == split) & (frame["availability"] == "all")]
    row = frame["row"].to_numpy()
    actual, predicted = np.log1p(examples.remaining[row]), np.log1p(frame["predicted"].to_numpy())
    return float(r2(error_sums(actual, predicted, examples.lineage[row]).sum(axis=0)))


def test_scores_of_the_folds_are_those_of_their_predictions(examples: Examples) -> None:
    predictions = out_of_fold(spec_of("log_linear"), examples, SETTINGS, 0)
    (found,) = fold_scores(predictions, examples).values()
    assert set(found) == set(AVAILABILITIES)
    # Every run has as many drawn rows as the others here, so that weights change nothing.
    assert found["all"] == pytest.approx(log_r2(predictions, examples, "by lineage"), abs=1e-4)


class Recorder(RegressorMixin, BaseEstimator):
    """Remembers its training rows, and predicts whether the first feature was among them."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray) -> Recorder:
        self.X_, self.y_, self.weights_ = X, y, sample_weight
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.isin(X[:, 0], self.X_[:, 0]).astype(float)


RECORDER = RegressorSpec(
    name="recorder",
    kind="tests",
    title="Recorder",
    scale="epochs",
    columns=None,
    views=tuple(View),
    build=lambda _: Recorder(),
)


def seen_by_split(examples: Examples, group: np.ndarray) -> dict[str, float]:
    """Share of the test rows whose group was in training, by split."""
    marked = replace(examples, X=np.repeat(group[:, None], 5, axis=1).astype(np.float32))
    frame = out_of_fold(RECORDER, marked, SETTINGS, 0).to_pandas()
    frame = frame[frame["availability"] == "all"]
    return dict(frame.groupby("split")["predicted"].mean())


def test_no_lineage_is_in_training_and_in_test(examples: Examples) -> None:
    assert seen_by_split(examples, examples.lineage)["by lineage"] == 0.0


def test_row_wise_split_sees_nearly_every_lineage_before(examples: Examples) -> None:
    assert seen_by_split(examples, examples.lineage)["row-wise"] > 0.9


@pytest.mark.parametrize("wanted", [1, 2])
def test_as_many_row_wise_folds_are_predicted_as_asked_for(examples: Examples, wanted: int) -> None:
    frame = out_of_fold(RECORDER, examples, replace(SETTINGS, row_wise_folds=wanted), 0).to_pandas()
    row_wise = frame[frame["split"] == "row-wise"]
    assert row_wise["fold"].nunique() == wanted
    share = len(row_wise) / examples.sampled.sum()
    assert share == pytest.approx(wanted / SETTINGS.folds, abs=0.1)
    assert frame.loc[frame["split"] == "by lineage", "fold"].nunique() == SETTINGS.folds


def test_a_split_that_leaks_stops_the_fit(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: a splitter that takes no notice of the groups."""

    def careless(**settings: Any) -> SimpleNamespace:
        folder = KFold(**settings)
        return SimpleNamespace(split=lambda rows, **_: folder.split(rows))

    monkeypatch.setattr(folds, "GroupKFold", careless)
    with pytest.raises(AssertionError, match="lineages are in both training and test"):
        out_of_fold(spec_of("linear"), examples, SETTINGS, 0)


def test_every_drawn_row_is_predicted_once_by_lineage(examples: Examples) -> None:
    frame = out_of_fold(spec_of("linear"), examples, SETTINGS, 0).to_pandas()
    grouped = frame[frame["split"] == "by lineage"]
    for availability in AVAILABILITIES:
        rows = grouped.loc[grouped["availability"] == availability, "row"]
        assert sorted(rows) == np.flatnonzero(examples.sampled).tolist()
    row_wise = frame[frame["split"] == "row-wise"]
    assert set(row_wise["availability"]) == {"all"}
    assert sorted(row_wise["row"]) == np.flatnonzero(examples.sampled).tolist()
    assert np.all(frame["predicted"] >= 0)


@pytest.mark.parametrize("name", ["log_linear", "random_forest", "xgboost"])
def test_real_targets_are_predicted(examples: Examples, name: str) -> None:
    predictions = out_of_fold(spec_of(name), examples, SETTINGS, 0)
    assert log_r2(predictions, examples, "by lineage") > 0.7


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["log_linear", "random_forest", "xgboost"])
def test_permuted_targets_are_not(examples: Examples, name: str, seed: int) -> None:
    permuted = permuted_targets(examples, seed)
    predictions = out_of_fold(spec_of(name), permuted, SETTINGS, 0)
    assert log_r2(predictions, permuted, "by lineage") <= 0.05


@pytest.mark.parametrize("name", ["random_forest", "xgboost"])
def test_permuted_targets_are_predicted_from_a_planted_leak(examples: Examples, name: str) -> None:
    """So that the law above can fail: the epoch at which the run ended is among the features."""
    permuted = permuted_targets(examples, 0)
    leak = [permuted.elapsed, permuted.elapsed + permuted.remaining]
    leaking = replace(permuted, X=np.column_stack([permuted.X[:, :3], *leak]).astype(np.float32))
    predictions = out_of_fold(spec_of(name), leaking, SETTINGS, 0)
    assert log_r2(predictions, leaking, "by lineage") > 0.4


def permuted_targets(examples: Examples, seed: int) -> Examples:
    order = np.random.default_rng(seed).permutation(examples.remaining.size)
    return replace(examples, remaining=examples.remaining[order])


def test_every_run_weighs_the_same_in_a_fit(examples: Examples) -> None:
    """Its drawn rows together, and its landmarks together at a smaller weight."""
    uneven = examples.take(np.arange(examples.run.size) % 7 != 0)
    weights = fit_time(RECORDER, uneven, 0).weights_
    drawn, landmarks = (
        np.bincount(uneven.run[rows], weights=weights[rows])
        for rows in (uneven.sampled, ~uneven.sampled)
    )
    for totals, weight in ((drawn, 1.0), (landmarks, LANDMARK_WEIGHT)):
        np.testing.assert_allclose(totals[totals > 0], weight * drawn.max())


@pytest.mark.parametrize(
    ("availability", "columns"), [("all", slice(None)), ("loss_only", LOSS_ONLY)]
)
def test_a_model_of_less_sees_the_same_rows_and_fewer_columns(
    examples: Examples, availability: str, columns: Any
) -> None:
    model = fit_time(RECORDER, examples, 0, availability)
    np.testing.assert_array_equal(model.X_, examples.X[:, columns])
    np.testing.assert_array_equal(model.y_, examples.remaining)


@pytest.mark.parametrize("known", [True, False])
def test_where_the_loss_tells_all_or_nothing_one_model_is_enough(
    examples: Examples, known: bool
) -> None:
    same = replace(examples, loss_only=np.full(len(NAMES), known))
    predictions = out_of_fold(spec_of("linear"), same, SETTINGS, 0)
    assert set(predictions["availability"].to_pylist()) == {"all"}


def test_the_loss_alone_is_worth_less_but_not_nothing(examples: Examples) -> None:
    frame = out_of_fold(spec_of("xgboost"), examples, SETTINGS, 0).to_pandas()
    frame = frame[frame["split"] == "by lineage"]
    error = np.log1p(frame["predicted"]) - np.log1p(examples.remaining[frame["row"]])
    by_input = np.square(error).groupby(frame["availability"]).mean()
    assert by_input["loss_only"] < 0.7 * np.log1p(examples.remaining).var()
    assert by_input["all"] < by_input["loss_only"] * 1.2


def test_the_classifier_tells_who_converges() -> None:
    train, test = draw_examples(1), draw_examples(2)
    probability = fit_converges(train, 0).predict_proba(test.X)[:, 1]
    assert probability[test.converged].mean() > probability[~test.converged].mean() + 0.3


def described(name: str, view: View, **flags: bool) -> dict[str, Any]:
    usual = {"baseline": False, "probed": False, "loss_only": False}
    return {"name": name, "view": view.value, **usual, **flags}


DICTIONARY = [
    described("a", View.CAUSAL, loss_only=True),
    described("b", View.ORACLE),
    described("c", View.CAUSAL, baseline=True),
    described("d", View.CAUSAL, probed=True),
    described("e", View.CAUSAL),
]


@pytest.mark.parametrize(
    ("view", "names"), [(View.CAUSAL, ("a", "e")), (View.ORACLE, ("a", "b", "e"))]
)
def test_a_view_has_its_features_and_none_of_a_baseline_or_a_probe(
    view: View, names: tuple[str, ...]
) -> None:
    assert feature_names(DICTIONARY, RECORDER, view) == names
    assert feature_names(DICTIONARY, replace(RECORDER, columns=("c",)), view) == ("c",)


def test_examples_are_read_from_a_table() -> None:
    table = pa.table(
        {
            "run_id": ["r", "r", "q"],
            "lineage_id": ["l", "l", "k"],
            "epoch": pa.array([0, 3, 1], pa.int32()),
            "remaining": pa.array([5, 2, None], pa.int32()),
            "observed": pa.array([5, 2, 7], pa.int32()),
            "converged": [True, True, False],
            "sampled": [True, False, True],
            "a": pa.array([1.0, 2.0, 3.0], pa.float32()),
            "b": pa.array([4.0, np.nan, 6.0], pa.float32()),
            "c": pa.array([np.nan] * 3, pa.float32()),
            "e": pa.array([np.nan] * 3, pa.float32()),
        }
    )
    found = examples_of_view(table, DICTIONARY, RECORDER, View.ORACLE)
    assert found.names == ("a", "b")  # nothing is known of e
    np.testing.assert_array_equal(found.X, [[1, 4], [2, np.nan], [3, 6]])
    np.testing.assert_array_equal(found.remaining, [5, 2, np.nan])
    np.testing.assert_array_equal(found.observed, [5, 2, 7])
    assert found.run.tolist() == [1, 1, 0]
    assert found.lineage.tolist() == [1, 1, 0]
    assert found.loss_only.tolist() == [False, False]  # nobody has a final state and the loss alone
    causal = examples_of_view(table, DICTIONARY, RECORDER, View.CAUSAL)
    assert dict(zip(causal.names, causal.loss_only, strict=True)) == {"a": True}
    assert found.weight.tolist() == [1.0, LANDMARK_WEIGHT, 1.0]
    asked = examples_of_view(table, DICTIONARY, replace(RECORDER, columns=("c",)), View.CAUSAL)
    assert asked.names == ("c",)


def test_ranges_of_a_bundle_are_those_of_the_values_that_are_known() -> None:
    every = draw_examples()
    X = every.X.copy()
    X[::2, 3] = np.nan
    gappy = replace(every, X=X)
    facts = BundleFacts(bundle_id="gappy", target=1.0, vocabulary={}, training={}, scores={})
    none = ResidualQuantiles(levels=(), lower=(), upper=())
    intervals = dict.fromkeys(AVAILABILITIES, Intervals(quantiles=none, spread=None))
    folds = Folds(predictions=NO_PREDICTIONS, intervals=intervals)
    spec = replace(spec_of("xgboost"), candidates=())
    manifest, _ = build_bundle(spec, View.CAUSAL, gappy, folds, {}, facts, 0)
    assert manifest.ranges["log_lr"] == pytest.approx((X[1::2, 3].min(), X[1::2, 3].max()))


def test_every_fold_is_numbered_within_its_split(examples: Examples) -> None:
    frame = out_of_fold(spec_of("linear"), examples, SETTINGS, 0).to_pandas()
    for _, part in frame.groupby("split"):
        assert set(part["fold"]) == set(range(SETTINGS.folds))
        assert (part.groupby("row")["fold"].nunique() == 1).all()
    grouped = frame[frame["split"] == "by lineage"]
    lineage = examples.lineage[grouped["row"]]
    assert (grouped["fold"].groupby(lineage).nunique() == 1).all()


@pytest.mark.parametrize("name", ["linear", "xgboost"])
def test_a_bundle_predicts_what_its_estimator_did(tmp_path: Path, name: str) -> None:
    spec, every = spec_of(name), draw_examples(3)
    predictions = out_of_fold(spec, every, SETTINGS, 0)
    manifest, files = build_bundle(
        spec,
        View.CAUSAL,
        every,
        Folds(
            predictions=predictions,
            intervals=intervals_of(predictions, every, 0, adaptive=True),
        ),
        {name: fit_converges(every, 0, name) for name in AVAILABILITIES},
        BundleFacts(
            bundle_id=f"{name}-causal",
            target=1e-6,
            vocabulary={"optimizer": ("sgd",), "activation": ("abs",)},
            training={"n_runs": 2 * N_LINEAGES},
            scores=fold_scores(predictions, every),
        ),
        root_seed=0,
    )
    save_bundle(tmp_path / manifest.bundle_id, manifest, files)
    bundle = load_bundle(tmp_path / f"{name}-causal")
    assert bundle.manifest.features == NAMES
    assert bundle.manifest.scores == fold_scores(predictions, every)
    assert bundle.manifest.ranges["log_lr"][0] == pytest.approx(every.X[:, 3].min())
    predictor = predictor_of(bundle, level=0.9, jobs=1)
    everything = np.ones(every.run.size, dtype=np.bool_)
    forecast = predictor.forecast(every.X, every.elapsed, everything, ~everything)
    model = fit_time(settled_by_folds(spec, predictions, "all"), every, 0)
    expected = predict_remaining(model, SCALES[spec.scale], every.X, every.elapsed)
    np.testing.assert_allclose(forecast.remaining, expected, rtol=1e-9)
    np.testing.assert_allclose(
        forecast.p_converges, fit_converges(every, 0).predict_proba(every.X)[:, 1], rtol=1e-6
    )
    of_the_loss = predictor.forecast(every.X, every.elapsed, ~everything, ~everything)
    model = fit_time(settled_by_folds(spec, predictions, "loss_only"), every, 0, "loss_only")
    known = every.inputs("loss_only")
    expected = predict_remaining(model, SCALES[spec.scale], known, every.elapsed)
    np.testing.assert_allclose(of_the_loss.remaining, expected, rtol=1e-9)
    whether = fit_converges(every, 0, "loss_only").predict_proba(known)[:, 1]
    np.testing.assert_allclose(of_the_loss.p_converges, whether, rtol=1e-6)


def test_the_published_settings_are_those_that_most_folds_chose() -> None:
    spec = replace(spec_of("xgboost"), candidates=({}, {"max_depth": 2}, {"max_depth": 3}))
    table = pa.table(
        {
            "split": ["by lineage"] * 6 + ["row-wise"] * 3,
            "availability": ["all"] * 4 + ["loss_only"] * 2 + ["all"] * 3,
            "fold": [0, 0, 1, 2, 0, 1, 0, 1, 2],
            "candidate": [0, 0, 1, 1, 2, 2, 0, 0, 0],
        }
    )
    assert settled_by_folds(spec, table, "all").candidates == ({"max_depth": 2},)
    assert settled_by_folds(spec, table, "loss_only").candidates == ({"max_depth": 3},)
    assert settled_by_folds(replace(spec, candidates=()), table, "all").candidates == ()


def test_censored_runs_of_the_test_lineages_are_not_learnt_from() -> None:
    every = draw_examples(5)
    half = np.isin(every.lineage % 2, 0)
    mixed = replace(every, converged=every.converged & (half | (every.run % 2 == 0)))
    mixed = replace(mixed, remaining=np.where(mixed.converged, every.observed, np.nan))
    seen: list[tuple[set[int], set[int]]] = []

    class Spy(Recorder):
        def fit(self, X: Any, y: Any, sample_weight: Any = None, upper: Any = None) -> Any:
            assert np.isinf(upper).any()
            self.trained_ = {tuple(row) for row in np.asarray(X).tolist()}
            return super().fit(X, y, sample_weight)

        def predict(self, X: Any) -> Any:
            rows = {tuple(row): lineage for row, lineage in known}
            seen.append(
                (
                    {rows[row] for row in self.trained_},
                    {rows[tuple(row)] for row in np.asarray(X).tolist()},
                )
            )
            return super().predict(X)

    alone = replace(mixed, loss_only=np.ones(len(NAMES), dtype=np.bool_))
    known = list(zip(alone.X.tolist(), alone.lineage.tolist(), strict=True))
    spec = replace(RECORDER, censored=True, build=lambda _: Spy())
    out_of_fold(spec, alone, replace(SETTINGS, row_wise_folds=1), 0)
    by_lineage = seen[: SETTINGS.folds]
    assert all(trained.isdisjoint(tested) for trained, tested in by_lineage)
    censored = set(alone.lineage[~alone.converged].tolist())
    assert all(trained & censored for trained, _ in by_lineage)


def test_settings_are_chosen_on_folds_by_lineage(examples: Examples) -> None:
    class WithGroups(Recorder):
        def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
            self.groups_ = groups
            return super().fit(X, y, sample_weight)

    model: Any = fit_time(replace(RECORDER, build=lambda _: WithGroups()), examples, 0)
    np.testing.assert_array_equal(model.groups_, examples.lineage)
