"""Linearised forecast of the neuron family: epochs to a target loss from one state and its motion.

To first order in the parameters, the residuals r = f - y on the four examples move by J dtheta,
with J the Jacobian of the outputs. A full-batch step on the mean squared error then acts on each
eigenvector of the kernel K = J J^T alone (Jacot, Gabriel and Hongler 2018, arXiv:1806.07572; Lee
et al. 2019, arXiv:1902.06720): with eigenvalue l, the residual's component c and h = lr (2 / 4) l,

    s' = momentum s - h c,    c' = c + s'                 (heavy ball; Polyak 1964)
                              c' = c + momentum s' - h c  (Nesterov's momentum)

in PyTorch's form of both, where s is -lr times the optimizer's velocity as the outputs see it. A
step on example i alone has 2 lr K e_i r_i in place of h c. The forecast is exact for the unit
|w.x + b| in full batch, with momentum too, while no sign changes on the examples with target 1
(those with target 0 are smooth in the loss), and asymptotic for hidden units, whose kernel settles
as the loss vanishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.dynamics.xor import N_EXAMPLES, N_INPUTS, XOR_INPUTS, XOR_TARGETS

_LEAK = 0.01  # slope of leaky ReLU below zero, as the engine has it; PyTorch's default

#: Arrays whose last axis is the rows, and what one epoch makes of the first kind given the second.
Columns = tuple[FloatArray, ...]
Advance = Callable[[int, Columns, Columns], Columns]

#: Eigenvalues up to this share of the largest are rounding: their components do not move.
_NULL_SHARE = 1e-12

#: Loss from which a linear recurrence counts as diverged: it will not come back within a horizon.
_DIVERGED_LOSS = 1e30

#: Rows that are iterated together, so that their state stays in the cache; no result depends on it.
_BLOCK_ROWS = 4096

#: Diverged runs overflow; their forecast is "never".
_OVERFLOWING = np.errstate(over="ignore", invalid="ignore")

#: A longer way, in units of |theta|, says more of the expansion than of the run.
_LONGEST_WAY = 0.5


@dataclass(frozen=True, kw_only=True)
class Training:
    """How N runs go on, arrays of shape ``(N,)``.

    Attributes
    ----------
    lr
        Learning rate.
    momentum
        0 to below 1.
    nesterov
        Nesterov's momentum; heavy ball otherwise.
    online
        One example a step, each once an epoch; all four otherwise.
    target
        Loss to fall below.
    limit
        Epochs to look ahead.
    """

    lr: FloatArray
    momentum: FloatArray
    nesterov: BoolArray
    online: BoolArray
    target: FloatArray
    limit: FloatArray


@dataclass(frozen=True, kw_only=True)
class Linearisation:
    """The outputs on the four examples to first order around N states; output units.

    Attributes
    ----------
    residual
        f - y, shape ``(N, 4)``; its mean square is the loss.
    kernel
        K = J J^T, shape ``(N, 4, 4)``.
    velocity
        J u: what the last epoch's change u of the parameters did, shape ``(N, 4)``. Where it is 0
        throughout, as at epoch 0, the optimizer is at rest.
    """

    residual: FloatArray
    kernel: FloatArray
    velocity: FloatArray


@_OVERFLOWING
def linearise(params: FloatArray, updates: FloatArray, architecture: str) -> Linearisation:
    """Linearise the outputs on centred XOR around ``params``.

    Parameters
    ----------
    params
        ``(w1, w2, b)`` of ``"abs-unit"``, or ``(w_1, ..., w_h, b, a, c)`` flattened of
        ``"<activation>-<h>"``; shape ``(N, P)``.
    updates
        theta_t - theta_{t-1}, 0 at epoch 0; shape ``(N, P)``.
    architecture
        Name of the neuron family's architecture.

    Raises
    ------
    ValueError
        If the activation is unknown.
    """
    residual, jacobian = residuals_and_jacobian(params, architecture)
    return Linearisation(
        residual=residual,
        kernel=jacobian @ jacobian.swapaxes(1, 2),
        velocity=_times(jacobian, updates.astype(np.float64)),
    )


@_OVERFLOWING
def linearise_midway(
    params: FloatArray,
    updates: FloatArray,
    architecture: str,
    training: Training,
    epochs: FloatArray,
) -> Linearisation:
    """Linearise with the kernel that the run will have about midway: correct to second order.

    The kernel changes as the parameters move. It is taken half the way that gradient flow of the
    linearised run covers in ``epochs``, shape ``(N,)``, such as `epochs_to_target` returns: with
    the components c and eigenvalues l of K, dtheta = -J^T V c (1 - exp(-l S / 2)) / l, where S is
    lr / (1 - momentum) times the steps. The way is cut at half the norm of the parameters.
    """
    residual, jacobian = residuals_and_jacobian(params, architecture)
    eigenvalues, basis = _modes(jacobian @ jacobian.swapaxes(1, 2))
    steps = np.minimum(epochs, training.limit) * np.where(training.online, N_EXAMPLES, 1)
    clock = 2 / N_EXAMPLES * training.lr / (1 - training.momentum) * steps
    # (1 - exp(-l S / 2)) / l, whose limit for l = 0 multiplies a gradient that is 0 there.
    share = -np.expm1(-eigenvalues * clock[:, None]) / np.where(eigenvalues > 0, eigenvalues, 1)
    pull = _times(basis.swapaxes(1, 2), share * _times(basis, residual))
    way = -_times(jacobian.swapaxes(1, 2), pull)
    length = np.sqrt(np.square(way).sum(axis=1))
    longest = _LONGEST_WAY * np.sqrt(np.square(params.astype(np.float64)).sum(axis=1))
    half = 0.5 * np.minimum(1, longest / np.where(length > 0, length, 1))
    _, ahead = residuals_and_jacobian(params + half[:, None] * way, architecture)
    return Linearisation(
        residual=residual,
        kernel=ahead @ ahead.swapaxes(1, 2),
        velocity=_times(jacobian, updates.astype(np.float64)),
    )


def draw_orders(rng: np.random.Generator, members: int, epochs: int) -> IntArray:
    """Draw sample orders for online forecasts, shape ``(members, epochs, 4)``."""
    in_order = np.broadcast_to(np.arange(N_EXAMPLES), (members, epochs, N_EXAMPLES))
    return rng.permuted(in_order, axis=2)


@_OVERFLOWING
def epochs_to_target(
    linearisation: Linearisation, training: Training, orders: IntArray
) -> FloatArray:
    """Return the first epoch k >= 1 whose linearised loss is below the target.

    Full-batch runs go on by modes. Online runs go on example by example in ``orders``, shape
    ``(M, E, 4)``, which start again after E epochs and stand for the run's own, still unknown: the
    answer is the median over M. Their velocity at the last step is not recorded; the mean over the
    last epoch's steps stands for it. No row's answer depends on the other rows.

    Returns
    -------
    Epochs, shape ``(N,)``; ``EPOCH_LIMIT`` where no epoch up to the limit gets there.
    """
    eigenvalues, basis = _modes(linearisation.kernel)
    components = _times(basis, linearisation.residual)
    # What the kernel cannot move stays: most runs that never get there are known at once.
    floor = np.where(eigenvalues > 0, 0.0, np.square(components)).mean(axis=1)
    reachable = floor < training.target
    result = np.full(len(components), EPOCH_LIMIT)
    for rows in _blocks(reachable & ~training.online):
        result[rows] = _by_modes(
            eigenvalues[rows],
            components[rows],
            _times(basis[rows], linearisation.velocity[rows]),
            _take(training, rows),
        )
    # Apart, since a step without momentum is a third of the work.
    plain, online = training.momentum == 0, reachable & training.online
    for rows in chain(_blocks(online & plain), _blocks(online & ~plain)):
        result[rows] = _by_examples(
            linearisation.kernel[rows],
            linearisation.residual[rows],
            linearisation.velocity[rows],
            _take(training, rows),
            orders,
        )
    return result


def residuals_and_jacobian(params: FloatArray, architecture: str) -> tuple[FloatArray, FloatArray]:
    """Return f - y, shape ``(N, 4)``, and df / dtheta, shape ``(N, 4, P)``; abs'(0) = 0.

    Parameters and errors as in `linearise`.
    """
    activation, _, size = architecture.rpartition("-")
    theta = params.astype(np.float64)
    if size == "unit":
        value, slope = _activate(theta[:, None, :N_INPUTS], theta[:, None, N_INPUTS:], activation)
        return value[:, :, 0] - XOR_TARGETS, slope * _with_bias(XOR_INPUTS)
    h = int(size)
    weights, biases, out, bias = np.split(theta, [2 * h, 3 * h, 4 * h], axis=1)
    value, slope = _activate(weights.reshape(-1, h, N_INPUTS), biases[:, None, :], activation)
    inner = slope * out[:, None, :]
    by_weight = inner[:, :, :, None] * XOR_INPUTS[:, None, :]
    jacobian = [by_weight.reshape(len(theta), N_EXAMPLES, 2 * h), inner, _with_bias(value)]
    return _times(value, out) + bias - XOR_TARGETS, np.concatenate(jacobian, axis=2)


def _with_bias(inputs: FloatArray) -> FloatArray:
    return np.concatenate([inputs, np.ones((*inputs.shape[:-1], 1))], axis=-1)


def _activate(
    weights: FloatArray, biases: FloatArray, activation: str
) -> tuple[FloatArray, FloatArray]:
    """Return phi(w_j . x + b_j) and phi' on the four examples, each of shape ``(N, 4, h)``."""
    z = XOR_INPUTS @ weights.swapaxes(1, 2) + biases
    match activation:
        case "abs":
            return np.abs(z), np.sign(z)
        case "tanh":
            value = np.tanh(z)
            return value, 1 - value * value
        case "relu" | "leaky_relu":
            slope = np.where(z > 0, 1.0, _LEAK if activation == "leaky_relu" else 0.0)
            return slope * z, slope
        case _:
            raise ValueError(
                f"unknown activation {activation!r}; expected abs, relu, leaky_relu or tanh"
            )


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Multiply row by row: ``(N, a, b)`` by ``(N, b)``."""
    result: FloatArray = (matrices @ vectors[:, :, None])[:, :, 0]
    return result


def _modes(kernel: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, shape ``(N, 4)``, exactly 0 where null, and V^T, ``(N, 4, 4)``."""
    # LAPACK refuses what a diverged run leaves.
    finite: BoolArray = np.isfinite(kernel.sum(axis=(1, 2)))
    eigenvalues, vectors = np.linalg.eigh(np.where(finite[:, None, None], kernel, 0.0))
    null = eigenvalues <= _NULL_SHARE * eigenvalues[:, -1:]
    return np.where(null, 0.0, eigenvalues), vectors.swapaxes(1, 2)


