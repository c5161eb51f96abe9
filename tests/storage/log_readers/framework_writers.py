"""Logs that the frameworks themselves write, of a problem whose losses are known.

The model is one number w, its loss (w - 3)^2, started at w = 0 and trained by plain gradient
descent: after k steps the loss is 9 (1 - 2 lr)^(2 k). So each value of a log says after how many
steps it was measured.

``python tests/storage/log_readers/framework_writers.py FOLDER`` writes what lies in
data/examples/frameworks.
"""

# A framework is imported by the function that needs it, and calls methods with what it likes.
# ruff: noqa: ARG002, PLC0415

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

GOAL = 3.0
LR = 0.01
BATCHES = 4  # a pass
EPOCHS = 12
BATCH_SIZE = 2


def loss_after(steps: float, lr: float = LR) -> float:
    """Return the loss after a number of steps of gradient descent."""
    return float((GOAL * (1 - 2 * lr) ** steps) ** 2)


def batch_mean(epoch: int, lr: float = LR) -> float:
    """Return the mean loss of the batches of the pass that makes ``epoch`` passes done."""
    first = (epoch - 1) * BATCHES
    return sum(loss_after(step, lr) for step in range(first, first + BATCHES)) / BATCHES


def write_lightning(folder: Path, runs: int = 1, epochs: int = EPOCHS) -> None:
    """Write ``folder/lightning_logs/version_N/metrics.csv``."""
    import lightning
    import torch
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger

    class Number(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch: Any, index: int) -> Any:
            loss = (self.w - GOAL) ** 2
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", (self.w - GOAL) ** 2, batch_size=BATCH_SIZE)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=LR)

    batches = torch.utils.data.DataLoader(torch.zeros(BATCHES * BATCH_SIZE), BATCH_SIZE)
    for _ in range(runs):
        trainer = lightning.Trainer(
            max_epochs=epochs,
            logger=CSVLogger(folder),
            callbacks=[LearningRateMonitor()],
            log_every_n_steps=1,
            accelerator="cpu",
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Number(), batches, batches)


def write_keras(file: Path) -> None:
    """Write the CSV file of a run with validation."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    import numpy as np

    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.layers.Input((1,)), layer])
    model.compile(optimizer=keras.optimizers.SGD(LR), loss="mse")
    x = np.ones((BATCHES * BATCH_SIZE, 1))
    model.fit(
        x,
        GOAL * x,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        validation_data=(x, GOAL * x),
        verbose=0,
        callbacks=[keras.callbacks.CSVLogger(str(file))],
    )


def write_huggingface(folder: Path, logging_steps: int = 2) -> None:
    """Write the checkpoints of a Trainer that logs every so many steps and evaluates each epoch."""
    import torch
    from transformers import Trainer, TrainingArguments

    class Number(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            loss = (self.w - GOAL) ** 2
            return {"loss": loss, "logits": x}

    examples = [{"x": torch.zeros(1), "labels": torch.zeros(1)}] * (BATCHES * BATCH_SIZE)
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=LR,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        logging_steps=logging_steps,
        eval_strategy="epoch",
        save_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(Number(), arguments, train_dataset=examples, eval_dataset=examples)
    trainer.train()


def write_tensorboard(folder: Path) -> None:
    """Write a run a learning rate, with scalars of both styles and what is no scalar."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    for lr in (0.01, 0.02):
        with SummaryWriter(str(folder / f"lr={lr}")) as writer:
            for epoch in range(EPOCHS + 1):
                loss = loss_after(BATCHES * epoch, lr)
                writer.add_scalar("loss/train", loss, epoch)
                writer.add_scalar("loss/valid", loss + 1, epoch, new_style=True)
            writer.add_text("note", "no scalar")
            writer.add_histogram("weights", torch.arange(10.0), 0)


def write_examples(folder: Path) -> None:
    """Write one small log of each framework."""
    write_lightning(folder, runs=2)
    write_keras(folder / "keras.csv")
    write_huggingface(folder / "huggingface")
    for path in sorted((folder / "huggingface").rglob("*")):
        last = path.parent.name == f"checkpoint-{EPOCHS * BATCHES}"
        if path.is_file() and not (last and path.name == "trainer_state.json"):
            path.unlink()
    for path in (folder / "huggingface").iterdir():
        if not any(path.iterdir()):
            path.rmdir()
    write_tensorboard(folder / "tensorboard")
    for path in (folder / "tensorboard").rglob("*tfevents*"):
        path.rename(path.with_name("events.out.tfevents.0"))
    for path in (folder / "lightning_logs").rglob("hparams.yaml"):
        path.unlink()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_examples(Path(sys.argv[1]))
