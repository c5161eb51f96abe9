"""States of runs and the rows to answer, against a loop over rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.dynamics.targets import plateau_epoch
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.histories import LAST, histories, horizons, rows_to_answer
from epochs_left.prediction.rows import Rows
from epochs_left.prediction.runs import Runs, in_order

TARGET = 0.5
losses = st.lists(
    st.lists(st.sampled_from([1.0, 0.4, np.nan, np.inf, -np.inf, None]), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


def runs_of(curves: list[list[float | None]]) -> Runs:
    flat = [value for curve in curves for value in curve]
    epoch = [t for curve in curves for t in range(len(curve))]
    rows = Rows(
        run=np.repeat(np.arange(len(curves)), [len(curve) for curve in curves]),
        row=np.arange(len(flat)),
        epoch=np.array(epoch),
        loss=np.array([np.nan if value is None else value for value in flat]),
        measured=np.array([value is not None for value in flat]),
        numbers={},
        labels={},
        params=None,
    )
    return in_order(rows, [str(i) for i in range(len(curves))])


@given(losses)
def test_states_agree_with_a_loop(curves: list[list[float | None]]) -> None:
    found = histories(runs_of(curves), Aim(target=TARGET))
    reached, diverged, seen = [], [], []
    for curve in curves:
        state, count = "running", 0
        for value in curve:
            count += value is not None
            if state == "running" and value is not None:
                if not np.isfinite(value):
                    state = "diverged"
                elif value <= TARGET:
                    state = "reached"
            reached.append(state == "reached")
            diverged.append(state == "diverged")
            seen.append(count)
    assert found.reached.tolist() == reached
    assert found.diverged.tolist() == diverged
    assert found.seen.tolist() == seen
    assert not found.ended.any()
    assert not found.aimless.any()


@given(curves=losses, horizon=st.integers(1, 9), share=st.sampled_from([0.01, 0.5]))
def test_a_plateau_is_known_from_the_horizon_on(
    curves: list[list[float | None]], horizon: int, share: float
) -> None:
    found = histories(runs_of(curves), Aim(plateau=share, horizon=horizon))
    reached, ended, diverged = [], [], []
    for curve in curves:
        seen: list[float] = []
        state = "running"
        for t, value in enumerate(curve):
            if value is not None and t <= horizon:
                seen.append(value)
            if state == "running" and value is not None and not np.isfinite(value):
                state = "diverged"
            if state == "running" and t >= horizon:
                there = bool(seen) and plateau_epoch(np.array(seen), share) is not None
                state = "reached" if there else "ended"
            reached.append(state == "reached")
            ended.append(state == "ended")
            diverged.append(state == "diverged")
    assert found.reached.tolist() == reached
    assert found.ended.tolist() == ended
    assert found.diverged.tolist() == diverged


def test_the_horizon_of_the_log_goes_before_that_of_the_question() -> None:
    runs = runs_of([[1.0, 0.5, 0.5], [1.0, 0.5, 0.5]])
    stated = replace(
        runs, rows=replace(runs.rows, numbers={"horizon": np.array([2.0] * 3 + [np.nan] * 3)})
    )
    assert horizons(stated, Aim(target=1.0, horizon=7)).tolist() == [2, 7]
    unsaid = histories(stated, Aim(plateau=0.1))
    assert unsaid.aimless.tolist() == [False] * 3 + [True] * 3
    assert not unsaid.predictable[3:].any()


@given(curves=losses, at=st.one_of(st.just(LAST), st.integers(0, 9)))
def test_rows_to_answer_agree_with_a_loop(curves: list[list[float | None]], at: int | str) -> None:
    expected, start = [], 0
    for curve in curves:
        limit = len(curve) - 1 if at == LAST else int(at)
        fallback = start + len(curve) - 1 if at == LAST else -1
        known = [t for t, value in enumerate(curve) if value is not None and t <= limit]
        expected.append(start + known[-1] if known else fallback)
        start += len(curve)
    assert rows_to_answer(runs_of(curves), at).tolist() == expected


def test_every_row_is_answered_unless_told_otherwise() -> None:
    assert rows_to_answer(runs_of([[1.0, None], [np.nan]]), None).tolist() == [0, 1, 2]


@pytest.mark.parametrize("both", [{}, {"target": 1.0, "plateau": 0.1}])
def test_an_aim_is_a_loss_or_a_plateau(both: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a target or a plateau"):
        Aim(**both)
