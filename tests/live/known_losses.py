"""A problem whose losses are known: one number w, its loss (w - 3)^2, from w = 0, plain descent.

After k steps the loss is 9 (1 - 2 lr)^(2 k). And a predictor whose answers are known: they follow
the learning rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epochs_left.features import FEATURE_GROUPS
from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.predictor import Predictor
from epochs_left.statistics.scales import SCALES

GOAL, LR, BATCHES, BATCH_SIZE, TARGET = 3.0, 0.01, 4, 2, 0.05
#: Learning rates of epochs that fall to a tenth after these.
MILESTONES = (2, 5)
DROPS = [LR, LR, LR / 10, LR / 10, LR / 10, LR / 100]
#: What a `follower` is asked for: the horizon is beyond all its answers.
PLATEAU = {"target": None, "plateau": 0.05, "horizon": 100}
UNTOLD = 0.5


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
        asked = {"model_bundle": released} | options
        made = kind(target, on_eta=answers.append, **asked)
        made.answers = answers
        return made

    return make


def rates_of(state: Mapping[str, Any]) -> list[float | None]:
    """Return the learning rates of a curve as an adapter keeps it."""
    return [lr for *_, lr in state["curve"]]


def rates_told(callback: Any) -> list[float]:
    """Return the learning rates that the tracker of a callback knows, NaN where none."""
    return [float(rate) for rate in callback._run._tracker.state_dict()["values"]["recorded_lr"]]


def follower(of_plateaus: Predictor) -> Predictor:
    """Return a predictor that says as many epochs as passed since the learning rate changed.

    Where it is not told the rates it says `UNTOLD`.
    """
    names = ("log_plateau_share", "log_epochs_since_rate_change")
    return replace(
        of_plateaus,
        manifest=replace(of_plateaus.manifest, features=names, scale="log", ranges={}),
        groups=(FEATURE_GROUPS["plateau_goal"], FEATURE_GROUPS["rates_so_far"]),
        scale=SCALES["log"],
        time={
            "all": lambda X: X[:, 1].astype(float),
            "loss_only": lambda X: np.full(len(X), np.log1p(UNTOLD)),
        },
        converges=None,
        quantiles=None,
        novelty=None,
    )


def epochs_at_rate(rates: Sequence[float]) -> list[int]:
    """Return how many epochs before each the rate changed, or the first epoch was."""
    return [
        t - max([i for i in range(1, t + 1) if rates[i] != rates[i - 1]], default=0)
        for t in range(len(rates))
    ]


def assert_follows(found: Sequence[Eta], rates: Sequence[float | None]) -> None:
    """Compare the last answers of a `follower` with what the learning rates of all epochs say."""
    told = [UNTOLD] * len(rates) if None in rates else epochs_at_rate(rates)  # type: ignore[arg-type]
    answers = [eta.epochs_remaining for eta in found]
    expected = [None, *told[1:]][-len(found) :]  # of one epoch nothing is known
    assert [v is None for v in answers] == [v is None for v in expected]
    assert [v for v in answers if v is not None] == pytest.approx(expected[answers.count(None) :])
