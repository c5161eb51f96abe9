"""Where a ResNet's parameters, activations and gradients lie: the tables that its kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.simulation.compiled_resnet.simd import SIDE, WIDTH
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.resnet import Shape

#: Columns of the table of layers. Places are offsets: KERNEL and NORM (scales, then shifts) in the
#: parameters, STATE (running means, then variances) in the running statistics, the others in the
#: scratch: the input, the convolution's output, that after normalisation and ReLU, mean and
#: 1 / sqrt(variance + eps) of each channel and example, and what is added before ReLU, -1 without.
#: ADDS says whether the gradient by the input is added to another one.
COLUMNS = (
    "channels_in", "channels_out", "size", "stride", "height_in", "width_in", "height_out",
    "width_out", "kernel", "norm", "state", "input", "output", "activation", "mean", "inverse",
    "residual", "adds",
)  # fmt: skip
(
    CHANNELS_IN, CHANNELS_OUT, SIZE, STRIDE, HEIGHT_IN, WIDTH_IN, HEIGHT_OUT,
    WIDTH_OUT, KERNEL, NORM, STATE, INPUT, OUTPUT, ACTIVATION, MEAN, INVERSE,
    RESIDUAL, ADDS,
) = range(len(COLUMNS))  # fmt: skip

#: Rows of a block after the first layer's; a shortcut that is the identity has a kernel of size 0.
SHORTCUT, CONV1, CONV2, ROWS_A_BLOCK = range(4)

#: Entries of the head: whether it trains, groups of a group normalisation (0 for batch
#: normalisation), classes, place of the linear layer in the parameters; and in the scratch the
#: pooled features, class scores (later their gradient), two sums a channel and example, a tile's
#: sums for each tap, and three gradients.
HEAD = (
    "training", "groups", "classes", "linear", "pooled", "scores", "moments", "sums", "g0", "g1",
    "g2",
)  # fmt: skip
(
    TRAINING, GROUPS, CLASSES, LINEAR, POOLED, SCORES, MOMENTS, SUMS, G0, G1, G2
) = range(len(HEAD))  # fmt: skip

_SIZE = 3  # of every kernel but the shortcuts'
_LINE = 64  # bytes; a vector that crosses a line of the cache is read twice


@dataclass(frozen=True)
class Layout:
    """The tables for batches of some size, and the floats of scratch that they speak of."""

    layers: IntArray  # (rows, len(COLUMNS))
    head: IntArray  # (len(HEAD),)
    size: int

    @property
    def tables(self) -> tuple[IntArray, IntArray]:
        """What the kernels take."""
        return self.layers, self.head


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What a layout is for."""

    image: tuple[int, int]  # rows and columns
    examples: int  # at a time
    groups: int  # of a group normalisation
    training: bool


def layout_of(tensors: tuple[TensorSpec, ...], shape: Shape, batches: Batches) -> Layout:
    """Return the layout of a network whose tensors are the workload's, in order."""
    return _Planner(tensors, batches).plan(shape)


def scratch_of(size: int) -> FloatArray:
    """Return ``size`` floats at the start of a cache line, as float32."""
    floats = _LINE // 4
    values = np.zeros(size + floats, dtype=np.float32)
    start = -(values.ctypes.data // 4) % floats
    return values[start : start + size]


class _Planner:
    """Hands out places in the parameters, the running statistics and the scratch, in order."""

    def __init__(self, tensors: tuple[TensorSpec, ...], batches: Batches) -> None:
        starts = np.cumsum([0, *(tensor.size for tensor in tensors)]).tolist()
        self._starts = {
            tensor.name: start for tensor, start in zip(tensors, starts[:-1], strict=True)
        }
        self._batches = batches
        self._padded = -(-batches.examples // WIDTH) * WIDTH
        self._used = self._states = 0

    def plan(self, shape: Shape) -> Layout:
        """Return the layout."""
        size = self._batches.image
        image = self._reserve(shape.channels * size[0] * size[1])
        rows = [self._convolution("stem", (shape.channels, shape.width, 1), size, image)]
        for number, kind in enumerate(shape.stages, start=1):
            rows += self._block(f"stage{number}", kind, rows[-1])
        head = self._head(rows, shape)
        table = np.array([[row[name] for name in COLUMNS] for row in rows], dtype=np.int64)
        return Layout(table, np.array([head[name] for name in HEAD], dtype=np.int64), self._used)

    def _block(
        self, name: str, kind: tuple[int, int, int], before: dict[str, int]
    ) -> list[dict[str, int]]:
        """Return the rows of a block after the layer ``before``."""
        n_out = kind[1]
        first = self._convolution(f"{name}.conv1", kind, _size_after(before), before["activation"])
        second = self._convolution(
            f"{name}.conv2", (n_out, n_out, 1), _size_after(first), first["activation"]
        )
        shortcut = {**first, "size": 0, "output": first["input"]}
        if f"{name}.shortcut.weight" in self._starts:
            kernel = self._starts[f"{name}.shortcut.weight"]
            # the sum, and the block's output, are written over it
            shortcut |= {"size": 1, "kernel": kernel, "output": second["activation"]}
        return [
            shortcut,
            {**first, "adds": True},
            {**second, "residual": shortcut["output"]},
        ]

    def _convolution(
        self, name: str, kind: tuple[int, int, int], size: tuple[int, int], source: int
    ) -> dict[str, int]:
        """Return the row of a convolution of 3 x 3 with what follows it."""
        n_in, n_out, stride = kind
        height, width = (-(-side // stride) for side in size)
        state, self._states = self._states, self._states + 2 * n_out
        return {
            "channels_in": n_in, "channels_out": n_out, "size": _SIZE, "stride": stride,
            "height_in": size[0], "width_in": size[1], "height_out": height, "width_out": width,
            "kernel": self._starts[f"{name}.weight"],
            "norm": self._starts[f"{name}.norm.scale"],
            "state": state,
            "input": source,
            "output": self._reserve(n_out * height * width),
            "activation": self._reserve(n_out * height * width),
            "mean": self._reserve(n_out),
            "inverse": self._reserve(n_out),
            "residual": -1,
            "adds": False,
        }  # fmt: skip

    def _head(self, rows: list[dict[str, int]], shape: Shape) -> dict[str, int]:
        """Return what follows the layers, and what they share."""
        largest = max(row["channels_out"] * row["height_out"] * row["width_out"] for row in rows)
        features = rows[-1]["channels_out"]
        weight, bias = self._starts["linear.weight"], self._starts["linear.bias"]
        classes = (bias - weight) // features
        sums, self._used = self._used, self._used + _SIZE * _SIZE * SIDE * SIDE
        return {
            "training": self._batches.training,
            "groups": self._batches.groups if shape.norm == "gn" else 0,
            "classes": classes, "linear": weight, "sums": sums,
            "pooled": self._reserve(features),
            "scores": self._reserve(classes),
            "moments": self._reserve(2 * features),
            **{name: self._reserve(largest) for name in ("g0", "g1", "g2")},
        }  # fmt: skip

    def _reserve(self, floats: int) -> int:
        """Return where this many floats for each example are."""
        start, self._used = self._used, self._used + floats * self._padded
        return start


def _size_after(row: dict[str, int]) -> tuple[int, int]:
    return row["height_out"], row["width_out"]
