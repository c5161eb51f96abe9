"""Losses, gradients, metrics and divergences of lanes against PyTorch's, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from epochs_left.simulation.losses import (
    LOSSES,
    NO_CLASS,
    example_losses,
    mean_kl,
    mean_loss_and_grad,
    mean_metric,
)

SEEDS = range(4)
K, N, N_CLASSES = 5, 7, 10


def draw(loss: str, seed: int, k: int = K, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs ``(k, n, C)`` and targets ``(k, n)``; each lane has a scale of its own."""
    rng = np.random.default_rng(seed)
    width = N_CLASSES if loss == "cross_entropy" else 1
    outputs = rng.normal(size=(k, n, width)) * 10 ** rng.uniform(-2, 1.5, (k, 1, 1))
    targets = {
        "cross_entropy": rng.integers(0, N_CLASSES, (k, n)),
        "binary": rng.integers(0, 2, (k, n)).astype(np.float32),
        "squared": rng.normal(size=(k, n)).astype(np.float32),
    }[loss]
    return torch.from_numpy(outputs.astype(np.float32)), torch.from_numpy(targets)


def by_torch(loss: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Loss of each target of one lane."""
    if loss == "cross_entropy":
        return functional.cross_entropy(outputs, targets, reduction="none")
    output, targets = outputs[:, 0], targets.to(outputs.dtype)
    if loss == "binary":
        return functional.binary_cross_entropy_with_logits(output, targets, reduction="none")
    return functional.mse_loss(output, targets, reduction="none")


def divergence_by_torch(loss: str, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Mean KL(before || after) of one lane."""
    if loss == "squared":
        return kl_divergence(Normal(before[:, 0], 1.0), Normal(after[:, 0], 1.0)).mean()
    if loss == "binary":  # two classes, one of them with the score 0
        before, after = (functional.pad(each, (0, 1)) for each in (before, after))
    log_p, log_q = before.log_softmax(1), after.log_softmax(1)
    return functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_losses_equal_pytorch(loss: str, seed: int) -> None:
    outputs, targets = draw(loss, seed)
    found = example_losses(loss, outputs, targets)
    for lane in range(K):
        expected = by_torch(loss, outputs[lane].double(), targets[lane])
        torch.testing.assert_close(found[lane].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_mean_loss_and_gradient_equal_autograd(loss: str, seed: int) -> None:
    outputs, targets = draw(loss, seed)
    means, gradient = mean_loss_and_grad(loss, outputs, targets)
    for lane in range(K):
        leaf = outputs[lane].double().requires_grad_()
        expected = by_torch(loss, leaf, targets[lane]).mean()
        expected.backward()
        torch.testing.assert_close(means[lane].double(), expected.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradient[lane].double(), leaf.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_may_be_shared_by_the_lanes(loss: str) -> None:
    outputs, targets = draw(loss, 0)
    shared = targets[:1]
    each = example_losses(loss, outputs, shared)
    assert torch.equal(each, example_losses(loss, outputs, shared.expand(K, -1)))
    metric = mean_metric(loss, outputs, shared)
    for lane in range(K):
        assert metric[lane] == mean_metric(loss, outputs[lane : lane + 1], shared)[0]


@pytest.mark.parametrize("size", [0.0, 1e-30, 50.0, 1e4, 1e15])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
def test_extreme_scores_give_finite_losses_and_bounded_gradients(loss: str, size: float) -> None:
    outputs, targets = draw(loss, 0)
    outputs = size * outputs.sign()
    means, gradient = mean_loss_and_grad(loss, outputs, targets)
    assert means.isfinite().all()
    assert means.min() >= 0
    assert gradient.abs().max() <= 1 / N + 1e-7
    assert example_losses(loss, outputs, targets).isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [1, 3, 8, 33])
@pytest.mark.parametrize("k", [1, 2, 3, 16])
def test_a_lane_has_the_same_bytes_among_any_neighbours(loss: str, n: int, k: int) -> None:
    outputs, targets = draw(loss, 1, k=24, n=n)
    before = outputs.roll(1, dims=0)
    whole = [example_losses(loss, outputs, targets), *mean_loss_and_grad(loss, outputs, targets)]
    whole += [mean_kl(loss, before, outputs), mean_metric(loss, outputs, targets[:1])]
    for first in range(0, 24 - k + 1, k):
        lanes = slice(first, first + k)
        part = [example_losses(loss, outputs[lanes], targets[lanes])]
        part += mean_loss_and_grad(loss, outputs[lanes], targets[lanes])
        part += [mean_kl(loss, before[lanes], outputs[lanes])]
        part += [mean_metric(loss, outputs[lanes], targets[:1])]
        for all_lanes, some in zip(whole, part, strict=True):
            assert all_lanes[lanes].numpy().tobytes() == some.numpy().tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_lane_that_is_not_finite_changes_no_other(loss: str, bad: float) -> None:
    outputs, targets = draw(loss, 2)
    broken = outputs.clone()
    broken[2] = bad
    others = [0, 1, 3, 4]
    for found, expected in zip(
        mean_loss_and_grad(loss, broken, targets),
        mean_loss_and_grad(loss, outputs, targets),
        strict=True,
    ):
        assert torch.equal(found[others], expected[others])
    kl = mean_kl(loss, outputs.roll(1, dims=1), broken)[others]
    assert torch.equal(kl, mean_kl(loss, outputs.roll(1, dims=1), outputs)[others])


@pytest.mark.parametrize("extra", [1, 6, 22])
@pytest.mark.parametrize("seed", SEEDS)
def test_classes_that_do_not_exist_change_nothing(seed: int, extra: int) -> None:
    outputs, targets = draw("cross_entropy", seed)
    padded = functional.pad(outputs, (0, extra), value=NO_CLASS)
    means, gradient = mean_loss_and_grad("cross_entropy", outputs, targets)
    padded_means, padded_gradient = mean_loss_and_grad("cross_entropy", padded, targets)
    torch.testing.assert_close(padded_means, means, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(padded_gradient[:, :, :N_CLASSES], gradient, rtol=1e-6, atol=1e-9)
    assert (padded_gradient[:, :, N_CLASSES:] == 0).all()
    each = example_losses("cross_entropy", outputs, targets)
    torch.testing.assert_close(example_losses("cross_entropy", padded, targets), each)
    metric = mean_metric("cross_entropy", outputs, targets)
    assert torch.equal(mean_metric("cross_entropy", padded, targets), metric)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy_is_the_share_of_the_likelier_label(loss: str, seed: int) -> None:
    outputs, targets = draw(loss, seed)
    found = mean_metric(loss, outputs, targets)
    for lane in range(K):
        scores = outputs[lane].numpy()
        labels = scores.argmax(1) if loss == "cross_entropy" else (scores[:, 0] > 0)
        assert found[lane].item() == pytest.approx((labels == targets[lane].numpy()).mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_metric_of_a_regression_is_the_share_of_variance_explained(seed: int) -> None:
    outputs, targets = draw("squared", seed, n=40)
    found = mean_metric("squared", outputs, targets[:1])
    for lane in range(K):
        expected = r2_score(targets[0].numpy(), outputs[lane, :, 0].numpy())
        assert found[lane].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_divergence_equals_pytorch_in_float64(loss: str, step: float, seed: int) -> None:
    """Down to steps at which float32 would leave nothing but rounding."""
    before, _ = draw(loss, seed)
    after = before + step * draw(loss, seed + 100)[0]
    found = mean_kl(loss, before, after)
    for lane in range(K):
        expected = divergence_by_torch(loss, before[lane].double(), after[lane].double())
        torch.testing.assert_close(found[lane].double(), expected, rtol=1e-5, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", [0.0, 1e-7, 1e-4, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_divergence_is_never_negative_and_zero_for_equal_outputs(
    loss: str, step: float, seed: int
) -> None:
    before, _ = draw(loss, seed)
    after = before + step * draw(loss, seed + 100)[0]
    found = mean_kl(loss, before, after)
    assert found.min() >= 0
    if step == 0:
        assert found.max() == 0
