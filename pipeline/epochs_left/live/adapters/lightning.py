"""Lightning: a callback. Works with `lightning` and with `pytorch_lightning`."""

from __future__ import annotations

from typing import Any

from epochs_left.live.adapters._frameworks import framework
from epochs_left.live.adapters._optimizers import agreed_rate, torch_rates, torch_settings
from epochs_left.live.adapters._tracked_run import OnEta, TrackedRun
from epochs_left.live.eta import Eta

_lightning = framework("lightning.pytorch", "pytorch_lightning", package="lightning")
_torch = framework("torch", package="torch")
_Callback: Any = _lightning.Callback

#: What the mean loss of a pass is called where no metric was named.
_TRAINING_LOSS = "training_step loss"


class EtaCallback(_Callback):
    """Predicts at the end of each training epoch how many are left, and logs it as ``eta/...``.

    Process zero predicts and logs; the others take part in the decision to stop alone. The curve
    is kept in checkpoints. Of each epoch the learning rate of its last step counts, where all
    optimizers and groups have the same. One of these a trainer.

    Parameters
    ----------
    target
        As for `EtaTracker`.
    metric
        A metric that is logged, such as ``"val_loss"``; with several processes log it with
        ``sync_dist=True``. Without it the mean over the batches of what `training_step` returns as
        its loss, on process zero.
    stop_if
        ``"never converges at .95"`` or ``"takes longer than 40 epochs at .95"`` stops training,
        not before ``min_epochs``, and says so; without it nothing is ever stopped.
    on_eta
        Receives every answer, on process zero; `print` shows it.
    **asked
        What else `EtaTracker` takes: plateau, horizon, mode, settings, ... The trainer's
        ``max_epochs`` is the usual horizon; learning rate, optimizer and batch size are passed on
        where there is one of each.

    Raises
    ------
    TypeError, ValueError
        As `EtaTracker` does, and for a rule to stop that says nothing.
    """

    def __init__(
        self,
        target: float | None = None,
        *,
        metric: str | None = None,
        stop_if: str | None = None,
        on_eta: OnEta | None = None,
        **asked: Any,
    ) -> None:
        name = metric or _TRAINING_LOSS
        self._run = TrackedRun(target, metric=name, stop_if=stop_if, on_eta=on_eta, **asked)
        self._metric = metric
        self._last: Any = None
        self._rates: list[Any] = []

    @property
    def eta(self) -> Eta | None:
        """The last answer, on process zero."""
        return self._run.eta

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Make the tracker: length and settings of the run are known now."""
        if trainer.is_global_zero:
            self._run.start(horizon=_horizon(trainer), settings=_settings(trainer))

    def on_train_batch_start(
        self,
        trainer: Any,
        pl_module: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Keep the learning rates: when an epoch ends, its schedules have gone on already."""
        if trainer.is_global_zero:
            self._rates = torch_rates(*trainer.optimizers)

    def on_train_batch_end(
        self,
        trainer: Any,
        pl_module: Any,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Take the loss of a batch where no metric was named."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if self._metric is None and loss is not None and trainer.is_global_zero:
            # Lightning has divided it by the number of batches that gradients are summed over.
            self._run.mean.add(loss.detach().float() * trainer.accumulate_grad_batches)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Predict, log, and stop if that was asked for."""
        # Every process looks: a metric may be summed over all of them when it is looked at.
        value = self._evaluated(trainer)
        if trainer.is_global_zero:
            self._track(trainer, value)
        reason = self._run.stop_reason
        if self._run.rule is not None and trainer.strategy.reduce_boolean_decision(
            reason is not None, all=False
        ):
            trainer.should_stop = True
            _lightning.utilities.rank_zero_info(reason)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, which may be made between last step and end of epoch."""
        return {**self._run.state_dict(), "lr": agreed_rate(self._rates)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._run.load_state_dict(state_dict)
        self._rates = [state_dict.get("lr")]

    def _evaluated(self, trainer: Any) -> Any:
        """Return the metric of this epoch; None if it was not measured."""
        if self._metric is None:
            return self._run.mean.take()
        found = trainer.callback_metrics.get(self._metric)
        # What an earlier validation measured stays there, as the same object.
        fresh = None if found is self._last else found
        self._last = found
        return fresh

    def _track(self, trainer: Any, value: Any) -> None:
        if value is None:
            self._run.missing(list(trainer.callback_metrics))
            return
        rate = agreed_rate(self._rates)
        numbers = self._run.update(value, trainer.current_epoch + 1, lr=rate)
        # As LearningRateMonitor logs: `self.log` wants every process.
        trainer.callback_metrics.update({k: _torch.tensor(v) for k, v in numbers.items()})
        row = {**numbers, "epoch": trainer.current_epoch}  # counted as Lightning does
        for logger in trainer.loggers if numbers else ():
            logger.log_metrics(row, step=max(trainer.global_step - 1, 0))


def _horizon(trainer: Any) -> float | None:
    epochs = trainer.max_epochs
    return float(epochs) if epochs is not None and epochs > 0 else None


def _settings(trainer: Any) -> dict[str, float | str]:
    optimizers = trainer.optimizers
    stated = torch_settings(optimizers[0]) if len(optimizers) == 1 else {}
    size = getattr(trainer.train_dataloader, "batch_size", None)
    if isinstance(size, int):
        stated["batch_size"] = float(size * trainer.accumulate_grad_batches * trainer.world_size)
    return stated
