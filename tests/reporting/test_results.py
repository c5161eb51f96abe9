from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from epochs_left.reporting.content import MAX_ROWS, column, table
from epochs_left.reporting.predictions import decade_bins, read_predictions
from epochs_left.reporting.results import Results, number

TABLE = pa.table({"x": pa.array([1, None, 3]), "name": ["a", None, "c"]})


def test_null_numbers_are_nan_and_null_names_are_empty() -> None:
    results = Results({"t": TABLE})
    np.testing.assert_array_equal(results.numbers("t.parquet", "x"), [1, np.nan, 3])
    assert list(results.texts("t.parquet", "name")) == ["a", "", "c"]


def test_a_missing_column_is_as_long_as_its_table() -> None:
    results = Results({"t": TABLE})
    assert np.isnan(results.numbers("t.parquet", "absent")).tolist() == [True] * 3
    assert np.isnan(results.numbers("t.parquet", "name")).tolist() == [True] * 3
    assert list(results.texts("t.parquet", "absent")) == [""] * 3


def test_a_missing_file_is_empty() -> None:
    results = Results({})
    assert "t.parquet" not in results
    assert results.numbers("t.parquet", "x").size == 0
    assert results.rows("r.json") == []
    assert results.record("r.json") == {}


def test_files_of_one_stem_are_told_apart_by_what_they_hold() -> None:
    results = Results({"p.json": {"n": 3}, "p": TABLE})
    assert results.record("p.json") == {"n": 3}
    assert results.numbers("p.parquet", "x").size == 3


@pytest.mark.parametrize("value", [None, True, "1", float("inf"), float("nan"), [1]])
def test_only_finite_numbers_are_numbers(value: object) -> None:
    assert number(value) is None


def test_predictions_that_cannot_be_compared_are_left_out() -> None:
    actual = [4.0, 0.0, None, 8.0, 2.0]
    predicted = [8.0, 1.0, 1.0, None, 0.0]
    rows = read_predictions(
        Results({"predictions": pa.table({"actual": actual, "predicted": predicted})})
    )
    assert rows["actual"].tolist() == [4.0, 2.0]
    np.testing.assert_allclose(rows.log_factor, np.log10([2.0, 0.25]))
    np.testing.assert_allclose(rows.relative_error, [1.0, 1.0])


def test_bins_hold_every_value_once() -> None:
    logs = np.random.default_rng(3).normal(1.0, 1.0, 500)
    bins = list(decade_bins(logs))
    assert np.sum([inside for _, _, inside in bins], axis=0).tolist() == [1] * 500
    assert all(
        (logs[inside] >= low).all() and (logs[inside] < high).all() for low, high, inside in bins
    )


def test_a_table_says_how_many_rows_it_leaves_out() -> None:
    full = table("t", "c", [column("n", "integer")], ([i] for i in range(MAX_ROWS + 7)))
    assert (len(full["rows"]), full["omitted"]) == (MAX_ROWS, 7)


def test_a_row_with_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 2 cells"):
        table("t", "c", [column("a"), column("b")], [["only one"]])
