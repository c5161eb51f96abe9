"""`trainer_state.json` of the Hugging Face Trainer.

Its ``log_history`` is a list of entries: losses at `logging_steps`, evaluations, and a summary.
``epoch`` is the fraction of passes done, so epochs count from 1 already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from epochs_left.errors import DataError
from epochs_left.storage.log_readers import EPOCH, STEP, LogReader, log_reader
from epochs_left.storage.log_readers._entries import Entries
from epochs_left.storage.text_logs import BOM, column_of, read_bytes

_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")
#: A larger state is not read, in bytes: it is in memory as a whole, twice.
MAX_BYTES = 256 * 2**20
#: Entries times names: every column has a place for every entry.
MAX_CELLS = 50_000_000
#: Those of them that are parsed at once.
_BLOCK_CELLS = 500_000
#: A Trainer that was given a number of steps alone writes a number of epochs beyond this.
_MAX_SETTING = 10**9
_BATCH = ("train_batch_size",)
_DECODER = json.JSONDecoder()
_SPACES = frozenset(" \t\n\r")
#: Quotation marks within a text are escaped, so that this is never part of one.
_HISTORY = re.compile(r'"log_history"\s*:\s*\[')
_TIMES = {"num_train_epochs": EPOCH, "max_steps": STEP}


@log_reader
class HuggingFace(LogReader):
    """The state of a run, whole in each of its checkpoints."""

    title = "Hugging Face trainer_state.json"
    pattern = "trainer_state.json"
    remark = (
        "epochs are passes done; several entries of an epoch are one row, their mean (the last "
        "of eval_ metrics); --time-column step predicts in steps"
    )

    def recognises(self, name: str, head: bytes) -> bool:
        """Return whether JSON starts that is called so, or has a log history."""
        starts = head.removeprefix(BOM).lstrip().startswith(b"{")
        return starts and (name == self.pattern or b'"log_history": [' in head)

    def run_folder(self, file: Path) -> Path:
        """Return the output folder of the Trainer, above its checkpoints."""
        return file.parent.parent if _CHECKPOINT.match(file.parent.name) else file.parent

    def files_of_run(self, found: Sequence[Path]) -> Sequence[Path]:
        """Return the newest state: that of the folder itself, or the last checkpoint's."""

        def step(file: Path) -> float:
            checkpoint = _CHECKPOINT.match(file.parent.name)
            return int(checkpoint[1]) if checkpoint else float("inf")

        return [max(found, key=step)]

    def read(self, files: Sequence[BinaryIO]) -> Entries:
        """Return the entries of the log history."""
        (file,) = files
        values, state = _state(file)
        n = len(values[STEP])
        batch_size = {name: pa.array([size] * n) for name, size in _numbers(state, _BATCH).items()}
        horizons = {_TIMES[name]: number for name, number in _numbers(state, _TIMES).items()}
        return Entries(
            values=batch_size | values,
            counted_from=1,
            passes_done=_number(state.get("epoch")),
            horizons=horizons,
        )


def _state(file: BinaryIO) -> tuple[dict[str, pa.Array], dict[str, Any]]:
    """Return the columns of the log history, and the state without it."""
    try:
        text = read_bytes(file, MAX_BYTES).removeprefix(BOM).decode()
        opening = _HISTORY.search(text)
        if opening is None:
            raise _no_history()
        columns, end = _columns(text, opening.end())
        state = json.loads(f"{text[: opening.end()]}]{text[end:]}")
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"expected whole JSON as the Trainer writes it ({reason}); copy the file again"
        ) from error
    if isinstance(state, dict) and state.get("log_history") == []:
        return columns, state
    raise _no_history()


def _columns(text: str, at: int) -> tuple[dict[str, pa.Array], int]:
    """Return the entries of the list that opens before ``at`` as columns, and where it ends.

    They are parsed a block at a time: all at once, as objects of Python, they would take up to
    thirty times the size of the file.
    """
    blocks: list[dict[str, pa.Array]] = []
    held: list[dict[str, Any]] = []
    names: dict[str, Any] = dict.fromkeys((EPOCH, STEP))
    for n_entries, (entry, end) in enumerate(_items(text, at), start=1):
        held.append(entry)
        names.update(entry)
        at = end
        if n_entries * len(names) > MAX_CELLS:
            raise DataError(
                f"expected at most {MAX_CELLS:,} values in the log history, got "
                f"{n_entries:,} entries of {len(names):,} names or more; log less often"
            )
        if len(held) * len(names) > _BLOCK_CELLS:
            blocks.append(_block(held))
            held = []
    blocks.append(_block(held))
    return {name: _joined(name, blocks) for name in names}, text.index("]", at) + 1


def _items(text: str, at: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each object of the list that opens before ``at``, and where it ends."""
    at = _past_space(text, at)
    more = text[at : at + 1] != "]"
    while more:
        entry, at = _DECODER.raw_decode(text, at)
        if not isinstance(entry, dict):
            raise _no_history()
        yield entry, at
        at = _past_space(text, at)
        more = text[at : at + 1] == ","
        at = _past_space(text, at + 1) if more else at
    if text[at : at + 1] != "]":
        raise ValueError("a list that does not end")


def _past_space(text: str, at: int) -> int:
    """Return where the next character stands that is no space."""
    while text[at : at + 1] in _SPACES:
        at += 1
    return at


def _block(entries: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    names = dict.fromkeys([STEP, *(name for entry in entries for name in entry)])
    return {name: column_of([entry.get(name) for entry in entries]) for name in names}


def _joined(name: str, blocks: Sequence[Mapping[str, pa.Array]]) -> pa.Array:
    """Return one column of the blocks: numbers, or text where some values are no numbers."""
    parts = [block.get(name, pa.nulls(len(block[STEP]))) for block in blocks]
    kinds = {part.type for part in parts} - {pa.null()}
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.concat_arrays([part.cast(pa.float64(), safe=False) for part in parts])
    if len(kinds) == 1:
        return pa.concat_arrays([part.cast(*kinds) for part in parts])
    return column_of([value for part in parts for value in part.to_pylist()])


def _no_history() -> DataError:
    return DataError("expected a list of entries under 'log_history', found none; copy it again")


def _numbers(state: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Return those of the settings that a run can have."""
    found = {name: _number(state.get(name)) for name in names}
    return {
        name: value
        for name, value in found.items()
        if value is not None and 1 <= value <= _MAX_SETTING
    }


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number else None
    except OverflowError:  # a whole number beyond all floats
        return None
