"""The closed form of |w.x + b| against slow gradient descent and against theory.

`tests/simulation/test_exact.py` holds the engine against the closed form.
"""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.dynamics.closed_form import (
    NORMAL_CONVERGED_SHARE,
    contraction_rate,
    epochs_to_loss,
    predict_outcomes,
    reaches_solution,
    stationary_point,
    unit_loss_and_gradient,
)
from epochs_left.dynamics.criterion import (
    CAPPED,
    CONVERGED,
    RUNNING,
    STUCK,
    Criterion,
    outcome_code,
)
from epochs_left.dynamics.xor import N_EXAMPLES, N_INPUTS, XOR_INPUTS, XOR_TARGETS

SEEDS = range(5)
CRITERION = Criterion(epsilon=1e-6, delta=1e-8, divergence_loss=1e6, max_epochs=1000)


def descend(theta: np.ndarray, lr: float) -> tuple[int, int, np.ndarray]:
    """Full-batch gradient descent, epoch by epoch: code, epoch and parameters at the end."""
    for epoch in range(CRITERION.max_epochs + 1):
        loss, gradient = unit_loss_and_gradient(theta)
        code = outcome_code(
            float(loss),
            float(np.linalg.norm(gradient)),
            epoch,
            CRITERION.epsilon,
            CRITERION.delta,
            CRITERION.divergence_loss,
            CRITERION.max_epochs,
        )
        if code != RUNNING:
            return code, epoch, theta
        theta = theta - lr * gradient
    raise AssertionError("the cap ends every run")


