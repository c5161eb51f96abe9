"""Closed form of full-batch gradient descent for the unit |w.x + b| on centred XOR.

With inputs (+-1, +-1), targets 1 where the signs differ and 0 elsewhere, and the mean squared error
without 1/2, X^T X = 4 I. In the coordinates d = w2 - w1, s = w1 + w2, b the loss is

    1/4 [(|b + s|)^2 + (|b - s|)^2 + (|b + d| - 1)^2 + (|b - d| - 1)^2],

and the first two terms are smooth. Where the sign pattern of (b + d, b - d) does not change, the
Hessian is 2 I, and theta_k = theta* + (1 - 2 lr)^k (theta_0 - theta*). For lr < 1/2 every step
moves along the segment to theta*, which stays inside its (convex) sign region, so the pattern never
changes: the form is exact for every epoch.
"""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.dynamics.criterion import RUNNING, Criterion, outcome_code
from epochs_left.dynamics.xor import N_EXAMPLES, XOR_INPUTS, XOR_TARGETS

#: Converged share for N(0, 1) initialisation at lr < 1/2: P(|w2 - w1| > |b|) with
#: w2 - w1 ~ N(0, 2) and b ~ N(0, 1), hence (2 / pi) atan(sqrt 2).
NORMAL_CONVERGED_SHARE = 2 / np.pi * np.arctan(np.sqrt(2))


def reaches_solution(params: FloatArray) -> BoolArray:
    """Return whether descent from ``params`` reaches zero loss: ``|w2 - w1| > |b|``.

    On the boundary itself, a null set, abs'(0) = 0 decides, and the closed form says nothing.

    Parameters
    ----------
    params
        ``(w1, w2, b)``, shape ``(..., 3)``.
    """
    result: BoolArray = np.abs(params[..., 1] - params[..., 0]) > np.abs(params[..., 2])
    return result


def stationary_point(params: FloatArray) -> FloatArray:
    """Return the stationary point that full-batch descent with lr < 1/2 ends at.

    Either the zero-loss solution w = (-+1/2, +-1/2), b = 0 of the same side, or w = 0, |b| = 1/2.

    Parameters
    ----------
    params
        ``(w1, w2, b)``, shape ``(n, 3)``.
    """
    half = np.sign(params[:, 1] - params[:, 0]) / 2
    zero = np.zeros_like(half)
    solution = np.stack([-half, half, zero], axis=1)
    stuck = np.stack([zero, zero, np.sign(params[:, 2]) / 2], axis=1)
    return np.where(reaches_solution(params)[:, None], solution, stuck)


def unit_loss_and_gradient(params: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the full-batch loss of the unit and its gradient.

    Parameters
    ----------
    params
        ``(w1, w2, b)``, shape ``(..., 3)``.

    Returns
    -------
    Loss, shape ``(...)``, and gradient, shape ``(..., 3)``; abs'(0) = 0.
    """
    design = np.concatenate([XOR_INPUTS, np.ones((N_EXAMPLES, 1))], axis=1)
    z = params @ design.T
    residual = np.abs(z) - XOR_TARGETS
    loss: FloatArray = np.square(residual).mean(axis=-1)
    gradient: FloatArray = 2 / N_EXAMPLES * (residual * np.sign(z)) @ design
    return loss, gradient


def predict_outcomes(
    params: FloatArray, lr: FloatArray, criterion: Criterion
) -> tuple[IntArray, IntArray]:
    """Predict outcome code and epoch of each run, for ``0 < lr < 1/2``.

    Parameters
    ----------
    params
        Initial ``(w1, w2, b)``, shape ``(n, 3)``, float64.
    lr
        Learning rates, shape ``(n,)``.
    criterion
        Thresholds; checked in the order of `criterion.outcome_code`.

    Raises
    ------
    ValueError
        If a learning rate lies outside (0, 1/2).
    """
    if not np.all((lr > 0) & (lr < 0.5)):
        raise ValueError("the closed form holds for 0 < lr < 1/2")
    distance = np.linalg.norm(params - stationary_point(params), axis=1)
    floor = np.where(reaches_solution(params), 0.0, 0.25)
    codes = np.empty(lr.size, dtype=np.int64)
    epochs = np.empty(lr.size, dtype=np.int64)
    for i in range(lr.size):
        codes[i], epochs[i] = _outcome(distance[i], 1 - 2 * lr[i], floor[i], criterion)
    return codes, epochs


def _outcome(distance: float, rate: float, floor: float, criterion: Criterion) -> tuple[int, int]:
    """Jump to just before the first threshold that can be met, then check epoch by epoch.

    Near theta* the loss is floor + distance^2 and the gradient norm 2 distance.
    """
    goal = criterion.epsilon**0.5 if floor == 0 else criterion.delta / 2
    steps = np.log(goal / distance) / np.log(rate) if distance > goal else 0.0
    epoch = int(min(max(np.floor(steps) - 2, 0), criterion.max_epochs))
    while True:
        left = distance * rate**epoch
        code = outcome_code(
            floor + left**2,
            2 * left,
            epoch,
            criterion.epsilon,
            criterion.delta,
            criterion.divergence_loss,
            criterion.max_epochs,
        )
        if code != RUNNING:
            return code, epoch
        epoch += 1


def contraction_rate(lr: FloatArray, momentum: FloatArray, nesterov: FloatArray) -> FloatArray:
    """Asymptotic factor by which one full-batch step shrinks the distance to the solution.

    Spectral radius of the iteration on a quadratic with the unit's Hessian 2 I (Polyak 1964 for
    heavy ball; Lessard, Recht and Packard 2016 for Nesterov); ``|1 - 2 lr|`` without momentum.

    Parameters
    ----------
    lr, momentum
        Arrays that broadcast.
    nesterov
        1 for Nesterov's momentum, 0 for heavy ball.
    """
    shrink = 1 - 2 * lr
    trace = np.where(nesterov > 0, (1 + momentum) * shrink, momentum + shrink)
    determinant = np.where(nesterov > 0, momentum * shrink, momentum)
    root = np.sqrt((trace**2 - 4 * determinant).astype(np.complex128))
    radius: FloatArray = np.maximum(np.abs(trace + root), np.abs(trace - root)) / 2
    return radius


def epochs_to_loss(loss: FloatArray, target: FloatArray, rate: FloatArray) -> FloatArray:
    """Epochs until a loss that shrinks by ``rate**2`` an epoch is below ``target``.

    Parameters
    ----------
    loss, target, rate
        Arrays that broadcast; ``0 <= rate``. Rates of 1 or more give infinity.

    Returns
    -------
    ``max(0, log(target / loss) / (2 log rate))``, the theory of convergence at a linear rate.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        epochs = np.log(target / loss) / (2 * np.log(rate))
    epochs = np.where(rate >= 1, np.inf, epochs)
    result: FloatArray = np.where(loss < target, 0.0, np.maximum(epochs, 0.0))
    return result
