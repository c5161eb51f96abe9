"""Branches: a run continued from its state, with its own sample orders and with others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from epochs_left.config import parse_settings
from epochs_left.errors import UsageError
from epochs_left.schema import OUTCOMES
from epochs_left.simulation import neuron
from epochs_left.simulation.branching import (
    BRANCHES,
    BranchingModule,
    States,
    branch_keys,
    branch_runs,
    sample_states,
)
from epochs_left.simulation.engine import Outcomes, TrainingJob, engine_module
from epochs_left.simulation.planning import task_data
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.storage.run_store import RunStore
from epochs_left.workloads import WORKLOADS, TaskData
from epochs_left.workloads._sweep import order_keys
from epochs_left.workloads.neuron import NeuronSettings

ROOT_SEED = 5
#: Every family whose engine has sample orders.
FAMILIES = [
    name
    for name, workload in WORKLOADS.items()
    if hasattr(engine_module(workload.engine), "branch_outcomes")
]
#: Where the small settings of other tests would leave out a kind of run.
OVERRIDES: dict[str, dict[str, Any]] = {
    "char_lm": {"fixed_share": 0.0, "architectures": {"1x16": 1, "2x32": 1}},
    "resnet": {"fixed_share": 0.0},
}
#: Runs that are branched, and the kinds of state that must be among them.
BRANCHED = {"neuron": 96, "mlp": 24, "resnet": 4, "char_lm": 6}
KINDS: dict[str, dict[str, set[str]]] = {
    "neuron": {"optimizer": {"sgd", "momentum", "nesterov"}},
    "mlp": {
        "optimizer": {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"},
        "lr_schedule": {"constant", "cosine", "step", "one_cycle"},
    },
    "resnet": {"architecture": {"resnet8-w4-bn", "resnet8-w4-gn"}},
    "char_lm": {"architecture": {"1x16", "2x32"}},
}


@dataclass(frozen=True)
class Family:
    """Runs of a family that have been trained to their end."""

    name: str
    settings: Any
    data: dict[str, TaskData]
    runs: pa.Table

    def branch(self, row: int, epoch: int, keys: np.ndarray) -> Outcomes:
        workload = WORKLOADS[self.name]
        module: BranchingModule = engine_module(workload.engine)  # type: ignore[assignment]
        job = TrainingJob(
            runs=self.runs.slice(row, 1),
            settings=self.settings,
            root_seed=ROOT_SEED,
            data=self.data,
        )
        return module.branch_outcomes(workload, job, epoch, keys)

    def own_key(self, row: int) -> np.ndarray:
        return order_keys(self.runs.slice(row, 1), ROOT_SEED)

    def other_keys(self, row: int, epoch: int, n: int) -> np.ndarray:
        return branch_keys(self.runs["run_id"][row].as_py(), epoch, n, ROOT_SEED)


def train_family(name: str, settings: Any, root: Any) -> Family:
    folder = root / name
    execution = Execution()
    work = root / "work"
    simulate_family(name, settings, ROOT_SEED, folder=folder, work_root=work, execution=execution)
    return Family(name, settings, task_data(name, settings, ROOT_SEED), RunStore(folder).runs())


@pytest.fixture(scope="module", params=FAMILIES)
def family(
    request: pytest.FixtureRequest,
    small_params: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Family:
    name = request.param
    kind = WORKLOADS[name].settings_type
    settings = parse_settings(kind, {**small_params[name], **OVERRIDES.get(name, {})}, name)
    return train_family(name, settings, tmp_path_factory.mktemp(name))


def some_states(family: Family) -> Iterator[tuple[int, int]]:
    """Yield (row, epoch) of the first epoch, the last one before the end, and one between."""
    ends = family.runs["outcome_epoch"].to_numpy()
    rng = np.random.default_rng(0)
    for row in rng.permutation(np.flatnonzero(ends > 0))[: BRANCHED[family.name]].tolist():
        yield from {(row, 0), (row, int(rng.integers(ends[row]))), (row, int(ends[row]) - 1)}


def end_of(outcomes: Outcomes, branch: int) -> tuple[bytes, ...]:
    """Return all that is said of how a branch ended; NaN equals NaN."""
    return (
        OUTCOMES[outcomes.code[branch]].value.encode(),
        int(outcomes.epoch[branch]).to_bytes(4, "big"),
        outcomes.loss[branch].tobytes(),
        outcomes.grad_norm[branch].tobytes(),
    )


def end_of_run(run: dict[str, Any]) -> tuple[bytes, ...]:
    return (
        run["outcome"].encode(),
        run["outcome_epoch"].to_bytes(4, "big"),
        np.float64(run["final_loss"]).tobytes(),
        np.float64(run["final_grad_norm"]).tobytes(),
    )


def test_a_branch_with_the_runs_own_orders_is_the_run_bit_for_bit(family: Family) -> None:
    """Whatever state it has: moments, running statistics, steps taken; and beside any others."""
    runs = family.runs.to_pylist()
    for row, epoch in some_states(family):
        others = family.other_keys(row, epoch, 2)
        found = family.branch(row, epoch, np.concatenate([others, family.own_key(row)]))
        assert end_of(found, 2) == end_of_run(runs[row]), (runs[row], epoch)


def test_every_kind_of_run_is_branched(family: Family) -> None:
    branched = family.runs.take(sorted({row for row, _ in some_states(family)}))
    for column, values in KINDS[family.name].items():
        assert values <= set(branched[column].to_pylist())


def test_a_branch_does_not_depend_on_the_others(family: Family) -> None:
    for row, epoch in list(some_states(family))[::4]:
        keys = family.other_keys(row, epoch, 5)
        together = family.branch(row, epoch, keys)
        for first, last in ((0, 1), (2, 5)):
            found = family.branch(row, epoch, keys[first:last])
            for branch in range(last - first):
                assert end_of(found, branch) == end_of(together, first + branch)


def test_other_orders_end_otherwise(family: Family) -> None:
    """In minibatches; in full batch there is no order."""
    small = family.runs["batch_size"].to_numpy() < family.runs["n_examples"].to_numpy()
    losses = {True: [0], False: [0]}
    for row, epoch in list(some_states(family))[::3]:
        found = family.branch(row, epoch, family.other_keys(row, epoch, 3))
        losses[bool(small[row])].append(np.unique(found.loss[np.isfinite(found.loss)]).size)
    assert max(losses[True]) == 3
    assert max(losses[False]) <= 1


# Tables of branches


@pytest.fixture(scope="module")
def online(
    neuron_settings: Callable[..., NeuronSettings], tmp_path_factory: pytest.TempPathFactory
) -> Family:
    settings = neuron_settings(
        runs=4_000, runs_per_shard=4_000, runs_per_lineage=2, full_batch_share=0.2, lr=[0.02, 0.4]
    )
    return train_family("neuron", settings, tmp_path_factory.mktemp("online"))


def branches_of(family: Family, states: States, n_branches: int, **options: Any) -> pa.Table:
    return branch_runs(family.name, family.settings, ROOT_SEED, states, n_branches, **options)


def test_the_table_says_how_each_branch_ended(online: Family) -> None:
    states = sample_states(online.runs, 6, ROOT_SEED)
    table = branches_of(online, states, 3)
    assert table.schema == BRANCHES
    assert table["run_id"].to_pylist() == np.repeat(states.runs["run_id"].to_pylist(), 3).tolist()
    assert table["epoch"].to_pylist() == np.repeat(states.epochs, 3).tolist()
    assert table["branch"].to_pylist() == [0, 1, 2] * 6
    assert np.all(table["outcome_epoch"].to_numpy() > table["epoch"].to_numpy())
    found = Family("neuron", online.settings, {}, states.runs)
    for state, epoch in enumerate(states.epochs.tolist()):
        outcomes = found.branch(state, epoch, found.other_keys(state, epoch, 3))
        rows = table.slice(3 * state, 3)
        assert rows["outcome"].to_pylist() == [OUTCOMES[code].value for code in outcomes.code]
        assert rows["outcome_epoch"].to_pylist() == outcomes.epoch.tolist()


def test_more_branches_and_states_never_change_others(online: Family) -> None:
    states = sample_states(online.runs, 5, ROOT_SEED)
    some = States(runs=states.runs.slice(2, 2), epochs=states.epochs[2:4])
    many = branches_of(online, states, 6).to_pylist()
    few = branches_of(online, some, 4).to_pylist()
    assert few == [row for row in many[12:24] if row["branch"] < 4]


def test_nothing_depends_on_the_order_in_which_states_are_done(online: Family) -> None:
    def reverse(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
        return reversed(list(items))

    states = sample_states(online.runs, 5, ROOT_SEED)
    once = branches_of(online, states, 2)
    assert branches_of(online, states, 2, progress=reverse).equals(once)


def test_in_full_batch_branches_are_the_run_and_are_not_trained(
    online: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*arguments: Any) -> Outcomes:
        raise AssertionError("a full-batch run was trained again")

    monkeypatch.setattr(neuron, "branch_outcomes", train)
    full = np.flatnonzero(online.runs["batch_size"].to_numpy() == 4)
    runs = online.runs.take(full[online.runs["outcome_epoch"].to_numpy()[full] > 0][:50])
    table = branches_of(online, States(runs=runs, epochs=np.zeros(50, dtype=int)), 2)
    for name in ("outcome", "outcome_epoch"):
        assert table[name].to_pylist() == np.repeat(runs[name].to_pylist(), 2).tolist()


def test_no_states_have_no_branches(online: Family) -> None:
    none = States(runs=online.runs.slice(0, 0), epochs=np.zeros(0, dtype=int))
    assert branches_of(online, none, 2).equals(BRANCHES.empty_table())


def test_an_engine_without_sample_orders_is_refused(
    online: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(neuron, "branch_outcomes")
    with pytest.raises(UsageError, match="runs of neuron cannot be branched"):
        branches_of(online, sample_states(online.runs, 1, ROOT_SEED), 2)


@pytest.mark.parametrize("beyond", [-1, 0, 3])
def test_a_state_lies_before_the_runs_end(online: Family, beyond: int) -> None:
    end = int(online.runs["outcome_epoch"][0].as_py())
    epoch = -1 if beyond < 0 else end + beyond
    with pytest.raises(ValueError, match=rf"expected epochs in \[0, {end}\).*got {epoch}"):
        States(runs=online.runs.slice(0, 1), epochs=np.array([epoch]))


def test_a_run_is_one_more_draw_from_its_branches(online: Family) -> None:
    """The law behind the ceiling: E (Y - mean of K branches)^2 = (1 + 1/K) E Var(Y | state)."""
    k = 8
    states = sample_states(online.runs, 600, ROOT_SEED)
    table = branches_of(online, states, k)
    remaining = (table["outcome_epoch"].to_numpy() - table["epoch"].to_numpy()).reshape(-1, k)
    converged = np.array(table["outcome"].to_pylist()).reshape(-1, k) == "converged"
    whole = converged.all(axis=1)
    assert whole.mean() > 0.95
    y = np.log1p(remaining[whole])
    own = np.log1p(states.runs["outcome_epoch"].to_numpy() - states.epochs)[whole]
    squares, within = (own - y.mean(axis=1)) ** 2, y.var(axis=1, ddof=1)
    excess = squares - (1 + 1 / k) * within
    assert within.mean() > 1e-3
    assert abs(excess.mean()) < 3 * excess.std(ddof=1) / np.sqrt(excess.size)


# Samples of states


def test_sampled_states_are_of_converged_minibatch_runs(online: Family) -> None:
    states = sample_states(online.runs, 200, ROOT_SEED)
    assert states.runs.num_rows == 200
    assert set(states.runs["outcome"].to_pylist()) == {"converged"}
    assert set(states.runs["batch_size"].to_pylist()) == {1}
    assert len(set(states.runs["lineage_id"].to_pylist())) == 200
    # epochs are uniform over a run: their position within it is too
    position = (states.epochs + 0.5) / states.runs["outcome_epoch"].to_numpy()
    assert position.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * 200))


def test_fewer_lineages_give_fewer_states(online: Family) -> None:
    some = online.runs.slice(0, 20)
    states = sample_states(some, 200, ROOT_SEED)
    assert 0 < states.runs.num_rows <= len(set(some["lineage_id"].to_pylist())) == 10


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_does_not_depend_on_the_order_of_the_runs(online: Family, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(online.runs.num_rows)
    one, other = (sample_states(each, 30, seed) for each in (online.runs, online.runs.take(order)))
    assert one.runs.equals(other.runs)
    np.testing.assert_array_equal(one.epochs, other.epochs)


def test_more_states_keep_the_first_ones(online: Family) -> None:
    few, many = (sample_states(online.runs, n, ROOT_SEED) for n in (10, 40))
    assert many.runs.slice(0, 10).equals(few.runs)
    np.testing.assert_array_equal(many.epochs[:10], few.epochs)


def test_every_run_has_the_same_chance_whatever_its_lineage(online: Family) -> None:
    """Lineages of one to four runs; 2 states of 60 runs, drawn 400 times."""
    runs = online.runs.slice(0, 60)
    size = np.arange(60) % 10  # runs 0 to 3 of each ten share a lineage, 4 to 6, 7 and 8, 9
    group = np.searchsorted([4, 7, 9], size, side="right")
    lineage = [f"{i // 10}-{g}" for i, g in enumerate(group)]
    ids = [f"{i:016x}" for i in range(60)]
    for name, values in (
        ("lineage_id", lineage),
        ("run_id", ids),
        ("outcome", ["converged"] * 60),
        ("batch_size", [1] * 60),
        ("outcome_epoch", [9] * 60),
    ):
        at = runs.column_names.index(name)
        runs = runs.set_column(
            at, runs.schema.field(name), pa.array(values, runs.schema.field(name).type)
        )
    counts = np.zeros(4)
    for seed in range(400):
        drawn = sample_states(runs, 2, seed).runs["run_id"].to_pylist()
        np.add.at(counts, group[[int(name, 16) for name in drawn]], 1)
    expected = 800 * np.array([4, 3, 2, 1]) / 10
    np.testing.assert_allclose(counts, expected, atol=4 * np.sqrt(expected.max()))
