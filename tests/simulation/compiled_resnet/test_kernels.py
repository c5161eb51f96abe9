"""Compiled ResNets against PyTorch's autograd, in float64 and as grouped convolutions."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from epochs_left.simulation.compiled_resnet.layout import (
    COLUMNS,
    HEAD,
    Batches,
    layout_of,
    scratch_of,
)
from epochs_left.simulation.compiled_resnet.simd import WIDTH
from epochs_left.simulation.networks import NETWORKS, Examples
from epochs_left.simulation.networks.resnet import CompiledResNetLanes, TorchResNetLanes
from epochs_left.workloads import WORKLOADS
from epochs_left.workloads.resnet import shape_of

REFERENCE = runpy.run_path(str(Path(__file__).parents[1] / "networks" / "test_resnet.py"))
Plain, one_thread = REFERENCE["Plain"], REFERENCE["one_thread"]
WORKLOAD = WORKLOADS["resnet"]
LANES, N_TRAIN, N_VALID = 4, 160, 20
Results = tuple[torch.Tensor, ...]


class Case:
    """Random parameters, statistics and images for lanes of one architecture."""

    def __init__(self, architecture: str, size: tuple[int, int] = (8, 8), seed: int = 0) -> None:
        self.architecture, self.shape = architecture, shape_of(architecture)
        self.tensors = WORKLOAD.tensors(architecture)
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(N_TRAIN + N_VALID, self.shape.channels, *size, generator=generator)
        labels = torch.randint(0, 10, (len(images),), generator=generator)
        self.examples = Examples(
            loss="cross_entropy",
            inputs=images[:N_TRAIN],
            targets=labels[:N_TRAIN],
            valid_inputs=images[N_TRAIN:],
            valid_targets=labels[N_TRAIN:],
            n_outputs=10,
        )
        n_params = sum(tensor.size for tensor in self.tensors)
        self.params = torch.randn(LANES, n_params, generator=generator) * 0.2
        self.order = torch.stack(
            [torch.randperm(N_TRAIN, generator=generator) for _ in range(LANES)]
        )

    def network(self, kind: type = CompiledResNetLanes) -> Any:
        return kind(self.tensors, self.shape, self.examples)

    def part(self, name: str) -> slice:
        """Return the columns of a tensor in the parameters."""
        start = 0
        for tensor in self.tensors:
            if tensor.name == name:
                return slice(start, start + tensor.size)
            start += tensor.size
        raise KeyError(name)

    def results(self, network: Any, batch: int, lanes: Sequence[int] = range(LANES)) -> Results:
        """Loss, gradient, running statistics and then outputs of these lanes."""
        picked = list(lanes)
        params = self.params[picked].clone()
        state = network.initial_state().repeat(len(picked), 1)
        index = self.order[picked][:, :batch]  # as the engine's: not contiguous
        loss, grad = network.loss_and_grad(params, state, index, torch.zeros_like(params))
        return loss, grad, state, network.outputs(params, state, self.examples.valid_inputs)

    def exact(self, lane: int, batch: int) -> Results:
        """What `results` should be for a lane, in float64 by autograd."""
        model = Plain(self.architecture).double()
        model.load(self.params[lane].double())
        index = self.order[lane, :batch]
        scores = model(self.examples.inputs[index].double())
        loss = functional.cross_entropy(scores, self.examples.targets[index])
        loss.backward()
        statistics = [values for name, values in model.named_buffers() if "running" in name]
        state = torch.cat(statistics) if statistics else torch.zeros(0, dtype=torch.float64)
        model.eval()
        with torch.no_grad():
            outputs = model(self.examples.valid_inputs.double())
        return loss.detach(), model.gradient(), state, outputs


def assert_near(found: Results, exact: Results) -> None:
    loss, grad, state, outputs = (values.double() for values in found)
    torch.testing.assert_close(loss, exact[0], rtol=1e-5, atol=1e-6)
    assert (grad - exact[1]).norm() <= 2e-5 * exact[1].norm()
    torch.testing.assert_close(state, exact[2], rtol=1e-5, atol=1e-6)
    assert (outputs - exact[3]).norm() <= 1e-5 * exact[3].norm()


@pytest.mark.parametrize("batch", [1, 37, 64, 100, 128])
@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_it_is_the_plain_model_in_float64_for_any_batch(norm: str, batch: int) -> None:
    case = Case(f"resnet8-w4-{norm}", seed=batch)
    found = case.results(case.network(), batch)
    for lane in range(LANES):
        assert_near(tuple(values[lane] for values in found), case.exact(lane, batch))


@pytest.mark.parametrize("size", [(8, 8), (11, 9), (13, 16)], ids=str)
@pytest.mark.parametrize(
    "architecture",
    ["resnet8-w2-bn", "resnet8-w6-gn-rgb", "resnet8-w8-gn", "resnet8-w10-bn-rgb", "resnet8-w16-bn"],
)
def test_it_is_the_plain_model_in_float64_for_any_shape(
    architecture: str, size: tuple[int, int]
) -> None:
    """Widths that four channels at a time do not divide, and sides that strides do not."""
    case = Case(architecture, size, seed=1)
    found = case.results(case.network(), 37)
    for lane in range(2):
        assert_near(tuple(values[lane] for values in found), case.exact(lane, 37))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("architecture", ["resnet8-w4-bn", "resnet8-w4-gn-rgb", "resnet8-w8-bn"])
def test_both_implementations_agree(architecture: str, seed: int) -> None:
    case = Case(architecture, seed=seed)
    compiled, grouped = (
        case.results(case.network(kind), 64) for kind in (CompiledResNetLanes, TorchResNetLanes)
    )
    for one, other in zip(compiled, grouped, strict=True):
        # one value that rounding puts on either side of ReLU's kink makes 5e-3 of a gradient
        assert (one - other).norm() <= 1e-2 * other.norm()


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_the_gradient_is_the_slope_of_the_loss_along_every_tensor(norm: str) -> None:
    """Roughly: on the way, some of the 50,000 values of a batch meet ReLU's kink."""
    case = Case(f"resnet8-w4-{norm}", seed=3)
    network, step = case.network(), 1e-3
    theta, index = case.params[0], case.order[[0, 0], :64]
    state = network.initial_state().repeat(2, 1)
    grad = case.results(network, 64)[1][0]
    for tensor in case.tensors:
        part = case.part(tensor.name)
        direction = torch.zeros_like(theta)
        direction[part] = functional.normalize(grad[part], dim=0)
        moved = torch.stack([theta + step * direction, theta - step * direction])
        (up, down), _ = network.loss_and_grad(moved, state, index, torch.zeros_like(moved))
        slope = (up.double() - down.double()).item() / (2 * step)
        assert slope == pytest.approx(grad[part].norm().item(), rel=0.15), tensor.name


