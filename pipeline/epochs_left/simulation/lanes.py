"""K lanes of one architecture: their tensors, an epoch of training, and what is measured after it.

All tensors have the lane as first axis, so that lanes are loaded, sorted and dropped by indexing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from epochs_left.arrays import FloatArray
from epochs_left.simulation import losses
from epochs_left.simulation.lane_optimizers import (
    LaneSlice,
    Step,
    hyper_row,
    rule_at,
    rule_index,
)
from epochs_left.simulation.networks import Examples, LaneNetwork
from epochs_left.simulation.orders import shuffled_orders

#: Probe examples on which the predictions of consecutive epochs are compared: the first held out.
N_PROBE = 64
#: Examples that a network sees at once when it is evaluated; bounds the memory.
_EVALUATED_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Fork:
    """Where a run gives way to branches: its state, with sample orders of their own from there."""

    epoch: int
    order_keys: np.ndarray[tuple[int, int], np.dtype[np.uint32]]  # (K, 2), one key a branch


@dataclass(frozen=True, kw_only=True)
class LaneRun:
    """What a lane needs of a run; see `schema.RUNS`."""

    position: int  # in the engine's runs; of a branch, among the branches of its run
    params: FloatArray  # theta_0, (n_params,)
    order_key: np.ndarray[tuple[int], np.dtype[np.uint32]]
    activation: str
    optimizer: str
    lrs: FloatArray  # learning rate after 0, 1, ... epochs
    momentum: float
    weight_decay: float
    weight_decay_mode: str
    fork: Fork | None = None

    def forks_at(self, epoch: int) -> bool:
        """Say whether the run gives way to its branches at ``epoch``."""
        return self.fork is not None and self.fork.epoch == epoch

    def heirs(self, epoch: int) -> list[LaneRun]:
        """Return what trains on from ``epoch``: the run's branches if it forks there, or itself."""
        if self.fork is None or not self.forks_at(epoch):
            return [self]
        keys = self.fork.order_keys
        return [replace(self, position=i, order_key=keys[i], fork=None) for i in range(len(keys))]


