"""The Lightning callback in the real Lightning (20 s, most of it imports)."""

# Lightning calls methods with what it likes.
# ruff: noqa: ARG002

from __future__ import annotations

import csv
import json
import logging
import math
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from epochs_left.prediction.predictor import Predictor
from epochs_left.storage.logs import open_log

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the framework
known = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "known_losses.py")))
DDP = Path(__file__).parent / "ddp_run.py"
EPOCHS = 6
SETTINGS = {"lr": known.LR, "momentum": 0.0, "weight_decay": 0.0, "optimizer": "sgd"}


@pytest.fixture(scope="module")
def fit() -> Callable[..., Any]:
    """Train with a callback; return the trainer."""
    lightning = pytest.importorskip("lightning")
    import torch  # noqa: PLC0415
    from lightning.pytorch.loggers import CSVLogger  # noqa: PLC0415

    class Number(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self, bad_epoch: int | None, optimize: Any) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))
            self.unused = torch.nn.Parameter(torch.zeros(()))
            self.bad_epoch, self.optimize = bad_epoch, optimize

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = (self.w - known.GOAL) ** 2
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss * float("nan") if self.current_epoch + 1 == self.bad_epoch else loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", (self.w - known.GOAL) ** 2, batch_size=known.BATCH_SIZE)

        def configure_optimizers(self) -> Any:
            if self.optimize is not None:
                return self.optimize(self)
            return torch.optim.SGD(self.parameters(), lr=known.LR)

    def train(
        folder: Path,
        *callbacks: Any,
        resume: str | None = None,
        bad_epoch: int | None = None,
        optimize: Any = None,
        **options: Any,
    ) -> Any:
        data = torch.utils.data.DataLoader(
            torch.zeros(known.BATCHES * known.BATCH_SIZE), known.BATCH_SIZE
        )
        trainer = lightning.Trainer(
            **{"max_epochs": EPOCHS, "enable_checkpointing": len(callbacks) > 1} | options,
            logger=CSVLogger(folder),
            callbacks=list(callbacks),
            log_every_n_steps=1,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(Number(bad_epoch, optimize), data, data, ckpt_path=resume)
        return trainer

    return train


@pytest.fixture
def callback(fit: Any, released: Predictor) -> Callable[..., Any]:
    """Make a callback that keeps its answers in ``answers``."""
    from epochs_left.live.adapters.lightning import EtaCallback  # noqa: PLC0415

    return known.keeping_answers(EtaCallback, released)


def curve_of(callback: Any) -> dict[float, float]:
    return {epoch: value for epoch, value, *_ in callback.state_dict()["curve"]}


def by_epoch(module: Any) -> Any:
    from torch.optim import SGD, lr_scheduler  # noqa: PLC0415

    optimizer = SGD(module.parameters(), lr=known.LR)
    return [optimizer], [lr_scheduler.MultiStepLR(optimizer, known.MILESTONES)]


def by_step(module: Any) -> Any:
    from torch.optim import SGD, lr_scheduler  # noqa: PLC0415

    optimizer = SGD(module.parameters(), lr=known.LR)
    steps = [known.BATCHES * epoch for epoch in known.MILESTONES]
    schedule = lr_scheduler.MultiStepLR(optimizer, steps)
    return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def in_a_tensor(module: Any) -> Any:
    """The rate is a tensor, which the schedule changes in place."""
    import torch  # noqa: PLC0415

    optimizer = torch.optim.SGD(module.parameters(), lr=torch.tensor(known.LR), foreach=False)
    return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, known.MILESTONES)]


def on_plateau(module: Any) -> Any:
    """No loss is good enough: the rate falls after every second epoch."""
    from torch.optim import SGD, lr_scheduler  # noqa: PLC0415

    optimizer = SGD(module.parameters(), lr=known.LR)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, threshold=1.0)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": schedule, "monitor": "train_loss"},
    }


def of_two_groups(module: Any) -> Any:
    """The rates agree at first."""
    from torch.optim import SGD, lr_scheduler  # noqa: PLC0415

    optimizer = SGD([{"params": [module.w]}, {"params": [module.unused]}], lr=known.LR)
    fall = [lambda _: 1.0, lambda epoch: 0.1 if epoch >= 3 else 1.0]
    return [optimizer], [lr_scheduler.LambdaLR(optimizer, fall)]