@pytest.mark.parametrize("lanes", [[0], [2], [3, 1], [1, 1, 0], [3, 2, 1, 0]], ids=str)
@pytest.mark.parametrize("architecture", ["resnet8-w4-bn", "resnet8-w4-gn"])
def test_a_lane_has_the_same_bytes_in_any_company_and_alone(
    architecture: str, lanes: list[int]
) -> None:
    case = Case(architecture, seed=4)
    network = case.network()
    assert network.lane_step == 1
    for whole, part in zip(
        case.results(network, 100), case.results(network, 100, lanes), strict=True
    ):
        assert torch.equal(whole[lanes], part)


@pytest.mark.parametrize("architecture", ["resnet8-w4-bn", "resnet8-w4-gn"])
def test_what_was_computed_before_leaves_no_trace(architecture: str) -> None:
    """In scratch that is used again, and that other batches and lanes of NaN have filled."""
    case = Case(architecture, seed=5)
    fresh = case.results(case.network(), 37)
    network, kept = case.network(), case.params.clone()
    case.params.fill_(float("nan"))
    for batch in (128, 37, 1):
        case.results(network, batch)
    case.params.copy_(kept)
    for one, other in zip(fresh, case.results(network, 37), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["stem.weight", "stage2.conv1.norm.scale", "linear.bias"])
