"""Padded blocks of runs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.trajectories import (
    FORECAST_INPUTS,
    GEOMETRY_INPUTS,
    INPUTS,
    LOSS_INPUTS,
    MAY_BE_MISSING,
    MEASURES,
    ORACLE_INPUTS,
    SETTINGS,
    STATE_INPUTS,
    Trajectories,
    blocks_of_similar_length,
    pad,
)

SEEDS = range(5)


def test_every_kind_of_input_is_an_input() -> None:
    for kind in (ORACLE_INPUTS, MAY_BE_MISSING, LOSS_INPUTS):
        assert set(INPUTS) >= kind
    assert not LOSS_INPUTS & ORACLE_INPUTS
    parts = (MEASURES, GEOMETRY_INPUTS, STATE_INPUTS, FORECAST_INPUTS, SETTINGS)
    assert sum(map(len, parts)) == len(INPUTS)
    assert all(meaning.strip() for meaning in INPUTS.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_geometry_that_changes_with_the_rest_of_the_run_is_an_oracle_input(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths, blocks = np.array([6]), np.array([0, 0, 1])
    params = rng.normal(size=(6, 3))
    other = np.concatenate([params[:4], rng.normal(size=(2, 3))])
    found, changed = (
        trajectory_geometry(path, lengths, final=path[-1:], block_of_param=blocks, n_blocks=2)
        for path in (params, other)
    )
    oracle = {name for name in found if not np.array_equal(found[name][:4], changed[name][:4])}
    assert oracle == ORACLE_INPUTS & set(GEOMETRY_INPUTS)


def test_states_measured_against_the_end_are_oracle_inputs() -> None:
    at_end = {n for n, meaning in STATE_INPUTS.items() if "theta_T" in meaning or "end" in meaning}
    assert at_end == ORACLE_INPUTS & set(STATE_INPUTS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tail", [(), (3,)])
def test_padding_spreads_runs_over_rows(seed: int, tail: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, size=6)
    values = rng.normal(size=(lengths.sum(), *tail)).astype(np.float32)
    padded = pad(values, lengths)
    assert padded.shape == (6, lengths.max(), *tail)
    starts = np.cumsum(lengths) - lengths
    for run, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        np.testing.assert_array_equal(padded[run, :length], values[start : start + length])
        assert np.isnan(padded[run, length:]).all()


def test_no_runs_are_no_rows() -> None:
    assert pad(np.empty(0), np.empty(0, dtype=int)).shape == (0, 0)


def test_observed_cells_are_those_before_the_end_of_a_run() -> None:
    lengths = np.array([1, 3, 2])
    runs = Trajectories(lengths=lengths, inputs={"epoch": pad(np.arange(6.0), lengths)})
    assert (runs.n_runs, runs.n_epochs) == (3, 3)
    np.testing.assert_array_equal(runs.observed, ~np.isnan(runs.inputs["epoch"]))


def test_unknown_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown inputs \['los'\]"):
        Trajectories(lengths=np.array([1]), inputs={"los": np.zeros((1, 1))})


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(1, 1000))
def test_blocks_hold_every_run_once_and_stay_small(lengths: list[int], max_cells: int) -> None:
    blocks = blocks_of_similar_length(lengths, max_cells)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(len(lengths)))
    sizes = np.array(lengths)
    for block in blocks:
        assert block.size == 1 or block.size * sizes[block].max() <= max_cells


@given(st.lists(st.integers(1, 200), min_size=2, max_size=60))
def test_blocks_hold_neighbours_in_length(lengths: list[int]) -> None:
    sizes = np.array(lengths)
    blocks = [sizes[block] for block in blocks_of_similar_length(lengths, 300)]
    for shorter, longer in pairwise(blocks):
        assert shorter.max() <= longer.min()


def test_no_runs_are_no_blocks() -> None:
    assert blocks_of_similar_length([], 10) == []
