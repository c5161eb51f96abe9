"""The battery that every registered workload obeys, new ones included."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from epochs_left.config import parse_settings
from epochs_left.schema import OUTCOMES, RUNS, TENSOR_STATISTICS, Outcome, epochs_schema
from epochs_left.simulation.engine import EpochBlock, Outcomes, TrainingJob, engine_module
from epochs_left.simulation.orders import shuffled_orders
from epochs_left.simulation.planning import cut, task_data
from epochs_left.workloads import WORKLOADS, TaskData, Workload
from epochs_left.workloads._sweep import order_keys

ROOT_SEED = 11
NAMES = list(WORKLOADS)
LOCKSTEP = [name for name in NAMES if WORKLOADS[name].engine == "lockstep"]
TRAINED = [name for name in NAMES if "grad_norm" in WORKLOADS[name].measures]  # it has parameters
SMALLER: dict[str, dict[str, Any]] = {
    "curve_prior": {"runs": 40, "runs_per_lineage": 3, "max_epochs": [10, 60]}
}
LOSSES = runpy.run_path(str(Path(__file__).parent / "losses_in_torch.py"))["LOSSES"]

Run = dict[str, Any]
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """The runs of a shard, with all their rows."""

    runs: pa.Table
    blocks: list[EpochBlock]
    outcomes: Outcomes

    @property
    def epoch(self) -> np.ndarray:
        return np.concatenate([block.epoch for block in self.blocks])

    @property
    def columns(self) -> Columns:
        names = self.blocks[0].columns
        return {n: np.concatenate([block.columns[n] for block in self.blocks]) for n in names}


@pytest.fixture(scope="session", params=NAMES)
def workload(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]


@pytest.fixture(scope="session")
def settings(workload: Workload, small_params: dict[str, Any]) -> Any:
    values = {**small_params[workload.name], **SMALLER.get(workload.name, {})}
    return parse_settings(workload.settings_type, values, workload.name)


@pytest.fixture(scope="session")
def plan(workload: Workload, settings: Any) -> pa.Table:
    return workload.plan(settings, ROOT_SEED)


@pytest.fixture(scope="session")
def data(workload: Workload, settings: Any) -> dict[str, TaskData]:
    return task_data(workload.name, settings, ROOT_SEED)


Train = Callable[..., Trained]


@pytest.fixture(scope="session")
def train(workload: Workload, settings: Any, data: dict[str, TaskData]) -> Train:
    """Train runs of one shard; blocks are only valid until the next one."""

    def build(runs: pa.Table, chunk_runs: int = 256, settings: Any = settings) -> Trained:
        job = TrainingJob(runs=runs, settings=settings, root_seed=ROOT_SEED, data=data)
        engine = engine_module(workload.engine).build_engine(workload, job)
        blocks = [copied(block) for block in engine.blocks(chunk_runs)]
        torch.set_flush_denormal(False)  # an engine may set it for the whole process
        return Trained(runs, blocks, engine.outcomes)

    return build


def copied(block: EpochBlock) -> EpochBlock:
    columns = {name: values.copy() for name, values in block.columns.items()}
    return replace(block, run=block.run.copy(), epoch=block.epoch.copy(), columns=columns)


def by_width(plan: pa.Table) -> Iterator[pa.Table]:
    widths = plan["n_params"].to_numpy()
    yield from (plan.take(np.flatnonzero(widths == width)) for width in np.unique(widths))


@pytest.fixture(scope="session")
def trained(workload: Workload, plan: pa.Table, train: Train) -> list[Trained]:
    return [train(runs) for runs in cut(workload, plan, plan.num_rows)]


def assert_same_rows(one: Columns, other: Columns) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.tobytes() == other[name].tobytes(), name


def assert_same_outcomes(one: Outcomes, other: Outcomes, runs: slice = slice(None)) -> None:
    for name in ("code", "epoch", "loss", "grad_norm"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name)[runs])


def test_name_is_that_of_the_registry(workload: Workload) -> None:
    assert WORKLOADS[workload.name] is workload


def test_plan_is_a_pure_function(workload: Workload, settings: Any, plan: pa.Table) -> None:
    assert workload.plan(settings, ROOT_SEED).equals(plan)
    other = workload.plan(settings, ROOT_SEED + 1)
    assert not set(other["run_id"].to_pylist()) & set(plan["run_id"].to_pylist())


def test_plan_holds_what_is_known_beforehand(workload: Workload, plan: pa.Table) -> None:
    made_by_training = {"outcome", "outcome_epoch", "final_loss", "final_grad_norm"}
    known = set(RUNS.names) - made_by_training - {"engine", "engine_version"}
    assert known <= set(plan.column_names)
    assert {*workload.shard_columns, *workload.order_columns} <= set(plan.column_names)
    assert all(plan[name].null_count == 0 for name in plan.column_names)


@pytest.mark.parametrize("fewer", [1, 2, 5, 7])
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


def doubled(value: Any) -> Any:
    """Return another threshold, of one task or of each, or another range to draw it from."""
    if isinstance(value, dict):
        return {task: doubled(each) for task, each in value.items()}
    if isinstance(value, tuple):
        return tuple(doubled(each) for each in value)
    return 2 * value


@pytest.mark.parametrize("name", ["epsilon", "delta", "max_epochs", "divergence_loss"])
def test_run_id_changes_with_every_threshold(
    workload: Workload, settings: Any, plan: pa.Table, name: str
) -> None:
    if not hasattr(settings, name):
        pytest.skip(f"{workload.name} has no {name} to set")
    value = doubled(getattr(settings, name))
    changed = workload.plan(replace(settings, **{name: value}), ROOT_SEED)
    assert not set(changed["run_id"].to_pylist()) & set(plan["run_id"].to_pylist())
    assert changed["lineage_id"].equals(plan["lineage_id"])


def test_shards_hold_every_run_once_and_agree_where_they_must(
    workload: Workload, plan: pa.Table
) -> None:
    shards = list(cut(workload, plan, 3))
    assert sorted(run for shard in shards for run in shard["run_id"].to_pylist()) == sorted(
        plan["run_id"].to_pylist()
    )
    for shard in shards:
        frame = shard.to_pandas()
        assert 1 <= len(frame) <= 3
        assert (frame[[*workload.shard_columns, "n_params"]].nunique() == 1).all()
        ordered = frame.sort_values(list(workload.order_columns), kind="stable")
        assert not workload.order_columns or ordered.index.is_monotonic_increasing


@pytest.mark.parametrize("workload", TRAINED, indirect=True)
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


def test_tensors_cover_every_parameter(workload: Workload, plan: pa.Table) -> None:
    kinds = set(zip(plan["architecture"].to_pylist(), plan["n_params"].to_pylist(), strict=True))
    for architecture, n_params in kinds:
        tensors = workload.tensors(architecture)
        assert sum(tensor.size for tensor in tensors) == n_params
        assert len({tensor.name for tensor in tensors}) == len(tensors)
        blocks = workload.block_of_param(architecture)
        assert len(blocks) == n_params
        assert set(blocks) == set(range(max(blocks, default=-1) + 1))


def test_tasks_are_pure_functions_with_examples_held_out(
    workload: Workload, settings: Any, plan: pa.Table, data: dict[str, TaskData]
) -> None:
    again = task_data(workload.name, settings, ROOT_SEED)
    tasks = set(plan["task"].to_pylist())
    assert set(workload.sources(settings)) <= set(data) <= tasks
    for task, examples in data.items():
        for name in ("inputs", "targets", "valid_inputs", "valid_targets"):
            values = getattr(examples, name)
            assert values.tobytes() == getattr(again[task], name).tobytes()
            assert values.dtype in {np.dtype(np.float32), np.dtype(np.int64)}
        assert len(examples.inputs) == len(examples.targets)
        assert len(examples.valid_inputs) == len(examples.valid_targets) > 0
        (n_examples,) = {run["n_examples"] for run in plan.to_pylist() if run["task"] == task}
        assert len(examples.inputs) == n_examples


@pytest.mark.parametrize("chunk_runs", [1, 3])
def test_same_seed_gives_the_same_bytes_whatever_the_chunk(
    trained: list[Trained], train: Train, chunk_runs: int
) -> None:
    for part in trained:
        again = train(part.runs, chunk_runs)
        assert_same_rows(again.columns, part.columns)
        assert_same_outcomes(again.outcomes, part.outcomes)


def test_a_run_has_the_same_bytes_whatever_its_shard(trained: list[Trained], train: Train) -> None:
    for part in trained:
        half = part.runs.num_rows // 2
        tail = train(part.runs.slice(half))
        rows = len(tail.epoch)
        whole = {name: values[-rows:] for name, values in part.columns.items()}
        assert_same_rows(tail.columns, whole)
        assert_same_outcomes(tail.outcomes, part.outcomes, slice(half, None))


@pytest.mark.parametrize("workload", LOCKSTEP, indirect=True)
@pytest.mark.parametrize("lanes", [2, 3, 16])
def test_a_run_has_the_same_bytes_whatever_the_lanes(
    trained: list[Trained], train: Train, settings: Any, lanes: int
) -> None:
    for part in trained:
        again = train(part.runs, settings=replace(settings, lanes=lanes))
        assert_same_rows(again.columns, part.columns)
        assert_same_outcomes(again.outcomes, part.outcomes)


def test_columns_are_those_of_the_schema(workload: Workload, trained: list[Trained]) -> None:
    for part in trained:
        (architecture,) = set(part.runs["architecture"].to_pylist()[:1])
        n_params, n_tensors = part.runs["n_params"][0].as_py(), len(workload.tensors(architecture))
        schema = epochs_schema(n_params, workload.measures, n_tensors)
        assert set(part.columns) == set(schema.names) - {"run_id", "epoch"}
        for name, values in part.columns.items():
            kind = schema.field(name).type
            width = (kind.list_size,) if pa.types.is_fixed_size_list(kind) else ()
            assert values.shape == (len(part.epoch), *width)
            assert values.dtype == np.float32


@pytest.mark.parametrize("workload", TRAINED, indirect=True)
def test_first_row_is_the_initialisation(workload: Workload, trained: list[Trained]) -> None:
    for part in trained:
        columns = {name: values[part.epoch == 0] for name, values in part.columns.items()}
        initial = workload.initial_params(part.runs, ROOT_SEED)
        if "tensor_statistics" in columns:
            assert_initial_statistics(workload, part, columns["tensor_statistics"], initial)
        elif "params" in columns:
            np.testing.assert_array_equal(columns["params"], initial)
        else:
            scalars = [columns[f"param_{i}"] for i in range(initial.shape[1])]
            np.testing.assert_array_equal(np.stack(scalars, axis=1), initial)
        for name in ("update_norm", "path_length", "probe_kl"):
            assert (columns[name] == 0).all()


def assert_initial_statistics(
    workload: Workload, part: Trained, statistics: np.ndarray, initial: np.ndarray
) -> None:
    tensors = workload.tensors(part.runs["architecture"][0].as_py())
    parts = np.split(initial, np.cumsum([tensor.size for tensor in tensors])[:-1], axis=1)
    found = statistics.reshape(len(initial), len(tensors), len(TENSOR_STATISTICS))
    by_name = dict(zip(TENSOR_STATISTICS, np.moveaxis(found, 2, 0), strict=True))
    norms = np.stack([np.linalg.norm(each, axis=1) for each in parts], axis=1)
    np.testing.assert_allclose(by_name["norm"], norms, rtol=1e-5)
    assert (by_name["distance_from_start"] == 0).all()
    assert (by_name["update_norm"] == 0).all()


def test_losses_are_finite_or_the_run_diverged(trained: list[Trained]) -> None:
    for part in trained:
        diverged = part.outcomes.code == OUTCOMES.index(Outcome.DIVERGED)
        for block in part.blocks:
            last = np.append(np.flatnonzero(np.diff(block.run)), block.run.size - 1)
            rows = [values.reshape(block.run.size, -1) for values in block.columns.values()]
            bad = ~np.isfinite(np.concatenate(rows, axis=1)).all(axis=1)
            assert set(np.flatnonzero(bad)) <= set(last)
            assert set(block.run[bad]) <= set(np.flatnonzero(diverged) - block.first_run)


def test_every_run_ends_with_a_known_outcome(
    workload: Workload, trained: list[Trained], settings: Any
) -> None:
    codes = np.concatenate([part.outcomes.code for part in trained])
    assert set(codes.tolist()) <= set(range(len(OUTCOMES)))
    if Outcome.CONVERGED in workload.outcomes:
        assert np.mean(codes == OUTCOMES.index(Outcome.CONVERGED)) > 0.1
    shortest, longest = np.min(settings.max_epochs), np.max(settings.max_epochs)
    for part in trained:
        ended, found = part.outcomes, part.columns
        ends = np.append(np.flatnonzero(np.diff(part.epoch) < 0), len(part.epoch) - 1)
        np.testing.assert_array_equal(ended.epoch, part.epoch[ends])
        np.testing.assert_array_equal(ended.loss.astype(np.float32), found["loss"][ends])
        assert (ended.epoch <= part.runs["max_epochs"].to_numpy()).all()
        for run, code in zip(part.runs.to_pylist(), ended.code, strict=True):
            assert OUTCOMES[code] in Outcome
            assert shortest <= run["max_epochs"] <= longest


def test_a_run_converges_when_its_loss_falls_below_epsilon(trained: list[Trained]) -> None:
    for part in trained:
        lengths = part.outcomes.epoch + 1
        epsilon = np.repeat(part.runs["epsilon"].to_numpy(), lengths)
        converged = np.repeat(part.outcomes.code == OUTCOMES.index(Outcome.CONVERGED), lengths)
        is_last = np.append(np.diff(part.epoch) < 0, True)
        np.testing.assert_array_equal(
            part.columns["loss"] < epsilon.astype(np.float32), converged & is_last
        )


def first_batch(run: Run, runs: pa.Table, number: int) -> np.ndarray:
    """Return the examples of a lockstep run's first step."""
    n = run["n_examples"]
    if run["batch_size"] == n:
        return np.arange(n)
    order = np.empty((1, n), dtype=np.int64)
    key = order_keys(runs.slice(number, 1), ROOT_SEED)
    shuffled_orders(key, np.zeros(1, dtype=np.int64), order)
    return order[0, : run["batch_size"]]


@pytest.mark.parametrize("workload", TRAINED, indirect=True)
def test_loss_and_gradient_agree_with_autograd(
    workload: Workload, trained: list[Trained], data: dict[str, TaskData]
) -> None:
    missing = f"add the loss of {workload.name} in PyTorch to LOSSES in losses_in_torch.py"
    assert workload.name in LOSSES, missing
    reference, rtol = LOSSES[workload.name]
    for part in trained:
        params = workload.initial_params(part.runs, ROOT_SEED)
        first = {name: values[part.epoch == 0] for name, values in part.columns.items()}
        for number, run in enumerate(part.runs.to_pylist()):
            theta, task = torch.tensor(params[number]), data.get(run["task"])
            loss, gradient = reference(run, theta.clone(), task, None)
            if workload.engine == "lockstep":
                batch = first_batch(run, part.runs, number)
                _, gradient = reference(run, theta.clone(), task, batch)
            np.testing.assert_allclose(first["loss"][number], loss, rtol=rtol)
            np.testing.assert_allclose(first["grad_norm"][number], gradient.norm(), rtol=rtol)
