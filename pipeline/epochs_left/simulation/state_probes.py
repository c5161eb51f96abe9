"""What a recorded state says of the loss and of the function: gradients, and distances in outputs.

Differences of parameters are measured in the local metrics of the function: with J the Jacobian of
the outputs on the m predictions of the probe set by the parameters,

- NTK norm |J d| / sqrt(m): the root mean square change of an output vector to first order (Jacot et
  al. 2018, arXiv:1806.07572: J J^T is the tangent kernel);
- Fisher-Rao norm sqrt(d^T F d), F = J^T H J / m the Fisher information of the predictions (Amari
  1998), H = diag p - p p^T for classes, p (1 - p) for a logit, 1 for a Gaussian of unit variance.
  Half its square is the mean KL to second order.

J d is computed in forward mode, exact to rounding. GradCosine is Yang et al. 2022
(arXiv:2210.05956), the alignment (theta_t - theta_T) . gradient seed 003, section 5.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.xor import XOR_INPUTS, XOR_TARGETS
from epochs_left.simulation.functions import FUNCTIONS
from epochs_left.simulation.lanes import N_PROBE
from epochs_left.simulation.losses import mean_kl, mean_loss_and_grad
from epochs_left.trajectories import STATE_INPUTS
from epochs_left.workloads import WORKLOADS, TaskData

#: Parameters of the states that are measured at a time: enough to outweigh the calls, few enough
#: for the caches; with bounds on the number of states.
_PARAMS_AT_ONCE = 1 << 15
_FEWEST, _MOST = 8, 256

_SIGNS_SEED = 0  # of the signs of `ntk_trace`, the same for all states

#: XOR holds nothing out.
_XOR = TaskData(
    loss="squared",
    inputs=XOR_INPUTS,
    targets=XOR_TARGETS,
    valid_inputs=XOR_INPUTS,
    valid_targets=XOR_TARGETS,
    n_outputs=1,
)


class StateTable(Protocol):
    """Recorded states of one architecture, n of them; see `prediction.examples.StateTable`."""

    @property
    def runs(self) -> pa.Table:
        """The row of runs.parquet of each state."""
        ...

    @property
    def params(self) -> FloatArray:
        """theta_t, shape ``(n, P)``."""
        ...

    @property
    def start(self) -> FloatArray:
        """theta_0, shape ``(n, P)``."""
        ...

    @property
    def previous(self) -> FloatArray:
        """theta_{t-1}, shape ``(n, P)``; theta_0 at epoch 0."""
        ...

    @property
    def final(self) -> FloatArray:
        """theta_T, shape ``(n, P)``."""
        ...


def probe_states(
    family: str, data: Mapping[str, TaskData], states: StateTable
) -> dict[str, FloatArray]:
    """Measure recorded states.

    A state's numbers do not depend, bit for bit, on which others it is measured with.

    Parameters
    ----------
    family
        Workload family.
    data
        Examples of each task (`simulation.planning.task_data`); empty where the engine has them.
    states
        n states of one architecture.

    Returns
    -------
    The names of `trajectories.STATE_INPUTS`, each of shape ``(n,)``, float64; NaN where a state has
    overflowed.

    Raises
    ------
    ValueError
        For several architectures.
    """
    found = {name: np.full(len(states.params), np.nan) for name in STATE_INPUTS}
    if not len(states.params):
        return found
    architecture, *others = sorted(set(states.runs["architecture"].to_pylist()))
    if others:
        raise ValueError(f"expected states of one architecture, got {[architecture, *others]}")
    with _prepared_torch():
        for (task, activation), rows in _kinds(states.runs).items():
            examples = _XOR if task == "xor" else data[task]
            model = _Model(family, architecture, activation, examples)
            for chunk in _chunks(rows, _lanes(states.params.shape[1])):
                for name, values in model.measure(states, chunk).items():
                    found[name][chunk] = values
    return found


@contextmanager
def _prepared_torch() -> Iterator[None]:
    """Keep torch to one thread: a product that is split between threads may round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            # forward mode loads rules that torch compiles in a way that it warns of itself
            warnings.filterwarnings("ignore", "`torch.jit.script` is ", DeprecationWarning)
            yield
    finally:
        torch.set_num_threads(threads)


