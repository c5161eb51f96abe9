"""Folders of results as one mapping, what the report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochs_left.storage.tables import read_result, result_files


def read_results(folder: Path, others: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Return every result by its path below its folder.

    Parameters
    ----------
    folder
        Results of the pipeline.
    others
        Further folders by what their paths begin with; one that is not there has no results.

    Raises
    ------
    InputOutputError
        If there is no ``folder``, or a file cannot be read.
    """
    found = _read("", folder)
    for prefix, other in (others or {}).items():
        if other.is_dir():
            found |= _read(f"{prefix}/", other)
    return found


def _read(prefix: str, folder: Path) -> dict[str, Any]:
    return {
        f"{prefix}{path.relative_to(folder).as_posix()}": read_result(path)
        for path in result_files(folder)
        if path.suffix in {".json", ".parquet"}
    }
