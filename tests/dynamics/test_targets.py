"""When a curve reaches a threshold or its plateau."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.dynamics.targets import (
    LATEST_PLATEAU,
    first_below,
    plateau_epoch,
    plateau_time,
    record_epochs,
    threshold_reached_at,
)

SEEDS = range(20)
Curve = Callable[[np.random.Generator, int], np.ndarray]


def exponential(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(0, 2) + np.exp(-rng.uniform(0.5, 20) * np.arange(n) / n)


def noisy(rng: np.random.Generator, n: int) -> np.ndarray:
    return exponential(rng, n) * np.exp(rng.uniform(0.01, 0.5) * rng.normal(size=n))


def walk(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(np.cumsum(rng.normal(-0.05, 0.2, size=n)))


def coarse(rng: np.random.Generator, n: int) -> np.ndarray:
    """Many ties."""
    return np.ceil(5 * noisy(rng, n)) / 5


CURVES: dict[str, Curve] = {
    "exponential": exponential,
    "noisy": noisy,
    "walk": walk,
    "coarse": coarse,
}


def draw(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return CURVES[kind](rng, int(rng.integers(1, 80)))


def plateaus(kind: str, share: float, plateau: Callable[..., int | None]) -> list[int | None]:
    return [plateau(draw(kind, seed), share) for seed in SEEDS]


def slow_plateau(metric: np.ndarray, share: float) -> int | None:
    """In the words of the data model, epoch by epoch."""
    horizon = len(metric) - 1
    y = [
        float(metric[s]) if s in (0, horizon) else sorted(metric[s - 1 : s + 2])[1]
        for s in range(horizon + 1)
    ]
    m = min(y)
    for t in range(horizon + 1):
        if all(y[s] <= m + share * (y[0] - m) for s in range(t, horizon + 1)):
            return None if t > LATEST_PLATEAU * horizon else t
    return None


@pytest.mark.parametrize("share", [0.003, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("kind", CURVES)
def test_plateau_begins_where_the_words_say(kind: str, share: float) -> None:
    assert plateaus(kind, share, plateau_epoch) == plateaus(kind, share, slow_plateau)


@pytest.mark.parametrize("kind", CURVES)
def test_the_curves_have_plateaus_of_every_kind(kind: str) -> None:
    found = [*plateaus(kind, 0.01, plateau_epoch), *plateaus(kind, 0.3, plateau_epoch)]
    assert None in found
    assert len(set(found)) > 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["exponential", "noisy", "walk"])
def test_a_wider_plateau_never_begins_later(kind: str, seed: int) -> None:
    metric = draw(kind, seed)
    begins = [plateau_epoch(metric, share) for share in (0.01, 0.05, 0.2, 0.5)]
    epochs = [len(metric) if epoch is None else epoch for epoch in begins]
    assert epochs == sorted(epochs, reverse=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_unit_and_floor_of_the_metric_do_not_move_the_plateau(seed: int) -> None:
    metric = draw("noisy", seed)
    for scale, floor in ((4.0, 0.0), (0.25, 0.0), (1.0, 3.0)):
        assert plateau_epoch(scale * metric + floor, 0.1) == plateau_epoch(metric, 0.1)


def test_a_single_spike_ends_no_plateau_and_two_in_a_row_do() -> None:
    metric = np.r_[1.0, np.zeros(49)]
    spike, burst = metric.copy(), metric.copy()
    spike[20], burst[20:22] = 5.0, 5.0
    assert plateau_epoch(metric, 0.1) == plateau_epoch(spike, 0.1) == 1
    assert plateau_epoch(burst, 0.1) == 22


def test_a_plateau_in_the_last_tenth_of_the_horizon_is_censored() -> None:
    for begin, expected in ((90, 90), (91, None)):
        metric = np.r_[np.ones(begin), np.zeros(101 - begin)]
        assert plateau_epoch(metric, 0.1) == expected


def test_the_plateau_leaves_the_metric_as_it_was() -> None:
    metric = draw("noisy", 3)
    before = metric.copy()
    plateau_epoch(metric, 0.1)
    np.testing.assert_array_equal(metric, before)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", CURVES)
def test_records_are_lower_than_all_before(kind: str, seed: int) -> None:
    loss = draw(kind, seed)
    loss[np.random.default_rng(seed).random(loss.size) < 0.1] = np.nan
    expected = [
        t
        for t in range(1, loss.size)
        if all(loss[t] < loss[s] or np.isnan(loss[s]) for s in range(t))
    ]
    assert record_epochs(loss).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("position", [1e-17, 1e-3, 0.5, 1.0])
def test_a_threshold_is_first_reached_at_its_epoch(kind: str, seed: int, position: float) -> None:
    loss = draw(kind, seed).astype(np.float32).astype(float)
    for epoch in record_epochs(loss):
        target = threshold_reached_at(loss, epoch, position)
        assert first_below(loss, target) == epoch


def test_thresholds_lie_between_the_two_lowest_losses_on_the_log_scale() -> None:
    loss = np.array([8.0, 4.0, 1.0])
    assert threshold_reached_at(loss, 2, 1.0) == 4.0
    assert threshold_reached_at(loss, 2, 0.5) == pytest.approx(2.0)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_only_a_new_lowest_loss_has_a_threshold(epoch: int) -> None:
    loss = np.array([2.0, 2.0, 1.0, 1.5])
    with pytest.raises(ValueError, match=f"new lowest loss at epoch {epoch}"):
        threshold_reached_at(loss, epoch, 0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_first_below_is_the_first_of_all(seed: int) -> None:
    loss = draw("noisy", seed)
    loss[np.random.default_rng(seed).random(loss.size) < 0.2] = np.nan
    for target in (0.0, 0.5, 1.0, np.inf):
        below = [t for t, value in enumerate(loss) if value < target]
        assert first_below(loss, target) == (below[0] if below else None)


def test_equal_is_not_below() -> None:
    assert first_below(np.array([2.0, 1.0]), 1.0) is None


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_looked_at_every_epoch_the_time_of_a_plateau_is_its_epoch(kind: str, share: float) -> None:
    for seed in SEEDS:
        metric = draw(kind, seed)
        epoch = np.arange(metric.size, dtype=float)
        for horizon in (np.nan, metric.size - 1):
            assert plateau_time(metric, epoch, horizon, share) == plateau_epoch(metric, share)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_tenth_is_one_of_epochs_and_not_of_rows(seed: int) -> None:
    """Many evaluations in the first half, few after it: most rows lie before the plateau."""
    rate = np.random.default_rng(seed).uniform(0.055, 0.11)
    epoch = np.concatenate([np.arange(50.0), np.arange(50.0, 101.0, 10.0)])
    dense = plateau_epoch(np.exp(-rate * np.arange(101.0)), 0.01)
    found = plateau_time(np.exp(-rate * epoch), epoch, 100.0, 0.01)
    assert dense is not None
    assert found is not None
    assert dense <= found <= dense + 10
    assert plateau_time(np.exp(-rate * epoch), epoch, 10 * 100.0, 0.01) == found
