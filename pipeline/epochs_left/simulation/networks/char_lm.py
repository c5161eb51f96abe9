"""Causal transformers in lockstep: batched matrix products, backward by hand.

Vaswani et al. 2017 with learned positions and the norm before each part (Xiong et al. 2020): a
layer is x <- x + attention(norm(x)), x <- x + perceptron(norm(x)). Activations have the shape
``(K, features, positions of all windows)``: sums over features (norms, the softmax over characters)
then run along whole vectors, several times as fast as within short rows. Autograd through the same
forward pass takes a third more time.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from epochs_left.simulation.losses import mean_loss_and_grad
from epochs_left.simulation.networks import Examples, network, views
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.char_lm import CONTEXT, HEAD_WIDTH

NORM_EPS = 1e-5  # PyTorch's default

#: Windows that are evaluated at once: more would leave the cache.
_EVALUATED_AT_ONCE = 32


class CharLmLanes:
    """K transformers.

    Parameters
    ----------
    tensors
        Embeddings of tokens and positions; gain, shift, inner and outer weight of each part; gain,
        shift and weight of the output.
    examples
        The task: windows of tokens.
    """

    lane_step: ClassVar[int] = 2  # one matrix alone is multiplied by another kernel
    n_state = 0

    def __init__(self, tensors: tuple[TensorSpec, ...], examples: Examples) -> None:
        self._tensors = tensors
        self._examples = examples
        hidden = torch.full((CONTEXT, CONTEXT), -torch.inf, device=examples.inputs.device)
        self._mask = hidden.triu(1)

    def initial_state(self) -> Tensor:
        """Return nothing: a transformer has no running statistics."""
        return torch.zeros(0)

    def sort_key(self, activation: str) -> int:
        """Return 0: the family has one activation."""
        del activation
        return 0

    def arrange(self, keys: list[int]) -> None:
        """Do nothing: no lane differs in its layers."""
        del keys

    def loss_and_grad(
        self, params: Tensor, state: Tensor, index: Tensor, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return loss and gradient of each lane's windows (`LaneNetwork.loss_and_grad`)."""
        del state
        lanes, windows = index.shape
        flat = index.reshape(-1)
        tokens = self._examples.inputs.index_select(0, flat).view(lanes, -1)
        targets = self._examples.targets.index_select(0, flat).view(lanes, -1)
        model = _Model(views(params, self._tensors), windows, self._mask)
        scores = model.forward(tokens)
        loss, delta = mean_loss_and_grad("cross_entropy", scores.transpose(1, 2), targets)
        gradients = [part.reshape(lanes, -1) for part in model.backward(delta.transpose(1, 2))]
        return loss, torch.cat(gradients, dim=1, out=grad)

    def outputs(self, params: Tensor, state: Tensor, inputs: Tensor) -> Tensor:
        """Return scores of shared windows ``(n, T)``, shape ``(K, n * T, characters)``."""
        del state
        weights = views(params, self._tensors)
        parts = [self._scores(weights, part) for part in torch.split(inputs, _EVALUATED_AT_ONCE)]
        return torch.cat(parts, dim=2).transpose(1, 2)

    def _scores(self, weights: list[Tensor], windows: Tensor) -> Tensor:
        tokens = windows.reshape(1, -1).expand(len(weights[0]), -1)
        return _Model(weights, len(windows), self._mask).forward(tokens)


class _Model:
    """One pass through K models: forward, which keeps what backward needs, and backward."""

    def __init__(self, weights: list[Tensor], windows: int, mask: Tensor) -> None:
        self._embedding, self._positions = weights[:2]
        self._windows = windows
        self._parts: list[_Part] = []
        for i in range(2, len(weights) - 3, 8):
            self._parts.append(_Part(weights[i : i + 4], _Attention(windows, mask)))
            self._parts.append(_Part(weights[i + 4 : i + 8], _Relu()))
        self._norm = _Norm(weights[-3], weights[-2])
        self._output = weights[-1]

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores ``(K, characters, N)`` after each of the tokens ``(K, N)``."""
        self._tokens = tokens
        table = self._embedding.transpose(1, 2)
        x = table.gather(2, tokens.unsqueeze(1).expand(-1, table.shape[1], -1))
        self._by_window(x).add_(self._positions.transpose(1, 2).unsqueeze(2))
        for part in self._parts:
            x = part.forward(x)
        self._y = self._norm.forward(x)
        return torch.bmm(self._output.transpose(1, 2), self._y)

    def backward(self, scores_delta: Tensor) -> list[Tensor]:
        """Return the gradients of all tensors, from that of the scores."""
        output = torch.bmm(self._y, scores_delta.transpose(1, 2))
        delta, *norm = self._norm.backward(torch.bmm(self._output, scores_delta))
        gradients = [*norm, output]
        for part in reversed(self._parts):
            delta, *of_part = part.backward(delta)
            gradients = [*of_part, *gradients]
        # scattered additions would have no fixed order on a GPU: a product with one-hot tokens
        one_hot = torch.zeros_like(scores_delta).scatter_(1, self._tokens.unsqueeze(1), 1)
        embedding = torch.bmm(one_hot, delta.transpose(1, 2))
        positions = self._by_window(delta).sum(2).transpose(1, 2)
        return [embedding, positions, *gradients]

    def _by_window(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self._windows, -1)


class _Norm:
    """Layer norm over the features (Ba, Kiros and Hinton 2016, eq. 4)."""

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        self._gain, self._shift = gain.unsqueeze(2), shift.unsqueeze(2)

    def forward(self, x: Tensor) -> Tensor:
        centred = torch.sub(x, x.sum(1, keepdim=True), alpha=1 / x.shape[1])
        variance = centred.square().sum(1, keepdim=True).mul_(1 / x.shape[1])
        self._scale = variance.add_(NORM_EPS).rsqrt_()
        self._normal = centred.mul_(self._scale)
        return torch.addcmul(self._shift, self._normal, self._gain)

    def backward(self, delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by x, gain and shift."""
        gain, shift = (delta * self._normal).sum(2), delta.sum(2)
        # dx = scale (e - mean(e) - n mean(e n)) with e = gain * delta and n the normalised x
        e = delta * self._gain
        share = 1 / e.shape[1]
        along = (e * self._normal).sum(1, keepdim=True)
        e.sub_(e.sum(1, keepdim=True), alpha=share).addcmul_(self._normal, along, value=-share)
        return e.mul_(self._scale), gain, shift


