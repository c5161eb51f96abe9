"""Two processes of Lightning on the CPU: ``python ddp_run.py FOLDER RANK_THAT_DIVERGES``.

Each writes what it saw to FOLDER/RANK.json. Forked before anything computes on several threads.
"""

# The framework is imported where it is needed, and calls methods with what it likes.
# ruff: noqa: ARG002, PLC0415

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any


def main(folder: Path, odd_rank: int) -> None:
    import lightning
    import torch
    from lightning.pytorch.loggers import CSVLogger

    from epochs_left.live.adapters.lightning import EtaCallback

    class Number(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = (self.w - 3) ** 2
            bad = self.current_epoch == 3 and self.global_rank == odd_rank
            shown = loss.detach() * (float("nan") if bad else 1)
            self.log("train_loss", shown, on_step=False, on_epoch=True, sync_dist=True)
            return loss

        def on_train_end(self) -> None:
            seen = {
                "epochs": self.current_epoch,
                "asked": [eta.epoch for eta in answers],
                "curve": len(eta.state_dict()["curve"]),
            }
            (folder / f"{self.global_rank}.json").write_text(json.dumps(seen))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    answers: list[Any] = []
    eta = EtaCallback(
        0.05, metric="train_loss", stop_if="never converges at .95", on_eta=answers.append
    )
    trainer = lightning.Trainer(
        max_epochs=8,
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        callbacks=[eta],
        logger=CSVLogger(folder),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    data = torch.utils.data.DataLoader(torch.zeros(16), 2)
    trainer.fit(Number(), data)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]))
