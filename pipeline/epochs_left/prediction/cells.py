"""Arrow columns as numpy arrays; what is no number is named with its column and row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.errors import DataError

#: Code of a name that is missing.
UNNAMED = -1
#: Words for a value that is not there, as spreadsheets and data frames write them.
_MISSING_WORDS = pa.array(["", "NA", "N/A", "<NA>", "null", "NULL", "None", "none"])
_SHOWN = 40


@dataclass(frozen=True)
class Column:
    """One column of a batch.

    Parameters
    ----------
    name
        Its name in the log.
    values
        Arrow values, shape ``(n,)``.
    first_row
        Rows of the log before the batch.
    """

    name: str
    values: pa.ChunkedArray
    first_row: int

    def error(self, index: int, expected: str, remedy: str) -> DataError:
        """Return the error that names the cell at ``index`` of the batch and shows its value."""
        found = self.values[index].as_py()
        shown = repr(found) if isinstance(found, (str, bytes)) else str(found)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        return self.error_at(index, f"expected {expected}, got {shown}; {remedy}")

    def error_at(self, index: int, message: str) -> DataError:
        """Return an error that names the cell at ``index`` of the batch."""
        return DataError(f"column {self.name!r}, data row {self.first_row + index + 1}: {message}")

    def numbers(self) -> tuple[FloatArray, BoolArray]:
        """Return the values as float64, NaN where missing, and where they are not missing.

        Raises
        ------
        DataError
            If a value is no number, or the column is of a type that holds none.
        """
        found = self._floats()
        measured = np.asarray(pc.is_valid(found))
        return np.asarray(pc.fill_null(found, np.nan), dtype=np.float64), measured

    def codes(self, names: Names) -> IntArray:
        """Return codes of the values as ``names``, `UNNAMED` where missing or empty.

        Raises
        ------
        DataError
            If the values cannot be written as text.
        """
        encoded = self._encoded()
        texts = encoded.dictionary.to_pylist()
        used = np.asarray(pc.drop_null(pc.unique(encoded.indices)))
        lookup = np.full(len(texts) + 1, UNNAMED, dtype=np.int64)
        used = used[[bool(texts[code]) for code in used]]
        lookup[used] = names.encode([texts[code] for code in used])
        codes: IntArray = lookup[np.asarray(pc.fill_null(encoded.indices, len(texts)))]
        return codes

    def vectors(self) -> FloatArray:
        """Return lists of numbers as rows, shape ``(n, P)``; NaN where a list is missing.

        Raises
        ------
        DataError
            If the lists differ in length, or hold something else than numbers.
        """
        kind = self.values.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or _is_fixed(kind)):
            raise self._wrong_type("lists of numbers")
        lists = _one_array(self.values)
        present = np.flatnonzero(np.asarray(pc.is_valid(lists)))
        lengths = np.asarray(pc.list_value_length(lists.take(pa.array(present))))
        width = int(lengths[0]) if lengths.size else 0
        if (odd := np.flatnonzero(lengths != width)).size:
            raise self.error_at(
                int(present[odd[0]]),
                f"expected {width} parameters as in the rows before, got {lengths[odd[0]]}; "
                "give every row the same number",
            )
        cells = Column(self.name, pa.chunked_array([pc.list_flatten(lists)]), self.first_row)
        vectors = np.full((len(lists), width), np.nan)
        vectors[present] = cells.numbers()[0].reshape(present.size, width)
        return vectors

    def _floats(self) -> pa.ChunkedArray:
        values = self.values
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        kind = values.type
        if _is_text(kind):
            return self._parsed(values)
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if is_number or pa.types.is_decimal(kind) or pa.types.is_null(kind):
            return values.cast(pa.float64(), safe=False)
        raise self._wrong_type("numbers")

    def _parsed(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Parse text; the careful way is slower and taken only where the plain one fails."""
        texts = texts.cast(pa.large_string())
        plain = pc.if_else(pc.equal(texts, ""), None, texts)
        try:
            return plain.cast(pa.float64())
        except pa.ArrowInvalid:
            trimmed = pc.utf8_trim_whitespace(texts)
            missing = pc.is_in(trimmed, value_set=_MISSING_WORDS.cast(pa.large_string()))
            words = pc.if_else(missing, None, trimmed)
        try:
            return words.cast(pa.float64())
        except pa.ArrowInvalid:
            raise self.error(
                _first_unparsable(words), "a number", "correct the value or leave it empty"
            ) from None

    def _encoded(self) -> pa.DictionaryArray:
        """Return the values as a dictionary array of distinct texts."""
        values = self.values
        try:
            if pa.types.is_dictionary(values.type):
                whole = _one_array(values.unify_dictionaries())
                distinct = whole.dictionary.cast(pa.large_string()).dictionary_encode()
                indices = distinct.indices.take(whole.indices)
                return pa.DictionaryArray.from_arrays(indices, distinct.dictionary)
            return _one_array(values.cast(pa.large_string())).dictionary_encode()
        except pa.ArrowException:
            raise self._wrong_type("names or numbers") from None

    def _wrong_type(self, expected: str) -> DataError:
        return DataError(
            f"column {self.name!r}: expected {expected}, found the type {self.values.type}; "
            "convert the column"
        )


@dataclass
class Names:
    """Names as codes, in the order in which they first appear in the log."""

    texts: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)

    def encode(self, names: Sequence[str]) -> IntArray:
        """Return the code of each name; new names get the next codes."""
        for name in names:
            if name not in self._codes:
                self._codes[name] = len(self.texts)
                self.texts.append(name)
        return np.array([self._codes[name] for name in names], dtype=np.int64)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _one_array(values: pa.ChunkedArray) -> Any:
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)


def _first_unparsable(texts: pa.ChunkedArray) -> int:
    """Return the index of the first text that is no number, by halving."""
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            texts.slice(low, middle - low).cast(pa.float64())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
