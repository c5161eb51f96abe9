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
#: A longer text is no number.
_MAX_NUMBER_TEXT = 100
_TOO_LONG = "(long text)"
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
        return self.error_at(index, f"expected {expected}, got {self._shown(index)}; {remedy}")

    def error_at(self, index: int, message: str) -> DataError:
        """Return an error that names the cell at ``index`` of the batch."""
        row = self.first_row + index + 1
        where = f"column {self.name!r}, data row {row}"
        return DataError(f"{where}: {message}", column=self.name, row=row)

    def _shown(self, index: int) -> str:
        try:
            found = self.values[index].as_py()
        except UnicodeDecodeError:
            return "text that is not UTF-8"
        shown = repr(found) if isinstance(found, (str, bytes)) else str(found)
        return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."

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
        try:
            texts = encoded.dictionary.to_pylist()
        except UnicodeDecodeError:
            raise self._wrong("UTF-8 text", "other bytes") from None
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
            raise self._wrong("lists of numbers", f"the type {kind}")
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
        values = _decoded(self.values) if pa.types.is_dictionary(self.values.type) else self.values
        kind = values.type
        if _is_text(kind):
            return self._parsed(values)
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if is_number or pa.types.is_decimal(kind) or pa.types.is_null(kind):
            return values.cast(pa.float64(), safe=False)
        raise self._wrong("numbers", f"the type {self.values.type}")

    def _parsed(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Parse text; the careful way is slower and taken only where the plain one fails."""
        texts = texts.cast(pa.large_string())
        plain = pc.if_else(pc.equal(texts, ""), None, texts)
        try:
            return plain.cast(pa.float64())
        except pa.ArrowInvalid:
            trimmed = pc.ascii_trim_whitespace(texts)
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
            raise self._wrong("names or numbers", f"the type {self.values.type}") from None

    def _wrong(self, expected: str, found: str) -> DataError:
        return DataError(
            f"column {self.name!r}: expected {expected}, found {found}; convert the column",
            column=self.name,
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


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return an encoded column written out, long texts as `_TOO_LONG`, so that it stays small."""
    if not _is_text(values.type.value_type):
        return values.cast(values.type.value_type)
    chunks = []
    for chunk in values.chunks:
        texts = chunk.dictionary.cast(pa.large_string())
        long = pc.greater(pc.binary_length(texts), _MAX_NUMBER_TEXT)
        short = pc.if_else(long, _TOO_LONG, texts)
        chunks.append(pa.DictionaryArray.from_arrays(chunk.indices, short).dictionary_decode())
    return pa.chunked_array(chunks, pa.large_string())


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
