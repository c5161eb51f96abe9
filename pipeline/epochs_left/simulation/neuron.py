"""Compiled engine of the neuron family: one run at a time into reused column buffers.

One run at a time beats lanes here: a run of three parameters lives in registers, and ends when it
ends. Buffers are reused because the first touch of a page costs more than the arithmetic.

Arithmetic is float64 (in float32 the stuck test at 1e-8 never fires); records are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.criterion import RUNNING, Criterion, outcome_code
from epochs_left.dynamics.xor import N_EXAMPLES, XOR_INPUTS, XOR_TARGETS
from epochs_left.schema import EPOCH_MEASURES
from epochs_left.simulation.compiled import compiled
from epochs_left.simulation.engine import EpochBlock, EpochBuffers, Outcomes
from epochs_left.simulation.orders import PERMUTATIONS, order_index
from epochs_left.workloads import Workload
from epochs_left.workloads.neuron import NeuronSettings, n_hidden, order_keys

ENGINE_VERSION = "1"

#: Rows of a block, and so of a Parquet row group: large enough for the encoder, small enough for
#: the caches and for a reader's memory.
BLOCK_ROWS = 1 << 18

N_MEASURES = len(EPOCH_MEASURES)

#: Codes of the activations that the compiled loop knows; the order is part of its contract.
ACTIVATIONS = ("abs", "relu", "leaky_relu", "tanh")
_ABS, _RELU, _LEAKY_RELU, _TANH = range(4)
_LEAK = 0.01  # slope of leaky ReLU below zero; PyTorch's default

_outcome_code = compiled(outcome_code, inline=True)


@dataclass(frozen=True, kw_only=True)
class NeuronRuns:
    """What the engine needs of ``n`` runs of one architecture with P parameters."""

    n_hidden: int  # 0: the unit |w.x + b| itself
    activation: IntArray  # (n,), index into ACTIVATIONS
    params: FloatArray  # (n, P) float64, initial parameters
    lr: FloatArray  # (n,)
    momentum: FloatArray  # (n,)
    nesterov: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (n,)
    online: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (n,): one example a step, else all four
    order_key: np.ndarray[tuple[int, int], np.dtype[np.uint32]]  # (n, 2)


def build_engine(
    workload: Workload, runs: pa.Table, settings: NeuronSettings, root_seed: int
) -> NeuronEngine:
    """Return the engine for planned runs of one parameter width."""
    activations = [ACTIVATIONS.index(name) for name in runs["activation"].to_pylist()]
    optimizers = runs["optimizer"].to_numpy(zero_copy_only=False)
    return NeuronEngine(
        NeuronRuns(
            n_hidden=n_hidden(runs["architecture"][0].as_py()),
            activation=np.array(activations),
            params=workload.initial_params(runs, root_seed),
            lr=runs["lr"].to_numpy(),
            momentum=runs["momentum"].to_numpy(),
            nesterov=optimizers == "nesterov",
            online=runs["batch_size"].to_numpy() == 1,
            order_key=order_keys(runs, root_seed),
        ),
        settings.criterion,
    )


class NeuronEngine:
    """Trains runs in order and yields their epoch rows in blocks that end at run boundaries.

    Parameters
    ----------
    runs
        What to train.
    criterion
        Thresholds of the convergence criterion.
    block_rows
        Rows after which a block is closed; the block ends with the run that reaches it.
    """

    def __init__(
        self,
        runs: NeuronRuns,
        criterion: Criterion,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        n = runs.lr.size
        # Copies of one memory layout: Arrow's arrays are read-only, and would be compiled for anew.
        self._runs = (
            runs.activation.astype(np.int64),
            runs.params.astype(np.float64, order="C"),
            runs.lr.astype(np.float64),
            runs.momentum.astype(np.float64),
            runs.nesterov.astype(np.bool_),
            runs.online.astype(np.bool_),
            runs.order_key.astype(np.uint32, order="C"),
        )
        self._n_hidden = runs.n_hidden
        self._thresholds = (
            criterion.epsilon,
            criterion.delta,
            criterion.divergence_loss,
            criterion.max_epochs,
        )
        self._block_rows = block_rows
        longest = criterion.max_epochs + 1
        self.buffers = EpochBuffers(block_rows + longest, runs.params.shape[1])
        self.outcomes = Outcomes(
            code=np.full(n, RUNNING, dtype=np.int8),
            epoch=np.zeros(n, dtype=np.int32),
            loss=np.zeros(n),
            grad_norm=np.zeros(n),
        )
        self._next_run = 0
        self._filled = 0

    def blocks(self, chunk_runs: int) -> Iterator[EpochBlock]:
        """Train all runs, ``chunk_runs`` a call; yield blocks that are valid until the next one.

        Where blocks end does not depend on ``chunk_runs``.
        """
        first = 0
        while first < self.outcomes.code.size:
            rows = self._advance(chunk_runs)
            if rows:
                yield EpochBlock(
                    first_run=first,
                    n_runs=self._next_run - first,
                    run=self.buffers.run[:rows] - np.int32(first),
                    epoch=self.buffers.epoch[:rows],
                    columns=self.buffers.columns[:, :rows],
                )
                first = self._next_run

    def _advance(self, max_runs: int) -> int:
        """Train up to ``max_runs`` runs; return the rows of a block once one is complete.

        The rows stand in ``self.buffers`` until the next call; 0: the block is not full yet.
        """
        n = self.outcomes.code.size
        last = min(self._next_run + max_runs, n)
        self._next_run, self._filled = _train(
            self._next_run,
            last,
            self._filled,
            self._block_rows,
            self._n_hidden,
            self._runs,
            self._thresholds,
            (self.buffers.run, self.buffers.epoch, self.buffers.columns),
            (
                self.outcomes.code,
                self.outcomes.epoch,
                self.outcomes.loss,
                self.outcomes.grad_norm,
            ),
        )
        if self._next_run < n and self._filled < self._block_rows:
            return 0
        rows, self._filled = self._filled, 0
        return rows


@compiled
def _train(first, last, row, block_rows, n_hidden, runs, limits, out, outcomes):  # type: ignore[no-untyped-def]
    """Train runs ``first`` to ``last - 1`` until the block is full; return (next run, rows)."""
    run = first
    while run < last and row < block_rows:
        if n_hidden == 0:
            row = _train_unit(run, row, runs, limits, out, outcomes)
        else:
            row = _train_hidden(run, row, n_hidden, runs, limits, out, outcomes)
        run += 1
    return run, row


@partial(compiled, inline=True)
def _sign(z):  # type: ignore[no-untyped-def]
    """abs'(z), with abs'(0) = 0."""
    return 1.0 if z > 0.0 else (-1.0 if z < 0.0 else 0.0)


@compiled
def _train_unit(run, row, runs, limits, out, outcomes):  # type: ignore[no-untyped-def]
    """Train the unit |w.x + b|; everything that an epoch touches stays in registers."""
    _, params, lrs, momenta, nesterovs, onlines, order_keys = runs
    epsilon, delta, divergence_loss, max_epochs = limits
    run_column, epoch_column, columns = out
    w1, w2, b = params[run, 0], params[run, 1], params[run, 2]
    lr, momentum, nesterov = lrs[run], momenta[run], nesterovs[run]
    online = onlines[run]
    v1 = v2 = v3 = 0.0
    path_length = 0.0
    p1, p2, p3 = w1, w2, b
    q1 = q2 = q3 = q4 = 0.0
    epoch = 0
    while True:
        z1, z2, z3, z4 = b - w1 - w2, b - w1 + w2, b + w1 - w2, b + w1 + w2
        f1, f2, f3, f4 = abs(z1), abs(z2), abs(z3), abs(z4)
        r2, r3 = f2 - 1.0, f3 - 1.0
        loss = 0.25 * (f1 * f1 + r2 * r2 + r3 * r3 + f4 * f4)
        # X^T X = 4 I makes the mean of 2 (|z| - y) sign(z) x over the examples 2 theta minus half
        # the sum of y sign(z) x: from epoch to epoch the chain of operations is a short one.
        h2, h3 = 0.5 * _sign(z2), 0.5 * _sign(z3)
        d1 = 2.0 * w1 - (h3 - h2)
        d2 = 2.0 * w2 - (h2 - h3)
        d3 = 2.0 * b - (h2 + h3)
        grad_norm = np.sqrt(d1 * d1 + d2 * d2 + d3 * d3)
        update_norm = np.sqrt((w1 - p1) ** 2 + (w2 - p2) ** 2 + (b - p3) ** 2)
        path_length += update_norm
        kl = 0.0
        if epoch > 0:
            kl = 0.125 * ((f1 - q1) ** 2 + (f2 - q2) ** 2 + (f3 - q3) ** 2 + (f4 - q4) ** 2)

        run_column[row] = run
        epoch_column[row] = epoch
        columns[0, row] = loss
        columns[1, row] = grad_norm
        columns[2, row] = update_norm
        columns[3, row] = path_length
        columns[4, row] = kl
        columns[5, row] = lr
        columns[6, row] = w1
        columns[7, row] = w2
        columns[8, row] = b
        row += 1

        code = _outcome_code(loss, grad_norm, epoch, epsilon, delta, divergence_loss, max_epochs)
        if code != RUNNING:
            _finish(run, code, epoch, loss, grad_norm, outcomes)
            return row

        epoch += 1
        p1, p2, p3 = w1, w2, b
        q1, q2, q3, q4 = f1, f2, f3, f4
        if not online and momentum == 0.0:
            w1, w2, b = w1 - lr * d1, w2 - lr * d2, b - lr * d3
        elif not online:
            v1, v2, v3 = momentum * v1 + d1, momentum * v2 + d2, momentum * v3 + d3
            if nesterov:
                w1 -= lr * (d1 + momentum * v1)
                w2 -= lr * (d2 + momentum * v2)
                b -= lr * (d3 + momentum * v3)
            else:
                w1, w2, b = w1 - lr * v1, w2 - lr * v2, b - lr * v3
        else:
            order = order_index(epoch, order_keys[run, 0], order_keys[run, 1])
            for i in range(N_EXAMPLES):
                k = PERMUTATIONS[order, i]
                x1, x2 = XOR_INPUTS[k, 0], XOR_INPUTS[k, 1]
                z = w1 * x1 + w2 * x2 + b
                d3 = 2.0 * (z - XOR_TARGETS[k] * _sign(z))
                d1, d2 = d3 * x1, d3 * x2
                v1, v2, v3 = momentum * v1 + d1, momentum * v2 + d2, momentum * v3 + d3
                if nesterov:
                    w1 -= lr * (d1 + momentum * v1)
                    w2 -= lr * (d2 + momentum * v2)
                    b -= lr * (d3 + momentum * v3)
                else:
                    w1, w2, b = w1 - lr * v1, w2 - lr * v2, b - lr * v3


@partial(compiled, inline=True)
def _finish(run, code, epoch, loss, grad_norm, outcomes):  # type: ignore[no-untyped-def]
    outcomes[0][run] = code
    outcomes[1][run] = epoch
    outcomes[2][run] = loss
    outcomes[3][run] = grad_norm


@compiled
def _activate(z, activation):  # type: ignore[no-untyped-def]
    """Return activation and derivative at ``z``."""
    if activation == _TANH:
        value = np.tanh(z)
        return value, 1.0 - value * value
    if activation == _ABS:
        return abs(z), _sign(z)
    if z > 0.0:
        return z, 1.0
    slope = _LEAK if activation == _LEAKY_RELU else 0.0
    return slope * z, slope


@compiled
def _backpropagate(theta, grad, units, example, scale, activation):  # type: ignore[no-untyped-def]
    """Add the gradient of ``scale * (f - y)^2`` at one example to ``grad``; return f.

    f = sum_j a_j phi(w_j . x + b_j) + c, with theta = (w_1, ..., w_h, b, a, c) flattened; ``units``
    keeps phi and phi' of each hidden unit in between, shape ``(h, 2)``.
    """
    n_hidden = units.shape[0]
    x1, x2 = XOR_INPUTS[example, 0], XOR_INPUTS[example, 1]
    bias, out = 2 * n_hidden, 3 * n_hidden
    f = theta[4 * n_hidden]
    for j in range(n_hidden):
        z = theta[2 * j] * x1 + theta[2 * j + 1] * x2 + theta[bias + j]
        value, derivative = _activate(z, activation)
        units[j, 0], units[j, 1] = value, derivative
        f += theta[out + j] * value
    slope = 2.0 * scale * (f - XOR_TARGETS[example])
    for j in range(n_hidden):
        inner = slope * theta[out + j] * units[j, 1]
        grad[2 * j] += inner * x1
        grad[2 * j + 1] += inner * x2
        grad[bias + j] += inner
        grad[out + j] += slope * units[j, 0]
    grad[4 * n_hidden] += slope
    return f


@compiled
def _step(theta, velocity, grad, lr, momentum, nesterov):  # type: ignore[no-untyped-def]
    """Take one heavy-ball or Nesterov step in place, in PyTorch's form of both."""
    for i in range(theta.size):
        velocity[i] = momentum * velocity[i] + grad[i]
        direction = grad[i] + momentum * velocity[i] if nesterov else velocity[i]
        theta[i] -= lr * direction