def _blocks(chosen: BoolArray) -> Iterator[IntArray]:
    rows = np.flatnonzero(chosen)
    for first in range(0, rows.size, _BLOCK_ROWS):
        yield rows[first : first + _BLOCK_ROWS]


def _take(training: Training, rows: IntArray) -> Training:
    return Training(**{name: values[rows] for name, values in vars(training).items()})


def _by_modes(
    eigenvalues: FloatArray, components: FloatArray, moved: FloatArray, training: Training
) -> FloatArray:
    """Epochs of full-batch runs; one row a mode, so that rows of the block are contiguous."""
    decay = 2 / N_EXAMPLES * training.lr * eigenvalues.T
    momentum, nesterov = training.momentum, training.nesterov
    c = np.ascontiguousarray(components.T)
    velocity = _velocity(c, np.where(decay > 0, moved.T, 0.0), decay, momentum, nesterov)
    # c' = c + momentum s' - h c, or c + s', with s' = momentum s - h c put in.
    kept = 1 - np.where(nesterov, (1 + momentum) * decay, decay)
    carried = np.broadcast_to(np.where(nesterov, momentum**2, momentum), decay.shape)

    def advance(_epoch: int, state: Columns, fixed: Columns) -> Columns:
        c, s = state
        kept, carried, decay, momentum = fixed
        return kept * c + carried * s, momentum * s - decay * c

    return _first_below(advance, (c, velocity), (kept, carried, decay, momentum), training)