class _Inner(Protocol):
    """What stands between the two linear maps of a part."""

    def forward(self, z: Tensor) -> Tensor: ...

    def backward(self, delta: Tensor) -> Tensor: ...


class _Part:
    """Half a layer: x + W_outer^T inner(W_inner^T norm(x)).

    Weights are gain, shift, W_inner and W_outer.
    """

    def __init__(self, weights: list[Tensor], inner: _Inner) -> None:
        gain, shift, self._w_inner, self._w_outer = weights
        self._norm = _Norm(gain, shift)
        self._inner = inner

    def forward(self, x: Tensor) -> Tensor:
        self._y = self._norm.forward(x)
        self._a = self._inner.forward(torch.bmm(self._w_inner.transpose(1, 2), self._y))
        return torch.baddbmm(x, self._w_outer.transpose(1, 2), self._a)

    def backward(self, delta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients by x, gain, shift, inner and outer weight."""
        outer = torch.bmm(self._a, delta.transpose(1, 2))
        delta_inner = self._inner.backward(torch.bmm(self._w_outer, delta))
        inner = torch.bmm(self._y, delta_inner.transpose(1, 2))
        by_norm, gain, shift = self._norm.backward(torch.bmm(self._w_inner, delta_inner))
        return by_norm.add_(delta), gain, shift, inner, outer


class _Relu:
    def forward(self, z: Tensor) -> Tensor:
        self._a = z.relu_()
        return self._a

    def backward(self, delta: Tensor) -> Tensor:
        gradient: Tensor = torch.ops.aten.threshold_backward(delta, self._a, 0)
        return gradient


class _Attention:
    """Causal self-attention of one or more heads (Vaswani et al. 2017, eq. 1)."""

    def __init__(self, windows: int, mask: Tensor) -> None:
        self._windows, self._mask = windows, mask

    def forward(self, z: Tensor) -> Tensor:
        """Return the heads' outputs, from queries, keys and values in that order."""
        self._q, self._k, self._v = self._split(z, 3)
        scores = torch.baddbmm(self._mask, self._q.transpose(1, 2), self._k, alpha=HEAD_WIDTH**-0.5)
        self._p = torch.softmax(scores, dim=2)
        return self._joined(torch.bmm(self._v, self._p.transpose(1, 2)).unsqueeze(0), len(z))

    def backward(self, delta: Tensor) -> Tensor:
        (delta_out,) = self._split(delta, 1)
        by_p = torch.bmm(delta_out.transpose(1, 2), self._v)
        by_score = torch.ops.aten._softmax_backward_data(by_p, self._p, 2, by_p.dtype)
        by_score.mul_(HEAD_WIDTH**-0.5)
        gradients = torch.empty(3, *delta_out.shape, device=delta.device)
        torch.bmm(self._k, by_score.transpose(1, 2), out=gradients[0])
        torch.bmm(self._q, by_score, out=gradients[1])
        torch.bmm(delta_out, self._p, out=gradients[2])
        return self._joined(gradients, len(delta))

    def _split(self, x: Tensor, n: int) -> tuple[Tensor, ...]:
        """Cut ``(K, n * features, N)`` into n tensors of ``(K * heads * windows, 16, T)``."""
        parts = x.view(len(x), n, -1, HEAD_WIDTH, self._windows, CONTEXT)
        return parts.permute(1, 0, 2, 4, 3, 5).reshape(n, -1, HEAD_WIDTH, CONTEXT).unbind(0)

    def _joined(self, parts: Tensor, lanes: int) -> Tensor:
        """Undo `_split` of the stacked tensors."""
        heads = parts.view(len(parts), lanes, -1, self._windows, HEAD_WIDTH, CONTEXT)
        return heads.permute(1, 0, 2, 4, 3, 5).reshape(lanes, -1, self._windows * CONTEXT)


@network("char_lm")
def build(tensors: tuple[TensorSpec, ...], architecture: str, examples: Examples) -> CharLmLanes:
    """Return transformers of one shape."""
    del architecture
    return CharLmLanes(tensors, examples)
