"""Reading results that may be missing, empty or partly null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Row = Mapping[str, Any]


class Results:
    """Loaded results by file name.

    Parameters
    ----------
    loaded
        Parsed JSON or `pyarrow.Table` by file name or file stem. A stem stands for ``.parquet`` if
        the value is a table and for ``.json`` otherwise.
    """

    def __init__(self, loaded: Mapping[str, Any]) -> None:
        self._loaded = {_file_name(name, value): value for name, value in loaded.items()}

    def __contains__(self, name: str) -> bool:
        """Tell whether the file was there."""
        return name in self._loaded

    def rows(self, name: str) -> list[Row]:
        """Return the objects of a JSON list; empty if there are none."""
        value = self._loaded.get(name)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []

    def record(self, name: str) -> Row:
        """Return a JSON object; empty if there is none."""
        return mapping(self._loaded.get(name))

    def numbers(self, name: str, column: str) -> NDArray[np.float64]:
        """Return a Parquet column as floats: NaN for null, all NaN if the column is missing."""
        found = self._column(name, column)
        if found is None or not _is_numeric(found.type):
            return np.full(self._n_rows(name), np.nan)
        return np.asarray(found.cast(pa.float64()).to_numpy(), dtype=np.float64)

    def texts(self, name: str, column: str) -> NDArray[np.object_]:
        """Return a Parquet column as strings: "" for null, all "" if the column is missing."""
        found = self._column(name, column)
        values = [None] * self._n_rows(name) if found is None else found.to_pylist()
        return np.array(["" if value is None else str(value) for value in values], dtype=object)

    def has_folder(self, folder: str) -> bool:
        """Tell whether any result lies in a folder."""
        return any(name.startswith(f"{folder}/") for name in self._loaded)

    def below(self, folder: str) -> Results:
        """Return the results of a folder under their plain names."""
        start = f"{folder}/"
        return Results(
            {
                name.removeprefix(start): value
                for name, value in self._loaded.items()
                if name.startswith(start)
            }
        )

    def _column(self, name: str, column: str) -> pa.ChunkedArray | None:
        table = self._loaded.get(name)
        if not isinstance(table, pa.Table) or column not in table.column_names:
            return None
        return table.column(column)

    def _n_rows(self, name: str) -> int:
        table = self._loaded.get(name)
        return table.num_rows if isinstance(table, pa.Table) else 0


def number(value: object) -> float | None:
    """Return a finite float, or None for whatever is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(value: object) -> int:
    """Return a count, 0 for whatever is not a number."""
    return int(number(value) or 0)


def mapping(value: object) -> Row:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return ``value`` if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def word(value: object, missing: str = "unknown") -> str:
    """Return ``value`` as a name, ``missing`` for null."""
    return missing if value is None or value == "" else str(value)


def _file_name(name: str, value: object) -> str:
    if name.endswith((".json", ".parquet")):
        return name
    return f"{name}.parquet" if isinstance(value, pa.Table) else f"{name}.json"


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