class Lanes:
    """The models in training.

    Parameters
    ----------
    network
        The models' arithmetic.
    examples
        The task.
    n_params
        Length of a parameter vector.
    batch_size
        Examples a step, the same for all lanes.
    lanes
        K.
    """

    def __init__(
        self, network: LaneNetwork, examples: Examples, n_params: int, batch_size: int, lanes: int
    ) -> None:
        self.network = network
        self._examples = examples
        self._batch_size = batch_size
        self._device = examples.inputs.device
        self._n_train = len(examples.inputs)
        self.runs: list[LaneRun | None] = [None] * lanes
        self.epochs = np.zeros(lanes, dtype=np.int64)
        self.path_length = np.zeros(lanes)
        self.pending = np.zeros(lanes, dtype=bool)  # reached an epoch that is not recorded yet
        per_example = examples.valid_targets[0].numel()
        shapes = {
            "params": (n_params,),
            "start": (n_params,),
            "previous": (n_params,),
            "first": (n_params,),
            "second": (n_params,),
            "grad": (n_params,),
            "steps": (1,),
            "state": (network.n_state,),
            "next_state": (network.n_state,),
            "probe": (min(N_PROBE, len(examples.valid_inputs)) * per_example, examples.n_outputs),
            **dict.fromkeys(_SCALARS, (1,)),
        }
        self.tensors = {
            name: torch.zeros(
                lanes,
                *shape,
                dtype=torch.float64 if name == "steps" else torch.float32,
                device=self._device,
            )
            for name, shape in shapes.items()
        }
        self._orders = torch.zeros(lanes, 0, dtype=torch.int64, device=self._device)
        self._segments: list[tuple[int, slice]] = []

    @property
    def full_batch(self) -> bool:
        """Whether a step sees all examples, so that its gradient is the loss's own."""
        return self._batch_size == self._n_train

    @property
    def batch_loss_is_exact(self) -> bool:
        """Whether the loss of the first batch is that of the training set, in evaluation mode."""
        return self.full_batch and not self.network.n_state

    def load(self, slot: int, run: LaneRun) -> None:
        """Put a run at its start into a lane."""
        self.runs[slot] = run
        self.epochs[slot], self.path_length[slot], self.pending[slot] = 0, 0, True
        params = torch.from_numpy(run.params.astype(np.float32)).to(self._device)
        for name in ("first", "second", "steps"):
            self.tensors[name][slot] = 0
        for name in ("params", "start", "previous"):
            self.tensors[name][slot] = params
        self.tensors["state"][slot] = self.network.initial_state().to(self._device)
        row = hyper_row(run.optimizer, run.momentum, run.weight_decay, run.weight_decay_mode)
        for name, value in row.items():
            self.tensors[name][slot] = value

    def select(self, keep: Sequence[int]) -> None:
        """Keep these lanes, in this order; one that is named twice becomes two of equal state."""
        order = np.asarray(keep, dtype=np.int64)
        self.runs = [self.runs[slot] for slot in keep]
        self.epochs, self.path_length = self.epochs[order], self.path_length[order]
        self.pending = self.pending[order]
        index = torch.from_numpy(order).to(self._device)
        self.tensors = {name: values[index] for name, values in self.tensors.items()}
        self._orders = self._orders[index]

    def sort_keys(self) -> list[tuple[int, int]]:
        """Return the (network's, update rule's) key of each lane; lanes are kept sorted by it."""
        return [
            (self.network.sort_key(run.activation), rule_index(run.optimizer)) if run else (0, 0)
            for run in self.runs
        ]

    def arrange(self) -> None:
        """Take note of which lanes share an activation and a rule; they must be sorted."""
        keys = self.sort_keys()
        self.network.arrange([key for key, _ in keys])
        counts = Counter(keys)  # in the order of the lanes
        stops = list(accumulate(counts.values()))
        self._segments = [
            (key[1], slice(stop - counts[key], stop))
            for key, stop in zip(counts, stops, strict=True)
        ]

    def begin_epoch(self) -> FloatArray:
        """Set learning rates, draw orders and compute the first gradient of the coming epoch.

        Returns
        -------
        The loss of the first batch, shape ``(K,)``.
        """
        rates = [run.lrs[self.epochs[i]] if run else 0.0 for i, run in enumerate(self.runs)]
        self.tensors["lr"].copy_(torch.tensor(rates).unsqueeze(1))
        self._orders = self._drawn_orders()
        # kept apart until the epoch goes on: what is measured now is the model of this epoch
        self.tensors["next_state"].copy_(self.tensors["state"])
        batch_loss: FloatArray = self._gradient(0, "next_state").double().cpu().numpy()
        return batch_loss

    def finish_epoch(self) -> None:
        """Train through the epoch that `begin_epoch` began."""
        self.tensors["previous"].copy_(self.tensors["params"])
        self.tensors["state"].copy_(self.tensors["next_state"])
        rules = self._rules()
        for number, start in enumerate(range(0, self._n_train, self._batch_size)):
            if number:  # the first gradient is known
                self._gradient(start)
            for step in rules:
                step(number)
        self.tensors["steps"] += len(range(0, self._n_train, self._batch_size))
        self.epochs += 1
        self.pending[:] = True

    def measure(self, train_loss: FloatArray | None) -> dict[str, FloatArray]:
        """Measure all lanes; the gradient is that of the coming epoch's first batch.

        Parameters
        ----------
        train_loss
            Loss on the training set if it is known already, shape ``(K,)``.

        Returns
        -------
        The columns `schema.VALIDATED_MEASURES` by name, each of shape ``(K,)``.
        """
        tensors, examples = self.tensors, self._examples
        train_loss, valid = self._evaluated(train_loss)
        probe = valid[:, : tensors["probe"].shape[1]]
        fresh = self.epochs == 0
        kl = losses.mean_kl(examples.loss, tensors["probe"], probe).double().cpu().numpy()
        tensors["probe"].copy_(probe)
        moved = _norms(tensors["params"] - tensors["previous"])
        self.path_length += np.where(self.pending, moved, 0)
        targets = examples.valid_targets.reshape(1, -1)
        return {
            "loss": train_loss,
            "grad_norm": _norms(tensors["grad"]),
            "update_norm": moved,
            "path_length": self.path_length.copy(),
            "probe_kl": np.where(fresh, 0, kl),
            "lr": tensors["lr"].squeeze(1).double().cpu().numpy(),
            "valid_loss": self._mean_loss(valid, examples.valid_targets),
            "valid_metric": losses.mean_metric(examples.loss, valid, targets)
            .double()
            .cpu()
            .numpy(),
        }

    def _drawn_orders(self) -> Tensor:
        k = len(self.runs)
        if self.full_batch:
            return torch.arange(self._n_train, device=self._device).expand(k, -1)
        idle = np.zeros(2, dtype=np.uint32)
        keys = np.stack([idle if run is None else run.order_key for run in self.runs])
        orders = np.empty((k, self._n_train), dtype=np.int64)
        shuffled_orders(keys, self.epochs, orders)
        return torch.from_numpy(orders).to(self._device)

    def _gradient(self, start: int, state: str = "state") -> Tensor:
        """Compute the gradient of each lane's batch from ``start`` on; return its loss."""
        tensors = self.tensors
        index = self._orders[:, start : start + self._batch_size]
        loss, grad = self.network.loss_and_grad(
            tensors["params"], tensors[state], index, tensors["grad"]
        )
        if grad is not tensors["grad"]:
            tensors["grad"].copy_(grad)
        return loss

    def _rules(self) -> list[Step]:
        """Return what takes a step of the coming epoch, one for each segment of lanes."""
        names = [field.name for field in fields(LaneSlice)]
        n_steps = self._n_train // self._batch_size
        return [
            rule_at(rule)(LaneSlice(**{name: self.tensors[name][lanes] for name in names}), n_steps)
            for rule, lanes in self._segments
        ]

    def _evaluated(self, train_loss: FloatArray | None) -> tuple[FloatArray, Tensor]:
        """Return the loss on the training set and the outputs for the held-out examples."""
        examples = self._examples
        if train_loss is not None:
            return train_loss, self._outputs(examples.valid_inputs)
        if self._n_train + len(examples.valid_inputs) > _EVALUATED_AT_ONCE:
            return self._training_loss(), self._outputs(examples.valid_inputs)
        # one pass over few examples takes hardly longer than one over a part of them
        outputs = self._outputs(torch.cat([examples.inputs, examples.valid_inputs]))
        n = examples.targets.numel()
        return self._mean_loss(outputs[:, :n], examples.targets), outputs[:, n:]

    def _training_loss(self) -> FloatArray:
        """Return the loss on the training set, part by part: outputs of all would fill memory."""
        inputs = torch.split(self._examples.inputs, _EVALUATED_AT_ONCE)
        targets = torch.split(self._examples.targets, _EVALUATED_AT_ONCE)
        weighted = [
            self._mean_loss(self._outputs(part), labels) * len(part)
            for part, labels in zip(inputs, targets, strict=True)
        ]
        total: FloatArray = np.sum(weighted, axis=0)
        return total / self._n_train

    def _outputs(self, inputs: Tensor) -> Tensor:
        return self.network.outputs(self.tensors["params"], self.tensors["state"], inputs)

    def _mean_loss(self, outputs: Tensor, targets: Tensor) -> FloatArray:
        each = losses.example_losses(self._examples.loss, outputs, targets.reshape(1, -1))
        mean: FloatArray = each.double().mean(1).cpu().numpy()
        return mean


_SCALARS = ("lr", "beta1", "beta2", "corrected", "coupled", "decoupled")


def _norms(values: Tensor) -> FloatArray:
    norms: FloatArray = torch.linalg.vector_norm(values, dim=1, dtype=torch.float64).cpu().numpy()
    return norms
