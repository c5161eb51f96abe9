"""A training loop of your own: one line an epoch says how many are left."""

from __future__ import annotations

import torch
from torch import nn

from epochs_left import EtaTracker

EPOCHS = 40

torch.manual_seed(0)
inputs = torch.randn(256, 10)
targets = inputs @ torch.randn(10, 1) + 0.1 * torch.randn(256, 1)
batches = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(inputs, targets), batch_size=32, shuffle=True
)

model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)


def train_one_epoch() -> float:
    """Return the mean loss of the batches."""
    total = 0.0
    for x, y in batches:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach())
    return total / len(batches)


def main() -> None:
    """Train until the target is reached."""
    eta = EtaTracker(target=0.05, horizon=EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        loss = train_one_epoch()
        answer = eta.update(loss=loss, lr=scheduler.get_last_lr()[0], model=model)
        print(f"epoch {epoch}: {answer}")  # noqa: T201
        scheduler.step()  # after the update, which is told the rate of the epoch just done
        if answer.status == "already_converged":
            break


if __name__ == "__main__":
    main()
