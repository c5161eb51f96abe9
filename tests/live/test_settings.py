"""What a tracker takes of a run and of an epoch (1 s)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from epochs_left.dynamics.schedules import OWN_STEPS_EXAMPLE, SCHEDULES
from epochs_left.live.settings import checked_measures, checked_settings
from epochs_left.prediction.layout import MEASURES


def test_the_rate_of_an_epoch_is_a_recorded_one_and_the_others_keep_their_names() -> None:
    told = dict.fromkeys((*MEASURES, "lr"), 0.5)
    assert checked_measures(told) == dict.fromkeys((*MEASURES, "recorded_lr"), 0.5)
    assert checked_measures({"lr": np.float32(0.25)}) == {"recorded_lr": 0.25}
    assert checked_settings({"lr": 0.5}) == {"lr": 0.5}


def test_a_schedule_may_end_at_zero_and_a_base_rate_is_above_it() -> None:
    assert checked_measures({"lr": 0}) == {"recorded_lr": 0.0}
    with pytest.raises(ValueError, match="lr: expected a number above 0, got 0"):
        checked_settings({"lr": 0})


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
def test_what_nobody_knows_is_left_out(value: float | None) -> None:
    assert checked_measures({"lr": value, "grad_norm": 1.0}) == {"grad_norm": 1.0}


@pytest.mark.parametrize(
    ("measures", "error", "message"),
    [
        ({"lr": -0.1}, ValueError, "lr: expected 0 or more, got -0.1"),
        ({"lr": -np.inf}, ValueError, "lr: expected 0 or more, got -inf"),
        ({"lr": "fast"}, TypeError, "lr: expected a number, got str"),
        ({"l_r": 0.1}, TypeError, "unknown measure 'l_r', did you mean 'lr'"),
        ({"recorded_lr": 0.1}, TypeError, "unknown measure 'recorded_lr'"),
        ({"momentum": 0.1}, TypeError, "unknown measure 'momentum'"),
    ],
)
def test_what_is_no_measure_is_refused(
    measures: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        checked_measures(measures)


@pytest.mark.parametrize("name", [*SCHEDULES, OWN_STEPS_EXAMPLE, "step:.5", "Cosine"])
def test_schedules_are_taken_by_name(name: str) -> None:
    assert checked_settings({"lr_schedule": name}) == {"lr_schedule": name}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cosin", "did you mean 'cosine'"),
        ("step:1.5", ""),
        ("step:0.5x2", ""),
        ("polynomial", f"known: {', '.join(SCHEDULES)}, and such as {OWN_STEPS_EXAMPLE}"),
    ],
)
def test_a_schedule_that_is_none_is_refused_with_how_they_are_written(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"unknown schedule '{name}'") as caught:
        checked_settings({"lr_schedule": name})
    assert told in str(caught.value)
    assert "leave another one out" in str(caught.value)
