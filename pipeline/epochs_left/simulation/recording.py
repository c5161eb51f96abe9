"""Rows of the runs in a block of lanes, kept until a run ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.sketch import sketch_hashes
from epochs_left.schema import MAX_SCALAR_PARAMS, MAX_STORED_PARAMS, SKETCH_SIZE, TENSOR_STATISTICS
from epochs_left.workloads import Tensor as TensorSpec


class VectorColumns:
    """What an epoch row keeps of a parameter vector: all of it, or statistics and a sketch.

    Parameters
    ----------
    tensors
        The tensors of the vector, in order.
    device
        Where the vectors are.
    """

    def __init__(self, tensors: Sequence[TensorSpec], device: torch.device) -> None:
        self._sizes = [tensor.size for tensor in tensors]
        self.n_params = sum(self._sizes)
        self.wide = self.n_params > MAX_STORED_PARAMS
        if self.n_params <= MAX_SCALAR_PARAMS:
            raise ValueError(f"expected more than {MAX_SCALAR_PARAMS} parameters")
        if self.wide:
            buckets, signs = sketch_hashes(self.n_params, SKETCH_SIZE)
            self._buckets = torch.from_numpy(buckets).to(device)
            self._signs = torch.from_numpy(signs).float().to(device)

    @property
    def widths(self) -> dict[str, int]:
        """Width of each list column."""
        if not self.wide:
            return {"params": self.n_params}
        statistics = len(self._sizes) * len(TENSOR_STATISTICS)
        return {"tensor_statistics": statistics, "sketch": SKETCH_SIZE}

    def of(self, params: Tensor, start: Tensor, previous: Tensor) -> dict[str, FloatArray]:
        """Return the list columns of K rows.

        Parameters
        ----------
        params, start, previous
            Parameters now, at epoch 0 and an epoch ago; shape ``(K, n_params)``.
        """
        if not self.wide:
            return {"params": params.cpu().numpy()}
        sketch = torch.zeros(len(params), SKETCH_SIZE, device=params.device)
        sketch.index_add_(1, self._buckets, params * self._signs)
        statistics = torch.stack(
            [
                self._norms(params),
                self._norms(params - start),
                self._norms(params - previous),
                self._by_tensor(params, lambda part: part.abs().amax(1).double()),
            ],
            dim=2,
        )
        return {
            "tensor_statistics": statistics.reshape(len(params), -1).float().cpu().numpy(),
            "sketch": sketch.cpu().numpy(),
        }

    def _norms(self, values: Tensor) -> Tensor:
        # the square of what float32 holds may be more than it holds
        return self._by_tensor(
            values, lambda part: torch.linalg.vector_norm(part, dim=1, dtype=torch.float64)
        )

    def _by_tensor(self, values: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        parts = torch.split(values, self._sizes, dim=1)
        return torch.stack([reduce(part) for part in parts], dim=1)


class LaneRows:
    """Row buffers of K lanes, reused from run to run.

    Parameters
    ----------
    measures
        Names of the float columns.
    widths
        Width of each list column.
    lanes
        K.
    max_epochs
        Cap on epochs.
    """

    def __init__(
        self, measures: Sequence[str], widths: dict[str, int], lanes: int, max_epochs: int
    ) -> None:
        self._measures = list(measures)
        rows = max_epochs + 1
        self._scalars = np.zeros((lanes, len(measures), rows), dtype=np.float32)
        self._vectors = {
            name: np.zeros((lanes, rows, width), dtype=np.float32) for name, width in widths.items()
        }

    def write(
        self,
        slots: IntArray,
        epochs: IntArray,
        measures: FloatArray,
        vectors: dict[str, FloatArray],
    ) -> None:
        """Write one row for each of k lanes.

        Parameters
        ----------
        slots, epochs
            Lane and epoch of each row, shape ``(k,)``.
        measures
            Shape ``(n_measures, k)``.
        vectors
            List columns by name, each of shape ``(k, width)``.
        """
        with np.errstate(over="ignore"):  # a diverged run's measures may not fit float32
            self._scalars[slots, :, epochs] = measures.T
        for name, values in vectors.items():
            self._vectors[name][slots, epochs] = values

    def take(self, slot: int, n_rows: int) -> dict[str, FloatArray]:
        """Return copies of a run's columns, epochs 0 to ``n_rows - 1``."""
        columns: dict[str, FloatArray] = {
            name: self._scalars[slot, i, :n_rows].copy() for i, name in enumerate(self._measures)
        }
        for name, values in self._vectors.items():
            columns[name] = values[slot, :n_rows].copy()
        return columns
