"""What an explanation promises: sums, and what it compares a row with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.prediction.aims import Aim
from epochs_left.prediction.cells import Names
from epochs_left.prediction.explanations import Explanation, explain
from epochs_left.prediction.histories import LAST
from epochs_left.prediction.layout import ColumnChoice, OnBad, resolve
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import RowReader
from epochs_left.prediction.runs import in_order
from epochs_left.storage.bundles import load_bundle

TREES = ("xgboost/neuron-causal", "loss-causal")
MODELS = (*TREES, "linear-causal")
COMPLETE = ["epoch", "loss", "grad_norm", "lr"]
LOSS_ALONE = ["epoch", "loss"]


@pytest.fixture
def explained(models: Path, predictor: Callable[..., Predictor]) -> Callable[..., Explanation]:
    """Explain a row of a run."""

    def explained(
        run: pd.DataFrame, model: str, at: int | str = LAST, aim: Aim | None = None
    ) -> Explanation:
        table = pa.Table.from_pandas(run, preserve_index=False)
        reader = RowReader(
            layout=resolve(table.column_names, ColumnChoice()),
            on_bad=OnBad.FLAG,
            with_params=False,
            run_names=Names(),
            label_names=Names(),
            default_run="log",
        )
        (rows,) = reader.read([table])
        used = predictor(model)
        return explain(
            in_order(rows, reader.run_names.texts),
            load_bundle(models / model),
            used,
            aim=aim or Aim(target=used.manifest.target),
            at=at,
            run_names=reader.run_names.texts,
            label_names=reader.label_names.texts,
        )

    return explained


@pytest.fixture(scope="session")
def runs(log: pd.DataFrame) -> Sequence[pd.DataFrame]:
    """Runs that have some way to go."""
    found = [run for _, run in log.groupby("run_id") if len(run) > 8 and run["loss"].min() > 1e-3]
    return found[:6]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("columns", [COMPLETE, LOSS_ALONE])
def test_contributions_add_up_to_the_prediction(
    explained: Any,
    runs: Sequence[pd.DataFrame],
    predictor: Callable[..., Predictor],
    model: str,
    columns: list[str],
) -> None:
    for run in runs:
        found = explained(run[columns], model)
        total = sum(item.contribution for item in found.contributions)
        assert found.value == pytest.approx(found.base + total + found.left_over, rel=1e-9)
        elapsed = np.array([float(run["epoch"].iloc[-1])])
        left = predictor(model).scale.inverse(np.array([found.value]), elapsed)
        assert left[0] == pytest.approx(found.answer["epochs_remaining"], rel=1e-9)


@pytest.mark.parametrize("model", TREES)
def test_trees_leave_nothing_over(explained: Any, runs: Sequence[pd.DataFrame], model: str) -> None:
    for run in runs:
        found = explained(run[COMPLETE], model)
        assert abs(found.left_over) < 1e-4
        assert any(item.contribution for item in found.contributions)


def test_what_is_not_known_contributes_nothing_to_the_loss_alone(
    explained: Any, runs: Sequence[pd.DataFrame]
) -> None:
    found = explained(runs[0][LOSS_ALONE], "xgboost/neuron-causal")
    assert found.loss_alone
    assert set(found.missing) == {"grad_norm", "lr"}
    unknown = [item for item in found.contributions if math.isnan(item.value)]
    assert {item.feature for item in unknown} >= {"log_lr", "log_grad_norm"}
    assert all(item.contribution == 0 for item in unknown)


def test_a_feature_as_usual_changes_nothing_in_a_linear_model(
    explained: Any, runs: Sequence[pd.DataFrame], predictor: Callable[..., Predictor]
) -> None:
    found = explained(runs[0][COMPLETE], "linear-causal")
    novelty = predictor("linear-causal").novelty
    assert novelty is not None
    names = predictor("linear-causal").manifest.features
    median = dict(zip(names, np.nanmedian(novelty.reference, axis=0), strict=True))
    away = {i.feature: abs(i.value - median[i.feature]) for i in found.contributions}
    still = [i for i in found.contributions if away[i.feature] == 0]
    assert all(item.contribution == pytest.approx(0, abs=1e-9) for item in still)
    assert abs(found.left_over) < 1e-3 * (1 + abs(found.value or 0)), "no interactions"


def test_groups_hold_every_feature_once_the_largest_first(
    explained: Any, runs: Sequence[pd.DataFrame]
) -> None:
    found = explained(runs[0][COMPLETE], "xgboost/neuron-causal")
    groups = found.by_group()
    features = [item.feature for _, _, members in groups for item in members]
    assert sorted(features) == sorted(item.feature for item in found.contributions)
    sizes = [abs(total) for _, total, _ in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert all(found.titles[name] for name, _, _ in groups)


def test_a_value_outside_its_range_is_marked(explained: Any, runs: Sequence[pd.DataFrame]) -> None:
    usual, wild = runs[0][COMPLETE], runs[0][COMPLETE].assign(lr=1e-7)
    for run, expected in ((usual, set()), (wild, {"log_lr"})):
        found = explained(run, "xgboost/neuron-causal")
        assert {item.feature for item in found.contributions if item.outside} >= expected
        named = {item.feature for item in found.contributions if item.outside}
        assert ("log_lr" in named) == bool(expected)


@pytest.mark.parametrize("at", [3, 6])
def test_an_earlier_row_is_explained_as_if_the_run_had_ended_there(
    explained: Any, runs: Sequence[pd.DataFrame], at: int
) -> None:
    run = runs[0][COMPLETE]
    assert explained(run, "xgboost/neuron-causal", at) == explained(
        run[run["epoch"] <= at], "xgboost/neuron-causal"
    )


def test_without_a_prediction_there_is_nothing_to_explain(explained: Any) -> None:
    short = pd.DataFrame({"epoch": [0], "loss": [1.0]})
    found = explained(short, "xgboost/neuron-causal")
    assert (found.value, found.contributions) == (None, ())
    assert found.answer["status"] == "insufficient_history"


def test_a_plateau_is_explained_by_its_own_features(
    explained: Any, runs: Sequence[pd.DataFrame]
) -> None:
    aim = Aim(plateau=0.003, horizon=79)
    found = explained(runs[0][LOSS_ALONE], "plateau-causal", aim=aim)
    values = {item.feature: item.value for item in found.contributions}
    assert values["log_plateau_share"] == pytest.approx(math.log(0.003))
    left = 79 - runs[0]["epoch"].iloc[-1]
    assert values["log_epochs_to_plateau_horizon"] == pytest.approx(math.log1p(left))
    assert not found.missing


@pytest.mark.parametrize(("model", "is_factor"), [("linear-causal", False), (TREES[0], True)])
def test_a_factor_is_the_exponential_where_the_scale_is_logarithmic(
    explained: Any, runs: Sequence[pd.DataFrame], model: str, is_factor: bool
) -> None:
    found = explained(runs[0][COMPLETE], model)
    assert found.factor(0.0) == (1.0 if is_factor else None)