def _velocity(
    c: FloatArray, moved: FloatArray, decay: FloatArray, momentum: FloatArray, nesterov: BoolArray
) -> FloatArray:
    """Return s at the state; Nesterov's last change was momentum s - h (c before it)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        behind = (moved + decay * (c - moved)) / momentum
    resting = (momentum == 0) | ~moved.any(axis=0)
    return np.where(resting, 0.0, np.where(nesterov, behind, moved))


def _by_examples(
    kernel: FloatArray,
    residual: FloatArray,
    velocity: FloatArray,
    training: Training,
    orders: IntArray,
) -> FloatArray:
    """Median over orders of the epochs of online runs, all with momentum or all without."""
    pulls = np.ascontiguousarray(np.moveaxis(2 * training.lr[:, None, None] * kernel, 0, -1))
    state: Columns = (np.ascontiguousarray(residual.T),)
    fixed: Columns = (pulls,)
    pass_with = _plain_pass
    if training.momentum.any():
        pass_with = _momentum_pass
        state += (np.ascontiguousarray(velocity.T) / N_EXAMPLES,)
        nesterov = training.nesterov
        fixed += (training.momentum, np.where(nesterov, training.momentum, 1.0), 1.0 * nesterov)
    epochs = [_first_below(pass_with(order), state, fixed, training) for order in orders]
    median: FloatArray = np.median(epochs, axis=0)
    return median


def _plain_pass(orders: IntArray) -> Advance:
    """Return the pass over the four examples without momentum; ``orders``, shape ``(E, 4)``."""

    def advance(epoch: int, state: Columns, fixed: Columns) -> Columns:
        (r,), (pulls,) = state, fixed
        for i in orders[epoch % len(orders)]:
            r = r - pulls[:, i] * r[i]
        return (r,)

    return advance


def _momentum_pass(orders: IntArray) -> Advance:
    """Return the same with momentum: r + s' for heavy ball, r + momentum s' - pull else."""

    def advance(epoch: int, state: Columns, fixed: Columns) -> Columns:
        (r, s), (pulls, momentum, carried, kept) = state, fixed
        for i in orders[epoch % len(orders)]:
            pull = pulls[:, i] * r[i]
            s = momentum * s - pull
            r = r + carried * s - kept * pull
        return r, s

    return advance


def _first_below(
    advance: Advance, state: Columns, fixed: Columns, training: Training
) -> FloatArray:
    """Iterate epochs, rows last, until each row is below its target, diverged or at its limit."""
    target, limit = training.target, training.limit
    result = np.full(target.size, EPOCH_LIMIT)
    rows = np.arange(target.size)
    epoch = 0
    while rows.size:
        epoch += 1
        state = advance(epoch, state, fixed)
        square = state[0] * state[0]
        loss: FloatArray = (square[0] + square[1] + square[2] + square[3]) / N_EXAMPLES
        within: BoolArray = epoch <= limit[rows]
        below: BoolArray = loss < target[rows]
        result[rows[below & within]] = epoch
        going = within & ~below & (loss < _DIVERGED_LOSS)
        if not going.all():
            rows = rows[going]
            state = tuple(values[..., going] for values in state)
            fixed = tuple(values[..., going] for values in fixed)
    return result