@compiled
def _distance(vector, other):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(vector.size):
        total += (vector[i] - other[i]) ** 2
    return np.sqrt(total)


@compiled
def _train_hidden(run, row, n_hidden, runs, limits, out, outcomes):  # type: ignore[no-untyped-def]
    """Train a network with one hidden layer."""
    activations, params, lrs, momenta, nesterovs, onlines, order_keys = runs
    epsilon, delta, divergence_loss, max_epochs = limits
    run_column, epoch_column, columns = out
    lr, momentum, nesterov = lrs[run], momenta[run], nesterovs[run]
    online, activation = onlines[run], activations[run]
    theta = params[run].copy()
    previous = theta.copy()
    velocity = np.zeros_like(theta)
    grad = np.zeros_like(theta)
    origin = np.zeros_like(theta)
    units = np.zeros((n_hidden, 2))
    outputs = np.zeros(N_EXAMPLES)
    path_length = 0.0
    epoch = 0
    while True:
        grad[:] = 0.0
        loss = kl = 0.0
        for k in range(N_EXAMPLES):
            f = _backpropagate(theta, grad, units, k, 0.25, activation)
            loss += 0.25 * (f - XOR_TARGETS[k]) ** 2
            kl += 0.125 * (f - outputs[k]) ** 2
            outputs[k] = f
        grad_norm = _distance(grad, origin)
        update_norm = _distance(theta, previous)
        path_length += update_norm

        run_column[row] = run
        epoch_column[row] = epoch
        columns[0, row] = loss
        columns[1, row] = grad_norm
        columns[2, row] = update_norm
        columns[3, row] = path_length
        columns[4, row] = kl if epoch > 0 else 0.0
        columns[5, row] = lr
        for i in range(theta.size):
            columns[N_MEASURES + i, row] = theta[i]
        row += 1

        code = _outcome_code(loss, grad_norm, epoch, epsilon, delta, divergence_loss, max_epochs)
        if code != RUNNING:
            _finish(run, code, epoch, loss, grad_norm, outcomes)
            return row

        epoch += 1
        previous[:] = theta
        if not online:
            _step(theta, velocity, grad, lr, momentum, nesterov)
        else:
            order = order_index(epoch, order_keys[run, 0], order_keys[run, 1])
            for i in range(N_EXAMPLES):
                grad[:] = 0.0
                _backpropagate(theta, grad, units, PERMUTATIONS[order, i], 1.0, activation)
                _step(theta, velocity, grad, lr, momentum, nesterov)
