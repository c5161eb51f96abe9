"""Logs in pieces, on threads, towards a loss or a plateau."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.dynamics.schedules import SCHEDULES, learning_rates
from epochs_left.dynamics.targets import plateau_epoch
from epochs_left.errors import DataError, UsageError
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.assemble import blocks
from epochs_left.prediction.cells import Names
from epochs_left.prediction.histories import Histories, histories
from epochs_left.prediction.layout import ColumnChoice, OnBad, resolve
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import RowReader
from epochs_left.prediction.runs import in_order

Answer = Callable[..., pd.DataFrame]
SHARE, HORIZON = 0.003, 79
PLATEAU = {"model": "plateau-causal", "plateau": SHARE, "horizon": HORIZON}


@pytest.mark.parametrize("model", ["xgboost/neuron-causal", "linear-causal"])
@pytest.mark.parametrize("jobs", [2, 5])
@pytest.mark.parametrize("piece_rows", [1, 90, 2**16])
def test_threads_and_pieces_never_matter(
    answer: Answer,
    log: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    jobs: int,
    piece_rows: int,
) -> None:
    expected = answer(log, model=model)
    monkeypatch.setattr("epochs_left.prediction.batch.PIECE_ROWS", piece_rows)
    found = answer(log, model=model, jobs=jobs, batch_rows=200)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("cells", [1, 100, 2**20])
def test_blocks_never_matter(
    answer: Answer, log: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    expected = answer(log)
    monkeypatch.setattr("epochs_left.prediction.assemble.MAX_BLOCK_CELLS", cells)
    monkeypatch.setattr("epochs_left.prediction.measured.STRETCH", 7)
    pd.testing.assert_frame_equal(answer(log), expected, check_exact=True)


def test_an_error_on_a_thread_is_that_of_one_thread(answer: Answer, log: pd.DataFrame) -> None:
    four = log.assign(**{f"param_{i}": 1.0 for i in range(4)})
    for jobs in (1, 3):
        with pytest.raises(DataError, match=r"expected 3 parameters .* found 4"):
            answer(four, model="params-causal", jobs=jobs)


def test_only_rows_that_are_asked_for_are_predicted(
    answer: Answer, log: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = []

    def counted(self: Predictor, features: Any, *rest: Any) -> Any:
        predicted.append(len(features))
        return whole(self, features, *rest)

    whole = Predictor.forecast
    monkeypatch.setattr(Predictor, "forecast", counted)
    found = answer(log, at="last")
    assert sum(predicted) <= len(found) == log["run_id"].nunique()


def plateau_log(draw_curves: Callable[..., Any], n_runs: int = 20) -> pd.DataFrame:
    loss = draw_curves(seed=7, n_runs=n_runs).loss
    run, epoch = np.nonzero(np.ones_like(loss))
    return pd.DataFrame({"run_id": [f"r{i}" for i in run], "epoch": epoch, "loss": loss.ravel()})


def test_before_the_horizon_nobody_knows_and_then_the_truth_is_told(
    answer: Answer, draw_curves: Callable[..., Any]
) -> None:
    log = plateau_log(draw_curves)
    found = answer(log, **PLATEAU).reset_index()
    early = found[(found["epoch"] >= 1) & (found["epoch"] < HORIZON)]
    assert set(early["status"]) <= {"ok", "out_of_distribution"}
    assert early["epochs_remaining"].notna().all()
    for name, run in log.groupby("run_id"):
        there = plateau_epoch(run["loss"].to_numpy(), SHARE) is not None
        last = found[(found["run_id"] == name) & (found["epoch"] == HORIZON)].iloc[0]
        assert last["status"] == ("already_converged" if there else "ok")
        assert last["p_converges"] == float(there)
        assert last["epochs_remaining"] == 0 or (np.isnan(last["epochs_remaining"]) and not there)


def test_plateaus_are_predicted_well(answer: Answer, draw_curves: Callable[..., Any]) -> None:
    log = plateau_log(draw_curves, 40)
    found = answer(log, **PLATEAU).reset_index()
    curves = log.groupby("run_id")["loss"]
    begins = {name: plateau_epoch(loss.to_numpy(), SHARE) for name, loss in curves}
    found["truth"] = found["run_id"].map(begins).astype(float) - found["epoch"]
    rows = found[(found["epoch"] >= 10) & (found["truth"] > 0)]
    error = np.abs(np.log1p(rows["epochs_remaining"]) - np.log1p(rows["truth"]))
    assert len(rows) > 100
    assert error.median() < 0.2


def test_the_horizon_of_the_log_goes_before_the_option(
    answer: Answer, draw_curves: Callable[..., Any]
) -> None:
    log = plateau_log(draw_curves, 4)
    stated = log.assign(horizon=HORIZON)
    expected = answer(log, **PLATEAU)
    for option in (None, 10):
        found = answer(stated, **{**PLATEAU, "horizon": option})
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_run_without_a_horizon_has_no_plateau(
    answer: Answer, draw_curves: Callable[..., Any]
) -> None:
    log = plateau_log(draw_curves, 2)
    partly = log.assign(horizon=np.where(log["run_id"] == "r0", HORIZON, np.nan))
    found = answer(partly, **{**PLATEAU, "horizon": None})
    assert set(found.loc["r1", "status"]) == {"insufficient_history"}
    assert found.loc["r1", "reason"].str.startswith("no horizon").all()
    with pytest.raises(UsageError, match="pass --horizon EPOCHS, or add a column horizon"):
        answer(log, **{**PLATEAU, "horizon": None})


@pytest.mark.parametrize("unit", [3, 10])
def test_a_plateau_has_no_unit_of_time(
    answer: Answer, draw_curves: Callable[..., Any], unit: int
) -> None:
    log = plateau_log(draw_curves, 4)
    coarse = log.assign(epoch=log["epoch"] * unit)
    fine = answer(log, **PLATEAU)
    found = answer(coarse, **{**PLATEAU, "horizon": HORIZON * unit})
    numbers = ["epochs_remaining", "lower", "upper"]
    np.testing.assert_allclose(found[numbers], fine[numbers] * unit, rtol=1e-12)
    assert found["status"].tolist() == fine["status"].tolist()


def test_a_horizon_serves_the_models_that_use_it(answer: Answer, log: pd.DataFrame) -> None:
    """None of these does: the answer is that without it."""
    pd.testing.assert_frame_equal(answer(log, horizon=500), answer(log), check_exact=True)


def read_histories(table: pa.Table) -> tuple[Histories, list[str]]:
    """The histories of a log, and the names in it."""
    reader = RowReader(
        layout=resolve(table.column_names, ColumnChoice()),
        on_bad=OnBad.ERROR,
        with_params=False,
        run_names=Names(),
        label_names=Names(),
        default_run="",
    )
    (rows,) = reader.read([table])
    runs = in_order(rows, reader.run_names.texts)
    return histories(runs, Aim(target=1e-3)), reader.label_names.texts


def test_a_plan_without_end_fills_no_memory(log: pd.DataFrame) -> None:
    """Thirty runs whose plans would take 240 GB."""
    rows = pa.Table.from_pandas(
        log.assign(lr_schedule="cosine", horizon=10**9), preserve_index=False
    )
    past, names = read_histories(rows)
    inputs = {"lr", "horizon", "planned_lr"}
    for block in blocks(past, past.predictable, inputs, names, Aim(target=1e-3)):
        assert block.trajectories.inputs["planned_lr"].shape[1] == 1
        assert np.isnan(block.trajectories.inputs["planned_lr"]).all()


@pytest.mark.parametrize("horizons", [[5, 200, 3000], [40]])
def test_plans_agree_with_one_run_at_a_time(log: pd.DataFrame, horizons: list[int]) -> None:
    code = log["run_id"].str.removeprefix("run-").astype(int)
    schedules = np.array(["cosine", "step", "one_cycle", "constant", "odd"])
    settings = log.assign(
        lr_schedule=schedules[code % 5], horizon=np.array(horizons)[code % len(horizons)]
    )
    rows = pa.Table.from_pandas(settings, preserve_index=False)
    past, names = read_histories(rows)
    inputs = {"lr", "horizon", "planned_lr", "lr_schedule"}
    n_seen = 0
    for block in blocks(past, past.predictable, inputs, names, Aim(target=1e-3)):
        given = block.trajectories.inputs
        for run, plan in enumerate(given["planned_lr"]):
            schedule, lr = given["lr_schedule"][run, 0], given["lr"][run, 0]
            known = plan[~np.isnan(plan)]
            expected = (
                learning_rates(schedule, lr, int(given["horizon"][run, 0]))
                if schedule in SCHEDULES
                else np.empty(0)
            )
            np.testing.assert_array_equal(known, expected)
            n_seen += 1
    assert n_seen > 10


@pytest.mark.parametrize("horizon", [10, 40, HORIZON])
def test_no_answer_about_a_plateau_passes_the_horizon(
    answer: Answer, draw_curves: Callable[..., Any], horizon: int
) -> None:
    found = answer(plateau_log(draw_curves, 20), **{**PLATEAU, "horizon": horizon}).reset_index()
    found = found.dropna(subset="epochs_remaining")
    left = np.maximum(horizon - found["epoch"], 0)
    assert len(found) > 100
    for column in ("epochs_remaining", "lower", "upper"):
        assert (found[column] <= left).all()
    assert (found["lower"] <= found["upper"]).all()
