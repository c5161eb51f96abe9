"""Compiled training loops of the neuron family; rows go straight into the caller's buffers.

Each function is one loop over scalars: that is what keeps a run of three parameters in registers.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from epochs_left.compiled import compiled
from epochs_left.dynamics.criterion import RUNNING, outcome_code
from epochs_left.dynamics.xor import N_EXAMPLES, XOR_INPUTS, XOR_TARGETS
from epochs_left.schema import EPOCH_MEASURES
from epochs_left.simulation.orders import PERMUTATIONS, order_index

N_MEASURES = len(EPOCH_MEASURES)

#: Codes of the activations that the compiled loop knows; the order is part of its contract.
ACTIVATIONS = ("abs", "relu", "leaky_relu", "tanh")
_ABS, _RELU, _LEAKY_RELU, _TANH = range(4)
_LEAK = 0.01  # slope of leaky ReLU below zero; PyTorch's default

_outcome_code = compiled(outcome_code, inline=True)


@compiled
def train_runs(first, last, row, block_rows, n_hidden, runs, limits, out, outcomes):  # type: ignore[no-untyped-def]
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


@partial(compiled, inline=True)
def _order(run, epoch, order_keys, forks):  # type: ignore[no-untyped-def]
    """Return the row of ``PERMUTATIONS`` for the pass that ends at ``epoch``.

    ``order_keys`` has shape ``(n, 2, 2)``: the run's key up to its fork, and the one after it.
    """
    part = 1 if epoch > forks[run] else 0
    return order_index(epoch, order_keys[run, part, 0], order_keys[run, part, 1])


@compiled
def _train_unit(run, row, runs, limits, out, outcomes):  # type: ignore[no-untyped-def]
    """Train the unit |w.x + b|; everything that an epoch touches stays in registers."""
    _, params, lrs, momenta, nesterovs, onlines, order_keys, forks = runs
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
            order = _order(run, epoch, order_keys, forks)
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
    activations, params, lrs, momenta, nesterovs, onlines, order_keys, forks = runs
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
            order = _order(run, epoch, order_keys, forks)
            for i in range(N_EXAMPLES):
                grad[:] = 0.0
                _backpropagate(theta, grad, units, PERMUTATIONS[order, i], 1.0, activation)
                _step(theta, velocity, grad, lr, momentum, nesterov)
