"""Hugging Face: a callback of the transformers Trainer."""

from __future__ import annotations

from typing import Any

from epochs_left.dynamics.schedules import SCHEDULES
from epochs_left.live.adapters._frameworks import framework
from epochs_left.live.adapters._optimizers import agreed_rate, torch_rates, torch_settings
from epochs_left.live.adapters._tracked_run import OnEta, TrackedRun
from epochs_left.live.eta import Eta

_transformers = framework("transformers", package="transformers")
_state = framework("transformers.trainer_callback", package="transformers")
_Callback: Any = _transformers.TrainerCallback
_Exportable: Any = _state.ExportableState

#: The training loss of a log entry: the mean of the steps since the entry before.
_LOSS = "loss"
#: A Trainer that was given a number of steps alone may state a number of epochs beyond this.
_MAX_EPOCHS = 10**9
_WHOLE = 1e-6


class EtaCallback(_Callback, _Exportable):
    """Predicts how many epochs are left, and adds it as ``eta/...`` to what the Trainer logs.

    The training loss is tracked as its mean over each pass, for which the Trainer is asked for a
    log entry at the end of each; any other metric at each entry that has it. The numbers are in
    ``trainer_state.json`` and in the logs of callbacks that come later; `attach` lets them come
    before those that report to TensorBoard and others. The curve is kept in checkpoints. With an
    entry counts the learning rate of the step before it, where all groups have the same. The first
    process predicts; of several the others are told whether to stop. One of these a Trainer.

    Parameters
    ----------
    target
        As for `EtaTracker`.
    metric
        What is logged: ``"loss"``, or for example ``"eval_loss"``.
    stop_if
        ``"never converges at .95"`` or ``"takes longer than 40 epochs at .95"`` stops training and
        says so; without it nothing is ever stopped.
    on_eta
        Receives every answer, on the first process; `print` shows it. A Trainer that makes its
        callbacks anew (``restore_callback_states_from_checkpoint``) cannot know it.
    **asked
        What else `EtaTracker` takes: plateau, horizon, mode, settings, ... The usual horizon is
        what the Trainer will train; learning rate, optimizer and batch size are passed on where
        there is one of each.

    Raises
    ------
    TypeError, ValueError
        As `EtaTracker` does, and for a rule to stop that says nothing.
    """

    def __init__(
        self,
        target: float | None = None,
        *,
        metric: str = _LOSS,
        stop_if: str | None = None,
        on_eta: OnEta | None = None,
        **asked: Any,
    ) -> None:
        self._run = TrackedRun(target, metric=metric, stop_if=stop_if, on_eta=on_eta, **asked)
        self._arguments = {"target": target, "metric": metric, "stop_if": stop_if, **asked}
        self._step = 0
        self._passes = 0
        self._rates: list[Any] = []

    @property
    def eta(self) -> Eta | None:
        """The last answer, on the first process."""
        return self._run.eta

    @property
    def curve(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return self._run.state_dict()

    @curve.setter
    def curve(self, state: dict[str, Any]) -> None:
        self._run.load_state_dict(state)

    def state(self) -> dict[str, Any]:
        """Return what the Trainer writes to trainer_state.json."""
        plain = (int, float, str, bool, type(None))
        arguments = {k: v for k, v in self._arguments.items() if isinstance(v, plain)}
        return {"args": arguments, "attributes": {"curve": self.curve}}

    def attach(self, trainer: Any) -> None:
        """Become the first callback of a Trainer, so that all the others see the numbers."""
        trainer.callback_handler.callbacks.insert(0, self)

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,  # noqa: ARG002
        optimizer: Any = None,
        **others: Any,  # noqa: ARG002
    ) -> None:
        """Make the tracker, from a checkpoint if training is resumed."""
        kept = (state.stateful_callbacks or {}).get(type(self).__name__)
        if state.global_step and isinstance(kept, dict):
            self.curve = kept.get("attributes", {}).get("curve", {})
        self._step, self._passes, self._rates = state.global_step, 0, []
        if state.is_world_process_zero:
            settings = _settings(args, optimizer)
            self._run.start(horizon=_horizon(state), settings=settings)

    def on_step_begin(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,  # noqa: ARG002
        optimizer: Any = None,
        **others: Any,  # noqa: ARG002
    ) -> None:
        """Keep the learning rates: evaluations come without, older versions log the next one."""
        if state.is_world_process_zero:
            self._rates = torch_rates(optimizer)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:  # noqa: ARG002
        """Ask for the training loss of the pass."""
        self._passes += 1
        if self._passes > 1:  # evaluations come after the end of an epoch
            self._run.missing({key for entry in state.log_history for key in entry})
        if self._run.metric == _LOSS and _is_whole(state.epoch):
            control.should_log = True
        return control

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, Any] | None = None,
        **others: Any,  # noqa: ARG002
    ) -> Any:
        """Predict, add the numbers to the entry, and stop if that was asked for."""
        value = self._evaluated(state, logs or {})
        if value is None or logs is None:
            return control
        if state.is_world_process_zero:
            epoch = round(state.epoch) if _is_whole(state.epoch) else state.epoch
            numbers = self._run.update(value, epoch, lr=agreed_rate(self._rates))
            logs.update(numbers)
            state.log_history[-1].update(numbers)
        if self._run.rule is not None and _agreed(self._run.stop_reason is not None, args):
            control.should_training_stop = True
            if state.is_world_process_zero:
                _transformers.utils.logging.get_logger("transformers").warning(
                    self._run.stop_reason
                )
        return control

    def _evaluated(self, state: Any, logs: dict[str, Any]) -> Any:
        """Return what there is to track at an entry, alike in every process; else None."""
        value = logs.get(self._run.metric)
        if value is None or self._run.metric != _LOSS:
            return value
        steps, self._step = state.global_step - self._step, state.global_step
        self._run.mean.add(value, max(steps, 1))
        return self._run.mean.take() if _is_whole(state.epoch) else None


def _is_whole(epoch: float | None) -> bool:
    return epoch is not None and epoch >= 1 and abs(epoch - round(epoch)) < _WHOLE


def _horizon(state: Any) -> float | None:
    epochs = state.num_train_epochs
    return float(epochs) if epochs and epochs < _MAX_EPOCHS else None


def _settings(args: Any, optimizer: Any) -> dict[str, float | str]:
    stated = {} if optimizer is None else torch_settings(optimizer)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    return {**stated, **_schedule(args), "batch_size": float(per_step)}


def _schedule(args: Any) -> dict[str, str]:
    """Return the schedule, where it is one that is known; none of those warms up."""
    kind = getattr(args, "lr_scheduler_type", None)
    name = str(getattr(kind, "value", kind))
    warms_up = any(getattr(args, name, None) for name in ("warmup_steps", "warmup_ratio"))
    return {"lr_schedule": name} if name in SCHEDULES and not warms_up else {}


def _agreed(stop: bool, args: Any) -> bool:
    """Return what the first process says, in every process."""
    if args.world_size == 1:
        return stop
    accelerate = framework("accelerate.utils", package="accelerate")
    return bool(accelerate.broadcast_object_list([stop])[0])
