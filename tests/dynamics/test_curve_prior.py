"""Curves of noisy quadratics against a mode-by-mode, epoch-by-epoch reference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from epochs_left.dynamics.clock import time_on_clock
from epochs_left.dynamics.curve_prior import (
    NOISE_BASES,
    CurveShape,
    autoregressive,
    excess_share,
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
        floor=rng.uniform(1e-4, 3),
        scale=10 ** rng.uniform(-2, 2),
        noise=rng.uniform(1e-3, 0.1),
        noise_memory=rng.uniform(0, 0.9),
        noise_base=str(rng.choice(list(NOISE_BASES))),
    )


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
    curve = []
    for epoch in range(horizon + 1):
        excess = slow_share(pace * waited(epoch), shape)
        excess += shape.noise_floor * rates[max(epoch - 1, 0)] / lr
        excess += shape.first_drop if epoch == 0 else 0
        curve.append(shape.scale * (shape.floor + excess))
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
    shape = replace(drawn(seed), noise_floor=0.0, first_drop=0.0)
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


@pytest.mark.parametrize("seed", SEEDS)
def test_the_noise_floor_is_in_proportion_to_the_rate_in_force(seed: int) -> None:
    shape, rates = drawn(seed), learning_rates("step", 0.1, 40)
    added = noiseless_curve(shape, rates, 0.1)
    added -= noiseless_curve(replace(shape, noise_floor=0.0), rates, 0.1)
    in_force = np.concatenate([rates[:1], rates[:-1]]) / 0.1
    np.testing.assert_allclose(added, shape.scale * shape.noise_floor * in_force, atol=1e-9)


@pytest.mark.parametrize("end", [0.1, 0.4, 0.7])
def test_a_plateau_lasts_until_its_end_and_the_loss_falls_behind_it(end: float) -> None:
    curve = noiseless_curve(replace(PLAIN, plateau_end=end), np.ones(201), 1.0)
    left = (curve - 0.01)[[0, round(0.7 * end * 200), round((1 + end) / 2 * 200)]]
    assert left[0] == pytest.approx(1)
    assert left[1] > 0.9
    assert left[2] == pytest.approx(0.1, rel=1e-6)


def test_the_first_drop_is_over_after_an_epoch() -> None:
    added = noiseless_curve(replace(PLAIN, first_drop=3.0), np.ones(11), 1.0)
    added -= noiseless_curve(PLAIN, np.ones(11), 1.0)
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
