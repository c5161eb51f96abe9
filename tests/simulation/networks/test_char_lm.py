"""Transformers in lockstep against one plain PyTorch model; a lane against its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn import functional

from epochs_left.config import parse_settings
from epochs_left.simulation.engine import TrainingJob
from epochs_left.simulation.lockstep import LockstepEngine
from epochs_left.simulation.networks import NETWORKS, Examples, LaneNetwork
from epochs_left.simulation.orders import shuffled_orders
from epochs_left.workloads import TaskData
from epochs_left.workloads._sweep import order_keys
from epochs_left.workloads.char_lm import (
    CONTEXT,
    HEAD_WIDTH,
    VOCABULARY,
    CharLm,
    CharLmSettings,
    layers_and_width,
)

ARCHITECTURES = ["1x16", "2x32"]
N_TRAIN, N_VALID = 16, 8
ROOT_SEED = 5
NO_STATE = torch.zeros(0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the engine does: a product that is split between threads may round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# The reference: one model, written with torch.nn alone. Its parameters have the recorded order.


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.projection = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.query_key_value(x).unflatten(2, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.projection(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False),
            nn.ReLU(),
            nn.Linear(4 * width, width, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.perceptron(self.perceptron_norm(x))


class Transformer(nn.Module):
    def __init__(self, architecture: str) -> None:
        super().__init__()
        layers, width = layers_and_width(architecture)
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(CONTEXT, width)
        self.layers = nn.Sequential(*(Layer(width) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        x = self.tokens(windows) + self.positions.weight
        return self.output(self.norm(self.layers(x)))

    def loss(self, windows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self(windows).flatten(0, 1), targets.flatten())


def reference(architecture: str, params: torch.Tensor) -> Transformer:
    """A model in float64 with these parameters."""
    model = Transformer(architecture).double()
    tensors = CharLm().tensors(architecture)
    parts = torch.split(params.double(), [tensor.size for tensor in tensors])
    with torch.no_grad():
        for tensor, part, own in zip(tensors, parts, model.parameters(), strict=True):
            value = part.view(tensor.shape)
            own.copy_(value.T if tensor.kind == "weight" else value)
    return model


def flat(architecture: str, values: list[torch.Tensor]) -> torch.Tensor:
    """Values of a reference's parameters in the order of the recorded vector."""
    kinds = [tensor.kind for tensor in CharLm().tensors(architecture)]
    stored = [v.T if kind == "weight" else v for kind, v in zip(kinds, values, strict=True)]
    return torch.cat([value.reshape(-1) for value in stored])


# Models and data


def data_of(seed: int) -> TaskData:
    rng = np.random.default_rng(seed)
    # a biased alphabet, so that there is something to learn
    tokens = (VOCABULARY * rng.random((N_TRAIN + N_VALID, CONTEXT + 1)) ** 3).astype(np.int64)
    train, valid = tokens[:N_TRAIN], tokens[N_TRAIN:]
    return TaskData(
        loss="cross_entropy",
        inputs=train[:, :-1],
        targets=train[:, 1:],
        valid_inputs=valid[:, :-1],
        valid_targets=valid[:, 1:],
        n_outputs=VOCABULARY,
    )


def network_of(architecture: str, data: TaskData) -> LaneNetwork:
    examples = Examples(
        loss=data.loss,
        inputs=torch.from_numpy(data.inputs),
        targets=torch.from_numpy(data.targets),
        valid_inputs=torch.from_numpy(data.valid_inputs),
        valid_targets=torch.from_numpy(data.valid_targets),
        n_outputs=data.n_outputs,
    )
    return NETWORKS["char_lm"](CharLm().tensors(architecture), architecture, examples)


def params_of(architecture: str, lanes: int, seed: int) -> torch.Tensor:
    """Initial parameters, with norms that are no identities."""
    runs = pa.table(
        {
            "lineage_id": [f"{16 * seed + lane:016x}" for lane in range(lanes)],
            "architecture": [architecture] * lanes,
            "init_scheme": ["he"] * lanes,
        }
    )
    params = torch.from_numpy(CharLm().initial_params(runs, ROOT_SEED)).float()
    noise = torch.randn(params.shape, generator=torch.Generator().manual_seed(seed))
    return params + 0.1 * noise


def loss_and_grad(
    network: LaneNetwork, params: torch.Tensor, index: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    loss, grad = network.loss_and_grad(params, NO_STATE, index, torch.empty_like(params))
    return loss.clone(), grad.clone()


def batches(lanes: int, size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(N_TRAIN, generator=generator)[:size] for _ in range(lanes)])


