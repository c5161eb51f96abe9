"""The char_lm model as a PyTorch user would write it, for `engines.py`: one model, torch.nn."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from epochs_left.workloads.char_lm import CONTEXT, HEAD_WIDTH, VOCABULARY, layers_and_width


class Part(nn.Module):
    """Half a layer: x + outer(inner(norm(x)))."""

    def __init__(self, width: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden, bias=False)
        self.outer = nn.Linear(n_out, width, bias=False)


class Attention(Part):
    """Causal self-attention."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with what it attends to; shape ``(B, T, width)``."""
        z = self.inner(self.norm(x)).unflatten(2, (3, -1, HEAD_WIDTH))
        q, k, v = z.permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.outer(y.transpose(1, 2).flatten(2))


class Perceptron(Part):
    """Two linear maps and a ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with the perceptron's output; shape ``(B, T, width)``."""
        return x + self.outer(functional.relu(self.inner(self.norm(x))))


class Transformer(nn.Module):
    """A causal transformer; the class indices of ``(B, T)`` characters in, scores out."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        layers, width = layers_and_width(architecture)
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(0.1 * torch.randn(CONTEXT, width))
        self.layers = nn.Sequential()
        for _ in range(layers):
            self.layers.append(Attention(width, 3 * width, width))
            self.layers.append(Perceptron(width, 4 * width, 4 * width))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return scores, shape ``(B, T, characters)``."""
        return self.output(self.norm(self.layers(self.tokens(windows) + self.positions)))


def loss_of(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over all positions of all windows."""
    return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())


def plain_epoch(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    batch_size: int,
) -> float:
    """Train one model through one pass; return its loss on the training windows afterwards."""
    for index in torch.randperm(len(inputs)).split(batch_size):
        optimizer.zero_grad()
        loss_of(model(inputs[index]), targets[index]).backward()
        optimizer.step()
    with torch.no_grad():
        return loss_of(model(inputs), targets).item()


def char_lm_flops(architecture: str, n_windows: int) -> float:
    """Multiply-adds x 2 of the matrix products of a model-epoch: 3 passes to train, 1 to evaluate.

    The embeddings' products with one-hot tokens, which the engine makes, are left out.
    """
    layers, width = layers_and_width(architecture)
    of_layer = 12 * width**2 + 2 * CONTEXT * width
    return 2.0 * n_windows * CONTEXT * 4 * (layers * of_layer + width * VOCABULARY)
