"""Reading users' logs: the same rows from every format, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochs_left.errors import DataError, InputOutputError, IntegrityError
from epochs_left.storage import logs, parquet_logs, text_logs
from epochs_left.storage.logs import errors_name, open_log

ROWS: list[dict[str, Any]] = [
    {"run_id": f"run {i // 5}", "epoch": i % 5, "loss": 1 / (i + 1)} for i in range(500)
]
GOOD = "run_id,epoch,loss\na,0,1\na,1,0.5\n"


def read(path: Path | str, columns: Sequence[str] | None = None, **streams: Any) -> pa.Table:
    with open_log(str(path), streams.get("stdin")) as log:
        return pa.concat_tables(log.batches(columns or log.columns), promote_options="permissive")


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_csv(rows: list[dict[str, Any]], end: str = "\n") -> str:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    return end.join(lines) + end


def as_jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, **options)
    return buffer.getvalue()


def plain(table: pa.Table) -> list[dict[str, Any]]:
    return [
        {"run_id": r["run_id"], "epoch": int(r["epoch"]), "loss": float(r["loss"])}
        for r in table.to_pylist()
    ]


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes | str]] = {
    "x.csv": as_csv,
    "x.jsonl": as_jsonl,
    "x.ndjson": as_jsonl,
    "x.json": as_jsonl,
    "x.parquet": as_parquet,
    "x.PQ": as_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("block", [100, 10**6])
def test_every_format_and_block_size_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, block: int
) -> None:
    monkeypatch.setattr(text_logs, "BLOCK_BYTES", block)
    monkeypatch.setattr(parquet_logs, "BATCH_CELLS", block)
    assert plain(read(written(tmp_path, name, WRITERS[name](ROWS)))) == ROWS


@pytest.mark.parametrize("name", WRITERS)
def test_content_tells_the_format_of_pipes_and_unknown_extensions(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, "x.log", WRITERS[name](ROWS))
    assert plain(read(path)) == ROWS
    assert plain(read("-", stdin=io.BytesIO(path.read_bytes()))) == ROWS


def test_a_pipe_larger_than_memory_goes_through_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SPOOL_BYTES", 100)
    assert plain(read("-", stdin=io.BytesIO(as_parquet(ROWS)))) == ROWS


def test_batches_of_text_and_parquet_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_logs, "BLOCK_BYTES", 300)
    monkeypatch.setattr(parquet_logs, "BATCH_CELLS", 30)
    for name, writer in WRITERS.items():
        with open_log(str(written(tmp_path, name, writer(ROWS))), None) as log:
            sizes = [batch.num_rows for batch in log.batches(log.columns)]
        assert len(sizes) > 10
        assert max(sizes) <= 30


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("last", [True, False], ids=["closed", "open"])
def test_line_ends_and_marks_never_matter(tmp_path: Path, start: str, end: str, last: bool) -> None:
    text = start + as_csv(ROWS, end)
    assert plain(read(written(tmp_path, "x.csv", text if last else text[: -len(end)]))) == ROWS


def test_blank_lines_and_blanks_in_the_header_never_matter(tmp_path: Path) -> None:
    spaced = as_csv(ROWS[:2]).replace("\n", "\n\n").replace("id,epoch,", "id , epoch,")
    assert plain(read(written(tmp_path, "x.csv", spaced))) == ROWS[:2]
    lines = as_jsonl(ROWS[:2]).replace("\n", "\n\n")
    assert plain(read(written(tmp_path, "x.jsonl", "\ufeff" + lines))) == ROWS[:2]


@settings(deadline=None)
@given(
    names=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)),
    block=st.integers(16, 64),
)
def test_any_text_survives_quoting_and_blocks(names: list[str], block: int) -> None:
    rows = [{"run_id": f"x{name}", "epoch": 0, "loss": 1.0} for name in names]
    quoted = [{**row, "run_id": '"{}"'.format(row["run_id"].replace('"', '""'))} for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_logs, "BLOCK_BYTES", block)
        patch.setattr(text_logs, "MAX_LINE_BYTES", 10**6)
        header = "run_id,epoch,loss\n"
        text = header + "".join(",".join(map(str, row.values())) + "\n" for row in quoted)
        found = read("-", stdin=io.BytesIO(text.encode()))
        lines = as_jsonl(rows) or "{}\n"
        from_json = read("-", ["run_id"], stdin=io.BytesIO(lines.encode()))
    assert found["run_id"].to_pylist() == [row["run_id"] for row in rows]
    if rows:
        assert from_json["run_id"].to_pylist() == [row["run_id"] for row in rows]


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    for name, writer in WRITERS.items():
        table = read(written(tmp_path, name, writer(ROWS)), ["loss", "run_id", "absent"])
        assert sorted(table.column_names) == ["loss", "run_id"]


def test_json_keeps_what_arrow_would_reinterpret(tmp_path: Path) -> None:
    rows = [
        {"run_id": "2024-05-01", "epoch": 0, "loss": float("nan")},
        {"run_id": "2024-05-02", "epoch": 1, "loss": float("inf")},
        {"run_id": "x", "epoch": 10**30, "loss": "text"},
    ]
    table = read(written(tmp_path, "x.jsonl", as_jsonl(rows)))
    assert table["run_id"].to_pylist() == ["2024-05-01", "2024-05-02", "x"]
    assert table["loss"].to_pylist() == ["NaN", "Infinity", "text"]


def test_a_key_that_comes_and_goes_is_missing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_logs, "BLOCK_BYTES", 40)
    rows = [{"loss": 1.0}, {"loss": 2.0, "lr": 0.1}, {"loss": 3.0}]
    table = read(written(tmp_path, "x.jsonl", as_jsonl(rows)), ["loss", "lr"])
    assert table["lr"].to_pylist() == [None, 0.1, None]


def test_header_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    for text in ("a,b\n", "a,b", "\ufeffa,b\r\n"):
        table = read(written(tmp_path, "x.csv", text))
        assert table.column_names == ["a", "b"]
        assert table.num_rows == 0


REFUSED = {
    "empty file": ("x.csv", b"", "empty file, expected a table"),
    "blanks": ("x.csv", b" \n\n", "empty file"),
    "text as Parquet": ("x.parquet", GOOD.encode(), r"found csv content; rename .* \.csv"),
    "Parquet as CSV": ("x.csv", as_parquet(ROWS), r"found parquet content; rename .* \.parquet"),
    "JSON as CSV": ("x.csv", b'{"a": 1}', r"found jsonl content"),
    "CSV as JSON": ("x.jsonl", GOOD.encode(), r"found csv content"),
    "gzip": ("x.csv", b"\x1f\x8b\x08", "gzip data; decompress it"),
    "spreadsheet": ("x.csv", b"PK\x03\x04", "spreadsheet; export it"),
    "binary": ("x.csv", b"ab\x00c", "binary data"),
    "UTF-16": ("x.csv", GOOD.encode("utf-16"), "UTF-16 text; save it as UTF-8"),
    "Latin-1": ("x.csv", GOOD.encode() + b"\xe9,1,2\n", "expected UTF-8 text"),
    "Latin-1 header": ("x.csv", b"\xe9,b\n1,2\n", "expected UTF-8 text"),
    "semicolons": ("x.csv", GOOD.replace(",", ";").encode(), "separated by ',', found ';'"),
    "short row": ("x.csv", (GOOD + "b,1\n").encode(), r"data row 3: expected 3 fields, got 2"),
    "long row": ("x.csv", (GOOD + "b,1,2,3\n").encode(), r"data row 3: .* got 4: 'b,1,2,3'"),
    "open quote": ("x.csv", (GOOD + '"b,1,2\n').encode(), "unterminated quotation mark"),
    "repeated column": ("x.csv", b"a,b,a\n1,2,3\n", r"duplicated columns \['a'\]"),
    "too wide": ("x.csv", ",".join(map(str, range(10_001))).encode(), "10,000 columns"),
    "JSON array": ("x.json", b'[{"a": 1}]', "one JSON object a line, found a JSON array"),
    "cut JSON": ("x.jsonl", b'{"a": 1}\n{"a": ', "data row 2: expected a whole JSON object"),
    "JSON list": ("x.jsonl", b'{"a": 1}\n\n[1]\n', "data row 2: expected a JSON object"),
    "repeated key": ("x.jsonl", b'{"a": 1, "a": 2}\n', "data row 1: duplicated keys"),
    "bad JSON text": ("x.jsonl", b'{"a": "\xe9"}\n', "data row 1: expected UTF-8 text"),
    "deep JSON": ("x.jsonl", b'{"a":' * 100_000, "data row 1: expected a whole JSON object"),
    "cut Parquet": ("x.parquet", as_parquet(ROWS)[:-100], "whole Parquet file, found a trunc"),
    "magic alone": ("x.parquet", b"PAR1PAR1", "whole Parquet file, found a trunc"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_reason(tmp_path: Path, case: str) -> None:
    name, content, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        read(written(tmp_path, name, content))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("size", [60, 10**6])
def test_the_number_of_a_bad_row_does_not_depend_on_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(text_logs, "BLOCK_BYTES", size)
    path = written(tmp_path, "x.csv", as_csv(ROWS) + "b,1\n")
    with pytest.raises(DataError, match="data row 501: expected 3 fields, got 2"):
        read(path)
    path = written(tmp_path, "x.jsonl", as_jsonl(ROWS) + "{\n")
    with pytest.raises(DataError, match="data row 501: expected a whole"):
        read(path)


def test_lines_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_logs, "BLOCK_BYTES", 10)
    monkeypatch.setattr(text_logs, "MAX_LINE_BYTES", 40)
    for name, text in {"x.jsonl": '{"a": "' + "b" * 99, "x.csv": 'a\n"' + "b\n" * 50}.items():
        with pytest.raises(DataError, match="expected lines below 40 bytes"):
            read(written(tmp_path, name, text))


def test_a_file_that_is_not_there_or_not_a_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match=r"No such file .*; check the path"):
        read(tmp_path / "absent.csv")
    with pytest.raises(InputOutputError, match=r"Is a directory; name one file in it"):
        read(tmp_path)
    with pytest.raises(InputOutputError, match="standard input: it is closed"):
        read("-", stdin=None)


class TestParquet:
    @staticmethod
    def write(folder: Path, **columns: Any) -> Path:
        path = folder / "x.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    def test_a_declared_expansion_is_refused_before_it_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.write(tmp_path, loss=np.zeros(10**6), note=np.zeros(10**6))
        assert path.stat().st_size < 10_000
        monkeypatch.setattr(parquet_logs, "MAX_CELLS", 10**6 - 1)
        with pytest.raises(DataError, match=r"at most 999,999 values .* declares 1,000,000"):
            read(path, ["loss"])
        monkeypatch.setattr(parquet_logs, "MAX_CELLS", 10**6)
        assert read(path, ["loss"]).num_rows == 10**6, "columns that are not read do not count"

    def test_values_in_lists_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = self.write(tmp_path, params=[[0.0] * 100] * 10)
        monkeypatch.setattr(parquet_logs, "MAX_CELLS", 999)
        with pytest.raises(DataError, match="declares 1,000"):
            read(path, ["params"])

    def test_repeated_text_stays_encoded(self, tmp_path: Path) -> None:
        """A long name in many rows would be gigabytes if it were written out."""
        path = tmp_path / "x.parquet"
        names = pa.DictionaryArray.from_arrays([0] * 50_000, ["x" * 100_000])
        pq.write_table(pa.table({"run_id": names}), path, store_schema=False)
        assert pq.read_schema(path).field("run_id").type == pa.string()
        table = read(path, ["run_id"])
        assert pa.types.is_dictionary(table["run_id"].type)
        assert table.nbytes < 2 * 10**6

    def test_extension_types_are_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, loss=[1.0], id=pa.array([b"1" * 16], pa.uuid()))
        with pytest.raises(DataError, match=r"column 'id': .* extension type 'arrow.uuid'"):
            read(path, ["loss"])

    def test_repeated_and_too_many_columns_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
        with pytest.raises(DataError, match=r"duplicated columns \['a'\]"):
            read(path)
        pq.write_table(pa.table({str(i): [1] for i in range(10_001)}), path)
        with pytest.raises(DataError, match="10,000 columns"):
            read(path)

    @pytest.mark.parametrize("seed", range(5))
    def test_flipped_bits_are_noticed_or_harmless(self, tmp_path: Path, seed: int) -> None:
        """With page checksums no flip in the data goes unnoticed."""
        content = as_parquet(ROWS, write_page_checksum=True, compression="none")
        rng = np.random.default_rng(seed)
        refused = 0
        for _ in range(40):
            damaged = bytearray(content)
            damaged[rng.integers(4, len(content) - 8)] ^= 1 << int(rng.integers(8))
            try:
                assert plain(read(written(tmp_path, "x.parquet", bytes(damaged)))) == ROWS
            except (DataError, IntegrityError, InputOutputError, KeyError):
                refused += 1
        assert refused > 20

    def test_a_wrong_checksum_is_an_integrity_error(self, tmp_path: Path) -> None:
        content = as_parquet(
            ROWS, write_page_checksum=True, compression="none", use_dictionary=False
        )
        value = np.float64(ROWS[100]["loss"]).tobytes()
        path = written(tmp_path, "x.parquet", content.replace(value, value[:-1] + b"\x00", 1))
        with pytest.raises(IntegrityError, match="damaged page"):
            read(path)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_a_failing_disk_is_an_input_error(tmp_path: Path, name: str) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(InputOutputError, match="Input/output error"):
        list(text_logs._blocks_of_lines(Failing(b"a" * 100), quoted=name == "x.csv"))


def test_the_file_is_named_once(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", b"")
    with pytest.raises(DataError, match=r"^x\.csv: empty file"), errors_name("x.csv"):
        read(path)
