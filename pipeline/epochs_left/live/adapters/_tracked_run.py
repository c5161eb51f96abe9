"""What all callbacks do: one run of a framework, its tracker, its rule to stop, its state."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from inspect import signature
from typing import Any, NamedTuple

from epochs_left.errors import did_you_mean
from epochs_left.live.adapters._optimizers import agreed_rate
from epochs_left.live.adapters._pass_mean import PassMean
from epochs_left.live.adapters._stopping import StopRule
from epochs_left.live.eta import Eta
from epochs_left.live.goal import Goal
from epochs_left.live.settings import as_number, checked_settings
from epochs_left.live.tracker import EtaTracker

#: Receives every answer; `print` shows it.
OnEta = Callable[[Eta], object]
_VERSION = 2
#: The first one had no learning rates: a run goes on from it as one that nobody tells them.
_READABLE = (1, _VERSION)
_GOAL = ("target", "plateau", "horizon", "mode", "ceiling")
_LOG = logging.getLogger("epochs_left")


class _Evaluation(NamedTuple):
    """What was seen of one epoch; seconds count from the start of the run."""

    epoch: float
    value: float
    seconds: float
    lr: float | None


class TrackedRun:
    """A run whose tracker is made when its length and its settings are known.

    Its state is the curve itself: a run that is resumed to last longer, or with another target, is
    asked about anew with everything that was seen of it.

    Parameters
    ----------
    target, **asked
        As for `EtaTracker`; checked at once, but for the bundle.
    metric
        Name of what is tracked.
    stop_if
        Rule by which training is stopped (`StopRule`); None: never.
    on_eta
        Receives every answer.
    """

    def __init__(
        self,
        target: float | None,
        *,
        metric: str,
        stop_if: str | None,
        on_eta: OnEta | None,
        **asked: Any,
    ) -> None:
        _check(target, asked)
        self.metric = metric
        self.rule = None if stop_if is None else StopRule.parsed(stop_if)
        self.mean = PassMean()
        self.eta: Eta | None = None
        self.stop_reason: str | None = None
        self._asked, self._on_eta = {"target": target, **asked}, on_eta
        self._clock: Callable[[], float] = asked.get("clock", time.monotonic)
        self._tracker: EtaTracker | None = None
        self._judge: EtaTracker | None = None
        self._curve: list[_Evaluation] = []
        self._started = self._before = 0.0
        self._complained = False

    def start(self, *, horizon: float | None, settings: Mapping[str, float | str]) -> None:
        """Begin or go on; the time since the last evaluation does not count.

        Parameters
        ----------
        horizon
            Epochs that the framework will train; what the user gave goes before it.
        settings
            What the framework knows of the run; what the user gave goes before it.
        """
        asked = {**settings, **self._asked}
        if asked.get("horizon") is None:
            asked["horizon"] = horizon
        level = None if self.rule is None else self.rule.level
        self._tracker = EtaTracker(**asked)
        self._judge = None if level is None else EtaTracker(**{**asked, "level": level})
        self._before = self._curve[-1].seconds if self._curve else 0.0
        self._started, self.stop_reason = self._clock(), None
        for seen in self._curve:
            for tracker in self._trackers():
                tracker.observe(seen.value, epoch=seen.epoch, time=seen.seconds, lr=seen.lr)

    def update(self, value: object, epoch: float, *, lr: float | None = None) -> dict[str, float]:
        """Take the metric after so many passes; return numbers for loggers.

        What cannot be tracked, such as a metric above its ceiling, never ends the training: it is
        said once.

        Parameters
        ----------
        lr
            Learning rate of the epoch just done, 0 or more; None where it is not known.
        """
        now = self._before + self._clock() - self._started
        try:
            number = as_number(self.metric, value)
            answers = [
                tracker.update(number, epoch=epoch, time=now, lr=lr) for tracker in self._trackers()
            ]
        except (TypeError, ValueError) as error:
            self.complain(str(error))
            return {}
        if not answers:
            return {}
        while self._curve and self._curve[-1].epoch >= epoch:  # gone back to a checkpoint
            self._curve.pop()
        self._curve.append(_Evaluation(epoch, number, now, lr))
        self.eta = answers[0]
        self.stop_reason = None if self.rule is None else self.rule.reason(answers[-1])
        if self._on_eta is not None:
            self._on_eta(self.eta)
        return self.eta.as_dict()

    def missing(self, logged: Collection[str]) -> None:
        """Say once that there is no such metric, if there never was."""
        if not self._curve:
            near = did_you_mean(self.metric, logged) or f"; there are {sorted(logged)}"
            self.complain(f"no metric {self.metric!r} has been logged so far{near}")

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen, for JSON, in which what is not finite is text."""
        return {
            "version": _VERSION,
            "metric": self.metric,
            "curve": [[s.epoch, _written(s.value), s.seconds, s.lr] for s in self._curve],
            "mean": [_written(number) for number in self.mean.state()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, before `start`; one of another metric is left, which is said."""
        try:
            if state["version"] not in _READABLE or state["metric"] != self.metric:
                raise ValueError(f"a state of {state['metric']!r}, version {state['version']}")
            curve = [_evaluation(*row) for row in state["curve"]]
            self.mean.restore(state["mean"])
        except (KeyError, TypeError, ValueError) as error:
            self.complain(f"the past of {self.metric!r} is not in the checkpoint: {error}")
        else:
            self._curve = curve

    def _trackers(self) -> list[EtaTracker]:
        return [tracker for tracker in (self._tracker, self._judge) if tracker is not None]

    def complain(self, text: str) -> None:
        """Warn, once a run: a training that goes well is not to be drowned in lines."""
        if not self._complained:
            _LOG.warning("ETA: %s", text)
        self._complained = True


def _check(target: float | None, asked: Mapping[str, Any]) -> None:
    """Refuse what makes no sense; a horizon may still come from the framework."""
    given = signature(EtaTracker).bind(target, **asked)
    given.apply_defaults()
    goal = {name: given.arguments[name] for name in _GOAL}
    Goal.of(**{**goal, "horizon": 1.0 if goal["horizon"] is None else goal["horizon"]})
    checked_settings(given.arguments["settings"])


def _evaluation(epoch: Any, value: Any, seconds: Any, lr: Any = None) -> _Evaluation:
    """Return what a row of a state says; ValueError or TypeError if it is none."""
    return _Evaluation(float(epoch), float(value), float(seconds), agreed_rate([lr]))


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
