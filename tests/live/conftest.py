"""Shared by the tests of the tracker: a small predictor, curves, and trackers of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundle_choice import THRESHOLD
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.released import RELEASED

SEEDS = range(4)


@pytest.fixture(scope="session")
def small(bundles_folder: Path) -> Predictor:
    """A predictor of losses that is fitted in a second."""
    return predictor_of(load_bundle(bundles_folder / "xgboost/neuron-causal"), level=0.9, jobs=1)


@pytest.fixture(scope="session")
def of_plateaus(bundles_folder: Path) -> Predictor:
    """A predictor of plateaus."""
    return predictor_of(load_bundle(bundles_folder / "plateau-causal"), level=0.9, jobs=1)


@pytest.fixture(scope="session")
def released() -> Predictor:
    """The package's predictor of thresholds."""
    return predictor_of(load_bundle(RELEASED / THRESHOLD), level=0.9, jobs=1)


@pytest.fixture(scope="session")
def curve() -> Callable[..., NDArray[np.float64]]:
    """Draw a noisy curve that falls from 1."""

    def draw(seed: int, n: int = 40, rate: float = 0.1) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        return np.asarray(np.exp(-rate * np.arange(n) + 0.05 * rng.normal(size=n)))

    return draw


@pytest.fixture
def follow(small: Predictor) -> Callable[..., list[Eta]]:
    """Feed a curve to a tracker; return what it answers after each value."""

    def feed(
        losses: Sequence[float] | NDArray[np.float64],
        epochs: Sequence[float] | NDArray[np.float64] | None = None,
        *,
        tracker: EtaTracker | None = None,
        **options: Any,
    ) -> list[Eta]:
        asked = {"model_bundle": small, "clock": Ticks()} | options
        if "plateau" not in asked:
            asked = {"target": 1e-3} | asked
        used = tracker or EtaTracker(**asked)
        times: Sequence[Any] = [None] * len(losses) if epochs is None else list(epochs)
        return [
            used.update(loss=float(loss), epoch=epoch)
            for loss, epoch in zip(losses, times, strict=True)
        ]

    return feed


class Ticks:
    """A clock that advances by one interval whenever it is looked at."""

    def __init__(self, interval: float = 1.0) -> None:
        self.now, self.interval = 0.0, interval

    def __call__(self) -> float:
        self.now += self.interval
        return self.now


@pytest.fixture
def ticks() -> type[Ticks]:
    """The clock."""
    return Ticks
