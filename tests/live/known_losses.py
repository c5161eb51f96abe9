"""A problem whose losses are known: one number w, its loss (w - 3)^2, from w = 0, plain descent.

After k steps the loss is 9 (1 - 2 lr)^(2 k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker

GOAL, LR, BATCHES, BATCH_SIZE, TARGET = 3.0, 0.01, 4, 2, 0.05


def loss_after(steps: int) -> float:
    """Return the loss after a number of steps."""
    return float((GOAL * (1 - 2 * LR) ** steps) ** 2)


def pass_means(epochs: int) -> list[float]:
    """Return the mean loss of the batches of each pass."""
    steps = [loss_after(k) for k in range(epochs * BATCHES)]
    return [sum(steps[i : i + BATCHES]) / BATCHES for i in range(0, len(steps), BATCHES)]


def ends(epochs: int) -> list[float]:
    """Return the loss at the end of each pass."""
    return [loss_after(BATCHES * epoch) for epoch in range(1, epochs + 1)]


def expected(values: Sequence[float], epochs: Sequence[float], **asked: Any) -> list[Eta]:
    """Return what a tracker answers to a curve."""
    tracker = EtaTracker(TARGET, **asked)
    return [
        tracker.update(v, epoch=epoch, time=epoch) for v, epoch in zip(values, epochs, strict=True)
    ]


def assert_alike(found: Sequence[Eta], truth: Sequence[Eta]) -> None:
    """Compare answers; how long an epoch took here is nobody's law."""
    assert [eta.epoch for eta in found] == [eta.epoch for eta in truth]
    for ours, theirs in zip(found, truth, strict=True):
        for name, value in asdict(theirs).items():
            if not name.startswith("seconds"):
                close: Callable[[Any], Any] = pytest.approx
                same = close(value, rel=0.05) if isinstance(value, float) else value
                assert getattr(ours, name) == same, name
