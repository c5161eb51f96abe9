"""Lightning: a callback predicts, logs, and may stop what never converges."""

from __future__ import annotations

import tempfile

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from epochs_left.live.adapters.lightning import EtaCallback


class Regression(lightning.LightningModule):
    """Least squares."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(10, 1)

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch."""
        x, y = batch
        loss = nn.functional.mse_loss(self.model(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.02)


def main(folder: str) -> None:
    """Train; the numbers are in the logger's file beside the loss."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 10)
    data = torch.utils.data.TensorDataset(inputs, inputs @ torch.randn(10, 1))
    eta = EtaCallback(
        target=0.05, metric="train_loss", stop_if="never converges at .95", on_eta=print
    )
    trainer = lightning.Trainer(
        max_epochs=20,
        accelerator="cpu",
        callbacks=[eta],
        logger=CSVLogger(folder),
        log_every_n_steps=8,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Regression(), torch.utils.data.DataLoader(data, batch_size=32))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(scratch)
