"""Losses of K lanes with their gradients by hand, metrics, and the divergence of outputs.

PyTorch's own sigmoid and softplus round an element otherwise in the tail of a tensor than in its
vectorised body, so that a lane's numbers would depend on how many lanes there are; its exponential
and logarithms do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Losses that a task may have; the order of the functions below is that of this list.
LOSSES = ("cross_entropy", "binary", "squared")


#: Score of a class that does not exist: its probability is exactly 0.
NO_CLASS = -1e30


def example_losses(loss: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each target, shape ``(K, n)``.

    Parameters
    ----------
    loss
        One of `LOSSES`.
    outputs
        Shape ``(K, n, C)``.
    targets
        Class indices, labels 0 or 1, or values; shape ``(K, n)`` or ``(1, n)``.
    """
    if loss == "cross_entropy":
        picked = outputs.gather(2, targets.expand(outputs.shape[:2]).unsqueeze(2)).squeeze(2)
        return outputs.logsumexp(2) - picked
    output = outputs.squeeze(2)
    if loss == "binary":
        return _softplus(output) - targets * output
    return (output - targets).square()


def mean_loss_and_grad(loss: str, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean loss of each lane, ``(K,)``, and its gradient by the outputs, ``(K, n, C)``.

    Arguments as in `example_losses`, with targets of shape ``(K, n)``.
    """
    n = outputs.shape[1]
    if loss == "cross_entropy":
        # by hand: softmax over so few classes takes five times as long
        picked = targets.unsqueeze(2)
        shifted = outputs - outputs.amax(2, keepdim=True)
        grad = shifted.exp()
        total = grad.sum(2, keepdim=True)
        losses = total.log() - shifted.gather(2, picked)
        grad.div_(total)
        grad.scatter_add_(2, picked, torch.full_like(losses, -1))
        return losses.squeeze(2).mean(1), grad.div_(n)
    output = outputs.squeeze(2)
    if loss == "binary":
        grad = _sigmoid(output).sub_(targets).div_(n)
        return example_losses(loss, outputs, targets).mean(1), grad.unsqueeze(2)
    difference = output - targets
    return difference.square().mean(1), difference.mul(2 / n).unsqueeze(2)


def mean_metric(loss: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return accuracy (R^2 for a squared loss) of each lane, shape ``(K,)``."""
    if loss == "cross_entropy":
        return (outputs.argmax(2) == targets).float().mean(1)
    output = outputs.squeeze(2)
    if loss == "binary":
        return ((output > 0) == (targets > 0.5)).float().mean(1)
    residual = (output - targets).square().mean(1)
    return 1 - residual / (targets - targets.mean()).square().mean()


def mean_kl(loss: str, before: Tensor, after: Tensor) -> Tensor:
    """Return mean KL(before || after) of the predicted distributions, shape ``(K,)``, nats.

    Categorical, Bernoulli, or a Gaussian of unit variance around the output; arguments of shape
    ``(K, n, C)``. The result is float64 and at least 0.
    """
    # Between epochs predictions differ by little: in float32 rounding would be most of the result.
    before, after = before.double(), after.double()
    if loss == "cross_entropy":
        log_p = before - before.logsumexp(2, keepdim=True)
        log_q = after - after.logsumexp(2, keepdim=True)
        return (log_p.exp() * (log_p - log_q)).sum(2).clamp_min(0).mean(1)
    p, q = before.squeeze(2), after.squeeze(2)
    if loss == "binary":
        # KL between Bernoulli laws by their logits: p (l_p - l_q) + softplus(l_q) - softplus(l_p)
        gap = _sigmoid(p) * (p - q) + _softplus(q) - _softplus(p)
        return gap.clamp_min(0).mean(1)
    return (p - q).square().mean(1) / 2


def _sigmoid(x: Tensor) -> Tensor:
    return torch.exp(-x).add_(1).reciprocal_()


def _softplus(x: Tensor) -> Tensor:
    return torch.exp(-x.abs()).log1p_().add_(x.clamp_min(0))
