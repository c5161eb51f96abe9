"""The tracker: how many epochs a run still needs, from inside its training loop."""

from __future__ import annotations

import time as _time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epochs_left.live.bundle import tracking_predictor
from epochs_left.live.eta import Eta
from epochs_left.live.goal import Goal
from epochs_left.live.history import History
from epochs_left.live.motion import Model, Motion, Moved
from epochs_left.live.pace import Pace
from epochs_left.live.settings import as_number, checked_measures, checked_settings
from epochs_left.live.state import read_state, state_of

if TYPE_CHECKING:
    from epochs_left.prediction.predictor import Predictor

USUAL_LEVEL = 0.9
_NO_LOSS = {"status": "insufficient_history", "reason": "no loss at this epoch"}
#: What an answer says of a run that is over for this goal, whatever comes: all but the epoch.
_Answer = dict[str, Any]


class EtaTracker:
    """Predicts, after each evaluation of one run, how much longer it takes.

    The answers are those of `epochs-left predict` for a log with the same rows, as long as these
    are evenly spaced in whole numbers and no more than `live.history.MAX_EXACT`; another curve is
    first put on an even grid, from past points alone. An answer never depends on later updates.

    Parameters
    ----------
    target
        Loss to be reached, above 0; with ``mode="max"`` the metric to be reached, below
        ``ceiling``.
    plateau
        Instead of it: share p of the whole fall, in (0, 1), within which the curve stays from its
        plateau on; needs ``horizon``.
    horizon
        Units that the run is meant to last.
    mode
        ``"min"`` for a loss. ``"max"`` for a metric that rises, such as the accuracy: the tracker
        works on ``ceiling - metric``, which falls, and on ``ceiling - target``.
    ceiling
        The highest value that such a metric can have; 100 for an accuracy in percent.
    level
        Share of the truths that intervals cover, in (0, 1).
    model_bundle
        Folder of a bundle, its name below ``models``, or a predictor that is loaded already;
        without it what EPOCHS_LEFT_MODEL names, or the predictor of the package.
    unit
        What ``epoch`` counts, in the singular, for people: ``"step"``, ``"second"``, ...
    clock
        Returns seconds; their differences alone matter.
    **settings
        What is known of the run: lr, lr_schedule, optimizer, momentum, batch_size, n_examples,
        architecture, activation, weight_decay. A bundle uses a setting only where it knows
        everything that it was trained on, else the loss curve alone, as `epochs-left explain`
        shows; a name that it was not trained on flags the answers.

    Raises
    ------
    TypeError
        For a setting that is not known, with the nearest that is, or of a wrong type.
    ValueError
        For a value outside its bounds, or not exactly one of target and plateau.
    EpochsLeftError
        If the bundle cannot be loaded, or cannot answer what is asked.

    Examples
    --------
    >>> tracker = EtaTracker(target=0.05)
    >>> str(tracker.update(loss=1.0))
    'unknown: fewer than 2 epochs with a loss'
    """

    def __init__(  # noqa: PLR0913 - what a user may say of a run
        self,
        target: float | None = None,
        *,
        plateau: float | None = None,
        horizon: float | None = None,
        mode: str = "min",
        ceiling: float = 1.0,
        level: float = USUAL_LEVEL,
        model_bundle: str | Path | Predictor | None = None,
        unit: str = "epoch",
        clock: Callable[[], float] = _time.monotonic,
        **settings: float | str | None,
    ) -> None:
        self._goal = Goal.of(
            target=target, plateau=plateau, horizon=horizon, mode=mode, ceiling=ceiling
        )
        self._settings = checked_settings(settings)
        self._unit, self._clock, self._level = unit, clock, float(level)
        self._predictor = tracking_predictor(model_bundle, self._goal, self._level)
        self._history = History(self._goal.horizon, self._settings)
        self._motion, self._pace = Motion(), Pace()
        self._epoch: float | None = None
        self._settled: tuple[float, _Answer] | None = None
        self._moved: Moved | None = None

    def update(
        self,
        loss: float | None = None,
        *,
        metric: float | None = None,
        epoch: float | None = None,
        time: float | None = None,
        model: Model | None = None,
        **measures: float | None,
    ) -> Eta:
        """Take an evaluation and answer.

        Parameters
        ----------
        loss, metric
            The value, one of the two names for it. None: there was no evaluation. NaN or infinite:
            the run has diverged, for good.
        epoch
            Where the run stands, in the tracker's unit, 0 or more; without it 1, 2, 3, ... One
            that is not later than the last one takes the run back: what came at it or after it is
            forgotten, as after the restart from a checkpoint.
        time
            Now, in seconds, where the clock of the tracker does not know; NaN: nobody knows.
        model
            A torch module to be measured (`live.motion.Motion`): update norm, path length, and for
            loggers distance and norm (`moved`). What it was at the first update counts as start.
        **measures
            grad_norm, update_norm, path_length, probe_kl: as in logs; lr: the learning rate of the
            epoch just done, which says more than a setting where a schedule changes it.

        Raises
        ------
        TypeError
            For a measure that is not known, or what is no number.
        ValueError
            For a value out of its bounds, as a metric above the ceiling; nothing has changed then.
        """
        position, value, found = self._taken(loss, metric, epoch, time, model, measures)
        return self._eta(position, self._answer(position, value, found))

    def observe(
        self,
        loss: float | None = None,
        *,
        metric: float | None = None,
        epoch: float | None = None,
        time: float | None = None,
        model: Model | None = None,
        **measures: float | None,
    ) -> None:
        """Take an evaluation as `update` does and answer nothing, which is quicker.

        For what happened before somebody looks: later answers are the same.
        """
        position, value, found = self._taken(loss, metric, epoch, time, model, measures)
        if self._goal.may_settle(position, value):
            self._answer(position, value, found)
        elif self._settled is None and value is not None:
            self._history.add(position, value, found)

    def _taken(
        self,
        loss: float | None,
        metric: float | None,
        epoch: float | None,
        time: float | None,
        model: Model | None,
        measures: Mapping[str, float | None],
    ) -> tuple[float, float | None, dict[str, float]]:
        """Check an evaluation, move to its epoch, and return it as position, value, measures."""
        if loss is not None and metric is not None:
            raise ValueError("expected a loss or a metric, got both; pass one of them")
        value = self._value(loss if metric is None else metric)
        found = checked_measures(measures)
        position = self._position(epoch)
        now = self._clock() if time is None else as_number("time", time)
        if model is not None:
            found = self._look(model) | found
        self._go_to(position)
        self._pace.mark(position, now)
        return position, value, found

    @property
    def moved(self) -> Moved | None:
        """What the last look at the model said; None without one."""
        return self._moved

    def state_dict(self) -> dict[str, Any]:
        """Return everything that answers depend on, for JSON: keep it with a checkpoint."""
        return state_of(
            asked=self._asked(),
            history=self._history,
            pace=self._pace,
            motion=self._motion,
            epoch=self._epoch,
            settled=self._settled,
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: with the same answers, and the time in between does not count.

        Raises
        ------
        ValueError
            If it is no such state, of another version, or of a tracker that was asked for something
            else; nothing has changed then.
        """
        found = read_state(state, self._asked(), History(self._goal.horizon, self._settings))
        self._history, self._pace, self._motion = found.history, found.pace, found.motion
        self._epoch, self._settled, self._moved = found.epoch, found.settled, None

    def _asked(self) -> dict[str, Any]:
        """Return what makes two trackers answer alike."""
        return {
            **asdict(self._goal),
            "level": self._level,
            "unit": self._unit,
            "model_id": self._predictor.manifest.bundle_id,
            "settings": self._settings,
        }

    def _value(self, value: float | None) -> float | None:
        if value is None:
            return None
        return self._goal.falling(as_number("loss", value))

    def _position(self, epoch: float | None) -> float:
        if epoch is None:
            return 1.0 if self._epoch is None else self._epoch + 1
        number = as_number("epoch", epoch)
        if not (number >= 0 and np.isfinite(number)):
            raise ValueError(f"epoch: expected 0 or more, got {number:g}; count from the start")
        return number

    def _look(self, model: Model) -> dict[str, float]:
        moved = self._moved = self._motion.look(model)
        self._history.set("n_params", float(moved.n_params))
        return {"update_norm": moved.update_norm, "path_length": moved.path_length}

    def _go_to(self, epoch: float) -> None:
        """Forget what came at ``epoch`` or later."""
        if self._epoch is not None and epoch <= self._epoch:
            self._history.rewind(epoch)
            self._motion.resume(self._history.last("path_length"))
            self._pace.pause()
            if self._settled is not None and self._settled[0] >= epoch:
                self._settled = None
        self._epoch = epoch

    def _answer(self, epoch: float, value: float | None, measures: Mapping[str, float]) -> _Answer:
        if self._settled is not None:
            return self._settled[1]
        if value is None:
            return _NO_LOSS
        self._history.add(epoch, value, measures)
        answer = self._predicted()
        if _is_settled(answer):
            self._settled = (epoch, answer)
        return answer

    def _predicted(self) -> _Answer:
        from epochs_left.prediction.answers import last_answer  # noqa: PLC0415 - slow to import

        curve = self._history.curve()
        answer = last_answer(
            curve.runs, self._predictor, aim=self._goal.aim, label_names=curve.label_names
        )
        for name in ("epochs_remaining", "lower", "upper"):
            answer[name] = None if answer[name] is None else answer[name] * curve.unit
        return answer

    def _eta(self, epoch: float, answer: _Answer) -> Eta:
        pace = self._pace.seconds_per_unit()
        left = {name: answer.get(name) for name in ("epochs_remaining", "lower", "upper")}
        seconds = {
            f"seconds_{name.removeprefix('epochs_')}": None
            if value is None or pace is None
            else value * pace
            for name, value in left.items()
        }
        return Eta(
            epoch=epoch,
            **left,
            **seconds,
            p_converges=answer.get("p_converges"),
            status=answer["status"],
            reason=self._goal.worded(answer["reason"]),
            level=self._level,
            unit=self._unit,
            model_id=self._predictor.manifest.bundle_id,
        )


def _is_settled(answer: _Answer) -> bool:
    """Tell whether the run is over for its goal: reached, diverged, or past its horizon."""
    over = answer["status"] in {"already_converged", "diverged"}
    return over or (answer["epochs_remaining"] is None and answer["p_converges"] == 0)