def test_the_answers_are_those_of_a_tracker_and_lie_in_the_log(
    tmp_path: Path, fit: Any, callback: Any, released: Predictor
) -> None:
    eta = callback()
    trainer = fit(tmp_path, eta)
    known.assert_answers(
        eta.answers,
        curve_of(eta),
        model_bundle=released,
        horizon=EPOCHS,
        batch_size=known.BATCH_SIZE,
        **SETTINGS,
    )
    assert curve_of(eta) == pytest.approx(dict(enumerate(known.pass_means(EPOCHS), 1)), rel=1e-5)
    with (Path(trainer.logger.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["eta/epochs_remaining"]]
    assert [int(row["epoch"]) + 1 for row in rows] == list(range(2, EPOCHS + 1))
    logged = [float(row["eta/p_converges"]) for row in rows]
    assert logged == pytest.approx([answer.p_converges for answer in eta.answers[1:]])
    with open_log(trainer.logger.log_dir, None) as log:
        read = [row for table in log.batches(["epoch", "train_loss"]) for row in table.to_pylist()]
    assert {row["epoch"]: row["train_loss"] for row in read} == pytest.approx(curve_of(eta))
    assert float(trainer.callback_metrics["eta/upper"]) == pytest.approx(eta.eta.upper)


def test_a_loss_whose_gradients_are_summed_over_batches_is_the_same_loss(
    tmp_path: Path, fit: Any, callback: Any
) -> None:
    unnamed, named = callback(), callback(metric="train_loss")
    fit(tmp_path / "a", unnamed, accumulate_grad_batches=2)
    fit(tmp_path / "b", named, accumulate_grad_batches=2)
    assert curve_of(unnamed) == pytest.approx(curve_of(named), rel=1e-5)
    asked = unnamed._run._tracker.state_dict()["asked"]
    assert asked["settings"]["batch_size"] == 2 * known.BATCH_SIZE


def test_what_was_validated_before_is_no_new_evaluation(
    tmp_path: Path, fit: Any, callback: Any
) -> None:
    eta = callback(metric="val_loss")
    fit(tmp_path, eta, check_val_every_n_epoch=2)
    assert curve_of(eta) == pytest.approx(
        {t: known.loss_after(known.BATCHES * t) for t in (2, 4, 6)}, rel=1e-5
    )


@pytest.mark.parametrize("metric", [None, "val_loss"])
def test_a_run_resumed_for_longer_has_the_past_of_one_that_was_not_interrupted(
    tmp_path: Path, fit: Any, callback: Any, released: Predictor, metric: str | None
) -> None:
    whole, before, after = (callback(metric=metric) for _ in range(3))
    fit(tmp_path / "whole", whole)
    trainer = fit(tmp_path / "part", before, max_epochs=3)
    checkpoint = str(tmp_path / "last.ckpt")
    trainer.save_checkpoint(checkpoint)
    fit(tmp_path / "part", after, resume=checkpoint)
    assert curve_of(after) == pytest.approx(curve_of(whole), rel=1e-5)
    known.assert_answers(
        after.answers,
        curve_of(after),
        model_bundle=released,
        horizon=EPOCHS,
        batch_size=known.BATCH_SIZE,
        **SETTINGS,
    )
    assert len(after.answers) == 3


@pytest.mark.parametrize(
    ("optimize", "rates"),
    [
        (by_epoch, known.DROPS),
        (by_step, known.DROPS),
        (in_a_tensor, known.DROPS),
        (on_plateau, [known.LR * factor for factor in (1, 1, 0.1, 0.1, 0.01, 0.01)]),
        (of_two_groups, [known.LR] * 3 + [None] * 3),
        (None, [known.LR] * EPOCHS),
    ],
)
def test_the_tracker_is_told_the_learning_rate_of_each_epoch(
    tmp_path: Path, fit: Any, callback: Any, of_plateaus: Predictor, optimize: Any, rates: Any
) -> None:
    eta = callback(**known.PLATEAU, model_bundle=known.follower(of_plateaus))
    fit(tmp_path, eta, optimize=optimize)
    assert known.rates_of(eta.state_dict()) == pytest.approx(rates)
    told = [math.nan if rate is None else rate for rate in rates]
    assert known.rates_told(eta) == pytest.approx(told, nan_ok=True)
    if None not in rates:
        known.assert_follows(eta.answers, rates)


def test_a_resumed_run_goes_on_with_the_learning_rates_of_its_past(
    tmp_path: Path, fit: Any, callback: Any, of_plateaus: Predictor
) -> None:
    asked = {**known.PLATEAU, "model_bundle": known.follower(of_plateaus)}
    before, after = callback(**asked), callback(**asked)
    fit(tmp_path, before, max_epochs=4, optimize=by_epoch, enable_checkpointing=True)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    fit(tmp_path, after, resume=str(checkpoint), optimize=by_epoch)
    assert known.rates_told(after) == pytest.approx(known.DROPS)
    known.assert_follows(after.answers, known.DROPS)


@pytest.mark.parametrize("optimize", [by_epoch, by_step])
def test_a_checkpoint_between_the_last_step_and_the_end_of_an_epoch_keeps_the_rate(
    tmp_path: Path, fit: Any, callback: Any, optimize: Any
) -> None:
    """Validation lies there, and at its end checkpoints are made."""
    from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: PLC0415

    before, after = callback(), callback()
    saving = ModelCheckpoint(tmp_path, monitor="val_loss", save_on_train_epoch_end=False)
    fit(tmp_path, before, saving, max_epochs=2, optimize=optimize)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    fit(tmp_path, after, resume=str(checkpoint), optimize=optimize)
    assert known.rates_of(after.state_dict()) == pytest.approx(known.DROPS)


def test_checkpoints_of_each_epoch_keep_what_was_seen_by_then(
    tmp_path: Path, fit: Any, callback: Any
) -> None:
    """Lightning's own ModelCheckpoint, wherever in an epoch it saves."""
    before, after = callback(), callback()
    fit(tmp_path, before, max_epochs=3, enable_checkpointing=True)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    fit(tmp_path, after, resume=str(checkpoint))
    found = curve_of(after)
    assert found == pytest.approx(dict(enumerate(known.pass_means(EPOCHS), 1)), rel=1e-5)


def test_training_is_stopped_where_that_was_asked_for_alone(
    tmp_path: Path, fit: Any, callback: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epochs_left.live.adapters import lightning as adapter  # noqa: PLC0415

    said: list[str] = []
    monkeypatch.setattr(adapter._lightning.utilities, "rank_zero_info", said.append)
    plain = fit(tmp_path / "plain", callback(), bad_epoch=3)
    stopped = fit(tmp_path / "rule", callback(stop_if="never converges at .95"), bad_epoch=3)
    assert (plain.current_epoch, stopped.current_epoch) == (EPOCHS, 3)
    assert len(said) == 1
    assert said[0].startswith("stopped at epoch 3, as stop_if='never converges at .95': diverged")


def test_a_metric_that_is_not_logged_is_said_once_and_the_nearest_named(
    tmp_path: Path, fit: Any, callback: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "epochs_left"):
        trainer = fit(tmp_path, callback(metric="val_los"))
    ours = [record.message for record in caplog.records if record.name == "epochs_left"]
    assert ours == ["ETA: no metric 'val_los' has been logged so far, did you mean 'val_loss'?"]
    assert trainer.current_epoch == EPOCHS


@pytest.mark.parametrize("odd_rank", [0, 1])
def test_of_two_processes_one_predicts_and_both_stop(
    tmp_path: Path, fit: Any, odd_rank: int
) -> None:
    """One of them has a NaN in the fourth epoch; the metric is summed over both."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(DDP), str(tmp_path), str(odd_rank)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == {"epochs": 4, "asked": [1, 2, 3, 4], "curve": 4}
    assert second == {"epochs": 4, "asked": [], "curve": 0}
    assert (done.stdout + done.stderr).count("stopped at epoch 4") == 1
