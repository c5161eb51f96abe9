"""Curves of noisy quadratics against a mode-by-mode, epoch-by-epoch reference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from epochs_left.dynamics.clock import time_on_clock
from epochs_left.dynamics.curve_prior import (
    NOISE_BASES,
    CurveShape,
    autoregressive,
    excess_share,
    noise_level,
    noiseless_curve,
    time_of_share,
    with_noise,
)
from epochs_left.dynamics.schedules import SCHEDULES, learning_rates

SEEDS = range(20)
PLAIN = CurveShape(
    n_modes=1,
    eigenvalue_power=1.0,
    excess_power=1.0,
    hit_share=0.1,
    hit_position=0.5,
    plateau_end=0.0,
    first_drop=0.0,
    noise_floor=0.0,
    noise_pace=1.0,
    averaged=False,
    floor=0.01,
    scale=1.0,
    noise=0.0,
    noise_memory=0.0,
    noise_base="loss",
)


def drawn(seed: int) -> CurveShape:
    rng = np.random.default_rng(seed)
    return CurveShape(
        n_modes=int(rng.integers(1, 60)),
        eigenvalue_power=rng.uniform(0.5, 2),
        excess_power=rng.uniform(0.5, 2.5),
        hit_share=rng.uniform(0.01, 0.9),
        hit_position=rng.uniform(0.01, 1),
        plateau_end=rng.choice([0.0, rng.uniform(0.02, 0.7)]),
        first_drop=rng.choice([0.0, rng.uniform(0.3, 10)]),
        noise_floor=rng.uniform(0, 0.5),
        noise_pace=10 ** rng.uniform(-1, 2),
        averaged=bool(rng.random() < 0.5),
        floor=rng.uniform(1e-4, 3),
        scale=10 ** rng.uniform(-2, 2),
        noise=rng.uniform(1e-3, 0.1),
        noise_memory=rng.uniform(0, 0.9),
        noise_base=str(rng.choice(list(NOISE_BASES))),
    )


def drawn_rates(seed: int) -> np.ndarray:
    """Rates of 12 passes that jump up and down, in units of the base one."""
    return np.exp(np.random.default_rng(seed).uniform(np.log(0.05), 0, 12))


def slow_share(time: float, shape: CurveShape) -> float:
    modes = range(1, shape.n_modes + 1)
    left = sum(
        i**-shape.excess_power * math.exp(-(i**-shape.eigenvalue_power) * time) for i in modes
    )
    return left / sum(i**-shape.excess_power for i in modes)


def slow_curve(shape: CurveShape, rates: np.ndarray, lr: float) -> list[float]:
    """Bisect for the pace, then add up the modes of each epoch."""
    horizon = len(rates) - 1

    def spent(epochs: float) -> float:
        whole = min(int(epochs), horizon - 1)
        return sum(rates[:whole]) + (epochs - whole) * rates[whole]

    delay = spent(shape.plateau_end * horizon)

    def waited(epochs: float) -> float:
        if delay == 0:
            return spent(epochs)
        edge = 0.1 * delay
        start = edge * math.log1p(math.exp(-delay / edge))
        x = (spent(epochs) - delay) / edge
        return edge * (max(x, 0) + math.log1p(math.exp(-abs(x)))) - start

    hit = (shape.plateau_end + (1 - shape.plateau_end) * shape.hit_position) * horizon
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        above = slow_share(middle, shape) > shape.hit_share
        low, high = (middle, high) if above else (low, middle)
    pace = low / waited(hit)
    left, level = [], rates[0] / lr
    for epoch in range(horizon + 1):
        if epoch:
            rate = rates[epoch - 1] / lr
            level = rate + (level - rate) * math.exp(-shape.noise_pace * rate)
        left.append(slow_share(pace * waited(epoch), shape) + shape.noise_floor * level)
    curve = []
    for epoch, excess in enumerate(left):
        logged = (left[epoch - 1] + excess) / 2 if epoch and shape.averaged else excess
        logged += shape.first_drop if epoch == 0 else 0
        curve.append(shape.scale * (shape.floor + logged))
    return curve


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", range(6))
def test_a_curve_is_that_of_the_reference(seed: int, schedule: str) -> None:
    rates = learning_rates(schedule, 0.3, 17 + seed)
    expected = slow_curve(drawn(seed), rates, 0.3)
    np.testing.assert_allclose(noiseless_curve(drawn(seed), rates, 0.3), expected, rtol=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_share_that_is_left_falls_from_one(seed: int) -> None:
    share = excess_share(np.concatenate([[0.0], np.logspace(-3, 3, 50)]), drawn(seed))
    assert share[0] == pytest.approx(1)
    assert (np.diff(share) < 0).all()
    assert share[-1] >= 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [1e-6, 0.01, 0.5, 0.99])
def test_the_time_of_a_share_leaves_that_share(seed: int, share: float) -> None:
    time = time_of_share(share, drawn(seed))
    assert excess_share(np.array([time]), drawn(seed))[0] == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.5), (1.5, 2.0), (2.0, 2.5)])
def test_many_modes_fall_as_a_power_law(a: float, b: float) -> None:
    """The sum over i^-b exp(-i^-a x) goes as x^-((b - 1) / a) before the last mode is felt."""
    shape = replace(PLAIN, n_modes=100_000, eigenvalue_power=a, excess_power=b)
    left = excess_share(np.array([100.0, 1000.0]), shape)
    assert np.log10(left[0] / left[1]) == pytest.approx((b - 1) / a, rel=0.1)


def test_one_mode_falls_exponentially() -> None:
    curve = noiseless_curve(PLAIN, np.ones(41), 1.0)
    np.testing.assert_allclose(curve, 0.01 + 0.1 ** (np.arange(41) / 20))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", SEEDS)
def test_one_mode_is_exponential_on_the_clock_of_the_features(seed: int, schedule: str) -> None:
    horizon = 20 + seed
    rates = learning_rates(schedule, 0.1, horizon)
    clock = time_on_clock(rates[None, :], np.arange(horizon + 1.0)[None, :])[0]
    log_excess = np.log(noiseless_curve(replace(PLAIN, floor=1e-9), rates, 0.1) - 1e-9)
    np.testing.assert_allclose(log_excess, log_excess[-1] * clock / clock[-1], atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_excess_hits_its_share_where_it_was_drawn(seed: int) -> None:
    shape = replace(drawn(seed), noise_floor=0.0, first_drop=0.0, averaged=False)
    horizon = 2000
    excess = noiseless_curve(shape, np.ones(horizon + 1), 1.0) / shape.scale - shape.floor
    hit = (shape.plateau_end + (1 - shape.plateau_end) * shape.hit_position) * horizon
    assert excess[math.floor(hit)] >= shape.hit_share - 1e-9
    assert excess[math.ceil(hit)] <= shape.hit_share + 1e-9


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_course_of_the_learning_rate_counts(seed: int, schedule: str) -> None:
    shape, horizon = drawn(seed), 30
    small, large = (
        noiseless_curve(shape, learning_rates(schedule, lr, horizon), lr) for lr in (1e-3, 10.0)
    )
    np.testing.assert_allclose(small, large, rtol=1e-7)


@pytest.mark.parametrize("schedule", [*SCHEDULES, "step:0.2,0.6x0.3"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_noise_floor_is_that_of_its_level(seed: int, schedule: str) -> None:
    shape, rates = replace(drawn(seed), averaged=False), learning_rates(schedule, 0.1, 40)
    added = noiseless_curve(shape, rates, 0.1)
    added -= noiseless_curve(replace(shape, noise_floor=0.0), rates, 0.1)
    level = noise_level(rates[:-1] / 0.1, shape.noise_pace)
    expected = shape.scale * shape.noise_floor * level
    np.testing.assert_allclose(added, expected, atol=1e-12 * shape.scale * (1 + shape.first_drop))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_noise_floor_without_delay_is_in_proportion_to_the_rate_in_force(seed: int) -> None:
    """Of the pass just done; before the first one, of the first."""
    for rates in (drawn_rates(seed), learning_rates("step", 1.0, 40)[:-1]):
        in_force = np.concatenate([rates[:1], rates])
        np.testing.assert_array_equal(noise_level(rates, np.inf), in_force)
        np.testing.assert_allclose(noise_level(rates, 1e4), in_force, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pace", [0.3, 3.0, 30.0])
def test_the_noise_floor_follows_its_differential_equation(seed: int, pace: float) -> None:
    rates = drawn_rates(seed)
    expected = [rates[0]]
    for rate in rates:
        solved = solve_ivp(
            lambda _, level, rate=rate: pace * rate * (rate - level),
            (0, 1),
            expected[-1:],
            method="LSODA",
            rtol=1e-10,
            atol=1e-12,
        )
        expected.append(solved.y[0, -1])
    np.testing.assert_allclose(noise_level(rates, pace), expected, rtol=1e-7)


@pytest.mark.parametrize("pace", [0.0, 0.3, 30.0, np.inf])
@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_at_a_constant_rate_the_noise_floor_stays_what_it_is(pace: float, rate: float) -> None:
    np.testing.assert_array_equal(noise_level(np.full(50, rate), pace), np.full(51, rate))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pace", [0.3, 3.0, 30.0])
def test_the_noise_floor_goes_towards_the_rate_and_never_past_it(seed: int, pace: float) -> None:
    rates = drawn_rates(seed)
    level = noise_level(rates, pace)
    before, after = level[:-1] - rates, level[1:] - rates
    assert (np.sign(after) * np.sign(before) >= 0).all()
    assert (np.abs(after[1:]) < np.abs(before[1:])).all()
    assert level[-1] != rates[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slower_noise_floor_is_later_down_after_a_drop(seed: int) -> None:
    rates = learning_rates("step", 1.0, 20 + seed)[:-1]
    slow, fast = noise_level(rates, 0.3), noise_level(rates, 3.0)
    fallen = np.arange(rates.size + 1) > np.argmax(rates < 1)
    assert fallen.sum() > 5
    assert (slow[fallen] > fast[fallen]).all()
    np.testing.assert_array_equal(slow[~fallen], fast[~fallen])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_averaged_loss_is_the_mean_of_the_ends_of_the_pass(seed: int, schedule: str) -> None:
    """But at epoch 0, which ends none; what is gone after the first epoch is in that one alone."""
    shape, rates = replace(drawn(seed), first_drop=0.0), learning_rates(schedule, 0.1, 30)
    at_end = noiseless_curve(replace(shape, averaged=False), rates, 0.1)
    averaged = noiseless_curve(replace(shape, averaged=True), rates, 0.1)
    assert averaged[0] == at_end[0]
    np.testing.assert_allclose(averaged[1:], (at_end[1:] + at_end[:-1]) / 2, rtol=1e-12)
    dropped = noiseless_curve(replace(shape, averaged=True, first_drop=3.0), rates, 0.1)
    np.testing.assert_array_equal(dropped[1:], averaged[1:])
    assert dropped[0] == pytest.approx(averaged[0] + 3 * shape.scale)


@pytest.mark.parametrize("end", [0.1, 0.4, 0.7])
def test_a_plateau_lasts_until_its_end_and_the_loss_falls_behind_it(end: float) -> None:
    curve = noiseless_curve(replace(PLAIN, plateau_end=end), np.ones(201), 1.0)
    left = (curve - 0.01)[[0, round(0.7 * end * 200), round((1 + end) / 2 * 200)]]
    assert left[0] == pytest.approx(1)
    assert left[1] > 0.9
    assert left[2] == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("averaged", [False, True])
def test_the_first_drop_is_over_after_an_epoch(averaged: bool) -> None:
    plain = replace(PLAIN, averaged=averaged)
    added = noiseless_curve(replace(plain, first_drop=3.0), np.ones(11), 1.0)
    added -= noiseless_curve(plain, np.ones(11), 1.0)
    np.testing.assert_allclose(added, [3.0] + [0.0] * 10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("base", NOISE_BASES)
def test_noise_leaves_the_loss_positive_and_none_leaves_it_alone(seed: int, base: str) -> None:
    shape = replace(drawn(seed), noise=1.0, noise_base=base, floor=1e-4)
    loss = noiseless_curve(shape, np.ones(101), 1.0)
    normal = np.random.default_rng(seed).standard_normal(101)
    assert with_noise(loss, shape, normal).min() > 0
    np.testing.assert_array_equal(with_noise(loss, replace(shape, noise=0.0), normal), loss)


@pytest.mark.parametrize(
    ("base", "expected"), [("loss", [0.02, 0.002]), ("rest", [0.01, 0.0]), ("range", [0.01] * 2)]
)
def test_noise_scales_with_its_base(base: str, expected: list[float]) -> None:
    """The loss is 2, of which 1 is floor, and then a tenth of that, which is all floor."""
    found = []
    for level, floor in ((2.0, 1.0), (0.2, 0.2)):
        shape = replace(PLAIN, floor=floor, noise=0.01, noise_base=base)
        normal = np.random.default_rng(0).standard_normal(40_000)
        found.append(with_noise(np.full(40_000, level), shape, normal).std())
    assert found == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("memory", [0.0, 0.3, 0.9])
def test_autoregressive_noise_follows_its_recursion(seed: int, memory: float) -> None:
    normal = np.random.default_rng(seed).standard_normal(50)
    expected = [normal[0]]
    for shock in normal[1:]:
        expected.append(memory * expected[-1] + math.sqrt(1 - memory**2) * shock)
    np.testing.assert_allclose(autoregressive(normal, memory), expected, atol=1e-12)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_autoregressive_noise_has_unit_variance_from_the_first_epoch_on(memory: float) -> None:
    normal = np.random.default_rng(1).standard_normal((20_000, 5))
    series = np.array([autoregressive(row, memory) for row in normal])
    np.testing.assert_allclose(series.var(axis=0), 1, atol=0.05)
    neighbours = [np.corrcoef(series[:, t], series[:, t + 1])[0, 1] for t in range(4)]
    np.testing.assert_allclose(neighbours, memory, atol=0.03)
