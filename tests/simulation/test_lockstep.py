"""The lockstep engine: its independence of the block, outcomes, and blocks."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochs_left.dynamics.criterion import (
    CAPPED,
    CONVERGED,
    DIVERGED,
    RUNNING,
    STUCK,
    outcome_code,
)
from epochs_left.simulation.engine import EpochBlock
from epochs_left.workloads.mlp import ACTIVATIONS, MlpSettings

HELPERS = runpy.run_path(str(Path(__file__).parent / "lockstep_runs.py"))
Task, Trained, TASKS, SQUARE, N_TRAIN = (
    HELPERS[name] for name in ("Task", "Trained", "TASKS", "SQUARE", "N_TRAIN")
)
make_run, draw_runs, train = (HELPERS[name] for name in ("make_run", "draw_runs", "train"))
Run = dict[str, Any]
Rows = dict[str, np.ndarray]


def assert_same_bytes(one: Rows, other: Rows, what: object) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype == np.float32
        assert values.tobytes() == other[name].tobytes(), (name, what)


EPSILONS = {"binary": 0.6, "cross_entropy": 1.3, "squared": 0.9, "square": 2.0}


@pytest.fixture(scope="module", params=[*TASKS, "square"])
def mixed(
    request: pytest.FixtureRequest, lockstep_settings: MlpSettings
) -> tuple[Task, list[Run], Trained]:
    """Runs of every activation and batch size, of different lengths, trained in one block."""
    task = TASKS.get(request.param, SQUARE)
    # some runs end early: lanes are taken by others while the rest still train
    runs = draw_runs(task, 24, 5, epsilon=EPSILONS[request.param])
    kinds = itertools.cycle(itertools.product([1, 8, N_TRAIN], ACTIVATIONS))
    for run, (batch_size, activation) in zip(runs, kinds, strict=False):
        run.update(batch_size=batch_size, activation=activation, lr=5 * run["lr"])
    trained = train(task, runs, lockstep_settings)
    assert len(set(trained.outcomes.epoch.tolist())) > 2
    return task, runs, trained


Mixed = tuple[Task, list[Run], Trained]


@pytest.mark.parametrize("lanes", [2, 3, 5, 8])
def test_rows_do_not_depend_on_the_number_of_lanes(
    mixed: Mixed, lockstep_settings: MlpSettings, lanes: int
) -> None:
    task, runs, expected = mixed
    found = train(task, runs, replace(lockstep_settings, lanes=lanes))
    for run, (one, other) in enumerate(zip(found.rows(), expected.rows(), strict=True)):
        assert_same_bytes(one, other, runs[run])
        assert found.outcome(run) == expected.outcome(run)


@pytest.mark.parametrize("seed", range(3))
def test_rows_do_not_depend_on_the_order_of_the_runs(
    mixed: Mixed, lockstep_settings: MlpSettings, seed: int
) -> None:
    task, runs, expected = mixed
    order = np.random.default_rng(seed).permutation(len(runs))
    shuffled = [runs[i] for i in order]
    found = train(task, shuffled, replace(lockstep_settings, lanes=5))
    for place, (run, rows) in enumerate(zip(order, found.rows(), strict=True)):
        assert_same_bytes(rows, expected.rows()[run], runs[run])
        assert found.outcome(place) == expected.outcome(run)


@pytest.mark.parametrize("seed", range(3))
def test_rows_do_not_depend_on_which_runs_share_the_block(
    mixed: Mixed, lockstep_settings: MlpSettings, seed: int
) -> None:
    task, runs, expected = mixed
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(len(runs), size=7, replace=False))
    found = train(task, [runs[i] for i in some], replace(lockstep_settings, lanes=4))
    for run, rows in zip(some, found.rows(), strict=True):
        assert_same_bytes(rows, expected.rows()[run], runs[run])


def test_a_run_alone_has_the_same_bytes(mixed: Mixed, lockstep_settings: MlpSettings) -> None:
    task, runs, expected = mixed
    for run in range(0, len(runs), 2):
        (rows,) = train(task, [runs[run]], lockstep_settings).rows()
        assert_same_bytes(rows, expected.rows()[run], runs[run])


@pytest.mark.parametrize("lanes", [2, 4, 32])
@pytest.mark.parametrize("lr", [1e12, 1e25])
def test_a_neighbour_that_diverges_changes_nothing(
    mixed: Mixed, lockstep_settings: MlpSettings, lanes: int, lr: float
) -> None:
    """Neither with infinities and NaN beside the others, nor by the lane that it leaves."""
    task, runs, expected = mixed
    others = [
        make_run(
            task,
            900 + i,
            lr=lr,
            activation=name,
            init_scheme="normal",  # which starts above epsilon
            epsilon=runs[i]["epsilon"],
            batch_size=runs[i]["batch_size"],
        )
        for i, name in enumerate(["tanh", "gelu", "abs", "tanh"])
    ]
    placed = [*others[:2], *runs[:6], *others[2:], *runs[6:]]
    found = train(task, placed, replace(lockstep_settings, lanes=lanes))
    codes = found.outcomes.code
    assert (codes[[0, 1, 8, 9]] == DIVERGED).all()
    kept = [*range(2, 8), *range(10, len(placed))]
    for run, place in enumerate(kept):
        assert_same_bytes(found.rows()[place], expected.rows()[run], runs[run])
        assert found.outcome(place) == expected.outcome(run)


@pytest.mark.parametrize("n_runs", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("lanes", [2, 4])
def test_lanes_without_a_run_do_no_harm(
    lockstep_settings: MlpSettings, n_runs: int, lanes: int
) -> None:
    """Runs end at the cap together, and the last ones have idle lanes beside them."""
    task = TASKS["binary"]
    runs = [make_run(task, number) for number in range(n_runs)]
    together = train(task, runs, replace(lockstep_settings, lanes=lanes))
    assert (together.outcomes.code == CAPPED).all()
    for run, rows in zip(runs, together.rows(), strict=True):
        assert_same_bytes(rows, train(task, [run], lockstep_settings).rows()[0], run)


# Outcomes


def limits_of(run: Run, settings: MlpSettings) -> tuple[float, float, float, int]:
    delta = run["delta"] if run["batch_size"] == N_TRAIN else 0.0
    return run["epsilon"], delta, settings.divergence_loss, run["max_epochs"]


@pytest.mark.parametrize("seed", range(3))
def test_a_run_ends_at_the_first_epoch_at_which_the_criterion_holds(
    lockstep_settings: MlpSettings, seed: int
) -> None:
    task, settings = TASKS["squared"], replace(lockstep_settings, divergence_loss=4.0)
    runs = draw_runs(task, 60, seed, epsilon=0.7, delta=1.6, max_epochs=6)
    for number, run in enumerate(runs):
        run["lr"] *= [0.01, 1, 30][number % 3]
    trained = train(task, runs, settings)
    for number, (run, rows) in enumerate(zip(runs, trained.rows(), strict=True)):
        limits = limits_of(run, settings)
        pairs = zip(rows["loss"].tolist(), rows["grad_norm"].tolist(), strict=True)
        codes = [outcome_code(*pair, epoch, *limits) for epoch, pair in enumerate(pairs)]
        assert codes[:-1] == [RUNNING] * (len(codes) - 1)
        found = trained.outcomes
        assert (found.code[number], found.epoch[number]) == (codes[-1], len(codes) - 1)
        for name, last in (("loss", found.loss), ("grad_norm", found.grad_norm)):
            np.testing.assert_array_equal(last[number].astype(np.float32), rows[name][-1])
    assert set(trained.outcomes.code.tolist()) == {CONVERGED, STUCK, CAPPED, DIVERGED}


@pytest.mark.parametrize("max_epochs", [1, 5])
def test_a_capped_run_has_a_row_an_epoch_up_to_the_cap(
    lockstep_settings: MlpSettings, max_epochs: int
) -> None:
    task = TASKS["binary"]
    runs = draw_runs(task, 6, 1, max_epochs=max_epochs)
    trained = train(task, runs, lockstep_settings)
    assert (trained.outcomes.code == CAPPED).all()
    assert (trained.outcomes.epoch == max_epochs).all()
    assert all(len(rows["loss"]) == max_epochs + 1 for rows in trained.rows())


def test_only_a_full_batch_run_can_be_stuck(lockstep_settings: MlpSettings) -> None:
    """A minibatch's gradient says nothing of the loss's."""
    task = TASKS["cross_entropy"]
    runs = [make_run(task, i, batch_size=(1, 8, N_TRAIN)[i % 3], delta=1e3) for i in range(6)]
    outcomes = train(task, runs, lockstep_settings).outcomes
    assert outcomes.code.tolist() == [CAPPED, CAPPED, STUCK] * 2
    assert outcomes.epoch.tolist() == [4, 4, 0] * 2


def test_a_run_that_is_both_converged_and_stuck_is_converged(
    lockstep_settings: MlpSettings,
) -> None:
    task = TASKS["binary"]
    run = make_run(task, 0, batch_size=N_TRAIN, delta=1e3, epsilon=1e3)
    outcomes = train(task, [run], lockstep_settings).outcomes
    assert (outcomes.code.tolist(), outcomes.epoch.tolist()) == ([CONVERGED], [0])


def test_a_diverged_run_keeps_its_first_bad_epoch(lockstep_settings: MlpSettings) -> None:
    task = TASKS["squared"]
    runs = [make_run(task, i, lr=lr, activation="relu") for i, lr in enumerate((1e25, 3.0, 0.01))]
    trained = train(task, runs, lockstep_settings)
    assert trained.outcomes.code.tolist() == [DIVERGED, DIVERGED, CAPPED]
    for rows in trained.rows()[:2]:
        assert (rows["loss"][:-1] <= 1e6).all()
        assert not rows["loss"][-1] <= 1e6
    assert trained.outcomes.epoch[0] == 1


def test_outcomes_of_all_runs_are_there_at_the_end(mixed: Mixed) -> None:
    _, runs, trained = mixed
    assert trained.outcomes.code.shape == (len(runs),)
    assert (trained.outcomes.code != RUNNING).all()
    lengths = [len(rows["loss"]) for rows in trained.rows()]
    np.testing.assert_array_equal(trained.outcomes.epoch + 1, lengths)


# Blocks


def joined(blocks: Sequence[EpochBlock]) -> Mapping[str, np.ndarray]:
    names = blocks[0].columns
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in names}


def run_bytes(block: EpochBlock) -> np.ndarray:
    """Return the bytes of each run of a block."""
    row = sum(values[0].nbytes for values in block.columns.values())
    return row * np.bincount(block.run, minlength=block.n_runs)


@pytest.mark.parametrize("block_bytes", [1, 5_000, 20_000, 1 << 30])
def test_blocks_hold_whole_runs_in_order(
    mixed: Mixed, lockstep_settings: MlpSettings, block_bytes: int
) -> None:
    task, runs, _ = mixed
    runs = sorted(runs, key=lambda run: run["batch_size"])
    whole = train(task, runs, lockstep_settings, block_bytes=1 << 40)
    assert len(whole.blocks) == 1
    trained = train(task, runs, replace(lockstep_settings, lanes=3), block_bytes=block_bytes)
    firsts = np.cumsum([0, *[block.n_runs for block in trained.blocks]])
    assert [block.first_run for block in trained.blocks] == firsts[:-1].tolist()
    assert firsts[-1] == len(runs)
    for block in trained.blocks:
        members = slice(block.first_run, block.first_run + block.n_runs)
        lengths = trained.outcomes.epoch[members] + 1
        np.testing.assert_array_equal(block.run, np.repeat(np.arange(block.n_runs), lengths))
        np.testing.assert_array_equal(block.epoch, np.concatenate([np.arange(n) for n in lengths]))
        assert {block.run.dtype, block.epoch.dtype} == {np.dtype(np.int32)}
    for name, values in joined(whole.blocks).items():
        assert joined(trained.blocks)[name].tobytes() == values.tobytes()


@pytest.mark.parametrize("block_bytes", [1, 5_000, 20_000])
def test_a_block_is_closed_by_the_run_that_fills_it(
    mixed: Mixed, lockstep_settings: MlpSettings, block_bytes: int
) -> None:
    """Or a slow first run would make one block, and one row group, of all that follow it."""
    task, runs, _ = mixed
    slow = make_run(task, 77, lr=1e-6, epsilon=runs[0]["epsilon"])
    quick = [{**run, "batch_size": 8} for run in runs]
    trained = train(task, [slow, *quick], lockstep_settings, block_bytes=block_bytes)
    for block in trained.blocks[:-1]:
        sizes = run_bytes(block)
        assert sizes.sum() >= block_bytes
        assert sizes[:-1].sum() < block_bytes
    assert run_bytes(trained.blocks[-1])[:-1].sum() < block_bytes


@pytest.mark.parametrize("lanes", [2, 5])
def test_where_blocks_end_does_not_depend_on_the_lanes(
    mixed: Mixed, lockstep_settings: MlpSettings, lanes: int
) -> None:
    """Blocks are row groups: the bytes of the file depend on them."""
    task, runs, _ = mixed
    ends = [
        [block.n_runs for block in train(task, runs, each, block_bytes=10_000).blocks]
        for each in (lockstep_settings, replace(lockstep_settings, lanes=lanes))
    ]
    assert ends[0] == ends[1]


def test_path_length_is_the_sum_of_the_updates(mixed: Mixed) -> None:
    _, _, trained = mixed
    for rows in trained.rows():
        moves = np.linalg.norm(np.diff(rows["params"].astype(np.float64), axis=0), axis=1)
        np.testing.assert_allclose(rows["update_norm"], [0, *moves], rtol=1e-4)
        np.testing.assert_allclose(rows["path_length"], np.cumsum(rows["update_norm"]), rtol=1e-5)
