"""ResNets in lockstep: on the CPU a lane at a time by compiled code, elsewhere by PyTorch.

In PyTorch a convolution is a grouped one, a group of channels a lane, and the backward pass is
autograd's. Channels come last in memory: a grouped convolution of so few channels a group runs 1.7
times as fast as with channels first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.simulation.compiled_resnet.kernels import evaluate_lanes, train_lanes
from epochs_left.simulation.compiled_resnet.layout import Batches, Layout, layout_of, scratch_of
from epochs_left.simulation.compiled_resnet.norms import NORM_EPS, RUNNING_WEIGHT
from epochs_left.simulation.losses import NO_CLASS, mean_loss_and_grad
from epochs_left.simulation.networks import Examples, LaneNetwork, network, views
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.resnet import Shape, shape_of

#: Groups of a group normalisation (Wu and He 2018); the narrowest layer has four channels.
_GROUPS = 2

#: Class scores are padded to a multiple of this: 10 columns take three times as long as 16.
_ALIGNED = 16


class _ResNetLanes:
    """What is the same for K ResNets of one shape, whatever computes them.

    Parameters
    ----------
    tensors
        Kernels, normalisations and classifier, in order.
    shape
        Width, normalisation and input channels.
    examples
        The task.
    """

    def __init__(self, tensors: tuple[TensorSpec, ...], shape: Shape, examples: Examples) -> None:
        self._tensors, self._shape, self._examples = tensors, shape, examples
        self._norm_widths = [tensor.size for tensor in tensors if tensor.kind == "scale"]

    @property
    def n_state(self) -> int:
        """Running mean and variance of every batch-normalised channel."""
        return 2 * sum(self._norm_widths) if self._shape.norm == "bn" else 0

    def initial_state(self) -> Tensor:
        """Return means of 0 and variances of 1."""
        if not self.n_state:
            return torch.zeros(0)
        return torch.cat([torch.tensor([0.0, 1.0]).repeat_interleave(n) for n in self._norm_widths])

    def sort_key(self, activation: str) -> int:
        """Return 0: all use ReLU."""
        del activation
        return 0

    def arrange(self, keys: list[int]) -> None:
        """Do nothing: no lane differs in its layers."""
        del keys


class CompiledResNetLanes(_ResNetLanes):
    """K ResNets on the CPU, one after another: a lane's numbers know of no other lane."""

    lane_step: ClassVar[int] = 1

    def __init__(self, tensors: tuple[TensorSpec, ...], shape: Shape, examples: Examples) -> None:
        super().__init__(tensors, shape, examples)
        if examples.loss != "cross_entropy":
            raise ValueError(f"expected the loss cross_entropy, got {examples.loss}")
        self._images = examples.inputs.flatten(1).contiguous().numpy()
        self._targets = examples.targets.contiguous().numpy()
        self._layouts: dict[tuple[int, bool], Layout] = {}
        self._scratch = scratch_of(0)  # for the largest layout so far: fresh pages are slow

    def loss_and_grad(
        self, params: Tensor, state: Tensor, index: Tensor, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return loss and gradient of each lane's batch (`LaneNetwork.loss_and_grad`)."""
        loss = torch.empty(len(index))
        layout = self._layout(index.shape[1], training=True)
        train_lanes(
            params.numpy(),
            state.numpy(),
            (self._images, self._targets),
            index.contiguous().numpy(),
            layout.tables,
            self._scratch,
            loss.numpy(),
            grad.numpy(),
        )
        return loss, grad

    def outputs(self, params: Tensor, state: Tensor, inputs: Tensor) -> Tensor:
        """Return class scores for shared images, shape ``(K, n, C)``."""
        scores = torch.empty(len(params), len(inputs), self._examples.n_outputs)
        layout = self._layout(1, training=False)
        evaluate_lanes(
            params.numpy(),
            state.numpy(),
            inputs.flatten(1).contiguous().numpy(),
            layout.tables,
            self._scratch,
            scores.numpy(),
        )
        return scores

    def _layout(self, n: int, *, training: bool) -> Layout:
        """Return the layout for ``n`` examples, and have scratch for it."""
        key = (n, training)
        if key not in self._layouts:
            rows, columns = self._examples.inputs.shape[2:]
            batches = Batches(image=(rows, columns), examples=n, groups=_GROUPS, training=training)
            self._layouts[key] = layout = layout_of(self._tensors, self._shape, batches)
            if layout.size > self._scratch.size:
                self._scratch = scratch_of(layout.size)
        return self._layouts[key]


class TorchResNetLanes(_ResNetLanes):
    """K ResNets on any device of PyTorch's."""

    # 16 channels in the narrowest layer: what is left of a vector register is summed otherwise.
    lane_step: ClassVar[int] = 4

    def loss_and_grad(
        self, params: Tensor, state: Tensor, index: Tensor, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return loss and gradient of each lane's batch (`LaneNetwork.loss_and_grad`)."""
        k, batch = index.shape
        flat = index.reshape(-1)
        images = self._examples.inputs.index_select(0, flat).view(
            k, batch, *self._examples.inputs.shape[1:]
        )
        targets = self._examples.targets.index_select(0, flat).view(k, batch)
        leaves = [part.contiguous().requires_grad_() for part in views(params, self._tensors)]
        outputs = self._forward(leaves, state, images.permute(1, 3, 4, 0, 2), training=True)
        loss, delta = mean_loss_and_grad(self._examples.loss, outputs.detach(), targets)
        gradients = torch.autograd.grad(outputs, leaves, delta)
        torch.cat([part.reshape(k, -1) for part in gradients], dim=1, out=grad)
        return loss, grad

    @torch.no_grad()
    def outputs(self, params: Tensor, state: Tensor, inputs: Tensor) -> Tensor:
        """Return class scores for shared images, shape ``(K, n, C)``."""
        k = params.shape[0]
        images = inputs.permute(0, 2, 3, 1).unsqueeze(3)
        images = images.expand(-1, -1, -1, k, -1)
        scores = self._forward(views(params, self._tensors), state, images, training=False)
        return scores[:, :, : self._examples.n_outputs]

    def _forward(
        self, tensors: list[Tensor], state: Tensor, images: Tensor, *, training: bool
    ) -> Tensor:
        """Return padded class scores ``(K, B, C)`` of images ``(B, H, W, K, channels)``."""
        run = _Pass(tensors, state, self._shape.norm, training=training)
        # flat channels, lane by lane, and last in memory
        x = images.flatten(3).contiguous().permute(0, 3, 1, 2)
        x = functional.relu(run.convolve_and_normalise(x))
        for _, _, stride in self._shape.stages:
            branch = functional.relu(run.convolve_and_normalise(x, stride))
            branch = run.convolve_and_normalise(branch)
            x = functional.relu(branch + (run.convolve(x, stride) if stride > 1 else x))
        pooled = x.mean((2, 3)).view(len(x), run.lanes, -1).transpose(0, 1)
        weight, bias = run.take(), run.take()
        padding = (0, -weight.shape[2] % _ALIGNED)
        return torch.baddbmm(
            functional.pad(bias, padding, value=NO_CLASS).unsqueeze(1),
            pooled,
            functional.pad(weight, padding),
        )


class _Pass:
    """One forward pass: hands out the tensors and the running statistics in order."""

    def __init__(self, tensors: list[Tensor], state: Tensor, norm: str, *, training: bool) -> None:
        self.lanes = len(tensors[0])
        self._left: Iterator[Tensor] = iter(tensors)
        self._state, self._offset = state, 0
        self._norm, self._training = norm, training

    def take(self) -> Tensor:
        """Return the next tensor, lane first."""
        return next(self._left)

    def convolve(self, x: Tensor, stride: int = 1) -> Tensor:
        """Convolve each lane's channels with its own kernel."""
        kernel = self.take().flatten(0, 1)
        return functional.conv2d(
            x, kernel, stride=stride, padding=kernel.shape[2] // 2, groups=self.lanes
        )

    def convolve_and_normalise(self, x: Tensor, stride: int = 1) -> Tensor:
        """Convolve, then normalise with the scale and shift that follow the kernel."""
        x = self.convolve(x, stride)
        scale, shift = self.take().flatten(), self.take().flatten()
        if self._norm == "gn":
            return _group_norm(x, _GROUPS * self.lanes, scale, shift)
        return self._batch_norm(x, scale, shift)

    def _batch_norm(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Ioffe and Szegedy 2015; running statistics are updated in training."""
        width = x.shape[1] // self.lanes
        mean_columns = slice(self._offset, self._offset + width)
        variance_columns = slice(self._offset + width, self._offset + 2 * width)
        self._offset += 2 * width
        mean = self._state[:, mean_columns].flatten()
        variance = self._state[:, variance_columns].flatten()
        x = functional.batch_norm(
            x, mean, variance, scale, shift, self._training, RUNNING_WEIGHT, NORM_EPS
        )
        if self._training:
            self._state[:, mean_columns] = mean.view(self.lanes, -1)
            self._state[:, variance_columns] = variance.view(self.lanes, -1)
        return x


def _group_norm(x: Tensor, groups: int, scale: Tensor, shift: Tensor) -> Tensor:
    """Wu and He 2018; with channels first in memory and back, which halves the time."""
    x = functional.group_norm(x.contiguous(), groups, scale, shift, NORM_EPS)
    return x.contiguous(memory_format=torch.channels_last)


@network("resnet")
def build(tensors: tuple[TensorSpec, ...], architecture: str, examples: Examples) -> LaneNetwork:
    """Return ResNets of one shape."""
    on_cpu = examples.inputs.device.type == "cpu"
    lanes = CompiledResNetLanes if on_cpu else TorchResNetLanes
    return lanes(tensors, shape_of(architecture), examples)
