"""Hugging Face: a callback of the Trainer predicts, and its numbers are in the Trainer's logs."""

from __future__ import annotations

import tempfile

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from epochs_left.live.adapters.huggingface import EtaCallback


class Regression(nn.Module):
    """Least squares, as the Trainer wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(10, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return loss and predictions of a batch."""
        found = self.model(x)
        return {"loss": nn.functional.mse_loss(found, labels), "logits": found}


def main(folder: str) -> None:
    """Train; the numbers are in the history of the logs, and in trainer_state.json."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 10)
    labels = inputs @ torch.randn(10, 1)
    arguments = TrainingArguments(
        folder,
        num_train_epochs=20,
        per_device_train_batch_size=32,
        learning_rate=0.02,
        lr_scheduler_type="constant",
        optim="sgd",
        logging_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    data = [{"x": x, "labels": y} for x, y in zip(inputs, labels, strict=True)]
    trainer = Trainer(Regression(), arguments, train_dataset=data)
    EtaCallback(target=0.05, on_eta=print).attach(trainer)
    trainer.train()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(scratch)