@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_what_is_not_finite_passes_as_in_pytorch(norm: str, name: str, value: float) -> None:
    case = Case(f"resnet8-w4-{norm}", seed=6)
    case.params[:, case.part(name)] = value
    found, expected = (
        case.results(case.network(kind), 37) for kind in (CompiledResNetLanes, TorchResNetLanes)
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.isfinite(), other.isfinite())
        assert torch.equal(one.isnan(), other.isnan())


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_nothing_passes_back_through_relu_at_zero(norm: str) -> None:
    case = Case(f"resnet8-w4-{norm}", seed=7)
    for end in ("scale", "shift"):
        case.params[:, case.part(f"stage2.conv1.norm.{end}")] = 0
    grad = case.results(case.network(), 64)[1]
    for name in ("stage2.conv1.weight", "stage2.conv1.norm.scale", "stage2.conv1.norm.shift"):
        assert not grad[:, case.part(name)].any()
    assert grad[:, case.part("stage2.shortcut.weight")].any()
    assert_near(tuple(values[0] for values in case.results(case.network(), 64)), case.exact(0, 64))


@pytest.mark.parametrize("n", [1, WIDTH, WIDTH + 1, N_TRAIN])
def test_an_image_has_the_same_scores_whichever_are_evaluated_with_it(n: int) -> None:
    case = Case("resnet8-w4-bn", seed=8)
    network = case.network()
    state = torch.rand(LANES, network.n_state) + 0.5
    whole = network.outputs(case.params, state, case.examples.inputs)
    part = network.outputs(case.params, state, case.examples.inputs[-n:])
    assert torch.equal(whole[:, -n:], part)


def test_the_device_of_the_examples_decides() -> None:
    case = Case("resnet8-w4-bn")
    examples = case.examples
    on_cpu = NETWORKS["resnet"](case.tensors, case.architecture, examples)
    assert isinstance(on_cpu, CompiledResNetLanes)
    elsewhere = Examples(
        **{**vars(examples), "inputs": examples.inputs.to("meta")},
    )
    found = NETWORKS["resnet"](case.tensors, case.architecture, elsewhere)
    assert isinstance(found, TorchResNetLanes)


def test_another_loss_is_refused() -> None:
    case = Case("resnet8-w4-bn")
    case.examples = Examples(**{**vars(case.examples), "loss": "squared"})
    with pytest.raises(ValueError, match="expected the loss cross_entropy, got squared"):
        case.network()


@pytest.mark.parametrize("architecture", ["resnet8-w4-bn", "resnet8-w6-gn-rgb"])
@pytest.mark.parametrize("examples", [1, 64, 65])
def test_no_two_buffers_of_a_layout_overlap(architecture: str, examples: int) -> None:
    batches = Batches(image=(9, 8), examples=examples, groups=2, training=True)
    layout = layout_of(WORKLOAD.tensors(architecture), shape_of(architecture), batches)
    padded = -(-examples // WIDTH) * WIDTH
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in layout.layers.tolist()]
    head = dict(zip(HEAD, layout.head.tolist(), strict=True))
    first, last = rows[0], rows[-1]
    sizes = {first["input"]: first["channels_in"] * 9 * 8 * padded, head["sums"]: 9 * 16}
    largest = 0
    for row in rows:
        values = row["channels_out"] * row["height_out"] * row["width_out"] * padded
        largest = max(largest, values)
        sizes |= dict.fromkeys((row["output"], row["activation"]), values)
        sizes |= dict.fromkeys((row["mean"], row["inverse"]), row["channels_out"] * padded)
    features = last["channels_out"] * padded
    sizes |= {head["pooled"]: features, head["moments"]: 2 * features}
    sizes |= {head["scores"]: 10 * padded} | dict.fromkeys(
        (head["g0"], head["g1"], head["g2"]), largest
    )
    ends = [start + sizes[start] for start in sorted(sizes)]
    assert all(end <= start for end, start in zip(ends, sorted(sizes)[1:], strict=False))
    assert ends[-1] == layout.size
    # a vector that crosses a line of the cache takes twice the time
    assert all(start * 4 % 64 == 0 for start in sizes)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_scratch_starts_at_a_line_of_the_cache(size: int) -> None:
    scratch = scratch_of(size)
    assert scratch.shape == (size,)
    assert scratch.dtype == np.float32
    assert scratch.ctypes.data % 64 == 0 or not size
