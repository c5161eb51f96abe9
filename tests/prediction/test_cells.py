"""Every way to write a number or a name gives the same array, or an error that names the cell."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.errors import DataError
from epochs_left.prediction.cells import UNNAMED, Column, Names


def column(values: pa.Array, first_row: int = 0) -> Column:
    return Column("x", pa.chunked_array([values]), first_row)


NUMBER_TYPES = [
    pa.int8(),
    pa.uint16(),
    pa.int64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(25, 2),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
]


@pytest.mark.parametrize("kind", NUMBER_TYPES, ids=str)
@pytest.mark.parametrize("as_dictionary", [False, True])
def test_numbers_of_any_type_are_the_same(kind: pa.DataType, as_dictionary: bool) -> None:
    plain = pa.array([3, None, 0, 7], pa.int64())
    values = plain.cast(pa.string()).cast(kind) if "string" in str(kind) else plain.cast(kind)
    if as_dictionary and kind not in {pa.float16(), pa.string_view()}:
        values = values.dictionary_encode()
    numbers, measured = column(values).numbers()
    np.testing.assert_array_equal(numbers, [3, np.nan, 0, 7])
    np.testing.assert_array_equal(measured, [True, False, True, True])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_text_of_a_number_is_that_number(values: list[float]) -> None:
    numbers, _ = column(pa.array([repr(v) for v in values], pa.string())).numbers()
    np.testing.assert_array_equal(numbers, values)


@pytest.mark.parametrize("missing", ["", " ", "NA", "N/A", "<NA>", "null", "None", None])
def test_words_for_missing_are_missing(missing: str | None) -> None:
    numbers, measured = column(pa.array(["1", missing, " 2 "], pa.string())).numbers()
    np.testing.assert_array_equal(numbers, [1, np.nan, 2])
    np.testing.assert_array_equal(measured, [True, False, True])


@given(before=st.lists(st.sampled_from(["1", "2.5", "nan", "", "1e400"]), max_size=50))
def test_the_first_text_that_is_no_number_is_named(before: list[str]) -> None:
    values = pa.array([*before, "abc", "1", "def"], pa.string())
    expected = rf"column 'x', data row {11 + len(before)}: expected a number, got 'abc'"
    with pytest.raises(DataError, match=expected):
        column(values, first_row=10).numbers()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False]),
        pa.array([{"a": 1}]),
        pa.array([[1.0]]),
        pa.array([b"1"]),
        pa.array([0], pa.timestamp("s")),
    ],
    ids=lambda values: str(values.type),
)
def test_a_type_without_numbers_is_named(values: pa.Array) -> None:
    with pytest.raises(DataError, match="column 'x': expected numbers, found the type"):
        column(values).numbers()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_names_get_codes_in_order_of_appearance(kind: pa.DataType) -> None:
    names = Names()
    first = column(pa.array(["b", "a", None, "", "b"], kind)).codes(names)
    second = column(pa.array(["c", "a"], kind)).codes(names)
    assert first.tolist() == [0, 1, UNNAMED, UNNAMED, 0]
    assert second.tolist() == [2, 1]
    assert names.texts == ["b", "a", "c"]


def test_an_encoding_with_unused_and_repeated_names_is_the_plain_column() -> None:
    encoded = pa.DictionaryArray.from_arrays(
        pa.array([2, 0, None, 3, 1]), pa.array(["a", "a", "b", None, "unused"])
    )
    names = Names()
    assert column(encoded).codes(names).tolist() == [0, 1, UNNAMED, UNNAMED, 1]
    assert names.texts == ["b", "a"]


def test_numbers_can_be_names() -> None:
    names = Names()
    column(pa.array([7, 11, 7])).codes(names)
    assert names.texts == ["7", "11"]


def test_lists_of_any_kind_are_vectors() -> None:
    rows = [[1, 2], None, [3, 4]]
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.float32()), pa.list_(pa.float64(), 2)):
        vectors = column(pa.array(rows, kind)).vectors()
        np.testing.assert_array_equal(vectors, [[1, 2], [np.nan, np.nan], [3, 4]])


def test_a_sliced_list_is_its_slice() -> None:
    sliced = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).slice(1)
    np.testing.assert_array_equal(column(sliced).vectors(), [[3, 4], [5, 6]])


def test_a_vector_of_another_length_is_named() -> None:
    with pytest.raises(DataError, match=r"data row 8: expected 2 parameters .* got 3"):
        column(pa.array([[1, 2], None, [1, 2, 3]]), first_row=5).vectors()


def test_long_values_are_cut() -> None:
    with pytest.raises(DataError) as caught:
        column(pa.array(["x" * 10_000])).numbers()
    assert len(str(caught.value)) < 200


def test_text_that_is_not_utf8_is_refused() -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xe9")]
    )
    with pytest.raises(DataError, match="expected UTF-8 text"):
        column(broken).codes(Names())
    with pytest.raises(DataError, match="a number, got text that is not UTF-8"):
        column(broken).numbers()


def test_long_text_in_many_rows_is_never_written_out() -> None:
    """Written out, these would be 100 GB."""
    encoded = pa.DictionaryArray.from_arrays(
        np.r_[0, np.ones(1_000_000, dtype=np.int32)].astype(np.int32), ["1", "x" * 100_000]
    )
    with pytest.raises(DataError, match=r"data row 2: expected a number, got 'xxx"):
        column(encoded).numbers()
