"""Measures of recorded states against one plain model in float64, in reverse mode alone."""

from __future__ import annotations

import runpy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.func import jacrev
from torch.nn import functional

from epochs_left.dynamics.xor import XOR_INPUTS, XOR_TARGETS
from epochs_left.simulation import state_probes
from epochs_left.simulation.state_probes import fisher_rao, mean_pairwise_cosine, probe_states
from epochs_left.trajectories import STATE_INPUTS
from epochs_left.workloads import WORKLOADS, TaskData
from epochs_left.workloads.mlp import layer_sizes

PLAIN = runpy.run_path(str(Path(__file__).parent / "plain_models.py"))
plain, loss_of = PLAIN["plain"], PLAIN["loss_of"]
predictions, information = PLAIN["predictions"], PLAIN["information"]
N_TRAIN, N_VALID, STATES = 12, 6, 3


@dataclass(frozen=True)
class Table:
    runs: pa.Table
    params: np.ndarray
    start: np.ndarray
    previous: np.ndarray
    final: np.ndarray

    def take(self, rows: list[int]) -> Table:
        vectors = (self.params, self.start, self.previous, self.final)
        return Table(self.runs.take(rows), *(values[rows] for values in vectors))


@dataclass(frozen=True)
class Case:
    family: str
    task: str
    architecture: str
    activation: str
    loss: str
    spread: float = 0.3  # of the random parameters

    @property
    def data(self) -> TaskData:
        rng = np.random.default_rng(3)
        n = N_TRAIN + N_VALID
        if self.task == "xor":
            return TaskData(
                loss="squared", inputs=XOR_INPUTS, targets=XOR_TARGETS, valid_inputs=XOR_INPUTS,
                valid_targets=XOR_TARGETS, n_outputs=1,
            )  # fmt: skip
        if self.family == "char_lm":
            tokens = rng.integers(0, 48, (n, 33))
            inputs, targets, outputs = tokens[:, :-1], tokens[:, 1:], 48
        else:
            shape = (1, 8, 8)
            if self.family == "mlp":
                shape = (layer_sizes(self.architecture)[0],)
            inputs = rng.normal(size=(n, *shape)).astype(np.float32)
            outputs = 10 if self.loss == "cross_entropy" else 1
            targets = rng.integers(0, 10, n)
            if outputs == 1:
                targets = (targets % 2).astype(np.float32)
        return TaskData(
            loss=self.loss, inputs=inputs[:N_TRAIN], targets=targets[:N_TRAIN],
            valid_inputs=inputs[N_TRAIN:], valid_targets=targets[N_TRAIN:], n_outputs=outputs,
        )  # fmt: skip

    def states(self, n: int = STATES, seed: int = 0) -> Table:
        rng = np.random.default_rng(seed)
        size = sum(t.size for t in WORKLOADS[self.family].tensors(self.architecture))
        at = {"task": self.task, "architecture": self.architecture, "activation": self.activation}
        vectors = rng.normal(0, self.spread, (4, n, size)).astype(np.float32)
        return Table(pa.table({name: [value] * n for name, value in at.items()}), *vectors)

    def measure(self, states: Table) -> dict[str, np.ndarray]:
        return probe_states(self.family, {self.task: self.data}, states)


