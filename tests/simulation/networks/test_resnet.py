"""Both kinds of ResNets in lockstep against a plain model; a lane against its neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import nn
from torch.nn import functional

from epochs_left.simulation.networks import Examples, LaneNetwork
from epochs_left.simulation.networks.resnet import CompiledResNetLanes, TorchResNetLanes
from epochs_left.workloads import WORKLOADS
from epochs_left.workloads.resnet import shape_of

WORKLOAD = WORKLOADS["resnet"]
ARCHITECTURES = [
    "resnet8-w4-bn", "resnet8-w4-gn", "resnet8-w8-bn", "resnet8-w16-gn", "resnet8-w4-bn-rgb",
]  # fmt: skip
KINDS = [CompiledResNetLanes, TorchResNetLanes]
LANES, BATCH, N_TRAIN, N_VALID = 8, 32, 96, 20


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the engine does: a sum that is split between threads may round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = normalisation(norm, n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = normalisation(norm, n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def normalisation(norm: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if norm == "bn" else nn.GroupNorm(2, width)


class Plain(nn.Module):
    """One model, its parameters in the order in which they are recorded, but for the classifier."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        shape = shape_of(architecture)
        w, norm = shape.width, shape.norm
        self.stem = nn.Conv2d(shape.channels, w, 3, 1, 1, bias=False)
        self.norm = normalisation(norm, w)
        blocks = [(w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2)]
        self.blocks = nn.Sequential(*(Block(*block, norm) for block in blocks))
        self.linear = nn.Linear(4 * w, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(functional.relu(self.norm(self.stem(x))))
        return self.linear(x.mean((2, 3)))

    def load(self, vector: torch.Tensor) -> None:
        """Take the parameters of a recorded vector; the classifier is stored inputs first."""
        start = 0
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                part = vector[start : start + parameter.numel()]
                start += parameter.numel()
                if name == "linear.weight":
                    parameter.copy_(part.view(parameter.shape[1], -1).T)
                else:
                    parameter.copy_(part.view(parameter.shape))
        assert start == vector.numel()

    def gradient(self) -> torch.Tensor:
        """Return the gradient as one vector in the recorded order."""
        parts = [
            (p.grad.T if name == "linear.weight" else p.grad).reshape(-1)
            for name, p in self.named_parameters()
            if p.grad is not None
        ]
        return torch.cat(parts)


def examples_of(architecture: str, seed: int = 0) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    channels = shape_of(architecture).channels
    n = N_TRAIN + N_VALID
    images = torch.randn(n, channels, 8, 8, generator=generator)
    labels = torch.randint(0, 10, (n,), generator=generator)
    return Examples(
        loss="cross_entropy",
        inputs=images[:N_TRAIN],
        targets=labels[:N_TRAIN],
        valid_inputs=images[N_TRAIN:],
        valid_targets=labels[N_TRAIN:],
        n_outputs=10,
    )


class Lockstep:
    """A network with random parameters in all its lanes."""

    def __init__(self, architecture: str, kind: type, lanes: int = LANES) -> None:
        self.examples = examples_of(architecture)
        tensors = WORKLOAD.tensors(architecture)
        self.network: LaneNetwork = kind(tensors, shape_of(architecture), self.examples)
        generator = torch.Generator().manual_seed(1)
        n_params = sum(tensor.size for tensor in tensors)
        self.params = torch.randn(lanes, n_params, generator=generator) * 0.2
        self.state = self.network.initial_state().repeat(lanes, 1)
        self.index = torch.randint(0, N_TRAIN, (lanes, BATCH), generator=generator)

    def results(self, lanes: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Loss, gradient, state and outputs of these lanes in this order."""
        picked = list(lanes)
        params, state = self.params[picked].clone(), self.state[picked].clone()
        grad = torch.zeros_like(params)
        loss, grad = self.network.loss_and_grad(params, state, self.index[picked], grad)
        outputs = self.network.outputs(params, state, self.examples.valid_inputs)
        return loss, grad, state, outputs


@pytest.fixture(scope="module", params=list(itertools.product(ARCHITECTURES, KINDS)))
def lockstep(request: pytest.FixtureRequest) -> Lockstep:
    return Lockstep(*request.param)


@pytest.mark.parametrize(
    ("architecture", "n_params"), [("resnet8-w4-bn", 5094), ("resnet8-w8-gn", 19714)]
)
def test_the_parameter_count_is_that_of_the_plain_model(architecture: str, n_params: int) -> None:
    assert sum(tensor.size for tensor in WORKLOAD.tensors(architecture)) == n_params
    assert sum(p.numel() for p in Plain(architecture).parameters()) == n_params


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_gradient_and_running_statistics_are_those_of_a_plain_model(
    architecture: str, kind: type
) -> None:
    lockstep = Lockstep(architecture, kind)
    loss, grad, state, outputs = lockstep.results(range(LANES))
    for lane in range(LANES):
        model = Plain(architecture)
        model.load(lockstep.params[lane])
        images = lockstep.examples.inputs[lockstep.index[lane]]
        targets = lockstep.examples.targets[lockstep.index[lane]]
        expected = functional.cross_entropy(model(images), targets)
        expected.backward()
        torch.testing.assert_close(loss[lane], expected.detach(), rtol=1e-5, atol=1e-5)
        wanted = model.gradient()
        assert (grad[lane] - wanted).norm() <= 1e-4 * wanted.norm()
        # without momentum's n / (n - 1), the running variance would differ by 3 %
        statistics = [b for name, b in model.named_buffers() if "running" in name]
        if statistics:
            torch.testing.assert_close(state[lane], torch.cat(statistics), rtol=1e-4, atol=1e-5)
        model.eval()
        with torch.no_grad():
            wanted = model(lockstep.examples.valid_inputs)
        torch.testing.assert_close(outputs[lane], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "lanes",
    [[7, 3, 1, 0, 2, 6, 5, 4], [3, 1, 6, 2], [0, 0, 5, 5], [4, 5, 6, 7]],
    ids=["permuted", "four", "twice", "the last four"],
)
def test_a_lane_has_the_same_bytes_whatever_its_neighbours(
    lockstep: Lockstep, lanes: list[int]
) -> None:
    """In numbers of lanes that are multiples of `lane_step`."""
    assert len(lanes) % lockstep.network.lane_step == 0
    for whole, part in zip(lockstep.results(range(LANES)), lockstep.results(lanes), strict=True):
        assert torch.equal(whole[lanes], part)


def test_a_lane_of_nan_spoils_no_other(lockstep: Lockstep) -> None:
    clean = lockstep.results(range(LANES))
    kept = lockstep.params[2].clone()
    lockstep.params[2] = float("nan")
    try:
        spoilt = lockstep.results(range(LANES))
    finally:
        lockstep.params[2] = kept
    others = [lane for lane in range(LANES) if lane != 2]
    for before, after in zip(clean, spoilt, strict=True):
        assert torch.equal(before[others], after[others])


def test_evaluation_leaves_the_running_statistics(lockstep: Lockstep) -> None:
    state = lockstep.state.clone()
    lockstep.network.outputs(lockstep.params, state, lockstep.examples.valid_inputs)
    assert torch.equal(state, lockstep.state)


@pytest.mark.parametrize(
    "name", ["resnet8-w4", "resnet8-4-bn", "resnet8-w4-ln", "mlp", "resnet8-w4-bn-bw"]
)
def test_unknown_architectures_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected e\.g\. resnet8-w4-bn"):
        shape_of(name)