def _kinds(runs: pa.Table) -> dict[tuple[str, str], IntArray]:
    """Return the states of each task and activation."""
    keys = list(zip(runs["task"].to_pylist(), runs["activation"].to_pylist(), strict=True))
    found: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def _lanes(n_params: int) -> int:
    """Return how many states to measure at a time; the same for all states of an architecture."""
    power = (_PARAMS_AT_ONCE // n_params).bit_length() - 1
    return max(_FEWEST, min(1 << max(power, 0), _MOST))


def _chunks(rows: IntArray, size: int) -> Iterator[IntArray]:
    """Yield ``size`` states at a time; the last one is repeated to fill up.

    With always as many, kernels round alike for any number of states.
    """
    for first in range(0, rows.size, size):
        chunk = rows[first : first + size]
        yield np.pad(chunk, (0, size - chunk.size), mode="edge")


class _Model:
    """The function of K states, and the examples that it is measured on.

    Parameters
    ----------
    family, architecture, activation
        What the states are parameters of.
    data
        The examples of the task.
    """

    def __init__(self, family: str, architecture: str, activation: str, data: TaskData) -> None:
        self._family = FUNCTIONS[family]
        tensors = WORKLOADS[family].tensors(architecture)
        self._outputs = self._family.build(tensors, architecture, activation)
        self._loss, self._n_outputs = data.loss, data.n_outputs
        kept, apart = self._family.gradient_examples, self._family.apart
        self._train = self._tensor(data.inputs[:kept])
        self._targets = self._tensor(data.targets[:kept])
        self._probe = self._tensor(data.valid_inputs[:N_PROBE])
        self._apart = min(apart, len(self._probe), len(self._train))
        each = data.valid_targets[0].size
        self._m = len(self._probe) * each  # predictions on the probe set
        generator = torch.Generator().manual_seed(_SIGNS_SEED)
        shape = (self._apart, each, self._n_outputs)
        signs = 2 * torch.randint(0, 2, shape, generator=generator) - 1
        self._signs = signs.to(self._family.dtype)

    def _tensor(self, values: FloatArray | IntArray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.to(self._family.dtype) if tensor.is_floating_point() else tensor

    def measure(self, states: StateTable, rows: IntArray) -> dict[str, FloatArray]:
        """Return the measures of these states by name, each of shape ``(K,)``."""
        params, start, previous, final = (
            torch.from_numpy(values[rows]).to(self._family.dtype)
            for values in (states.params, states.start, states.previous, states.final)
        )
        steps = {"from_start": params - start, "update": params - previous}
        steps["to_final"] = params - final
        now = self._on_probe(params)
        gradient = self._gradient(params)
        found = {
            "grad_norm_full": _norm(gradient),
            "grad_start_cosine": _cosine(gradient, steps["from_start"]),
            "grad_update_cosine": _cosine(gradient, steps["update"]),
            "grad_alignment": _dot(gradient, steps["to_final"]),
            "grad_alignment_cosine": _cosine(gradient, steps["to_final"]),
            "kl_from_start": mean_kl(self._loss, self._on_probe(start), now),
            "kl_to_final": mean_kl(self._loss, now, self._on_probe(final)),
            "ntk_trace": self._ntk_trace(params),
            "grad_cosine": self._grad_cosine(params),
        }
        for name, step in steps.items():
            moved = self._along(params, step)
            found[f"ntk_{name}"] = moved.square().sum((1, 2)).div(self._m).sqrt()
            found[f"fisher_rao_{name}"] = fisher_rao(self._loss, now, moved)
        known = now.isfinite().flatten(1).all(1)
        return {name: _finite(values, known) for name, values in found.items()}

    def _on_probe(self, params: Tensor) -> Tensor:
        """Return the outputs on the probe set, shape ``(K, m, C)``."""
        return self._outputs(params, self._probe.unsqueeze(0), 1)[:, :, : self._n_outputs]

    def _along(self, params: Tensor, direction: Tensor) -> Tensor:
        """Return J d on the probe set, shape ``(K, m, C)``, float64."""
        moved: Tensor = torch.func.jvp(self._on_probe, (params,), (direction,))[1]
        return moved.double()

    def _gradient(self, params: Tensor) -> Tensor:
        """Return the gradient of the training loss, shape ``(K, P)``."""
        leaf = params.clone().requires_grad_()
        outputs = self._outputs(leaf, self._train.unsqueeze(0), 1)[:, :, : self._n_outputs]
        targets = self._targets.reshape(1, -1).expand(len(params), -1)
        _, delta = mean_loss_and_grad(self._loss, outputs.detach(), targets)
        return torch.autograd.grad(outputs, leaf, delta)[0]

    def _ntk_trace(self, params: Tensor) -> Tensor:
        """Return the mean over the probe set of |J_i|^2, shape ``(K,)``.

        Hutchinson 1990 for each example, with one vector of signs v: E |J_i^T v|^2 = |J_i|^2.
        Exact for one output; for several, the root mean square error is 5 % (perceptrons), 6 %
        (transformers) and 18 % (ResNets, of whose examples fewer are looked at).
        """
        signs = self._signs.repeat(len(params), 1, 1)
        gradients = self._gradients_apart(params, self._probe, lambda _: signs)
        return gradients.square().sum(2).double().sum(1) / self._signs[:, :, 0].numel()

    def _grad_cosine(self, params: Tensor) -> Tensor:
        """Return the mean cosine of two training examples' gradients, 0 with one that is zero."""
        targets = self._targets[: self._apart].reshape(self._apart, -1).repeat(len(params), 1)

        def by_outputs(outputs: Tensor) -> Tensor:
            return mean_loss_and_grad(self._loss, outputs, targets)[1]

        return mean_pairwise_cosine(self._gradients_apart(params, self._train, by_outputs))

    def _gradients_apart(
        self, params: Tensor, inputs: Tensor, by_outputs: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return J_i^T v_i of the first examples, shape ``(K, examples, P)``.

        Each example has a lane of its own; v is a function of the outputs.
        """
        leaf = params.repeat_interleave(self._apart, 0).requires_grad_()
        each = inputs[: self._apart].unsqueeze(1)
        each = each.repeat(len(params), *[1] * (each.ndim - 1))
        outputs = self._outputs(leaf, each, self._apart)[:, :, : self._n_outputs]
        gradients = torch.autograd.grad(outputs, leaf, by_outputs(outputs.detach()))[0]
        return gradients.view(len(params), self._apart, -1)


def fisher_rao(loss: str, outputs: Tensor, moved: Tensor) -> Tensor:
    """Return the Fisher-Rao norm of a change of outputs to first order, shape ``(K,)``, float64.

    Parameters
    ----------
    loss
        One of `losses.LOSSES`.
    outputs, moved
        Outputs and J d, shape ``(K, m, C)``.
    """
    outputs, moved = outputs.double(), moved.double()
    if loss == "cross_entropy":
        p = torch.softmax(outputs, 2)
        # the variance of J d under p; centred, since the two terms of H may nearly cancel
        squares = (p * (moved - (p * moved).sum(2, keepdim=True)).square()).sum(2)
    elif loss == "binary":
        p = torch.sigmoid(outputs)
        squares = (p * (1 - p) * moved.square()).squeeze(2)
    else:
        squares = moved.square().squeeze(2)
    return squares.mean(1).sqrt()


def mean_pairwise_cosine(vectors: Tensor) -> Tensor:
    """Return the mean cosine of pairs of m vectors ``(K, m, P)``, shape ``(K,)``, float64.

    A pair with a zero vector counts as 0; so does one whose norm has no finite inverse in the
    vectors' precision. With unit vectors u_i, the sum over pairs i != j is
    |sum u_i|^2 - sum |u_i|^2: no pair is looked at.
    """
    m = vectors.shape[1]
    norms = torch.linalg.vector_norm(vectors, dim=2, dtype=torch.float64)
    scales = norms.reciprocal().to(vectors.dtype)
    found = scales.isfinite()
    # a product with a single row would round by where in memory a lane begins
    total = (torch.where(found, scales, 0).unsqueeze(2) * vectors).sum(1)
    over_pairs: Tensor = _dot(total, total) - found.sum(1)
    return over_pairs / (m * (m - 1))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    products = a.double() * b.double()
    return products.sum(1)


def _norm(a: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(a, dim=1, dtype=torch.float64)
    return norms


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of each lane's vectors; 0 where one of them is zero."""
    norms = _norm(a) * _norm(b)
    return torch.where(norms == 0, 0.0, _dot(a, b) / norms)


def _finite(values: Tensor, known: Tensor) -> FloatArray:
    """Return the values, NaN for those that are not finite, or whose state is not known."""
    found: FloatArray = torch.where(known & values.isfinite(), values.double(), torch.nan).numpy()
    return found
