"""Learning-rate schedules against those of torch.optim.lr_scheduler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from epochs_left.dynamics.schedules import (
    OWN_STEPS_EXAMPLE,
    SCHEDULES,
    drops,
    is_schedule,
    learning_rates,
    own_steps,
    schedule_named,
)

HORIZONS = [1, 2, 7, 60, 150]
SEEDS = range(8)
#: Schedules by name, and some with drops of one's own.
NAMES = [*SCHEDULES, OWN_STEPS_EXAMPLE, "step:0.4", "step:.07,.5,.93x0.5"]
Scheduler = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def by_torch(build: Scheduler, n_steps: int) -> np.ndarray:
    """Return the multipliers of PyTorch's scheduler, steps 0 to ``n_steps - 1``."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = build(optimizer)
    found = []
    for _ in range(n_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parametrize("horizon", [8, 60, 200])
def test_cosine_is_that_of_pytorch(horizon: int) -> None:
    expected = by_torch(lambda o: lr_scheduler.CosineAnnealingLR(o, horizon), horizon)
    np.testing.assert_allclose(SCHEDULES["cosine"](np.arange(horizon) / horizon), expected)


@pytest.mark.parametrize("horizon", [8, 60, 200])
def test_linear_is_that_of_pytorch_and_of_hugging_face(horizon: int) -> None:
    """The latter without warm-up: (total - step) / total, by LambdaLR."""
    progress = np.arange(horizon + 1) / horizon
    ends = {"start_factor": 1.0, "end_factor": 0.0, "total_iters": horizon}
    for build in (
        lambda o: lr_scheduler.LinearLR(o, **ends),
        lambda o: lr_scheduler.LambdaLR(o, lambda step: max(0.0, (horizon - step) / horizon)),
    ):
        expected = by_torch(build, horizon + 1)
        np.testing.assert_allclose(SCHEDULES["linear"](progress), expected, atol=1e-12)


@pytest.mark.parametrize("horizon", [8, 60, 200])
def test_step_is_that_of_pytorch(horizon: int) -> None:
    milestones = [horizon // 2, 3 * horizon // 4]
    expected = by_torch(lambda o: lr_scheduler.MultiStepLR(o, milestones, 0.1), horizon)
    np.testing.assert_allclose(SCHEDULES["step"](np.arange(horizon) / horizon), expected)


@pytest.mark.parametrize("horizon", [20, 60, 200])
def test_one_cycle_is_that_of_pytorch(horizon: int) -> None:
    """PyTorch counts from the first step to the last, and ends at a rate above 0."""
    expected = by_torch(
        lambda o: lr_scheduler.OneCycleLR(
            o, 1.0, total_steps=horizon, final_div_factor=1e12, cycle_momentum=False
        ),
        horizon - 1,
    )
    step, peak = np.arange(horizon - 1), 0.3 * horizon - 1
    falling = 0.3 + 0.7 * (step - peak) / (horizon - 1 - peak)
    progress = np.where(step < peak, 0.3 * step / peak, falling)
    np.testing.assert_allclose(SCHEDULES["one_cycle"](progress), expected, atol=1e-9)


@pytest.mark.parametrize("horizon", [20, 60, 200])
def test_trapezoid_is_constant_and_then_linear_in_pytorch(horizon: int) -> None:
    stable = horizon * 4 // 5

    def scheduler(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        parts = [
            lr_scheduler.ConstantLR(optimizer, 1.0),
            lr_scheduler.LinearLR(optimizer, 1.0, 0.0, horizon - stable),
        ]
        return lr_scheduler.SequentialLR(optimizer, parts, [stable])

    expected = by_torch(scheduler, horizon)
    factors = SCHEDULES["trapezoid"](np.arange(horizon) / horizon)
    np.testing.assert_allclose(factors, expected, atol=1e-9)


@pytest.mark.parametrize("horizon", [100, 400])
@pytest.mark.parametrize("seed", SEEDS)
def test_own_steps_are_those_of_pytorch(seed: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    hundredths = np.sort(rng.choice(np.arange(2, 99), rng.integers(1, 4), replace=False))
    factor = round(rng.uniform(0.05, 0.5), 2)
    milestones = (hundredths * horizon // 100).tolist()
    expected = by_torch(lambda o: lr_scheduler.MultiStepLR(o, milestones, factor), horizon)
    named = schedule_named(own_steps(hundredths / 100, factor))
    np.testing.assert_allclose(named((np.arange(horizon) + 1e-6) / horizon), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_name_says_its_drops_whatever_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = np.round(rng.uniform(0.02, 0.98, rng.integers(1, 6)), 2)
    factor = round(rng.uniform(0.01, 0.99), 2)
    progress = rng.random(200)
    name = own_steps(shares, factor)
    assert is_schedule(name)
    assert own_steps(rng.permutation(shares), factor) == name
    expected = drops(progress, shares.tolist(), factor)
    np.testing.assert_array_equal(schedule_named(name)(progress), expected)
    np.testing.assert_allclose(
        expected, [np.prod([factor for share in shares if t >= share]) for t in progress]
    )


def test_the_usual_steps_may_be_spelled_out() -> None:
    progress = np.linspace(0, 1, 1001)
    for name in ("step:0.5,0.75", "step:.5,.75x.1", own_steps([0.75, 0.5], 0.1)):
        np.testing.assert_array_equal(schedule_named(name)(progress), SCHEDULES["step"](progress))


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_goes_by_its_name(name: str) -> None:
    assert is_schedule(name)
    assert schedule_named(name)(np.array([0.0])).shape == (1,)


@pytest.mark.parametrize(
    "name",
    [
        *("", "cosin", "Step", "step:", "step:x0.2", "step:0.5,", "step:0.5x", "step:,0.5"),
        *("step:0.5x2", "step:0.5x1.0", "step:1.5", "step:1", "step:-0.5", "step:5e-1"),
        *("step:0.5;0.7", "step:0.5, 0.7", "step:0.5x0.2x0.1", "step:nan", "step:0.5\n"),
        *(" step:0.5", "xstep:0.5", "cosine:0.5", "step:00.5", "step:0.", "step:0.5.5"),
    ],
)
def test_what_only_looks_like_a_schedule_is_none(name: str) -> None:
    assert not is_schedule(name)
    with pytest.raises(KeyError):
        schedule_named(name)
    with pytest.raises(KeyError):
        learning_rates(name, 0.1, 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_base_rate_is_the_highest_and_none_is_negative(name: str) -> None:
    factors = schedule_named(name)(np.linspace(0, 1, 1001))
    assert factors.shape == (1001,)
    assert factors.max() == pytest.approx(1, abs=1e-5)
    assert factors.max() <= 1
    assert factors.min() >= 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "one_cycle"])
def test_these_never_rise(name: str) -> None:
    assert np.all(np.diff(schedule_named(name)(np.linspace(0, 1, 1001))) <= 0)


def test_one_cycle_rises_from_a_twenty_fifth_to_its_peak_and_falls_to_zero() -> None:
    progress = np.linspace(0, 1, 1001)
    factors = SCHEDULES["one_cycle"](progress)
    peak = int(factors.argmax())
    assert factors[0] == pytest.approx(1 / 25)
    assert progress[peak] == pytest.approx(0.3)
    assert np.all(np.diff(factors[: peak + 1]) > 0)
    assert np.all(np.diff(factors[peak:]) < 0)
    assert factors[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_every_epoch_before_the_horizon_has_a_positive_rate(name: str, horizon: int) -> None:
    rates = learning_rates(name, 0.1, horizon)[:-1]
    assert rates.min() > 0
    assert rates.max() <= 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_rate_of_an_epoch_is_that_of_its_middle(name: str, horizon: int) -> None:
    rates = learning_rates(name, 0.1, horizon)
    assert rates.shape == (horizon + 1,)
    for epoch in range(horizon):
        middle = np.array([(epoch + 0.5) / horizon])
        assert rates[epoch] == pytest.approx(0.1 * schedule_named(name)(middle)[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_last_rate_is_that_at_the_horizon(name: str, horizon: int) -> None:
    at_the_end = schedule_named(name)(np.array([1.0]))[0]
    assert learning_rates(name, 1.0, horizon)[-1] == pytest.approx(at_the_end, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_rates_scale_with_the_base_rate(name: str) -> None:
    one, three = (learning_rates(name, lr, 60) for lr in (1.0, 3.0))
    np.testing.assert_allclose(three, 3 * one)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("factor", [3, 9])
def test_a_longer_horizon_stretches_the_schedule(name: str, horizon: int, factor: int) -> None:
    longer = learning_rates(name, 0.1, factor * horizon)[factor // 2 :: factor]
    np.testing.assert_allclose(longer[:horizon], learning_rates(name, 0.1, horizon)[:-1])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError, match="cosin"):
        learning_rates("cosin", 0.1, 10)
