"""Curves fitted to what a run has shown so far, against slow fits of one cell at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.optimize import nnls

from epochs_left.dynamics.curves import EPOCH_LIMIT, trailing_mean
from epochs_left.dynamics.extrapolation import (
    FLOOR_SHARES,
    Mean,
    exponential_epochs,
    linear_epochs,
    mean_since,
    optimus_epochs,
    power_law_epochs,
)

SEEDS = range(4)
N_EPOCHS = 40
T = np.arange(float(N_EPOCHS))[None, :]

Forecast = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Start = Callable[[int], int]

#: Stretches of the history: the mean over one, and its first column for column t.
STRETCHES: dict[str, tuple[Mean, Start]] = {
    "all": (partial(mean_since, share=0.0), lambda _: 0),
    "later half": (partial(mean_since, share=0.5), lambda t: t // 2),
    "last eight": (partial(trailing_mean, window=8), lambda t: max(t - 7, 0)),
}
FORMS = {
    "exponential": exponential_epochs,
    "power law": power_law_epochs,
    "optimus": optimus_epochs,
}
LATER_HALF = STRETCHES["later half"][0]
FORECASTS: dict[str, Forecast] = {
    "line": partial(linear_epochs, window=4),
    **{name: partial(form, mean=LATER_HALF) for name, form in FORMS.items()},
    **{
        f"{name} with floor": partial(form, mean=LATER_HALF, floor_shares=FLOOR_SHARES)
        for name, form in FORMS.items()
    },
}


def noisy_curves(seed: int, n_runs: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Losses that fall to a floor with multiplicative noise, and targets on the way or below."""
    rng = np.random.default_rng(seed)
    fall = np.exp(-rng.uniform(0.01, 0.3, (n_runs, 1)) * T)
    power = (1 + T) ** -rng.uniform(0.2, 1.5, (n_runs, 1))
    shape = np.where(rng.random((n_runs, 1)) < 0.5, fall, power)
    noise = np.exp(0.05 * rng.normal(size=(n_runs, N_EPOCHS)))
    loss = rng.uniform(1, 5, (n_runs, 1)) * (rng.uniform(0, 0.1, (n_runs, 1)) + shape) * noise
    return loss, loss.min(axis=1, keepdims=True) * rng.uniform(0.1, 1.2, (n_runs, 1))


def slow_fit(form: str, t: np.ndarray, loss: np.ndarray, goal: float, floor: float) -> tuple:
    """Error of the fit of one history with one floor, and the epochs from its last point."""
    excess, gap, now = loss - floor, goal - floor, t[-1]
    row_weight = excess / loss
    if form == "optimus":
        row_weight = row_weight * excess
        design = np.column_stack([t, np.ones_like(t)]) * row_weight[:, None]
        (b0, _), norm = nnls(design, row_weight / excess)
        left = (1 / gap - 1 / excess[-1]) / b0 if b0 > 0 else np.inf
        return norm**2, left
    clock = t if form == "exponential" else np.log(t + 1)
    design = np.column_stack([clock, np.ones_like(t)]) * row_weight[:, None]
    coefficients = np.linalg.lstsq(design, row_weight * np.log(excess), rcond=None)[0]
    error = np.sum((design @ coefficients - row_weight * np.log(excess)) ** 2)
    if coefficients[0] >= 0:
        return error, np.inf
    until = clock[-1] + np.log(excess[-1] / gap) / -coefficients[0]
    return error, (until if form == "exponential" else np.expm1(min(until, 100))) - now


def slow_epochs(
    form: str, loss: np.ndarray, goal: float, first: Start, shares: tuple[float, ...]
) -> np.ndarray:
    """Forecasts of one run, a least-squares fit a cell and floor."""
    found = np.full(loss.size, EPOCH_LIMIT)
    for t in range(loss.size):
        stretch = slice(first(t), t + 1)
        tried = (0.0, *shares) if t >= 3 else (0.0,)
        if loss[t] < goal:
            found[t] = 0.0
        elif t > 0:
            fits = [
                slow_fit(form, T[0, stretch], loss[stretch], goal, share * goal) for share in tried
            ]
            found[t] = np.clip(np.ceil(min(fits)[1]), 1, EPOCH_LIMIT)
    return found


