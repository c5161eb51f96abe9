"""The fits that studies make themselves: splits without a leak, scores that are R^2."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score

from epochs_left.evaluation.refits import (
    FOLDS,
    group_features,
    left_out,
    log_r2,
    measured_rows,
    out_of_fold,
    refit,
    study_spec,
    view_features,
)
from epochs_left.schema import View

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))
N_LINEAGES = 30


class Memory(RegressorMixin, BaseEstimator):
    """Predicts whether the first feature was in training: 1 epoch if so, else 0."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray) -> Memory:  # noqa: ARG002
        self.X_ = X
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.isin(X[:, 0], self.X_[:, 0]).astype(float)


MEMORY = replace(study_spec(), scale="epochs", build=lambda _: Memory())


def frame_of(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = planted["rows"](rng, N_LINEAGES)
    lineage = np.unique(rows["lineage_id"], return_inverse=True)[1]
    size = np.log1p(rows["remaining"])
    features = {"lineage_number": lineage, "size": size, "late": np.nan, "noise": rows["own"]}
    return planted["examples"](rows, features, sampled=rows["epoch"] != 1)


def context_of(frame: pd.DataFrame) -> Any:
    groups = dict.fromkeys(("lineage_number", "size", "late", "noise"), "made_up")
    dictionary = planted["dictionary"]({**groups, "noise": "other"}, oracle=("size",))
    return planted["context"](["xgboost"], examples=frame, dictionary=dictionary)


def test_out_of_fold_predictions_come_from_models_that_have_not_seen_the_lineage() -> None:
    frame = frame_of()
    found = out_of_fold(context_of(frame), ("lineage_number",), frame, MEMORY)
    np.testing.assert_array_equal(found, 0.0)
    seen = refit(context_of(frame), ("lineage_number",), frame, frame, MEMORY)
    np.testing.assert_array_equal(seen, 1.0)


@pytest.mark.parametrize("label", ["lineage_number", "group_number"])
def test_a_group_that_is_left_out_is_seen_by_none_nor_are_its_lineages(label: str) -> None:
    """Here every lineage has a run in the group, and one that is not."""
    frame = frame_of()
    group = frame["run_id"].isin(frame["run_id"].unique()[::2]).to_numpy()
    assert frame.loc[group, "lineage_id"].nunique() == N_LINEAGES
    frame = frame.assign(group_number=group.astype(float))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("epochs_left.evaluation.refits.study_spec", lambda: MEMORY)
        found = left_out(context_of(frame), (label,), frame, group)
    np.testing.assert_array_equal(found, np.zeros(group.sum()))


def test_what_is_left_out_leaves_the_other_lineages_to_learn_from() -> None:
    frame = frame_of()
    group = frame["run_id"].isin(frame["run_id"].unique()[::2]).to_numpy()
    trained: list[Memory] = []

    def build(_: int) -> Memory:
        trained.append(Memory())
        return trained[-1]

    with pytest.MonkeyPatch.context() as patch:
        spied = replace(MEMORY, build=build)
        patch.setattr("epochs_left.evaluation.refits.study_spec", lambda: spied)
        left_out(context_of(frame), ("lineage_number",), frame, group)
    seen = [set(model.X_[:, 0]) for model in trained]
    assert [len(lineages) for lineages in seen] == [N_LINEAGES * (FOLDS - 1) // FOLDS] * FOLDS


def test_a_feature_that_tells_all_is_learnt_and_noise_is_not() -> None:
    frame = frame_of()
    context = context_of(frame)
    told = log_r2(context, frame, out_of_fold(context, ("size",), frame), "test")
    noise = log_r2(context, frame, out_of_fold(context, ("noise",), frame), "test")
    assert told["estimate"] > 0.9
    assert noise["estimate"] < 0.05
    for score in (told, noise):
        assert score["lower"] <= score["estimate"] <= score["upper"]
        assert score["n_lineages"] == N_LINEAGES
        assert score["n_rows"] == frame["sampled"].sum()


@pytest.mark.parametrize("seed", range(3))
def test_score_is_the_r2_of_the_drawn_rows_with_every_run_weighing_the_same(seed: int) -> None:
    frame = frame_of(seed)
    noise = np.random.default_rng(seed).normal(0, 0.3, len(frame))
    predicted = np.expm1(np.log1p(frame["remaining"].to_numpy()) + noise)
    drawn = frame["sampled"].to_numpy()
    weight = 1 / frame[drawn].groupby("run_id")["epoch"].transform("size")
    expected = r2_score(
        np.log1p(frame["remaining"])[drawn], np.log1p(predicted)[drawn], sample_weight=weight
    )
    found = log_r2(context_of(frame), frame, predicted, "test")
    assert found["estimate"] == pytest.approx(expected, rel=1e-9)


def test_the_scale_of_a_study_tells_nothing_of_the_epochs_elapsed() -> None:
    """R is t times a constant: who knows nothing of t explains nothing."""
    frame = frame_of()
    frame = frame.assign(remaining=10.0 * (frame["epoch"] + 1))
    found = log_r2(context_of(frame), frame, out_of_fold(context_of(frame), ("noise",), frame), "t")
    assert found["estimate"] < 0.05


def test_features_of_a_view_are_those_that_some_example_knows() -> None:
    context = context_of(frame_of())
    assert view_features(context, View.CAUSAL) == ("lineage_number", "noise")
    assert view_features(context, View.ORACLE) == ("lineage_number", "size", "noise")
    assert group_features(context, ("other",)) == ("noise",)


def test_studies_keep_whole_lineages_and_no_more_runs_than_they_may() -> None:
    frame = frame_of()
    context = planted["context"](["xgboost"], settings={"study_runs": 20}, examples=frame)
    chosen = context.study
    assert chosen["run_id"].nunique() == 20
    whole = frame[frame["lineage_id"].isin(chosen["lineage_id"])]
    assert len(chosen) == len(whole)


def test_studies_see_neither_the_locked_nor_the_unconverged() -> None:
    frame = frame_of()
    locked, open_ended = frame["lineage_id"] < "l0005", frame["run_id"] > "r0055"
    context = context_of(frame.assign(locked=locked, converged=~open_ended))
    assert not set(context.study["lineage_id"]) & set(frame.loc[locked, "lineage_id"])
    assert not set(context.study["run_id"]) & set(frame.loc[open_ended, "run_id"])
    assert context.study["lineage_id"].nunique() >= FOLDS


def test_features_of_measured_states_are_judged_where_they_were_measured() -> None:
    frame = frame_of()
    known = frame["lineage_id"].isin(frame["lineage_id"].unique()[::2])
    frame = frame.assign(size=frame["size"].where(known))
    context = context_of(frame)
    for entry in context.dictionary:
        entry["probed"] = entry["name"] == "size"
    part = measured_rows(context, frame, ("size", "noise"))
    assert set(part["lineage_id"]) == set(frame.loc[known, "lineage_id"])
    assert part.index.tolist() == list(range(len(part)))
    assert measured_rows(context, frame, ("noise",)) is frame