# Against the reference


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_are_those_of_one_model_with_autograd(
    architecture: str, seed: int
) -> None:
    data = data_of(seed)
    params, index = params_of(architecture, 3, seed), batches(3, 4, seed)
    losses, grads = loss_and_grad(network_of(architecture, data), params, index)
    for lane in range(3):
        model = reference(architecture, params[lane])
        batch = index[lane].numpy()
        loss = model.loss(
            torch.from_numpy(data.inputs[batch]), torch.from_numpy(data.targets[batch])
        )
        expected = flat(architecture, list(torch.autograd.grad(loss, list(model.parameters()))))
        assert losses[lane].item() == pytest.approx(loss.item(), rel=1e-5)
        torch.testing.assert_close(grads[lane].double(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_are_those_of_one_model(architecture: str) -> None:
    data = data_of(0)
    params = params_of(architecture, 2, 0)
    windows = torch.from_numpy(data.valid_inputs)
    outputs = network_of(architecture, data).outputs(params, NO_STATE, windows)
    assert outputs.shape == (2, N_VALID * CONTEXT, VOCABULARY)
    for lane in range(2):
        expected = reference(architecture, params[lane])(windows).flatten(0, 1)
        torch.testing.assert_close(outputs[lane].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_prediction_sees_no_later_character() -> None:
    data = data_of(0)
    network, params = network_of("2x32", data), params_of("2x32", 2, 0)
    windows = torch.from_numpy(data.valid_inputs)
    before = network.outputs(params, NO_STATE, windows).unflatten(1, windows.shape)
    for position in (1, 17, CONTEXT - 1):
        changed = windows.clone()
        changed[:, position:] = (changed[:, position:] + 1) % VOCABULARY
        after = network.outputs(params, NO_STATE, changed).unflatten(1, windows.shape)
        assert torch.equal(after[:, :, :position], before[:, :, :position])
        assert not torch.equal(after[:, :, position:], before[:, :, position:])


Build = Callable[..., CharLmSettings]


@pytest.fixture
def settings_of(small_params: dict[str, Any]) -> Build:
    def build(**overrides: Any) -> CharLmSettings:
        return parse_settings(CharLmSettings, {**small_params["char_lm"], **overrides}, "char_lm")

    return build


OPTIMIZERS: dict[str, tuple[list[float], Callable[..., torch.optim.Optimizer]]] = {
    "momentum": ([0.03, 0.1], torch.optim.SGD),
    "adamw": ([0.001, 0.003], torch.optim.AdamW),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_first_epochs_agree_with_torch_optim(
    settings_of: Build, architecture: str, optimizer: str
) -> None:
    epochs, batch_size = 4, 8
    lr, build = OPTIMIZERS[optimizer]
    settings = settings_of(
        runs=3,
        fixed_share=0.0,
        runs_per_lineage=1,
        train_examples={"python_topics": N_TRAIN},
        valid_examples=N_VALID,
        architectures={architecture: 1},
        init_schemes={"xavier": 1},
        optimizers={optimizer: 1},
        lr={"sgd": lr, "adaptive": lr},
        momentum=[0.8, 0.95],
        weight_decay_modes={"decoupled": 1} if optimizer == "adamw" else {"coupled": 1},
        batch_sizes={str(batch_size): 1},
        lr_schedules={"constant": 1},
        epsilon={"python_topics": 0.1},
        max_epochs=epochs,
    )
    runs = CharLm().plan(settings, ROOT_SEED)
    data = data_of(1)
    job = TrainingJob(
        runs=runs,
        settings=settings,
        root_seed=ROOT_SEED,
        data={"python_topics": data},
        device="cpu",
    )
    (block,) = LockstepEngine(CharLm(), job).blocks(1)
    losses = block.columns["loss"].reshape(3, epochs + 1)
    start = torch.from_numpy(CharLm().initial_params(runs, ROOT_SEED))
    for number, run in enumerate(runs.to_pylist()):
        model = reference(architecture, start[number])
        rates = {"momentum": run["momentum"]} if optimizer == "momentum" else {}
        rule = build(model.parameters(), lr=run["lr"], weight_decay=run["weight_decay"], **rates)
        key = order_keys(runs, ROOT_SEED)[number]
        expected = list(trained(model, rule, data, batch_size, key, epochs))
        np.testing.assert_allclose(losses[number], expected, rtol=1e-4)
        assert abs(losses[number, -1] - losses[number, 0]) > 0.1


def trained(
    model: Transformer,
    rule: torch.optim.Optimizer,
    data: TaskData,
    batch_size: int,
    key: np.ndarray,
    epochs: int,
) -> Iterator[float]:
    """Train a model; yield its loss on the training set at every epoch."""
    inputs, targets = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)
    order = np.empty((1, N_TRAIN), dtype=np.int64)
    for epoch in range(epochs):
        yield model.loss(inputs, targets).item()
        shuffled_orders(key[np.newaxis], np.array([epoch]), order)
        for batch in np.split(order[0], N_TRAIN // batch_size):
            rule.zero_grad()
            model.loss(inputs[batch], targets[batch]).backward()
            rule.step()
    yield model.loss(inputs, targets).item()


# A lane alone


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [1, 4, N_TRAIN])
@pytest.mark.parametrize("lanes", [2, 3, 5, 8])
def test_a_lane_has_the_same_bits_whatever_lanes_stand_beside_it(
    architecture: str, size: int, lanes: int
) -> None:
    data = data_of(0)
    network = network_of(architecture, data)
    params, index = params_of(architecture, 8, 0), batches(8, size, 0)
    windows = torch.from_numpy(data.valid_inputs)
    losses, grads = loss_and_grad(network, params, index)
    outputs = network.outputs(params, NO_STATE, windows)
    for seed in range(3):
        chosen = torch.randperm(8, generator=torch.Generator().manual_seed(seed))[:lanes]
        loss, grad = loss_and_grad(network, params[chosen], index[chosen])
        assert torch.equal(loss, losses[chosen])
        assert torch.equal(grad, grads[chosen])
        assert torch.equal(network.outputs(params[chosen], NO_STATE, windows), outputs[chosen])


def test_a_diverged_lane_leaves_the_others_alone() -> None:
    data = data_of(0)
    network = network_of("1x16", data)
    params, index = params_of("1x16", 4, 0), batches(4, 4, 0)
    losses, grads = loss_and_grad(network, params, index)
    broken = params.clone()
    broken[1] = torch.inf
    loss, grad = loss_and_grad(network, broken, index)
    others = [0, 2, 3]
    assert torch.equal(loss[others], losses[others])
    assert torch.equal(grad[others], grads[others])
    assert loss[1].isnan()
