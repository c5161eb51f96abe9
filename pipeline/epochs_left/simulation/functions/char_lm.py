"""Causal transformers with the norm before each part, as in `networks.char_lm`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.simulation.functions import Function, contiguous_views, function
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.char_lm import CONTEXT, HEAD_WIDTH


@function("char_lm", dtype=torch.float32, gradient_examples=256, apart=16)
def build(tensors: tuple[TensorSpec, ...], architecture: str, activation: str) -> Function:
    """Return transformers of one shape; an example is a window, with outputs for each position."""
    del architecture, activation
    hidden = torch.full((CONTEXT, CONTEXT), -torch.inf).triu(1)

    def outputs(params: Tensor, inputs: Tensor, group: int) -> Tensor:
        del group
        weights = contiguous_views(params, tensors)
        tokens = inputs.flatten(1).expand(len(params), -1)
        x = _embedded(weights[0], weights[1], tokens)
        for i in range(2, len(weights) - 3, 8):
            gain, shift, query_key_value, projection = weights[i : i + 4]
            z = _norm(x, gain, shift) @ query_key_value
            x = x + _attention(z, hidden) @ projection
            gain, shift, up, down = weights[i + 4 : i + 8]
            x = x + torch.relu(_norm(x, gain, shift) @ up) @ down
        return _norm(x, weights[-3], weights[-2]) @ weights[-1]

    return outputs


def _embedded(table: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
    """Return the rows of each token and its position, shape ``(L, n * T, features)``."""
    rows = table.gather(1, tokens.unsqueeze(2).expand(-1, -1, table.shape[2]))
    lanes, n, width = rows.shape
    return (rows.view(lanes, -1, CONTEXT, width) + positions.unsqueeze(1)).view(lanes, n, width)


def _norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Layer norm (Ba, Kiros and Hinton 2016, eq. 4)."""
    normal = functional.layer_norm(x, x.shape[2:])
    return normal * gain.unsqueeze(1) + shift.unsqueeze(1)


def _attention(z: Tensor, hidden: Tensor) -> Tensor:
    """Causal self-attention from queries, keys and values (Vaswani et al. 2017, eq. 1)."""
    lanes, n, width = z.shape
    parts = z.view(lanes, n // CONTEXT, CONTEXT, 3, -1, HEAD_WIDTH).permute(3, 0, 1, 4, 2, 5)
    q, k, v = parts.flatten(1, 3).unbind(0)
    scores = torch.baddbmm(hidden, q, k.transpose(1, 2), alpha=HEAD_WIDTH**-0.5)
    mixed = torch.bmm(torch.softmax(scores, dim=2), v)
    heads = mixed.view(lanes, n // CONTEXT, -1, CONTEXT, HEAD_WIDTH).transpose(2, 3)
    return heads.reshape(lanes, n, width // 3)
