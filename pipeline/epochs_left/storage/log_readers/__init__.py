"""Readers of frameworks' logs: one file a reader, one decorated class registers it.

A reader is found by the name and the first bytes of a file, or by what lies below a folder; where
several would do, the first in alphabetical order reads it. Whatever a framework writes, a reader
hands out the rows of a tidy table in which epoch t means t passes done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol, TypeVar

import pyarrow as pa

from epochs_left.registry import Registry

EPOCH, STEP = "epoch", "step"


def time_of(columns: Sequence[str]) -> str:
    """Return the column that rows are counted by where these columns are asked for."""
    return EPOCH if EPOCH in columns else STEP


class Source(Protocol):
    """The rows of one run."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""

    @property
    def shifted(self) -> bool:
        """Whether 1 is added to epochs, and to steps, since the writer counts them from 0."""

    def n_entries(self, columns: Sequence[str]) -> int | None:
        """Return how many entries the rows of `batches` are made of; None where a row is one."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows in tables that hold those of ``columns`` that are there."""


class LogReader(ABC):
    """What a framework writes.

    Attributes
    ----------
    title
        Name of the framework's logger, for people.
    pattern
        Glob pattern of the names of its files, which are looked for below a folder; None where a
        file has to be named.
    remark
        What was done to the values, for people.
    """

    title: ClassVar[str]
    pattern: ClassVar[str | None] = None
    remark: ClassVar[str]

    @abstractmethod
    def recognises(self, name: str, head: bytes) -> bool:
        """Return whether a file with this name (empty for a pipe) and these first bytes is one."""

    @abstractmethod
    def read(self, files: Sequence[BinaryIO]) -> Source:
        """Return the rows of one run, from its files in order.

        Raises
        ------
        DataError
            If they are not what the framework writes.
        """

    def run_folder(self, file: Path) -> Path | None:
        """Return the folder that a run is called after; None where it is the file itself."""
        return file.parent

    def files_of_run(self, found: Sequence[Path]) -> Sequence[Path]:
        """Return those of the files of one run that are to be read, in order."""
        return found


LOG_READERS: Registry[LogReader] = Registry("log reader", __name__)

Reader = TypeVar("Reader", bound=type[LogReader])


def log_reader(kind: Reader) -> Reader:
    """Register a reader under the name of its module."""
    LOG_READERS.add(kind.__module__.rpartition(".")[2], kind())
    return kind


def reader_of(name: str, head: bytes) -> LogReader | None:
    """Return the reader of a file with this name and these first bytes, if there is one."""
    return next((r for _, r in LOG_READERS.items() if r.recognises(name, head)), None)


def runs_below(folder: Path) -> tuple[LogReader, dict[str, Sequence[Path]]] | None:
    """Return the first reader that finds runs below a folder, and their files by their names."""
    for reader in map(LOG_READERS.__getitem__, LOG_READERS):
        found = sorted(folder.rglob(reader.pattern)) if reader.pattern else []
        by_run: dict[str, list[Path]] = {}
        for file in found:
            if file.is_file():
                by_run.setdefault(_run_name(reader, file, folder), []).append(file)
        if by_run:
            return reader, {name: reader.files_of_run(files) for name, files in by_run.items()}
    return None


def run_name(reader: LogReader, file: Path | None) -> str | None:
    """Return the name of the run that a single file holds; None where it says none, as a pipe."""
    folder = None if file is None else reader.run_folder(file.absolute())
    return None if folder is None else folder.name


def _run_name(reader: LogReader, file: Path, folder: Path) -> str:
    """Return the path of a run's folder, seen from the folder that the user named."""
    run = reader.run_folder(file) or file
    return run.relative_to(folder).as_posix() if folder in run.parents else run.resolve().name