def assert_same_epochs(found: np.ndarray, expected: np.ndarray, rtol: float = 1e-6) -> None:
    """Rounding before the last bits may move a whole number of epochs by one."""
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_mean_since_equals_the_obvious_loop(seed: int, share: float) -> None:
    values = np.random.default_rng(seed).normal(size=(3, N_EPOCHS))
    slow = [values[:, int(share * t) : t + 1].mean(axis=1) for t in range(N_EPOCHS)]
    np.testing.assert_allclose(mean_since(values, share), np.transpose(slow), atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shares", [(), FLOOR_SHARES])
@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("form", FORMS)
def test_forecasts_equal_a_least_squares_fit_of_each_cell(
    form: str, stretch: str, shares: tuple[float, ...], seed: int
) -> None:
    loss, target = noisy_curves(seed)
    mean, first = STRETCHES[stretch]
    # Floors leave losses below them out; the slow fit has no such case before the target is met.
    before = np.logical_and.accumulate(loss >= target, axis=1)
    found = FORMS[form](loss, target, T, mean, floor_shares=shares)
    for run, row in enumerate(loss):
        seen = int(before[run].sum())
        expected = slow_epochs(form, row[:seen], target[run, 0], first, shares)
        assert_same_epochs(found[run, :seen], expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("window", [1, 4])
def test_line_goes_through_the_last_loss_and_the_one_a_window_before(
    seed: int, window: int
) -> None:
    loss, target = noisy_curves(seed)
    found = linear_epochs(loss, target, T, window)
    for run, row in enumerate(loss):
        for t in range(N_EPOCHS):
            before = max(t - window, 0)
            pace = (row[before] - row[t]) / max(t - before, 1)
            left = np.ceil((row[t] - target[run, 0]) / pace) if pace > 0 else EPOCH_LIMIT
            expected = 0.0 if row[t] < target[run, 0] else np.clip(left, 1, EPOCH_LIMIT)
            assert_same_epochs(found[run, t], expected)


#: Curves, each with the forecast that is exact on it; the floor is half of the target.
EXACT: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "line": (lambda t: 3.0 - 0.05 * t, 0.5),
    "exponential": (lambda t: 2.0 * 0.8**t, 1e-6),
    "power law": (lambda t: 2.0 * (t + 1) ** -0.7, 0.02),
    "optimus": (lambda t: 1 / (0.3 * t + 0.5), 0.02),
    "exponential with floor": (lambda t: 0.01 + 2.0 * 0.8**t, 0.02),
    "power law with floor": (lambda t: 0.01 + 2.0 * (t + 1) ** -1.2, 0.02),
    "optimus with floor": (lambda t: 0.01 + 1 / (0.3 * t + 0.5), 0.02),
}


@pytest.mark.parametrize("name", EXACT)
def test_forecast_is_exact_on_a_curve_of_its_own_form(name: str) -> None:
    curve, target = EXACT[name]
    far = curve(np.arange(100_000.0))
    reached_at = int(np.flatnonzero(far < target)[0])
    found = FORECASTS[name](curve(T), np.array([[target]]), T)[0]
    expected = np.maximum(reached_at - T[0], 0)
    assert_same_epochs(found[3:], expected[3:], rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_floor_is_better_than_none_where_there_is_one(form: str) -> None:
    curve, target = EXACT[f"{form} with floor"]
    goal = np.array([[target]])
    remaining = np.flatnonzero(curve(np.arange(100_000.0)) < target)[0] - T[0, 5:15]
    errors = [
        np.abs(FORECASTS[name](curve(T), goal, T)[0, 5:15] - remaining).mean()
        for name in (f"{form} with floor", form)
    ]
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FORECASTS)
def test_what_comes_later_changes_no_bit(name: str, seed: int) -> None:
    loss, target = noisy_curves(seed)
    loss[0, 20:], loss[1, 25] = np.nan, 1e200
    whole = FORECASTS[name](loss, target, T)
    for seen in (1, 2, 3, 4, 9, 21, 30):
        part = FORECASTS[name](loss[:, :seen], target, T[:, :seen])
        np.testing.assert_array_equal(part, whole[:, :seen])


@pytest.mark.parametrize("unit", [1e-12, 0.1, 1e12])
@pytest.mark.parametrize("name", FORECASTS)
def test_unit_of_the_loss_is_irrelevant(name: str, unit: float) -> None:
    loss, target = noisy_curves(0)
    forecast = FORECASTS[name]
    assert_same_epochs(forecast(unit * loss, unit * target, T), forecast(loss, target, T))


@pytest.mark.parametrize("name", ["line", "exponential", "optimus", "exponential with floor"])
def test_epochs_counted_tenfold_are_ten_times_as_many(name: str) -> None:
    loss, target = noisy_curves(1)
    once, tenfold = (FORECASTS[name](loss, target, unit * T) for unit in (1, 10))
    known = (once > 1) & (tenfold < EPOCH_LIMIT)
    assert known.mean() > 0.3
    np.testing.assert_allclose(tenfold[known], 10 * once[known], atol=11)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["line", *FORMS])
