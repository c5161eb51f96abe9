"""The linearised forecast against the closed form, simulated runs and a slow loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import expm

from epochs_left.dynamics import linearised
from epochs_left.dynamics.closed_form import predict_outcomes, unit_loss_and_gradient
from epochs_left.dynamics.criterion import CONVERGED, Criterion
from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.dynamics.linearised import (
    Linearisation,
    Training,
    draw_orders,
    epochs_to_target,
    linearise,
    linearise_midway,
    residuals_and_jacobian,
)
from epochs_left.dynamics.xor import XOR_INPUTS, XOR_TARGETS
from epochs_left.simulation import neuron_kernels

SEEDS = range(3)
EPSILON, CAP = 1e-6, 1000
HIDDEN = [f"{name}-{h}" for name in ("abs", "relu", "leaky_relu", "tanh") for h in (2, 3, 4)]
ARCHITECTURES = ["abs-unit", *HIDDEN]
OPTIMIZERS = ["sgd", "momentum", "nesterov"]
ORDERS = draw_orders(np.random.default_rng(0), 3, 50)


def width(architecture: str) -> int:
    return 3 if architecture == "abs-unit" else 4 * int(architecture[-1]) + 1


def draw_params(architecture: str, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width(architecture)))


def training(n: int, **given: object) -> Training:
    """N equal runs."""
    settings: dict[str, object] = {"lr": 0.1, "momentum": 0.0, "nesterov": False, "online": False}
    settings |= {"target": EPSILON, "limit": float(CAP), **given}
    return Training(**{name: np.broadcast_to(value, n).copy() for name, value in settings.items()})


def mixed_training(n: int, seed: int) -> Training:
    """N runs of every kind."""
    rng = np.random.default_rng(seed)
    momentum = np.where(rng.random(n) < 0.4, 0.0, rng.uniform(0.3, 0.95, n))
    return Training(
        lr=rng.uniform(0.005, 0.12, n) * (1 - momentum),
        momentum=momentum,
        nesterov=(rng.random(n) < 0.5) & (momentum > 0),
        online=rng.random(n) < 0.5,
        target=10 ** rng.uniform(-4, -1, n),
        limit=rng.integers(20, 100, n).astype(float),
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_equals_central_differences(architecture: str, seed: int) -> None:
    params, step = draw_params(architecture, 20, seed), 1e-6
    _, jacobian = residuals_and_jacobian(params, architecture)
    for i, unit in enumerate(np.eye(width(architecture))):
        above, _ = residuals_and_jacobian(params + step * unit, architecture)
        below, _ = residuals_and_jacobian(params - step * unit, architecture)
        np.testing.assert_allclose(jacobian[:, :, i], (above - below) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_and_gradient_of_the_unit_follow_from_residuals_and_jacobian(seed: int) -> None:
    params = draw_params("abs-unit", 50, seed)
    params[:3] = [[0, 0, 0], [0.5, 0.5, 1], [1, 1, 0]]  # abs'(0) = 0
    residual, jacobian = residuals_and_jacobian(params, "abs-unit")
    loss, gradient = unit_loss_and_gradient(params)
    np.testing.assert_allclose(np.square(residual).mean(axis=1), loss, rtol=1e-12)
    mine = 0.5 * (jacobian.swapaxes(1, 2) @ residual[:, :, None])[:, :, 0]
    np.testing.assert_allclose(mine, gradient, atol=1e-12)


def test_leaky_relu_leaks_as_in_the_engine() -> None:
    assert linearised._LEAK == neuron_kernels._LEAK


def test_unknown_activations_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown activation 'sine'"):
        residuals_and_jacobian(np.ones((1, 9)), "sine-2")


@pytest.mark.parametrize("seed", range(5))
def test_unit_without_momentum_equals_the_closed_form(seed: int) -> None:
    params = draw_params("abs-unit", 500, seed)
    lr = np.random.default_rng(seed).uniform(0.005, 0.499, 500)
    criterion = Criterion(epsilon=EPSILON, delta=1e-12, divergence_loss=1e6, max_epochs=CAP)
    codes, epochs = predict_outcomes(params, lr, criterion)
    around = linearise(params, np.zeros_like(params), "abs-unit")
    found = epochs_to_target(around, training(500, lr=lr), ORDERS)
    expected = np.where(codes == CONVERGED, epochs, EPOCH_LIMIT)
    np.testing.assert_array_equal(found, expected)
    assert {CONVERGED} < set(codes.tolist())


def descend(theta: np.ndarray, how: Training) -> tuple[np.ndarray, int]:
    """Train one unit in full batch as PyTorch does: states, and the epoch it converges (or -1)."""
    states, velocity = [theta], np.zeros_like(theta)
    for epoch in range(CAP):
        loss, gradient = unit_loss_and_gradient(states[-1])
        if loss < EPSILON:
            return np.array(states), epoch
        velocity = how.momentum[0] * velocity + gradient
        step = gradient + how.momentum[0] * velocity if how.nesterov[0] else velocity
        states.append(states[-1] - how.lr[0] * step)
    return np.array(states), -1


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_unit_with_momentum_is_exact_while_no_sign_that_matters_changes(
    nesterov: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    how = training(1, lr=rng.uniform(0.01, 0.3), momentum=rng.uniform(0.4, 0.9), nesterov=nesterov)
    states, end = descend(np.array([-0.9, 1.1, 0.1]) + 0.2 * rng.normal(size=3), how)
    assert end > 5
    # |z| around the target 0 is smooth in the loss: its sign does not matter.
    inputs = XOR_INPUTS[XOR_TARGETS == 1]
    signs = np.sign(states[:, :2] @ inputs.T + states[:, 2:])
    settled = int(np.flatnonzero((signs != signs[-1]).any(axis=1)).max(initial=-1)) + 1
    # From the first epoch after which no sign changes, and whose last step saw those signs too.
    epochs = np.arange(settled + (settled > 0), end)
    updates = np.diff(states, axis=0, prepend=states[:1])[epochs]
    around = linearise(states[epochs], updates, "abs-unit")
    how = training(epochs.size, **{name: value[0] for name, value in vars(how).items()})
    np.testing.assert_array_equal(epochs_to_target(around, how, ORDERS), end - epochs)
    assert epochs.size > 3


def slow_epochs(
    params: np.ndarray, update: np.ndarray, architecture: str, how: dict[str, float]
) -> float:
    """Descend one linearised run in parameter space, a step at a time; median over orders."""
    residuals, jacobians = residuals_and_jacobian(params[None], architecture)
    jacobian = jacobians[0]
    batches = [[[0, 1, 2, 3]]] if not how["online"] else ORDERS[:, :, :, None]
    found = []
    for order in batches:
        outputs, passes = residuals[0], order if how["online"] else [[[0, 1, 2, 3]]]
        velocity = -update / (len(passes[0]) * how["lr"])
        if how["nesterov"] and not how["online"] and update.any():
            before = 0.5 * jacobian.T @ (outputs - jacobian @ update)
            velocity = (velocity - before) / how["momentum"]
        found.append(EPOCH_LIMIT)
        for epoch in range(1, int(how["limit"]) + 1):
            for batch in passes[epoch % len(passes)]:
                gradient = 2 / len(batch) * jacobian[batch].T @ outputs[batch]
                velocity = how["momentum"] * velocity + gradient
                step = gradient + how["momentum"] * velocity if how["nesterov"] else velocity
                outputs = outputs - how["lr"] * jacobian @ step
            if np.mean(outputs**2) < how["target"]:
                found[-1] = float(epoch)
            if not how["target"] <= np.mean(outputs**2) < 1e30:
                break
    return float(np.median(found))


@pytest.mark.parametrize("architecture", ["abs-unit", "relu-3", "leaky_relu-2", "tanh-4"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_equals_a_slow_loop_in_parameter_space(architecture: str, seed: int) -> None:
    n = 40
    params, how = draw_params(architecture, n, seed), mixed_training(n, seed)
    updates = 0.02 * draw_params(architecture, n, seed + 100)
    updates[::4] = 0.0  # at rest
    found = epochs_to_target(linearise(params, updates, architecture), how, ORDERS)
    rows = [{name: value[i].item() for name, value in vars(how).items()} for i in range(n)]
    expected = [slow_epochs(params[i], updates[i], architecture, rows[i]) for i in range(n)]
    np.testing.assert_array_equal(found, expected)
    assert 0.1 < np.mean(found < EPOCH_LIMIT) < 1


@pytest.mark.parametrize("architecture", ["abs-unit", "tanh-3", "relu-4"])
def test_rows_do_not_depend_on_the_other_rows(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 2_000
    params, how = draw_params(architecture, n, 0), mixed_training(n, 0)
    updates = 0.02 * draw_params(architecture, n, 1)

    def both(rows: np.ndarray) -> list[np.ndarray]:
        mine = Training(**{name: value[rows] for name, value in vars(how).items()})
        here = linearise(params[rows], updates[rows], architecture)
        first = epochs_to_target(here, mine, ORDERS)
        midway = linearise_midway(params[rows], updates[rows], architecture, mine, first)
        parts = [*vars(here).values(), *vars(midway).values()]
        return [*parts, first, epochs_to_target(midway, mine, ORDERS)]

    with monkeypatch.context() as patch:
        patch.setattr(linearised, "_BLOCK_ROWS", 61)
        together = both(np.arange(n))
    rng = np.random.default_rng(2)
    for rows in [np.array([i]) for i in range(5)] + [rng.permutation(n)[:k] for k in (2, 7, 999)]:
        for whole, part in zip(together, both(rows), strict=True):
            np.testing.assert_array_equal(part, whole[rows])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("online", [False, True])
def test_looser_target_never_takes_longer_and_a_nearer_limit_only_cuts(
    optimizer: str, online: bool
) -> None:
    n, momentum = 100, 0.0 if optimizer == "sgd" else 0.7
    params = draw_params("tanh-3", n, 0)
    around = linearise(params, np.zeros_like(params), "tanh-3")
    how = training(n, lr=0.03, momentum=momentum, nesterov=optimizer == "nesterov", online=online)

    def epochs(target: float, limit: float = 200.0) -> np.ndarray:
        mine = replace(how, target=np.full(n, target), limit=np.full(n, limit))
        return epochs_to_target(around, mine, ORDERS[:1])

    loose, cut = epochs(0.1), epochs(0.1, limit=20)
    assert np.all(loose <= epochs(0.03))
    np.testing.assert_array_equal(cut, np.where(loose <= 20, loose, EPOCH_LIMIT))
    assert 0.02 < np.mean(cut < EPOCH_LIMIT) < np.mean(loose < EPOCH_LIMIT)


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_runs_that_diverge_or_cannot_move_are_never_there(online: bool, momentum: float) -> None:
    params = np.zeros((5, 9), dtype=np.float32)
    params[0] = np.nan
    params[1] = np.inf
    params[2] = np.finfo(np.float32).max
    params[3] = draw_params("relu-2", 1, 0)[0]  # with lr 5 beyond every stability limit
    params[4, 4:6] = -1.0  # dead units: the output bias alone moves
    still = np.zeros_like(params)
    how = training(5, lr=[0.1, 0.1, 0.1, 5.0, 0.1], momentum=momentum, online=online)
    first = epochs_to_target(linearise(params, still, "relu-2"), how, ORDERS)
    midway = linearise_midway(params, still, "relu-2", how, first)
    np.testing.assert_array_equal(first, EPOCH_LIMIT)
    np.testing.assert_array_equal(epochs_to_target(midway, how, ORDERS), EPOCH_LIMIT)


@pytest.mark.parametrize("architecture", ["tanh-2", "leaky_relu-3", "abs-unit"])
@pytest.mark.parametrize("online", [False, True])
def test_midway_is_half_the_way_of_linearised_gradient_flow(
    architecture: str, online: bool
) -> None:
    params, epochs = draw_params(architecture, 10, 0), np.arange(1.0, 11.0)
    updates = 0.01 * draw_params(architecture, 10, 1)
    how = training(10, lr=0.02, momentum=0.5, online=online)
    midway = linearise_midway(params, updates, architecture, how, epochs)
    residual, jacobian = residuals_and_jacobian(params, architecture)
    for i in range(10):
        # The integral of exp(-K s / 2) over s up to S stands in the corner of this exponential.
        kernel = jacobian[i] @ jacobian[i].T
        time = 0.02 / 0.5 * epochs[i] * (4 if online else 1)
        block = np.block([[-kernel / 2, np.eye(4)], [np.zeros((4, 8))]])
        way = -0.5 * jacobian[i].T @ expm(block * time)[:4, 4:] @ residual[i]
        way *= min(1, 0.5 * np.linalg.norm(params[i]) / np.linalg.norm(way))
        _, ahead = residuals_and_jacobian((params[i] + way / 2)[None], architecture)
        np.testing.assert_allclose(midway.kernel[i], ahead[0] @ ahead[0].T, atol=1e-9)
    here = linearise(params, updates, architecture)
    np.testing.assert_array_equal(midway.residual, here.residual)
    np.testing.assert_array_equal(midway.velocity, here.velocity)


def trained(params: np.ndarray, lr: float) -> tuple[np.ndarray, np.ndarray]:
    """Train tanh-2 networks in full batch: states, ``(1001, n, 9)``, and losses, ``(1001, n)``."""
    states, losses = [params], []
    for _ in range(CAP + 1):
        residual, jacobian = residuals_and_jacobian(states[-1], "tanh-2")
        losses.append(np.square(residual).mean(axis=1))
        gradient = 0.5 * (jacobian.swapaxes(1, 2) @ residual[:, :, None])[:, :, 0]
        states.append(states[-1] - lr * gradient)
    return np.array(states[:-1]), np.array(losses)


@pytest.mark.parametrize("seed", SEEDS)
def test_forecasts_of_hidden_units_close_in_and_the_midway_kernel_errs_less(seed: int) -> None:
    states, losses = trained(draw_params("tanh-2", 60, seed), lr=0.1)
    end = np.argmax(losses < EPSILON, axis=0)
    runs = np.flatnonzero(end > 50)
    assert runs.size > 10

    def errors(share: float) -> tuple[float, float]:
        """Median |log error| with the kernel of the state and with the midway one."""
        epoch = (share * end[runs]).astype(int)
        params, how = states[epoch, runs], training(runs.size, lr=0.1)
        first = epochs_to_target(linearise(params, 0 * params, "tanh-2"), how, ORDERS)
        midway = linearise_midway(params, 0 * params, "tanh-2", how, first)
        forecasts = np.array([first, epochs_to_target(midway, how, ORDERS)])
        here, midway = np.median(np.abs(np.log(forecasts / (end[runs] - epoch))), axis=1)
        return float(here), float(midway)

    here, midway = errors(0.25)
    assert midway < 0.7 * here
    assert errors(0.75)[0] < 0.3 * here


def test_orders_are_permutations_and_all_occur() -> None:
    orders = draw_orders(np.random.default_rng(0), 2, 500)
    assert orders.shape == (2, 500, 4)
    np.testing.assert_array_equal(np.sort(orders, axis=2), np.broadcast_to(range(4), orders.shape))
    assert len({tuple(order) for order in orders[0].tolist()}) == 24
    assert (orders[0] != orders[1]).any()


def test_no_rows_give_no_epochs() -> None:
    empty = Linearisation(
        residual=np.empty((0, XOR_TARGETS.size)),
        kernel=np.empty((0, 4, 4)),
        velocity=np.empty((0, 4)),
    )
    assert epochs_to_target(empty, training(0), ORDERS).shape == (0,)
