"""A tracker that is told the learning rate of each epoch (10 s)."""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker
from epochs_left.live.watching import Watcher
from epochs_left.prediction.predictor import Predictor

helper = runpy.run_path(str(Path(__file__).parents[1] / "prediction" / "rates_predictor.py"))
answered, log_of = helper["answered"], helper["log_of"]
SEEDS = range(3)
NUMBERS = ["epochs_remaining", "lower", "upper", "p_converges"]
GOAL: dict[str, Any] = {"plateau": 0.02, "horizon": 60}
#: What is stated beside the rate of each epoch; a base rate where a schedule has one.
SAID: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a base rate": {"lr": 0.1},
    "a schedule alone": {"lr_schedule": "cosine"},
    "a schedule": {"lr": 0.1, "lr_schedule": "cosine"},
    "steps of one's own": {"lr": 0.1, "lr_schedule": "step:0.3,0.6x0.2"},
}


@pytest.fixture(scope="module")
def of_rates() -> Predictor:
    """A predictor whose answers hang on every feature of the rates."""
    return cast(Predictor, helper["rates_predictor"]())


def told(
    log: pd.DataFrame, predictor: Predictor, *, tracker: EtaTracker | None = None, **stated: Any
) -> list[Eta]:
    """Tell a tracker a log row by row."""
    used = tracker or EtaTracker(**GOAL, model_bundle=predictor, **stated)
    return [
        used.update(loss=row.loss, epoch=row.epoch, lr=row.lr)
        for row in log.itertuples(index=False)
    ]


def as_table(etas: Sequence[Eta | None]) -> pd.DataFrame:
    return pd.DataFrame(
        [[getattr(eta, name) for name in (*NUMBERS, "status", "reason")] for eta in etas],
        columns=[*NUMBERS, "status", "reason"],
    )


