"""Grouping rows into runs, against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.errors import DataError
from epochs_left.prediction import runs as module
from epochs_left.prediction.rows import Rows, concatenated
from epochs_left.prediction.runs import (
    InterleavedRunsError,
    all_rows,
    in_order,
    n_out_of_order,
    whole_runs,
)

NAMES = [f"run-{i}" for i in range(10)]


def rows_of(runs: list[int], epochs: list[int] | None = None) -> Rows:
    n_rows = len(runs)
    return Rows(
        run=np.array(runs, dtype=np.int64),
        row=np.arange(1, n_rows + 1),
        epoch=np.arange(n_rows) if epochs is None else np.array(epochs),
        loss=np.arange(n_rows, dtype=float),
        measured=np.ones(n_rows, dtype=bool),
        numbers={"lr": np.arange(n_rows, dtype=float)},
        labels={"optimizer": np.arange(n_rows)},
        params=None,
    )


def batches(rows: Rows, size: int) -> list[Rows]:
    return [rows.take(np.arange(len(rows))[i : i + size]) for i in range(0, len(rows), size)]


lengths = st.lists(st.integers(1, 12), min_size=1, max_size=10)


@given(lengths=lengths, size=st.integers(1, 20))
def test_pieces_hold_whole_runs_and_lose_nothing(lengths: list[int], size: int) -> None:
    rows = rows_of(np.repeat(np.arange(len(lengths)), lengths).tolist())
    pieces = list(whole_runs(batches(rows, size)))
    seen = [set(piece.run.tolist()) for piece in pieces]
    assert sum(map(len, seen)) == len(lengths), "a run in two pieces"
    np.testing.assert_array_equal(concatenated(pieces).row, rows.row)


@given(lengths=lengths, size=st.integers(1, 20))
def test_no_piece_is_held_longer_than_its_run_lasts(lengths: list[int], size: int) -> None:
    rows = rows_of(np.repeat(np.arange(len(lengths)), lengths).tolist())
    for piece in whole_runs(batches(rows, size)):
        assert len(piece) <= size + max(lengths)


@given(runs=st.lists(st.integers(0, 3), min_size=1, max_size=30), size=st.integers(1, 8))
def test_interleaved_runs_are_whole_or_noticed(runs: list[int], size: int) -> None:
    order = list(dict.fromkeys(runs))
    rows = rows_of([order.index(run) for run in runs])
    try:
        pieces = list(whole_runs(batches(rows, size)))
    except InterleavedRunsError:
        pieces = list(all_rows(batches(rows, size)))
    found = [run for piece in pieces for run in np.unique(piece.run).tolist()]
    assert sorted(found) == sorted(set(found)), "a run in two pieces"
    assert sum(map(len, pieces)) == len(rows)


@given(st.permutations(range(12)))
def test_any_order_is_put_right(order: list[int]) -> None:
    rows = rows_of([0] * 5 + [1] * 4 + [2] * 3, [4, 5, 6, 7, 8, 0, 2, 4, 6, 1, 3, 9])
    runs = in_order(rows.take(np.array(order)), NAMES)
    np.testing.assert_array_equal(runs.rows.row, rows.row)
    np.testing.assert_array_equal(runs.starts, [0, 5, 9])
    np.testing.assert_array_equal(runs.lengths, [5, 4, 3])


def test_interleaving_alone_is_not_out_of_order() -> None:
    assert n_out_of_order(rows_of([0, 1, 0, 1], [0, 0, 1, 1])) == 0
    assert n_out_of_order(rows_of([0, 1, 0, 1], [1, 0, 0, 1])) == 1


def test_a_repeated_epoch_names_both_rows() -> None:
    rows = rows_of([0, 1, 0, 1, 1], [0, 3, 1, 5, 3])
    with pytest.raises(DataError, match=r"data rows 2 and 5: run 'run-1' has epoch 3 twice"):
        in_order(rows, NAMES)


@given(lengths=lengths, data=st.data())
def test_first_since_and_count_agree_with_a_loop(lengths: list[int], data: st.DataObject) -> None:
    n_rows = sum(lengths)
    flags = np.array(data.draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows)))
    runs = in_order(rows_of(np.repeat(np.arange(len(lengths)), lengths).tolist()), NAMES)
    since, count, first = [], [], []
    for start, length in zip(runs.starts, runs.lengths, strict=True):
        part = flags[start : start + length]
        first.append(start + (int(part.argmax()) if part.any() else length))
        since += [bool(part[: i + 1].any()) for i in range(length)]
        count += [int(part[: i + 1].sum()) for i in range(length)]
    np.testing.assert_array_equal(runs.first(flags), first)
    np.testing.assert_array_equal(runs.since(runs.first(flags)), since)
    np.testing.assert_array_equal(runs.count(flags), count)


@pytest.mark.parametrize("gather", [whole_runs, all_rows])
def test_what_is_held_is_bounded(gather: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD_CELLS", 100)
    rows = rows_of([0] * 50)
    with pytest.raises(DataError, match="sort the rows by run"):
        list(gather(batches(rows, 5)))  # type: ignore[operator]


def test_runs_of_a_long_log_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD_CELLS", 100)
    rows = rows_of(np.repeat(np.arange(20), 10).tolist())
    assert sum(map(len, whole_runs(batches(rows, 5)))) == 200


@given(lengths=lengths, max_rows=st.integers(1, 30))
def test_groups_of_runs_are_bounded_and_lose_nothing(lengths: list[int], max_rows: int) -> None:
    rows = rows_of(np.repeat(np.arange(len(lengths)), lengths).tolist())
    pieces = list(in_order(rows, NAMES).pieces(max_rows))
    np.testing.assert_array_equal(concatenated([piece.rows for piece in pieces]).row, rows.row)
    assert [n for piece in pieces for n in piece.lengths] == lengths
    for piece in pieces:
        assert len(piece.rows) <= max_rows or piece.lengths.size == 1
        np.testing.assert_array_equal(piece.starts, np.cumsum(piece.lengths) - piece.lengths)


def test_a_run_too_long_to_look_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RUN_ROWS", 4)
    in_order(rows_of([0] * 4), NAMES)
    with pytest.raises(DataError, match=r"run 'run-1': expected at most 4 rows .* found 5"):
        in_order(rows_of([0] * 4 + [1] * 5), NAMES)


@pytest.mark.parametrize(
    ("gather", "runs"),
    [
        (whole_runs, [0] * 200),
        (whole_runs, [0] * 3 + [1] * 200),
        (all_rows, [0] * 200),
        (all_rows, [0, 1] * 100),
        (all_rows, [0] * 3 + [1] * 200),
    ],
)
def test_a_run_too_long_is_refused_while_it_is_read(
    gather: object, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the rows after the bound no more than a batch is asked for: they may fill the memory."""
    monkeypatch.setattr(module, "MAX_RUN_ROWS", 20)
    rows, n_read = rows_of(runs), 0

    def read() -> object:
        nonlocal n_read
        for batch in batches(rows, 5):
            n_read += len(batch)
            yield batch

    first = runs.index(max(runs, key=runs.count)) + 1
    message = rf"data row {first}: expected at most 20 rows in the run that begins there, got 2\d"
    with pytest.raises(DataError, match=message):
        list(gather(read()))  # type: ignore[operator]
    assert n_read <= (50 if runs[:2] == [0, 1] else 30)


@pytest.mark.parametrize("gather", [whole_runs, all_rows])
def test_runs_of_the_longest_length_are_read(
    gather: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RUN_ROWS", 20)
    rows = rows_of(np.repeat(np.arange(6), 20).tolist())
    assert sum(map(len, gather(batches(rows, 7)))) == 120  # type: ignore[operator]