def test_inputs_are_centred_xor() -> None:
    assert XOR_INPUTS.shape == (N_EXAMPLES, N_INPUTS)
    np.testing.assert_array_equal(XOR_TARGETS, XOR_INPUTS[:, 0] != XOR_INPUTS[:, 1])
    design = np.column_stack([XOR_INPUTS, np.ones(N_EXAMPLES)])
    np.testing.assert_array_equal(design.T @ design, 4 * np.eye(3))


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_equals_central_differences(seed: int) -> None:
    theta = np.random.default_rng(seed).normal(size=(20, 3))
    step = 1e-6
    numeric = np.stack(
        [
            unit_loss_and_gradient(theta + step * unit)[0]
            - unit_loss_and_gradient(theta - step * unit)[0]
            for unit in np.eye(3)
        ],
        axis=-1,
    ) / (2 * step)
    np.testing.assert_allclose(unit_loss_and_gradient(theta)[1], numeric, atol=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_outcome_epoch_and_end_equal_those_of_plain_descent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    theta, lr = rng.normal(size=3), rng.uniform(0.005, 0.5)
    codes, epochs = predict_outcomes(theta[None], np.array([lr]), CRITERION)
    code, epoch, end = descend(theta, lr)
    assert (codes[0], epochs[0]) == (code, epoch)
    if code != CAPPED:
        np.testing.assert_allclose(end, stationary_point(theta[None])[0], atol=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_parameters_move_along_the_segment_at_the_stated_rate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    theta, lr = rng.normal(size=(1, 3)), rng.uniform(0.005, 0.5)
    goal, now = stationary_point(theta), theta
    for epoch in range(20):
        expected = goal + (1 - 2 * lr) ** epoch * (theta - goal)
        np.testing.assert_allclose(now, expected, rtol=1e-12, atol=1e-12)
        now = now - lr * unit_loss_and_gradient(now)[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_stationary_points_are_stationary_and_have_the_stated_loss(seed: int) -> None:
    theta = np.random.default_rng(seed).normal(size=(200, 3))
    loss, gradient = unit_loss_and_gradient(stationary_point(theta))
    np.testing.assert_array_equal(gradient, 0)
    np.testing.assert_array_equal(loss, np.where(reaches_solution(theta), 0.0, 0.25))


@pytest.mark.parametrize("seed", SEEDS)
def test_looser_tolerance_and_larger_rate_never_take_longer(seed: int) -> None:
    theta = np.random.default_rng(seed).normal(size=(50, 3))
    loose = Criterion(epsilon=1e-3, delta=1e-4, divergence_loss=1e6, max_epochs=1000)
    slow, fast = np.full(50, 0.05), np.full(50, 0.2)
    _, epochs = predict_outcomes(theta, slow, CRITERION)
    assert np.all(predict_outcomes(theta, slow, loose)[1] <= epochs)
    assert np.all(predict_outcomes(theta, fast, CRITERION)[1] <= epochs)


def test_starting_at_the_goal_takes_no_epoch() -> None:
    goals = np.array([[-0.5, 0.5, 0.0], [0.0, 0.0, 0.5]])
    codes, epochs = predict_outcomes(goals, np.array([0.1, 0.1]), CRITERION)
    assert codes.tolist() == [CONVERGED, STUCK]
    assert epochs.tolist() == [0, 0]


def test_normal_share_is_the_one_that_draws_have() -> None:
    theta = np.random.default_rng(0).normal(size=(400_000, 3))
    assert pytest.approx(0.6082, abs=5e-5) == NORMAL_CONVERGED_SHARE
    error = 3 * np.sqrt(NORMAL_CONVERGED_SHARE * (1 - NORMAL_CONVERGED_SHARE) / len(theta))
    assert reaches_solution(theta).mean() == pytest.approx(NORMAL_CONVERGED_SHARE, abs=error)


@pytest.mark.parametrize("lr", [0.0, 0.5, 1.0, -0.1, np.nan])
def test_rates_without_a_closed_form_are_refused(lr: float) -> None:
    with pytest.raises(ValueError, match="0 < lr < 1/2"):
        predict_outcomes(np.ones((1, 3)), np.array([lr]), CRITERION)


@pytest.mark.parametrize("lr", [0.01, 0.2, 0.5, 0.7, 1.0, 1.3])
def test_rate_without_momentum_is_that_of_the_closed_form(lr: float) -> None:
    for nesterov in (0.0, 1.0):
        rate = contraction_rate(np.array(lr), np.array(0.0), np.array(nesterov))
        assert rate == pytest.approx(abs(1 - 2 * lr))


@pytest.mark.parametrize("nesterov", [0.0, 1.0])
@pytest.mark.parametrize("momentum", [0.3, 0.9])
@pytest.mark.parametrize("lr", [0.01, 0.2, 0.6])
def test_rate_with_momentum_is_that_of_descent_on_the_quadratic(
    lr: float, momentum: float, nesterov: float
) -> None:
    """PyTorch's steps on theta^2, whose Hessian is 2, from where the faster mode is gone."""
    theta, velocity = 1.0, 0.0
    lengths = []
    for _ in range(150):
        gradient = 2 * theta
        velocity = momentum * velocity + gradient
        theta -= lr * (gradient + momentum * velocity if nesterov else velocity)
        # Complex modes oscillate; the length of the state shrinks by their radius all the same.
        lengths.append(np.log(np.hypot(theta, lr * velocity)))
    slope = np.polyfit(np.arange(100), lengths[50:], 1)[0]
    rate = contraction_rate(np.array(lr), np.array(momentum), np.array(nesterov))
    assert np.exp(slope) == pytest.approx(float(rate), rel=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_epochs_to_loss_invert_the_decay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    epochs, rate = rng.uniform(0, 100, 50), rng.uniform(0.5, 0.99, 50)
    loss = 1e-6 * rate ** (-2 * epochs)
    np.testing.assert_allclose(epochs_to_loss(loss, np.array(1e-6), rate), epochs, atol=1e-6)


def test_epochs_to_loss_at_the_edges() -> None:
    target, loss = np.array(1e-6), np.array([1.0, 1.0, 1.0, 1e-7])
    rate = np.array([1.0, 1.5, 0.0, 1.0])
    np.testing.assert_array_equal(epochs_to_loss(loss, target, rate), [np.inf, np.inf, 0.0, 0.0])
