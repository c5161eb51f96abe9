"""Tables and results as files."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochs_left.errors import InputOutputError, IntegrityError
from epochs_left.storage.tables import (
    read_json,
    read_result,
    read_table,
    result_files,
    write_json,
    write_result,
    write_table,
)

TABLE = pa.table({"run_id": ["a", "b", None], "epoch": [0, 1, 2], "loss": [1.0, math.inf, None]})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tables_become_the_row_groups_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.parquet"
    assert write_table(path, iter([TABLE, TABLE.slice(1)])) == 5
    assert read_table(path).to_pylist()[3:] == TABLE.slice(1).to_pylist()
    assert pq.ParquetFile(path).num_row_groups == 2
    assert read_table(path, ["epoch"]).column_names == ["epoch"]
    assert names(path.parent) == ["a.parquet"]


def test_no_table_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows to write"):
        write_table(tmp_path / "a.parquet", [])
    assert names(tmp_path) == []


@pytest.mark.parametrize("failure", [RuntimeError("bug"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_the_old_table(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, [TABLE])

    def half() -> Iterator[pa.Table]:
        yield TABLE.slice(2)
        raise failure

    with pytest.raises(type(failure)):
        write_table(path, half())
    assert read_table(path).num_rows == 3
    assert names(tmp_path) == ["a.parquet"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from epochs_left.stages._command import run_stage
from epochs_left.storage.tables import write_table

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
table = pa.table({"loss": np.random.default_rng(0).random(100_000)})
run_stage(lambda: write_table(Path(sys.argv[1]), [table]))
"""


def test_full_disk_leaves_the_old_table_and_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, [TABLE])
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == InputOutputError.exit_code
    assert len(done.stderr.splitlines()) == 1
    assert read_table(path).num_rows == 3
    assert names(tmp_path) == ["a.parquet"]


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é"]}, [], 3])
def test_plain_data_are_read_back(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "deep" / "a.json", value)
    assert read_json(tmp_path / "deep" / "a.json") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"a": -math.inf}]])
def test_json_holds_no_nan(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert names(tmp_path) == []


def test_results_are_written_as_their_names_say(tmp_path: Path) -> None:
    write_result(tmp_path / "a.parquet", TABLE.slice(0, 1))
    write_result(tmp_path / "b.json", {"a": 1})
    (tmp_path / ".hidden").touch()
    found = {path.name: read_result(path) for path in result_files(tmp_path)}
    assert list(found) == ["a.parquet", "b.json"]
    assert found["a.parquet"].equals(TABLE.slice(0, 1))
    assert found["b.json"] == {"a": 1}


@pytest.mark.parametrize("read", [read_json, read_table, result_files])
def test_what_is_missing_says_how_to_make_it(tmp_path: Path, read: object) -> None:
    with pytest.raises(InputOutputError, match=r"nowhere.*: No such file.*; run `dvc repro` first"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize("read", [read_json, read_table])
@pytest.mark.parametrize("data", [b"", b"{", b"PAR1 but no more", b"\xff\xfe"])
def test_what_is_damaged_says_so(tmp_path: Path, read: object, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"a is damaged: .*`dvc repro`"):
        read(tmp_path / "a")


def test_a_flipped_byte_in_a_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, [pa.table({"n": list(range(10_000))})])
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x01
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        read_table(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write, value in ((write_json, 1), (write_table, [TABLE])):
        with pytest.raises(InputOutputError, match="cannot make the folder"):
            write(tmp_path / "file" / "a.json", value)
