"""ResNets of eight layers (He et al. 2016), a group of channels a lane.

Running statistics are not recorded, so batches are normalised by their own, as in training: the
outputs for a fixed batch are then a function of the parameters alone, and are differentiated as
such. A rescaled kernel before a normalisation changes nothing, as it should not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.simulation.functions import Function, class_scores, contiguous_views, function
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.resnet import Shape, shape_of

_GROUPS = 2  # of a group normalisation, as in training
_NORM_EPS = 1e-5  # PyTorch's default of both normalisations


# Forward and backward take 0.016 ms an image: 8 ms a state here, 23 ms with all digits.
@function("resnet", dtype=torch.float32, gradient_examples=512, apart=16)
def build(tensors: tuple[TensorSpec, ...], architecture: str, activation: str) -> Function:
    """Return ResNets of one shape."""
    del activation
    shape = shape_of(architecture)

    def outputs(params: Tensor, inputs: Tensor, group: int) -> Tensor:
        run = _Pass(contiguous_views(params, tensors), shape, group)
        return run.outputs(inputs.expand(len(params), *inputs.shape[1:]))

    return outputs


class _Pass:
    """One forward pass: hands out the tensors in order."""

    def __init__(self, tensors: list[Tensor], shape: Shape, group: int) -> None:
        self._lanes = len(tensors[0])
        self._left: Iterator[Tensor] = iter(tensors)
        self._shape, self._group = shape, group

    def outputs(self, images: Tensor) -> Tensor:
        """Return class scores of images ``(L, n, channels, H, W)``."""
        x = images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        x = functional.relu(self._convolve_and_normalise(x))
        for _, _, stride in self._shape.stages:
            branch = functional.relu(self._convolve_and_normalise(x, stride))
            branch = self._convolve_and_normalise(branch)
            x = functional.relu(branch + (self._convolve(x, stride) if stride > 1 else x))
        pooled = x.mean((2, 3)).view(len(x), self._lanes, -1).transpose(0, 1)
        return class_scores(pooled, next(self._left), next(self._left))

    def _convolve(self, x: Tensor, stride: int = 1) -> Tensor:
        kernel = next(self._left).flatten(0, 1)
        padding = kernel.shape[2] // 2
        return functional.conv2d(x, kernel, stride=stride, padding=padding, groups=self._lanes)

    def _convolve_and_normalise(self, x: Tensor, stride: int = 1) -> Tensor:
        x = self._convolve(x, stride)
        scale, shift = next(self._left).flatten(), next(self._left).flatten()
        if self._shape.norm == "gn":
            # with channels first in memory and back, which halves the time
            x = functional.group_norm(
                x.contiguous(), _GROUPS * self._lanes, scale, shift, _NORM_EPS
            )
            return x.contiguous(memory_format=torch.channels_last)
        if self._group == 1:
            return functional.batch_norm(x, None, None, scale, shift, training=True, eps=_NORM_EPS)
        mean, variance = self._statistics(x.detach())
        return functional.batch_norm(x, mean, variance, scale, shift, eps=_NORM_EPS)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each channel over the lanes that share a batch."""
        n, channels, *size = x.shape
        lanes = x.reshape(n, -1, self._group, channels // self._lanes, *size)
        variance, mean = torch.var_mean(lanes, dim=(0, 2, 4, 5), correction=0)
        mean = mean.unsqueeze(1).expand(-1, self._group, -1)
        return mean.flatten(), variance.unsqueeze(1).expand_as(mean).flatten()
