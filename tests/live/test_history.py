"""The curve that a tracker keeps (1 s)."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.live.history import MAX_EXACT, MAX_KEPT, MAX_POINTS, History
from epochs_left.prediction.layout import RECORDED_LR


def filled(times: np.ndarray, horizon: float | None = None, **settings: float | str) -> History:
    history = History(horizon, settings)
    for time in times:
        history.add(float(time), 1 / (1 + float(time)), {"grad_norm": 1.0, "update_norm": 2.0})
    return history


def test_an_even_curve_in_whole_numbers_is_handed_on_as_it_is() -> None:
    curve = filled(10 * np.arange(1, 21), 500.0, lr=0.1, optimizer="sgd").curve()
    rows = curve.runs.rows
    assert (curve.unit, rows.epoch.tolist()) == (1.0, (10 * np.arange(1, 21)).tolist())
    assert {name: values[0] for name, values in rows.numbers.items()} == {
        "grad_norm": 1.0,
        "update_norm": 2.0,
        "lr": 0.1,
        "horizon": 500.0,
    }
    assert curve.label_names == ["sgd"]
    assert rows.labels["optimizer"].tolist() == [0] * 20


def test_a_curve_on_a_grid_counts_its_steps_and_drops_what_an_epoch_means() -> None:
    times = np.array([0, 5, 10, 20, 25, 30, 35.0])
    curve = filled(times, 100.0, lr=0.1, momentum=0.9).curve()
    assert curve.unit == 5
    assert curve.runs.rows.epoch.tolist() == list(range(8))
    assert set(curve.runs.rows.numbers) == {"grad_norm", "momentum", "horizon"}
    assert curve.runs.rows.numbers["horizon"][0] == 20


def test_whole_epochs_with_a_gap_keep_what_an_epoch_means() -> None:
    curve = filled(np.array([1, 2, 4, 5, 6]), lr=0.1).curve()
    assert (curve.unit, curve.runs.rows.epoch.tolist()) == (1, [1, 2, 3, 4, 5, 6])
    assert "lr" in curve.runs.rows.numbers


@pytest.mark.parametrize("times", [10 * np.arange(1, 8), np.arange(7.0), [0, 1, 3, 4, 5, 6, 7]])
def test_a_recorded_rate_stays_beside_the_base_one(times: np.ndarray) -> None:
    """On a grid it lies between its neighbours, as the loss does."""
    history, times = History(None, {"lr": 0.5}), np.asarray(times, dtype=float)
    rates = 0.5 - times / 100
    for time, rate in zip(times, rates, strict=True):
        history.add(time, 1.0, {RECORDED_LR: rate})
    rows = history.curve().runs.rows
    at = np.linspace(times[0], times[-1], len(rows))
    np.testing.assert_allclose(rows.numbers[RECORDED_LR], 0.5 - at / 100)
    np.testing.assert_array_equal(rows.numbers["lr"], 0.5)


def test_a_rate_that_was_never_recorded_is_no_column() -> None:
    assert RECORDED_LR not in filled(np.arange(9), lr=0.1).curve().runs.rows.numbers


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [MAX_EXACT + 1, MAX_KEPT, 3 * MAX_KEPT])
def test_however_long_the_run_what_is_kept_and_looked_at_is_bounded(seed: int, n: int) -> None:
    times = np.cumsum(np.random.default_rng(seed).integers(1, 4, n))
    history = filled(times)
    rows = history.curve().runs.rows
    assert min(n, MAX_KEPT // 2) <= len(history) <= MAX_KEPT
    assert MAX_POINTS // 4 <= len(rows) <= MAX_POINTS
    assert history.time[-1] == times[-1]
    assert rows.loss[-1] == 1 / (1 + times[-1])
    assert np.all(np.diff(rows.epoch) == 1)


def test_rewinding_forgets_what_came_at_that_time_and_later() -> None:
    history = filled(np.arange(10))
    history.rewind(6.5)
    assert list(history.time) == list(range(7))
    history.rewind(4)
    assert list(history.time) == list(range(4))
    assert {len(column) for column in history.values.values()} == {4}
    history.rewind(0)
    assert len(history) == 0