def assert_alike(etas: Sequence[Eta | None], answer: pd.DataFrame) -> None:
    expected = answer[[*NUMBERS, "status", "reason"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        as_table(etas), expected, check_exact=True, check_dtype=False, check_column_type=False
    )


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("seed", SEEDS)
def test_live_answers_are_those_of_a_log_with_the_column(
    of_rates: Predictor, seed: int, said: str
) -> None:
    log = log_of(seed)
    labels = {name: value for name, value in SAID[said].items() if name != "lr"}
    live = told(log, of_rates, **SAID[said])
    assert_alike(live, answered(log.assign(**labels)))
    assert len({eta.epochs_remaining for eta in live}) > 30


@pytest.mark.parametrize("gap", [1, 10])
@pytest.mark.parametrize("zeros", [[0], [0, 1, 2], [17, 18, 40]])
def test_rates_of_zero_are_told_as_a_log_has_them(
    of_rates: Predictor, zeros: list[int], gap: int
) -> None:
    log = log_of(0, epoch=gap * np.arange(41))
    log.loc[zeros, "lr"] = 0.0
    goal = {**GOAL, "horizon": 60 * gap}
    tracker = EtaTracker(**goal, model_bundle=of_rates)
    aim = type(helper["AIM"])(**goal)
    assert_alike(told(log, of_rates, tracker=tracker), answered(log, aim=aim))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rate_that_was_not_told_is_a_missing_cell(of_rates: Predictor, seed: int) -> None:
    log = log_of(seed)
    log.loc[25, "lr"] = np.nan
    live = told(log, of_rates)
    assert_alike(live, answered(log))
    assert {eta.reason for eta in live[25:]} == {"predicted from the loss alone"}
    silent = EtaTracker(**GOAL, model_bundle=of_rates)
    without = [silent.update(loss=loss, epoch=t) for t, loss in enumerate(log["loss"])]
    assert_alike(without, answered(log.drop(columns="lr")))
    none = told(log.assign(lr=None), of_rates)
    pd.testing.assert_frame_equal(as_table(none), as_table(without))


@pytest.mark.parametrize("said", SAID)
def test_on_a_grid_rates_and_plan_are_those_of_its_points(of_rates: Predictor, said: str) -> None:
    """An even curve in another unit, of which an epoch is no whole number."""
    log = log_of(0)
    goal = {**GOAL, "horizon": 90.0}
    tracker = EtaTracker(**goal, model_bundle=of_rates, **SAID[said])
    live = told(log.assign(epoch=1.5 * log["epoch"]), of_rates, tracker=tracker)
    labels = {name: value for name, value in SAID[said].items() if name != "lr"}
    expected = 1.5 * answered(log.assign(**labels))["epochs_remaining"]
    found = [eta.epochs_remaining for eta in live]
    np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_later_rates_never_change_earlier_answers(of_rates: Predictor, seed: int) -> None:
    """On an uneven curve too, where they lie between two evaluations."""
    epochs = np.cumsum(np.random.default_rng(seed).uniform(0.5, 1.5, 41))
    log = log_of(seed, epoch=epochs)
    other = log.assign(lr=np.where(np.arange(41) < 20, log["lr"], 0.9))
    live, changed = (as_table(told(each, of_rates)) for each in (log, other))
    pd.testing.assert_frame_equal(changed[:20], live[:20])
    assert not (changed[21:] == live[21:])["epochs_remaining"].any()


@pytest.mark.parametrize("cut", [1, 13, 40])
@pytest.mark.parametrize("said", ["nothing", "a schedule"])
def test_a_resumed_tracker_knows_the_rates_so_far(of_rates: Predictor, said: str, cut: int) -> None:
    log = log_of(0)
    whole = as_table(told(log, of_rates, **SAID[said]))
    before, after = (EtaTracker(**GOAL, model_bundle=of_rates, **SAID[said]) for _ in range(2))
    told(log[:cut], of_rates, tracker=before)
    state = json.loads(json.dumps(before.state_dict(), allow_nan=False))
    assert state["values"]["recorded_lr"] == log["lr"][:cut].tolist()
    after.load_state_dict(state)
    resumed = as_table(told(log[cut:], of_rates, tracker=after))
    pd.testing.assert_frame_equal(resumed, whole[cut:].reset_index(drop=True))


def test_a_state_that_knows_no_rates_is_refused(of_rates: Predictor) -> None:
    tracker = EtaTracker(**GOAL, model_bundle=of_rates)
    told(log_of(0)[:5], of_rates, tracker=tracker)
    state = tracker.state_dict()
    older = {**state, "values": {k: v for k, v in state["values"].items() if k != "recorded_lr"}}
    for refused, message in (
        (older, "damaged state of a tracker"),
        ({**state, "version": 1}, "expected a state of version 2, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            EtaTracker(**GOAL, model_bundle=of_rates).load_state_dict(refused)


def test_going_back_in_time_forgets_the_rates_that_came_after(of_rates: Predictor) -> None:
    log = log_of(1)
    straight = as_table(told(log, of_rates))
    detour = pd.concat([log[:20], log[15:20].assign(lr=7.0), log[12:]])
    back = as_table(told(detour, of_rates))[25:].reset_index(drop=True)
    pd.testing.assert_frame_equal(back, straight[12:].reset_index(drop=True))


@pytest.mark.parametrize("columns", [{}, {"lr_schedule": "cosine"}, {"lr_schedule": "step:.4"}])
@pytest.mark.parametrize("zeros", [[], [20]])
@pytest.mark.parametrize("seed", SEEDS)
def test_watching_a_log_is_predicting_it(
    of_rates: Predictor, seed: int, zeros: list[int], columns: dict[str, str]
) -> None:
    log = log_of(seed, **columns)
    log.loc[zeros, "lr"] = 0.0
    runs, run_names, label_names, _ = helper["read"](log)

    def make(horizon: float | None, settings: Any) -> EtaTracker:
        assert horizon is None
        return EtaTracker(**GOAL, model_bundle=of_rates, **settings)

    source: Any = SimpleNamespace(run_names=run_names, label_names=label_names)
    seen = Watcher(make).take(source, runs.rows, written=0.0, every=True)
    assert_alike([row.eta for row in seen], answered(log))


@pytest.mark.parametrize("first", [0.0, np.nan])
def test_a_first_rate_that_is_none_is_watched_without_a_base_rate(
    of_rates: Predictor, first: float
) -> None:
    log = log_of(0)
    log.loc[0, "lr"] = first
    runs, run_names, label_names, _ = helper["read"](log)
    found: list[dict[str, Any]] = []

    def make(_: float | None, settings: Any) -> EtaTracker:
        found.append(dict(settings))
        return EtaTracker(**GOAL, model_bundle=of_rates, **settings)

    source: Any = SimpleNamespace(run_names=run_names, label_names=label_names)
    seen = list(Watcher(make).take(source, runs.rows, written=0.0, every=True))
    assert found == [{}]
    assert_alike([row.eta for row in seen], answered(log))
