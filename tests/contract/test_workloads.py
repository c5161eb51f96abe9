"""The battery that every registered workload obeys, new ones included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from epochs_left.config import parse_settings
from epochs_left.dynamics.xor import XOR_INPUTS, XOR_TARGETS
from epochs_left.schema import EPOCH_MEASURES, OUTCOMES, RUNS, Outcome
from epochs_left.simulation.engine import EpochBlock, Outcomes, engine_module
from epochs_left.workloads import WORKLOADS, Workload

ROOT_SEED = 11
N_RUNS = 60
NAMES = list(WORKLOADS)
TORCH_ACTIVATIONS = {
    "abs": torch.abs,
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "tanh": torch.tanh,
}

#: The loss on the training set, from parameters in the order in which they are recorded.
Loss = Callable[[str, torch.Tensor], torch.Tensor]


def neuron_loss(architecture: str, theta: torch.Tensor) -> torch.Tensor:
    activation, _, units = architecture.rpartition("-")
    inputs, targets = torch.from_numpy(XOR_INPUTS), torch.from_numpy(XOR_TARGETS)
    if architecture == "abs-unit":
        outputs = (inputs @ theta[:2] + theta[2]).abs()
    else:
        h = int(units)
        weights, biases, out, bias = theta.split([2 * h, h, h, 1])
        hidden = TORCH_ACTIVATIONS[activation](inputs @ weights.view(h, 2).T + biases)
        outputs = hidden @ out + bias
    return (outputs - targets).square().mean()


#: A new workload adds its loss in PyTorch here: the one thing that a battery cannot make up.
LOSSES: dict[str, Loss] = {"neuron": neuron_loss}


@dataclass(frozen=True)
class Trained:
    """Runs of one parameter width, with all their rows."""

    runs: pa.Table
    blocks: list[EpochBlock]
    outcomes: Outcomes


@pytest.fixture(scope="session", params=NAMES)
def workload(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]


@pytest.fixture(scope="session")
def settings(workload: Workload, small_params: dict[str, Any]) -> Any:
    values = {**small_params[workload.name], "runs": N_RUNS}
    return parse_settings(workload.settings_type, values, workload.name)


@pytest.fixture(scope="session")
def plan(workload: Workload, settings: Any) -> pa.Table:
    return workload.plan(settings, ROOT_SEED)


def train(workload: Workload, runs: pa.Table, settings: Any, chunk_runs: int = 256) -> Trained:
    engine = engine_module(workload.engine).build_engine(workload, runs, settings, ROOT_SEED)
    blocks = [
        replace(b, run=b.run.copy(), epoch=b.epoch.copy(), columns=b.columns.copy())
        for b in engine.blocks(chunk_runs)
    ]
    return Trained(runs, blocks, engine.outcomes)


def by_width(plan: pa.Table) -> Iterator[pa.Table]:
    widths = plan["n_params"].to_numpy()
    yield from (plan.take(np.flatnonzero(widths == width)) for width in np.unique(widths))


@pytest.fixture(scope="session")
def trained(workload: Workload, plan: pa.Table, settings: Any) -> list[Trained]:
    return [train(workload, runs, settings) for runs in by_width(plan)]


def columns(part: Trained) -> np.ndarray:
    return np.concatenate([block.columns for block in part.blocks], axis=1)


def test_name_is_that_of_the_registry(workload: Workload) -> None:
    assert WORKLOADS[workload.name] is workload


def test_plan_is_a_pure_function(workload: Workload, settings: Any, plan: pa.Table) -> None:
    assert workload.plan(settings, ROOT_SEED).equals(plan)
    other = workload.plan(settings, ROOT_SEED + 1)
    assert not set(other["run_id"].to_pylist()) & set(plan["run_id"].to_pylist())


def test_plan_holds_what_is_known_beforehand(plan: pa.Table) -> None:
    made_by_training = {"outcome", "outcome_epoch", "final_loss", "final_grad_norm"}
    known = set(RUNS.names) - made_by_training - {"engine", "engine_version"}
    assert known <= set(plan.column_names)
    assert all(plan[name].null_count == 0 for name in plan.column_names)


@pytest.mark.parametrize("fewer", [1, 2, 7, 33])
def test_more_runs_never_change_earlier_ones(
    workload: Workload, settings: Any, plan: pa.Table, fewer: int
) -> None:
    assert workload.plan(replace(settings, runs=fewer), ROOT_SEED).equals(plan.slice(0, fewer))


def test_run_ids_are_unique_and_name_all_that_determines_a_run(plan: pa.Table) -> None:
    frame = plan.to_pandas()
    assert frame["run_id"].is_unique
    same_start = frame.groupby("lineage_id").ngroup()
    columns = [name for name in frame.columns if name not in {"run_id", "lineage_id"}]
    assert not frame[columns].assign(lineage=same_start).duplicated().any()


@pytest.mark.parametrize(
    ("name", "value"),
    [("epsilon", 1e-5), ("delta", 1e-7), ("max_epochs", 299), ("divergence_loss", 1e5)],
)
def test_run_id_changes_with_every_threshold(
    workload: Workload, settings: Any, plan: pa.Table, name: str, value: float
) -> None:
    changed = workload.plan(replace(settings, **{name: value}), ROOT_SEED)
    assert not set(changed["run_id"].to_pylist()) & set(plan["run_id"].to_pylist())
    assert changed["lineage_id"].equals(plan["lineage_id"])


def test_initial_parameters_are_float32_and_shared_by_the_lineage(
    workload: Workload, plan: pa.Table
) -> None:
    for runs in by_width(plan):
        params = workload.initial_params(runs, ROOT_SEED)
        assert params.dtype == np.float64
        assert params.shape == (runs.num_rows, runs["n_params"][0].as_py())
        np.testing.assert_array_equal(params, params.astype(np.float32))
        lineages = runs["lineage_id"].to_numpy(zero_copy_only=False)
        for lineage in np.unique(lineages):
            assert len(np.unique(params[lineages == lineage], axis=0)) == 1
        assert len(np.unique(params, axis=0)) == len(np.unique(lineages))


def test_initial_parameters_depend_on_no_other_run(workload: Workload, plan: pa.Table) -> None:
    for runs in by_width(plan):
        whole = workload.initial_params(runs, ROOT_SEED)
        last = runs.num_rows - 1
        alone = workload.initial_params(runs.slice(last), ROOT_SEED)
        np.testing.assert_array_equal(alone[0], whole[last])


def test_blocks_of_parameters_cover_every_parameter(workload: Workload, plan: pa.Table) -> None:
    kinds = set(zip(plan["architecture"].to_pylist(), plan["n_params"].to_pylist(), strict=True))
    for architecture, n_params in kinds:
        blocks = workload.block_of_param(architecture)
        assert len(blocks) == n_params
        assert set(blocks) == set(range(max(blocks) + 1))


@pytest.mark.parametrize("chunk_runs", [1, 3])
def test_same_seed_gives_the_same_bytes_whatever_the_chunk(
    workload: Workload, settings: Any, trained: list[Trained], chunk_runs: int
) -> None:
    for part in trained:
        again = train(workload, part.runs, settings, chunk_runs)
        assert columns(again).tobytes() == columns(part).tobytes()
        np.testing.assert_array_equal(again.outcomes.code, part.outcomes.code)


def test_a_run_has_the_same_bytes_whatever_its_shard(
    workload: Workload, settings: Any, trained: list[Trained]
) -> None:
    for part in trained:
        tail = train(workload, part.runs.slice(part.runs.num_rows // 2), settings)
        assert columns(part)[:, -columns(tail).shape[1] :].tobytes() == columns(tail).tobytes()


def test_first_row_is_the_initialisation(workload: Workload, trained: list[Trained]) -> None:
    for part in trained:
        first = np.concatenate([block.epoch == 0 for block in part.blocks])
        np.testing.assert_array_equal(
            columns(part)[len(EPOCH_MEASURES) :, first].T,
            workload.initial_params(part.runs, ROOT_SEED),
        )


def test_losses_are_finite_or_the_run_diverged(trained: list[Trained]) -> None:
    for part in trained:
        diverged = part.outcomes.code == OUTCOMES.index(Outcome.DIVERGED)
        for block in part.blocks:
            last = np.append(np.flatnonzero(np.diff(block.run)), block.run.size - 1)
            bad = ~np.isfinite(block.columns).all(axis=0)
            assert set(np.flatnonzero(bad)) <= set(last)
            assert set(block.run[bad]) <= set(np.flatnonzero(diverged) - block.first_run)


def test_every_run_ends_with_a_known_outcome(trained: list[Trained], settings: Any) -> None:
    codes = np.concatenate([part.outcomes.code for part in trained])
    assert set(codes.tolist()) <= set(range(len(OUTCOMES)))
    assert np.mean(codes == OUTCOMES.index(Outcome.CONVERGED)) > 0.3
    for part in trained:
        assert part.outcomes.epoch.max() <= settings.max_epochs


def test_loss_and_gradient_agree_with_autograd(workload: Workload, trained: list[Trained]) -> None:
    loss_of = LOSSES[workload.name]
    loss_row, norm_row = EPOCH_MEASURES.index("loss"), EPOCH_MEASURES.index("grad_norm")
    for part in trained:
        architectures = part.runs["architecture"].to_pylist()
        params = workload.initial_params(part.runs, ROOT_SEED)
        first = np.concatenate([block.epoch == 0 for block in part.blocks])
        recorded = columns(part)[:, first]
        for run, architecture in enumerate(architectures):
            theta = torch.tensor(params[run], requires_grad=True)
            loss = loss_of(architecture, theta)
            (gradient,) = torch.autograd.grad(loss, theta)
            np.testing.assert_allclose(recorded[loss_row, run], loss.item(), rtol=1e-6)
            np.testing.assert_allclose(recorded[norm_row, run], gradient.norm(), rtol=1e-6)
