"""Learning rates of a log: which one is in force, and what answers may know of it (12 s)."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.dynamics.schedules import OWN_STEPS_EXAMPLE, SCHEDULES, learning_rates
from epochs_left.errors import DataError
from epochs_left.prediction.aims import Aim

helper = runpy.run_path(str(Path(__file__).parent / "rates_predictor.py"))
AIM, answered, block_of, log_of, rates_of, read = (
    helper[name] for name in ("AIM", "answered", "block_of", "log_of", "rates_of", "read")
)
rates_predictor = helper["rates_predictor"]
SEEDS = range(4)
NAMES = [*SCHEDULES, OWN_STEPS_EXAMPLE]
#: What a log may say of its learning rates, beside the column lr: nothing, or a schedule.
SAID: dict[str, dict[str, Any]] = {name: {"lr_schedule": name} for name in NAMES}
SAID["nothing"] = {}
FEW = {name: SAID[name] for name in ("nothing", "cosine", OWN_STEPS_EXAMPLE)}


def in_force(log: pd.DataFrame, **options: Any) -> np.ndarray:
    """Return the rates of the one run of a log."""
    return np.asarray(block_of(log, **options).trajectories.inputs["lr_in_force"][0])


def planned(schedule: str, lr: float, epochs: np.ndarray, horizon: int = 60) -> np.ndarray:
    """Return the rate of the pass that each epoch ends; at epoch 0 that of the first."""
    rates = learning_rates(schedule, lr, horizon)
    return np.array([rates[min(max(t - 1, 0), horizon)] for t in epochs])


def ratios(rates: np.ndarray) -> np.ndarray:
    """Return rates in units of the first one: of a plateau nothing else counts."""
    return rates / rates[0]


@pytest.mark.parametrize("zeros", [[], [7], [20, 21, 22, 40]])
@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_schedule_the_rate_is_that_of_its_row(seed: int, zeros: list[int]) -> None:
    log = log_of(seed)
    log.loc[zeros, "lr"] = 0.0
    np.testing.assert_array_equal(in_force(log), log["lr"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("first", [0, 1, 7])
def test_a_rate_that_never_changes_is_the_base_of_the_plan(name: str, first: int) -> None:
    log = log_of(0, epoch=first + np.arange(41), lr=0.3, lr_schedule=name)
    expected = planned(name, 0.3, log["epoch"])
    np.testing.assert_allclose(ratios(in_force(log)), ratios(expected), rtol=1e-12)
    stated = {"lr": 0.3, "lr_schedule": name}
    told = in_force(log.drop(columns=["lr", "lr_schedule"]), stated=stated)
    np.testing.assert_allclose(told, expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_recorded_goes_before_the_plan_once_it_has_changed(seed: int, name: str) -> None:
    log = log_of(seed, lr_schedule=name)
    lr = log["lr"].to_numpy()
    first = int(np.argmax(lr != lr[0]))
    assert 3 <= first <= 12
    found, expected = in_force(log), planned(name, lr[0], log["epoch"])
    np.testing.assert_allclose(ratios(found[:first]), ratios(expected[:first]), rtol=1e-12)
    np.testing.assert_array_equal(found[first:], lr[first:])
    back = log_of(seed, lr=np.where(log["epoch"] == first, lr, lr[0]), lr_schedule=name)
    np.testing.assert_array_equal(in_force(back)[first + 1 :], lr[0])


@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_a_stated_rate_is_recorded_nowhere(schedule: str | None) -> None:
    log = log_of(0).drop(columns="lr")
    stated = {"lr": 0.3} | ({} if schedule is None else {"lr_schedule": schedule})
    assert "recorded_lr" not in read(log, stated)[0].rows.numbers
    assert "recorded_lr" in read(log_of(0))[0].rows.numbers
    assert block_of(log, stated=stated).knows("lr_in_force") == (schedule is not None)


def test_another_name_of_the_column_is_as_good() -> None:
    log = log_of(1)
    other = log.rename(columns={"lr": "learning_rate"})
    np.testing.assert_array_equal(in_force(other), in_force(log))


@pytest.mark.parametrize("schedule", ["polynomial", "step:2", ""])
def test_a_schedule_that_nobody_knows_is_none(schedule: str) -> None:
    log = log_of(2)
    block = block_of(log.assign(lr_schedule=schedule))
    assert not block.knows("planned_lr") or not block.available["planned_lr"].any()
    np.testing.assert_array_equal(in_force(log.assign(lr_schedule=schedule)), log["lr"])


@pytest.mark.parametrize("gap", [2, 5])
@pytest.mark.parametrize("name", ["nothing", "cosine", "step"])
def test_a_sparse_log_counts_in_its_own_unit(name: str, gap: int) -> None:
    """The plan too: its passes are of that many epochs."""
    log = log_of(0, lr=0.3, epoch=np.arange(41), **SAID[name])
    coarse = log.assign(epoch=gap * log["epoch"])
    aim = replace(AIM, horizon=60 * gap)
    np.testing.assert_array_equal(in_force(coarse, aim=aim), in_force(log))
    numbers = ["epochs_remaining", "lower", "upper"]
    fine = answered(log)[numbers].to_numpy(float)
    np.testing.assert_allclose(answered(coarse, aim=aim)[numbers].to_numpy(float), gap * fine)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("seed", SEEDS)
def test_later_rows_never_change_earlier_answers(seed: int, name: str) -> None:
    """Whatever the rate did later, and be its first change not there yet."""
    log = log_of(seed, **SAID[name])
    log.loc[30:33, "lr"] = 0.0
    whole = answered(log)
    assert whole["epochs_remaining"].nunique() > 30
    first = int(np.argmax(log["lr"] != log["lr"][0]))
    for seen in {2, first, first + 1, 12, 13, 31, 40}:
        pd.testing.assert_frame_equal(answered(log[:seen]), whole[:seen], check_exact=True)
        other = log.assign(lr=np.where(log["epoch"] < seen, log["lr"], 0.7))
        same = answered(other)[:seen]
        pd.testing.assert_frame_equal(same, whole[:seen], check_exact=True)
        assert not answered(other)[seen:].equals(whole[seen:])


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("seed", SEEDS)
def test_later_rows_of_an_uneven_log_never_change_earlier_answers(seed: int, name: str) -> None:
    gaps = np.random.default_rng(seed).integers(1, 3, 41)
    log = log_of(seed, epoch=np.cumsum(gaps) - gaps[0], **SAID[name])
    aim = replace(AIM, horizon=100)
    whole = answered(log, aim=aim)
    uneven = np.logical_or.accumulate(gaps[1:] != gaps[1])
    assert whole["reason"].str.contains("not evenly spaced")[1:].tolist() == uneven.tolist()
    for seen in (2, 5, 12, 25, 40):
        part = answered(log[:seen], aim=aim)
        pd.testing.assert_frame_equal(part, whole[:seen], check_exact=True)


@pytest.mark.parametrize("name", FEW)
def test_other_runs_never_matter(name: str) -> None:
    """Of which one records no rate, one states another schedule, and one begins at 0."""
    first = log_of(0, run_id="a", **SAID[name])
    others = [
        log_of(1, run_id="b", lr=np.nan),
        log_of(2, run_id="c", lr=0.5, lr_schedule="linear"),
        log_of(3, run_id="d", lr=np.r_[0.0, rates_of(3)[1:]]),
    ]
    together = answered(pd.concat([first, *others]))
    for log in (first, *others):
        name = log["run_id"].iloc[0]
        mine = together[together["run_id"] == name].reset_index(drop=True)
        alone = answered(log)
        pd.testing.assert_frame_equal(mine, alone, check_exact=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_unit_of_the_learning_rate_says_nothing_of_a_plateau(seed: int) -> None:
    for columns in (SAID["nothing"], SAID["cosine"]):
        log = log_of(seed, **columns)
        numbers = ["epochs_remaining", "lower", "upper", "p_converges"]
        other = answered(log.assign(lr=2.0**5 * log["lr"]))[numbers]
        np.testing.assert_allclose(other, answered(log)[numbers], rtol=1e-4)


def test_rates_say_something_and_a_schedule_ahead_more() -> None:
    """From the loss alone where nothing is known; else from all that is."""
    log = log_of(0, lr=0.1)
    known = {
        "nothing": answered(log.drop(columns="lr")),
        "rates": answered(log),
        "other rates": answered(log_of(0)),
        "plan": answered(log.assign(lr_schedule="cosine")),
        "plan without a rate": answered(log.drop(columns="lr").assign(lr_schedule="cosine")),
        "other plan": answered(log.assign(lr_schedule="step")),
    }
    last = {name: answer["epochs_remaining"].iloc[-1] for name, answer in known.items()}
    assert last.pop("plan without a rate") == pytest.approx(last["plan"], rel=1e-6)
    assert len({round(value, 6) for value in last.values()}) == len(last)
    for name, answer in known.items():
        expected = "predicted from the loss alone" if name == "nothing" else ""
        assert set(answer["reason"][2:]) == {expected}
        assert set(answer["status"][2:]) == {"ok"}


def test_a_missing_rate_is_missed_from_there_on() -> None:
    log = log_of(0)
    log.loc[20, "lr"] = np.nan
    reasons = answered(log)["reason"]
    assert set(reasons[2:20]) == {""}
    assert set(reasons[20:]) == {"predicted from the loss alone"}


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("seed", SEEDS)
def test_rates_of_zero_are_taken(seed: int, name: str) -> None:
    for zeros in ([0], [0, 1, 2], [39, 40], range(41)):
        log = log_of(seed, **SAID[name])
        log.loc[list(zeros), "lr"] = 0.0
        found = answered(log)
        assert found["epochs_remaining"][1:].notna().all()
        assert "predicted from the loss alone" not in set(found["reason"])
        for seen in (2, 3, 4, 20, 40):
            part = answered(log[:seen])
            pd.testing.assert_frame_equal(part, found[:seen], check_exact=True)


@pytest.mark.parametrize("lr", [-1e-9, -0.1])
def test_rates_below_zero_are_refused(lr: float) -> None:
    with pytest.raises(DataError, match=r"'lr', data row 4: expected a number from 0 on"):
        answered(log_of(0, lr=np.r_[0.1, 0.1, 0.0, lr, np.full(37, 0.1)]))


def test_a_rate_of_zero_is_no_base_rate_of_a_threshold() -> None:
    """And a plateau is asked for in ratios, for which any base will do."""
    for lr, of_threshold, of_plateau in ((0.2, 0.2, 0.2), (0.0, np.nan, 1.0)):
        log = log_of(0, lr=np.r_[lr, np.full(40, 0.3)], lr_schedule="cosine")
        for aim, expected in ((Aim(target=1e-6, horizon=60), of_threshold), (AIM, of_plateau)):
            block = block_of(log, aim=aim)
            found = block.trajectories.inputs["lr"][0, 0]
            np.testing.assert_array_equal(found, expected)
            assert block.available["lr"].all() != np.isnan(expected)
            assert block.available["planned_lr"].all() != np.isnan(expected)


@pytest.mark.parametrize("aim", [AIM, Aim(target=1e-6, horizon=60)])
def test_a_changing_rate_is_odd_to_those_alone_that_take_it_for_constant(aim: Aim) -> None:
    log, scheduled = log_of(0), log_of(0, lr_schedule="cosine")
    odd = "lr changes along the run"
    follows, plans = rates_predictor(), rates_predictor(("plateau_goal", "schedule_ahead"))
    base = rates_predictor(("plateau_goal", "learning_rate"))
    for each in (log, scheduled):
        assert odd not in block_of(each, aim=aim, predictor=follows).flags
        changed = block_of(each, aim=aim, predictor=base).flags[odd][0]
        np.testing.assert_array_equal(
            changed, np.logical_or.accumulate(each["lr"] != each["lr"][0])
        )
    assert odd not in block_of(log, aim=aim, predictor=plans).flags
    assert odd in block_of(scheduled, aim=aim, predictor=plans).flags


@pytest.mark.parametrize("first", [0.0, np.nan])
@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_epoch_0_says_of_a_rate_is_that_of_the_first_pass(
    seed: int, name: str, first: float
) -> None:
    """It ends none: an evaluation before training has no rate, or 0."""
    whole = log_of(seed, **SAID[name])
    log = whole.assign(lr=np.r_[first, whole["lr"][1:]])
    np.testing.assert_allclose(ratios(in_force(log)), ratios(in_force(whole)), rtol=1e-12)
    found, expected = (answered(each)["epochs_remaining"][1:] for each in (log, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_that_is_recorded_is_the_recorded_one(name: str) -> None:
    """Whatever the log's first rate is of its base one: a twenty-fifth, or 0."""
    recorded = planned(name, 0.3, np.arange(41))
    log = log_of(0, lr=recorded, lr_schedule=name)
    np.testing.assert_allclose(in_force(log), recorded, rtol=1e-12)
    warm = np.r_[0.0, 0.0, 0.0, 0.01, recorded[4:]]
    found = in_force(log_of(0, lr=warm, lr_schedule=name))
    np.testing.assert_allclose(found, warm, rtol=1e-12)


@pytest.mark.parametrize("name", ["STEP:0.3X0.2", " step:.4 ", "Cosine"])
def test_the_case_of_a_schedule_never_matters(name: str) -> None:
    plain, shouted = (log_of(0, lr_schedule=each) for each in (name.strip().lower(), name))
    pd.testing.assert_frame_equal(answered(shouted), answered(plain), check_exact=True)