CASES = {
    "unit": Case("neuron", "xor", "abs-unit", "abs", "squared", 1.0),
    "leaky": Case("neuron", "xor", "leaky_relu-3", "leaky_relu", "squared", 1.0),
    "tanh neuron": Case("neuron", "xor", "tanh-2", "tanh", "squared", 1.0),
    "squared": Case("mlp", "diabetes", "10-16-1", "gelu", "squared"),
    "binary": Case("mlp", "two_moons", "2-16-16-1", "tanh", "binary"),
    "classes": Case("mlp", "digits", "64-32-10", "relu", "cross_entropy"),
    "abs": Case("mlp", "digits", "64-32-32-10", "abs", "cross_entropy"),
    "batch norm": Case("resnet", "digits", "resnet8-w4-bn", "relu", "cross_entropy"),
    "group norm": Case("resnet", "digits", "resnet8-w4-gn", "relu", "cross_entropy"),
    "transformer": Case("char_lm", "python_topics", "1x16", "relu", "cross_entropy"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


# The reference: one model at a time in float64, every derivative in reverse mode.


def tensor(values: np.ndarray) -> torch.Tensor:
    found = torch.from_numpy(values)
    return found.double() if found.is_floating_point() else found


def reference(case: Case, states: Table, row: int) -> dict[str, float]:
    """All measures but those of single examples."""
    data, model = case.data, plain(case)
    vectors = (states.params, states.start, states.previous, states.final)
    now, start, previous, final = (tensor(values[row]) for values in vectors)
    inputs, probe = tensor(data.inputs), tensor(data.valid_inputs)
    targets = tensor(data.targets)
    gradient = jacrev(lambda theta: loss_of(case.loss, model(theta, inputs), targets))(now)
    outputs = model(now, probe)
    fisher = information(case.loss, outputs)
    found = {"grad_norm_full": gradient.norm()}
    found["grad_start_cosine"] = torch.cosine_similarity(gradient, now - start, 0)
    found["grad_update_cosine"] = torch.cosine_similarity(gradient, now - previous, 0)
    found["grad_alignment"] = gradient @ (now - final)
    found["grad_alignment_cosine"] = torch.cosine_similarity(gradient, now - final, 0)
    for name, origin in (("from_start", start), ("update", previous), ("to_final", final)):
        # by reverse mode, twice
        moved = torch.autograd.functional.jvp(lambda p: model(p, probe), now, now - origin)[1]
        found[f"ntk_{name}"] = moved.norm() / len(moved) ** 0.5
        squares = torch.einsum("ic,icd,id->i", moved, fisher, moved)
        found[f"fisher_rao_{name}"] = squares.mean().sqrt()
    here = predictions(case.loss, outputs)
    for name, pair in (("from_start", (start, here)), ("to_final", (here, final))):
        laws = [
            predictions(case.loss, model(law, probe)) if isinstance(law, torch.Tensor) else law
            for law in pair
        ]
        found[f"kl_{name}"] = torch.distributions.kl_divergence(*laws).mean()
    return {name: float(value) for name, value in found.items()}


def test_every_input_is_measured(case: Case) -> None:
    measured = case.measure(case.states())
    assert set(measured) == set(STATE_INPUTS)
    for values in measured.values():
        assert values.shape == (STATES,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()


def test_gradients_and_distances_are_those_of_a_plain_model(case: Case) -> None:
    states = case.states()
    measured = case.measure(states)
    for row in range(STATES):
        for name, expected in reference(case, states, row).items():
            assert measured[name][row] == pytest.approx(expected, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("name", ["leaky", "squared", "binary", "classes", "transformer"])
def test_the_cosine_of_examples_is_the_mean_over_all_pairs(name: str) -> None:
    case = CASES[name]
    states, data, model = case.states(), case.data, plain(case)
    inputs, targets = tensor(data.inputs), tensor(data.targets)
    measured = case.measure(states)["grad_cosine"]
    for row in range(STATES):
        theta = tensor(states.params[row])
        unit = []
        for i in range(min(len(inputs), len(data.valid_inputs))):
            one = slice(i, i + 1)
            gradient = jacrev(lambda p, s=one: loss_of(case.loss, model(p, inputs[s]), targets[s]))
            unit.append(functional.normalize(gradient(theta), dim=0))
        cosines = torch.stack(unit) @ torch.stack(unit).T
        pairs = cosines[~torch.eye(len(unit), dtype=torch.bool)]
        assert measured[row] == pytest.approx(float(pairs.mean()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["unit", "tanh neuron", "squared", "binary"])
def test_the_trace_of_one_output_is_exact(name: str) -> None:
    case = CASES[name]
    states = case.states()
    jacobians = [
        jacrev(plain(case))(tensor(theta), tensor(case.data.valid_inputs))
        for theta in states.params
    ]
    expected = [float(j.square().sum() / len(j)) for j in jacobians]
    np.testing.assert_allclose(case.measure(states)["ntk_trace"], expected, rtol=1e-4)


@pytest.mark.parametrize(("name", "draws"), [("classes", 60), ("group norm", 12)])
def test_the_trace_of_several_outputs_is_unbiased_over_the_signs(
    name: str, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    states = case.states(1)
    estimates = []
    for seed in range(draws):
        monkeypatch.setattr(state_probes, "_SIGNS_SEED", seed)
        estimates.append(case.measure(states)["ntk_trace"][0])
    jacobian = jacrev(plain(case))(tensor(states.params[0]), tensor(case.data.valid_inputs))
    exact = float(jacobian.square().sum() / len(jacobian))
    error = np.std(estimates, ddof=1) / len(estimates) ** 0.5
    assert error < 0.1 * exact
    assert abs(np.mean(estimates) - exact) < 4 * error


def test_batch_statistics_are_constants_for_single_examples() -> None:
    """Apart, examples keep the outputs that they have in their batch."""
    case = CASES["batch norm"]
    tensors = WORKLOADS["resnet"].tensors(case.architecture)
    family = state_probes.FUNCTIONS["resnet"]
    outputs = family.build(tensors, case.architecture, "relu")
    params = torch.from_numpy(case.states(2).params)
    images = torch.from_numpy(case.data.valid_inputs)
    together = outputs(params, images[None], 1)
    each = images[:, None].repeat(2, 1, 1, 1, 1)
    apart = outputs(params.repeat_interleave(len(images), 0), each, len(images))
    torch.testing.assert_close(apart.view_as(together), together, rtol=1e-4, atol=1e-4)
    leaf = params[:1].repeat_interleave(len(images), 0).requires_grad_()
    one = outputs(leaf, images[:, None], len(images))[2].sum()
    gradient = torch.autograd.grad(one, leaf)[0]
    assert gradient[2].norm() > 0
    assert gradient[[0, 1, 3, 4, 5]].norm() == 0


def test_no_state_depends_on_which_others_are_measured(case: Case) -> None:
    states = case.states(9)
    whole = case.measure(states)
    for rows in ([4], [8, 2, 5], [3, 3, 0, 1, 7, 6, 8, 5]):
        part = case.measure(states.take(rows))
        for name, values in whole.items():
            assert np.array_equal(part[name], values[rows]), name


def test_activations_and_tasks_may_be_mixed() -> None:
    cases = [CASES["binary"], replace(CASES["binary"], activation="abs", task="xor_noise")]
    tables = [case.states(2, seed) for seed, case in enumerate(cases)]
    vectors = [
        np.concatenate([getattr(table, name) for table in tables])
        for name in ("params", "start", "previous", "final")
    ]
    mixed = Table(pa.concat_tables([table.runs for table in tables]), *vectors)
    order = [2, 0, 3, 1]
    data = {case.task: case.data for case in cases}
    together = probe_states("mlp", data, mixed.take(order))
    alone = [case.measure(table) for case, table in zip(cases, tables, strict=True)]
    for name, values in together.items():
        expected = np.concatenate([found[name] for found in alone])[order]
        assert np.array_equal(values, expected), name


def test_at_the_start_nothing_has_moved(case: Case) -> None:
    states = case.states()
    measured = case.measure(replace(states, start=states.params, previous=states.params))
    for name in ("kl_from_start", "ntk_from_start", "fisher_rao_from_start", "ntk_update",
                 "fisher_rao_update", "grad_start_cosine", "grad_update_cosine"):  # fmt: skip
        assert (measured[name] == 0).all(), name


def test_norms_are_linear_in_the_distance_and_half_their_square_is_the_kl(case: Case) -> None:
    states = case.states()
    step = (1e-3 * (states.start - states.params)).astype(np.float32)
    once = case.measure(replace(states, start=states.params + step))
    twice = case.measure(replace(states, start=states.params + 2 * step))
    for name in ("ntk_from_start", "fisher_rao_from_start"):
        np.testing.assert_allclose(twice[name], 2 * once[name], rtol=1e-3)
    np.testing.assert_allclose(once["grad_start_cosine"], twice["grad_start_cosine"], atol=1e-3)
    half = once["fisher_rao_from_start"] ** 2 / 2
    np.testing.assert_allclose(once["kl_from_start"], half, rtol=0.1)


def test_a_kernel_before_a_batch_normalisation_may_be_rescaled() -> None:
    """The function stays, so its distances are 0; a normalisation by constants would see some."""
    case = CASES["batch norm"]
    states = case.states()
    kernel = WORKLOADS["resnet"].tensors(case.architecture)[0].size
    start = states.params.copy()
    start[:, :kernel] *= 1.1
    measured = case.measure(replace(states, start=start))
    other = case.measure(states)
    for name in ("ntk_from_start", "fisher_rao_from_start"):
        assert (measured[name] < 1e-3 * other[name]).all(), name


def test_the_alignment_with_the_minimum_of_a_quadratic_is_twice_the_excess_loss() -> None:
    """(theta - theta*) . gradient = 2 (L - L*) where L is quadratic: on one side of all kinks."""
    case = CASES["unit"]
    states = case.states(1)
    # all four pre-activations positive: L = mean (x.theta - y)^2, least at w = 0, b = 1/2
    params = np.array([[0.05, -0.1, 0.7]], dtype=np.float32)
    final = np.array([[0, 0, 0.5]], dtype=np.float32)
    measured = case.measure(replace(states, params=params, final=final))
    excess = float(((params - final) ** 2).sum())  # X^T X = 4 I
    assert measured["grad_alignment"][0] == pytest.approx(2 * excess, rel=1e-6)
    assert measured["grad_alignment_cosine"][0] == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("family", ["unit", "classes", "batch norm", "transformer"])
def test_a_state_that_has_overflowed_is_unknown_and_spoils_no_other(family: str) -> None:
    case = CASES[family]
    states = case.states()
    clean = case.measure(states)
    params = states.params.copy()
    params[1] = np.nan
    spoilt = case.measure(replace(states, params=params))
    for name, values in spoilt.items():
        assert np.isnan(values[1]), name
        assert np.array_equal(values[[0, 2]], clean[name][[0, 2]]), name


def test_no_states_give_empty_columns() -> None:
    case = CASES["classes"]
    measured = case.measure(case.states(0))
    assert {values.shape for values in measured.values()} == {(0,)}


def test_several_architectures_are_refused() -> None:
    states = CASES["classes"].states(2)
    runs = states.runs.set_column(1, "architecture", pa.array(["64-32-10", "64-16-10"]))
    with pytest.raises(ValueError, match="one architecture, got"):
        CASES["classes"].measure(replace(states, runs=runs))


def test_measuring_leaves_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    CASES["unit"].measure(CASES["unit"].states())
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_pairwise_cosine_counts_zero_vectors_as_zero(seed: int) -> None:
    vectors = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(seed))
    vectors[0, 3] = 0
    vectors[1, 2] *= 1e-42  # as the gradient of an example that is learnt for good
    unit = functional.normalize(vectors.double(), dim=2, eps=1e-30)
    pairs = (unit @ unit.transpose(1, 2))[:, ~torch.eye(6, dtype=torch.bool)]
    torch.testing.assert_close(mean_pairwise_cosine(vectors), pairs.mean(1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary", "squared"])
def test_the_fisher_rao_norm_is_the_root_of_twice_the_kl_of_a_small_change(loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 7, 10 if loss == "cross_entropy" else 1)
    outputs, moved = (torch.randn(shape, generator=generator).double() for _ in range(2))
    step = 1e-4
    for lane in range(2):
        laws = [predictions(loss, outputs[lane] + s * moved[lane]) for s in (0, step)]
        kl = torch.distributions.kl_divergence(*laws).mean()
        norm = fisher_rao(loss, outputs, moved)[lane]
        assert float(norm) == pytest.approx(float((2 * kl).sqrt() / step), rel=1e-3)
