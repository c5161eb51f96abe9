"""A problem whose losses are known: one number w, its loss (w - 3)^2, from w = 0, plain descent.

After k steps the loss is 9 (1 - 2 lr)^(2 k).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.predictor import Predictor

GOAL, LR, BATCHES, BATCH_SIZE, TARGET = 3.0, 0.01, 4, 2, 0.05


def loss_after(steps: int) -> float:
    """Return the loss after a number of steps."""
    return float((GOAL * (1 - 2 * LR) ** steps) ** 2)


def pass_means(epochs: int) -> list[float]:
    """Return the mean loss of the batches of each pass."""
    steps = [loss_after(k) for k in range(epochs * BATCHES)]
    return [sum(steps[i : i + BATCHES]) / BATCHES for i in range(0, len(steps), BATCHES)]


def assert_answers(found: Sequence[Eta], curve: Mapping[float, float], **asked: Any) -> None:
    """Compare answers with those of a tracker of the same curve, of which they are the last.

    Exactly: but for how long an epoch took here, which is nobody's law.
    """
    tracker = EtaTracker(TARGET, **asked)
    truth = [tracker.update(value, epoch=epoch, time=epoch) for epoch, value in curve.items()]
    assert list(map(_timeless, found)) == list(map(_timeless, truth[-len(found) :]))
    assert any(eta.epochs_remaining for eta in found)


def _timeless(eta: Eta) -> Eta:
    return replace(eta, seconds_remaining=None, seconds_lower=None, seconds_upper=None)


def keeping_answers(kind: Callable[..., Any], released: Predictor) -> Callable[..., Any]:
    """Return what makes a framework's callback that keeps its answers in ``answers``."""

    def make(target: float | None = TARGET, **options: Any) -> Any:
        answers: list[Any] = []
        made = kind(target, on_eta=answers.append, model_bundle=released, **options)
        made.answers = answers
        return made

    return make