def test_lower_target_is_never_reached_sooner(name: str, seed: int) -> None:
    loss, target = noisy_curves(seed)
    near, far = (FORECASTS[name](loss, share * target, T) for share in (1.0, 0.5))
    assert np.all(far >= near)
    assert np.any(far > near)


def _with(values: list[float], at: int) -> np.ndarray:
    curve = 2.0 * 0.9 ** T[0]
    curve[at : at + len(values)] = values
    return curve


ODD: dict[str, np.ndarray] = {
    "constant": np.full(N_EPOCHS, 0.5),
    "rising": np.linspace(1, 2, N_EPOCHS),
    "oscillating": 1.0 + 0.5 * (-1.0) ** np.arange(N_EPOCHS),
    "zero": np.zeros(N_EPOCHS),
    "zero at the start": _with([0.0], 0),
    "zero in between": _with([0.0, 0.0], 10),
    "bad at the start": _with([np.nan], 0),
    "bad in between": _with([np.nan, np.inf], 10),
    "bad to the end": _with([np.inf] * 20, 20),
    "spike": _with([1e300], 12),
    "negative": _with([-1.0], 12),
    "tiny": 1e-300 * 0.9 ** T[0],
    "huge": 1e300 * 0.9 ** T[0],
    "blowing up": np.exp(np.minimum(50.0 * T[0], 709)),
    "falling at once": 1e-30 ** np.minimum(T[0], 9),
}


@pytest.mark.parametrize("target", [1e-300, 1e-6, 0.7, 1e250])
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", FORECASTS)
def test_forecasts_of_odd_losses_are_whole_epochs(name: str, kind: str, target: float) -> None:
    loss = ODD[kind][None, :]
    found = FORECASTS[name](loss, np.array([[target]]), T)
    reached = loss < target
    np.testing.assert_array_equal(found, np.round(found))
    assert np.all(found[reached] == 0)
    assert np.all((found[~reached] >= 1) & (found[~reached] <= EPOCH_LIMIT))


@pytest.mark.parametrize("kind", ["constant", "rising"])
@pytest.mark.parametrize("name", FORECASTS)
def test_a_curve_that_does_not_fall_never_gets_there(name: str, kind: str) -> None:
    found = FORECASTS[name](ODD[kind][None, :], np.array([[0.1]]), T)
    assert np.all(found >= 0.1 * EPOCH_LIMIT)


@pytest.mark.parametrize("name", FORECASTS)
def test_one_point_says_never_and_two_are_enough(name: str) -> None:
    found = FORECASTS[name](np.array([[2.0, 1.0]]), np.array([[0.25]]), T[:, :2])
    two_points = {"line": 1, "exponential": 2, "power law": 6, "optimus": 6}
    assert found[0].tolist() == [EPOCH_LIMIT, two_points[name.removesuffix(" with floor")]]


def test_padding_is_never() -> None:
    loss = np.array([[2.0, 1.0, np.nan]])
    for name, forecast in FORECASTS.items():
        found = forecast(loss, np.array([[0.25]]), np.array([[0.0, 1.0, np.nan]]))
        assert 1 <= found[0, 2] <= EPOCH_LIMIT, name
