"""Bad input, phrase by phrase as the design lists it: what exits how, and what is named.

An error is one line on stderr with its exit code; nothing is published, and what lay at the output
before is untouched. What is tolerated exits 0 with a warning, or a status in the output.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochs_left.config import parse_settings
from epochs_left.errors import UsageError
from epochs_left.storage.params import load_params

Make = Callable[[Path], None]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))
GOOD = "run_id,epoch,loss\n" + "".join(f"a,{t},{0.9**t}\n" for t in range(20))


def text(content: str | bytes, name: str = "x.csv") -> Make:
    def make(place: Path) -> None:
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def parquet(columns: Callable[[], Mapping[str, Any]]) -> Make:
    def make(place: Path) -> None:
        pq.write_table(pa.table(dict(columns())), place / "x.parquet")

    return make


def row(line: str, header: str = "run_id,epoch,loss") -> Make:
    return text(f"{header}\na,0,1\na,1,0.5\n{line}\n")


def cut_parquet(place: Path) -> None:
    parquet(lambda: {"epoch": range(100), "loss": np.ones(100)})(place)
    whole = (place / "x.parquet").read_bytes()
    (place / "x.parquet").write_bytes(whole[: len(whole) // 2])


def altered_bundle(place: Path) -> None:
    text(GOOD)(place)
    (place / "copy").mkdir()
    for path in (place / "models/xgboost/neuron-causal").iterdir():
        (place / "copy" / path.name).write_bytes(path.read_bytes())
    time = place / "copy" / "time.ubj"
    time.write_bytes(time.read_bytes()[:-1] + b"\x00")


@dataclass(frozen=True)
class Refused:
    """A case that exits with ``code`` and says every one of ``says`` in one line."""

    make: Make
    code: int
    says: Sequence[str]
    source: str = "x.csv"
    options: Sequence[str] = ()
    output: str = "out.csv"
    limits: Mapping[str, int] = field(default_factory=dict)
    by_validate: bool = True  # whether `validate` sees it too


REFUSED: dict[str, list[Refused]] = {
    "missing file": [
        Refused(lambda _: None, 5, ["cannot read absent.csv", "No such file"], "absent.csv")
    ],
    "folder": [
        Refused(lambda p: (p / "d").mkdir(), 5, ["cannot read d", "name one file"], "d"),
        Refused(lambda p: (p / "d.csv").mkdir(), 5, ["cannot read d.csv", "name one"], "d.csv"),
    ],
    "empty file": [Refused(text(b""), 3, ["x.csv: empty file"])],
    "truncated Parquet": [
        Refused(cut_parquet, 3, ["x.parquet: ", "truncated or damaged"], "x.parquet")
    ],
    "wrong magic or extension": [
        Refused(text(b"PAR1" + bytes(50)), 3, ["x.csv: ", ".csv", "found parquet content"]),
        Refused(text(GOOD, "x.parquet"), 3, ["x.parquet: ", "found csv content"], "x.parquet"),
        Refused(text(b"\x1f\x8b\x08"), 3, ["x.csv: ", "gzip data"]),
        *(
            Refused(text(gzip.compress(GOOD.encode()), name), 3, [f"{name}: ", "gzip data"], name)
            for name in ("x.csv.gz", "x.parquet", "x.jsonl", "trainer_state.json", "metrics.csv")
        ),
        *(
            Refused(text(PNG, name), 3, [f"{name}: ", "binary data"], name)
            for name in ("x.png", "x.csv", "x.parquet", "trainer_state.json")
        ),
    ],
    "missing column (name and nearest match)": [
        Refused(text(GOOD.replace("loss", "los")), 3, ["x.csv: ", "['loss']", "--metric los"])
    ],
    "extra columns (ignored and named; --strict refuses)": [
        Refused(
            text(GOOD.replace("loss\n", "loss,note\n").replace("9\n", "9,x\n")[:30] + ",1\n"),
            3,
            ["x.csv: ", "ignored columns 'note'", "--strict"],
            options=["--strict"],
        )
    ],
    "duplicated columns": [
        Refused(text("epoch,loss,loss\n0,1,1\n"), 3, ["x.csv: ", "duplicated columns ['loss']"])
    ],
    "text in a numeric column (row)": [
        Refused(row("a,2,abc"), 3, ["x.csv: ", "column 'loss', data row 3", "'abc'"]),
        Refused(
            text("run_id,epoch,loss,lr\na,0,1,x\n"), 3, ["column 'lr', data row 1", "a number"]
        ),
    ],
    "NaN or Inf (row; or flagged)": [
        Refused(row(f"a,2,{bad}"), 3, ["x.csv: ", "column 'loss', data row 3", "--on-bad flag"])
        for bad in ("nan", "inf", "-inf")
    ],
    "overflow": [Refused(row("a,2,1e999"), 3, ["x.csv: ", "column 'loss', data row 3", "1e999"])],
    "negative epoch": [Refused(row("a,-2,1"), 3, ["x.csv: ", "column 'epoch', data row 3", "-2"])],
    "lr <= 0": [
        Refused(
            text(f"run_id,epoch,loss,lr\na,0,1,0.1\na,1,1,{lr}\n"),
            3,
            ["x.csv: ", "column 'lr', data row 2", "a number from 0 on", repr(lr)],
        )
        for lr in ("-0.1", "-1e-300")
    ]
    + [
        Refused(
            text(GOOD),
            2,
            [f"lr: expected a number above 0, got {lr}"],
            options=["--set", f"lr={lr}"],
        )
        for lr in ("0", "-0.1")
    ],
    "parameter count other than the bundle's": [
        Refused(
            parquet(lambda: {"epoch": [0, 1], "loss": [1.0, 0.5], "params": [[1.0, 2.0]] * 2}),
            3,
            ["x.parquet: ", "expected 3 parameters", "found 2"],
            "x.parquet",
            ["-m", "params-causal"],
        )
    ],
    "duplicate (run, epoch)": [
        Refused(row("a,1,0.4"), 3, ["x.csv: ", "data rows 2 and 3", "run 'a' has epoch 1 twice"])
    ],
    "ragged or unterminated CSV": [
        Refused(row("a,2"), 3, ["x.csv: ", "data row 3", "expected 3 fields, got 2"]),
        Refused(row('"a,2,1'), 3, ["x.csv: ", "unterminated quotation mark"]),
    ],
    "expansion over a limit": [
        Refused(
            parquet(lambda: {"epoch": np.arange(10**5), "loss": np.zeros(10**5)}),
            3,
            ["x.parquet: ", "at most 99,999 values"],
            "x.parquet",
            limits={"epochs_left.storage.parquet_logs.MAX_CELLS": 99_999},
        ),
        Refused(
            text('a\n"' + "b\n" * 50),
            3,
            ["x.csv: ", "lines below 40 bytes"],
            limits={
                "epochs_left.storage.text_logs.MAX_LINE_BYTES": 40,
                "epochs_left.storage.text_logs.BLOCK_BYTES": 10,
            },
        ),
    ],
    "over 10,000 columns": [
        Refused(text(",".join(map(str, range(10_001)))), 3, ["x.csv: ", "10,000 columns"])
    ],
    "Arrow extension types": [
        Refused(
            parquet(lambda: {"loss": [1.0], "id": pa.array([b"1" * 16], pa.uuid())}),
            3,
            ["x.parquet: ", "column 'id'", "extension type"],
            "x.parquet",
        )
    ],
    "output equal to input or existing without --force": [
        Refused(text(GOOD), 2, ["x.csv is the input"], output="x.csv", by_validate=False),
    ],
    "output folder missing or full": [
        Refused(text(GOOD), 5, ["no folder absent"], output="absent/x.csv", by_validate=False)
    ],
    "--level 1.5": [
        Refused(
            text(GOOD), 2, ["--level", "0 and 1", "1.5"], options=["--level=1.5"], by_validate=False
        )
    ],
    "--jobs 0": [
        Refused(text(GOOD), 2, ["--jobs", "got 0"], options=["--jobs=0"], by_validate=False)
    ],
    "bundle with a wrong hash (6)": [
        Refused(altered_bundle, 6, ["time.ubj", "expected SHA-256"], options=["-m", "copy"])
    ],
    "oracle bundle on a prefix (4)": [
        Refused(text(GOOD), 4, ["oracle view"], options=["-m", "xgboost-oracle"])
    ],
}


def cases() -> list[Any]:
    return [pytest.param(case, id=phrase) for phrase, each in REFUSED.items() for case in each]


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("there", [False, True], ids=["new output", "old output"])
def test_refused_in_one_line_and_nothing_is_published(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch, case: Refused, there: bool
) -> None:
    for name, limit in case.limits.items():
        monkeypatch.setattr(name, limit)
    case.make(place)
    if there and case.output == "out.csv":
        (place / "out.csv").write_text("old")
    before = snapshot(place)
    done = cli("predict", "-i", case.source, "-o", case.output, "--force", *case.options)
    assert done.code == case.code
    assert all(word in done.error for word in case.says), done.error
    assert snapshot(place) == before


def snapshot(place: Path) -> dict[str, bytes]:
    paths = (path for path in place.rglob("*") if "models" not in path.parts)
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}


@pytest.mark.parametrize("case", [param for param in cases() if param.values[0].by_validate])
def test_validate_refuses_it_with_the_same_code(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch, case: Refused
) -> None:
    for name, limit in case.limits.items():
        monkeypatch.setattr(name, limit)
    case.make(place)
    done = cli("validate", case.source, *case.options)
    assert done.code == case.code
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    said = done.out + done.err
    assert all(word.removeprefix(f"{case.source}: ") in said for word in case.says)


def test_unreadable(cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything: the system's refusal is put in its mouth."""
    text(GOOD)(place)
    opened = Path.open

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "x.csv":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    for command in (("predict", "-i", "x.csv", "-o", "out.csv"), ("validate", "x.csv")):
        done = cli(*command)
        assert done.code == 5
        assert done.error == "cannot read x.csv: Permission denied; change its permissions"
    assert not (place / "out.csv").exists()


def test_output_existing_without_force(cli: Any, place: Path) -> None:
    text(GOOD)(place)
    (place / "out.csv").write_text("old")
    done = cli("predict", "-i", "x.csv", "-o", "out.csv")
    assert done.code == 5
    assert done.error == "output out.csv exists; pass --force to replace it"
    assert (place / "out.csv").read_text() == "old"


def test_output_folder_full(cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text(GOOD)(place)
    (place / "out.csv").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("epochs_left.storage.atomic.os.fsync", full)
    done = cli("predict", "-i", "x.csv", "-o", "out.csv", "--force")
    assert done.code == 5
    assert "out.csv: No space left on device" in done.error
    assert (place / "out.csv").read_text() == "old"
    assert {path.name for path in place.iterdir()} == {"models", "x.csv", "out.csv"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tolerance: 1\ntolerance: 2\n", "duplicate key"),
        ("tolerence: 1\n", "tolerence"),
        ("tolerance: '1e-6'\n", "tolerance"),
    ],
)
def test_yaml_with_an_unknown_or_duplicate_key_or_a_number_read_as_text(
    place: Path, content: str, message: str
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Settings:
        tolerance: float

    (place / "params.yaml").write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        parse_settings(Settings, load_params(place / "params.yaml"), "settings")
    assert "\n" not in str(caught.value)
    (place / "params.yaml").write_text("tolerance: 1e-6\n")
    assert load_params(place / "params.yaml") == {"tolerance": 1e-6}, "a number in YAML 1.2"


@dataclass(frozen=True)
class Tolerated:
    """A case that exits 0; the warning says ``warns``, or a row of the output has a status."""

    make: Make
    warns: str = ""
    status: str = ""
    reason: str = ""
    options: Sequence[str] = ()


RUN = "run_id,epoch,loss\n"
TOLERATED: dict[str, list[Tolerated]] = {
    "no rows (a valid empty output and a warning)": [
        Tolerated(text(RUN), warns="no rows: the answer is empty")
    ],
    "extra columns (ignored and named; --strict refuses)": [
        Tolerated(text("run_id,epoch,loss,note\na,0,1,x\n"), warns="ignored columns 'note'")
    ],
    "NaN or Inf (row; or flagged)": [
        Tolerated(row(f"a,2,{bad}"), status="diverged", options=["--on-bad", "flag"])
        for bad in ("nan", "inf")
    ],
    "lr <= 0": [  # a warm-up from 0, and the end of a schedule
        Tolerated(text(f"{RUN[:-1]},lr\na,0,1,{first}\na,1,.9,{last}\n"), status=status)
        for first, last, status in (
            ("0", "0.1", "out_of_distribution"),
            ("0.1", "0", "out_of_distribution"),
            ("0", "0", "ok"),
        )
    ],
    "unsorted or gapped epochs": [
        Tolerated(text(f"{RUN}a,1,.5\na,0,1\na,2,.4\n"), warns="1 runs had their epochs out of"),
        Tolerated(
            text(f"{RUN}a,0,1\na,1,.9\na,5,.8\n"),
            status="out_of_distribution",
            reason="epochs not evenly spaced",
        ),
    ],
    "too short a history": [Tolerated(text(f"{RUN}a,0,1\n"), status="insufficient_history")],
    "already converged (0)": [
        Tolerated(text(f"{RUN}a,0,1\na,1,1e-9\n"), status="already_converged")
    ],
    "unseen optimizer or architecture (flag, wider interval)": [
        Tolerated(
            text("run_id,epoch,loss,optimizer\na,0,1,lion\na,1,.9,lion\n"),
            status="out_of_distribution",
            reason="optimizer 'lion' not in training",
        )
    ],
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=phrase) for phrase, each in TOLERATED.items() for case in each],
)
def test_tolerated_with_a_warning_or_a_status(cli: Any, place: Path, case: Tolerated) -> None:
    case.make(place)
    done = cli("predict", "-i", "x.csv", "-o", "out.jsonl", *case.options)
    assert done.code == 0
    assert case.warns in done.err
    answer = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    if case.status:
        assert answer[-1]["status"] == case.status
        assert case.reason in (answer[-1]["reason"] or "")
    if case.status == "already_converged":
        assert (answer[-1]["epochs_remaining"], answer[-1]["upper"]) == (0, 0)
    assert cli("validate", "x.csv", "-q", *case.options).code == 0


def test_an_unseen_optimizer_widens_the_interval(cli: Any, place: Path) -> None:
    def width(optimizer: str) -> float:
        rows = "".join(f"a,{t},{0.9**t},.05,sgd\n".replace("sgd", optimizer) for t in range(9))
        (place / "x.csv").write_text("run_id,epoch,loss,lr,optimizer\n" + rows)
        (answer,) = json.loads(f"[{cli('predict', '-i', 'x.csv', '--at', 'last', '--json').out}]")
        return float(answer["upper"] - answer["lower"])

    assert width("lion") >= width("sgd")


@pytest.mark.parametrize(
    ("phrase", "change"),
    [
        ("columns in another order (same answer)", lambda f: f[["loss", "run_id", "epoch"]]),
        ("BOM", None),
        ("CRLF", None),
    ],
)
def test_the_same_answer(cli: Any, place: Path, phrase: str, change: Any) -> None:
    text(GOOD)(place)
    whole = cli("predict", "-i", "x.csv").out
    if change is not None:
        changed = change(pd.read_csv(io.StringIO(GOOD))).to_csv(index=False)
    else:
        changed = f"\ufeff{GOOD}" if phrase == "BOM" else GOOD.replace("\n", "\r\n")
    (place / "x.csv").write_bytes(changed.encode())
    done = cli("predict", "-i", "x.csv")
    assert (done.code, done.err, done.out) == (0, "", whole)


#: What has tests of its own, by the phrase.
ELSEWHERE = {
    "unreadable": "cli/test_bad_input.py::test_unreadable",
    "columns in another order (same answer)": "cli/test_bad_input.py::test_the_same_answer",
    "BOM": "cli/test_bad_input.py::test_the_same_answer",
    "CRLF": "cli/test_bad_input.py::test_the_same_answer",
    "YAML with an unknown or duplicate key or `1e-6` read as text": (
        "cli/test_bad_input.py::test_yaml_with_an_unknown_or_duplicate_key_or_a_number_read_as_text"
    ),
    "broken pipe (quiet)": "cli/test_processes.py::test_a_reader_that_leaves_early_is_no_error",
    "Ctrl-C (130)": "cli/test_processes.py::test_an_interrupt_exits_130_and_leaves_nothing",
}
#: The design's list, in its words.
PHRASES = [
    "missing file",
    "folder",
    "unreadable",
    "empty file",
    "truncated Parquet",
    "wrong magic or extension",
    "no rows (a valid empty output and a warning)",
    "missing column (name and nearest match)",
    "extra columns (ignored and named; --strict refuses)",
    "duplicated columns",
    "columns in another order (same answer)",
    "text in a numeric column (row)",
    "NaN or Inf (row; or flagged)",
    "overflow",
    "negative epoch",
    "lr <= 0",
    "parameter count other than the bundle's",
    "duplicate (run, epoch)",
    "unsorted or gapped epochs",
    "too short a history",
    "already converged (0)",
    "unseen optimizer or architecture (flag, wider interval)",
    "BOM",
    "CRLF",
    "ragged or unterminated CSV",
    "expansion over a limit",
    "over 10,000 columns",
    "Arrow extension types",
    "output equal to input or existing without --force",
    "output folder missing or full",
    "--level 1.5",
    "--jobs 0",
    "YAML with an unknown or duplicate key or `1e-6` read as text",
    "broken pipe (quiet)",
    "Ctrl-C (130)",
    "bundle with a wrong hash (6)",
    "oracle bundle on a prefix (4)",
]


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_phrase_of_the_list_has_a_case(phrase: str) -> None:
    if phrase in ELSEWHERE:
        file, name = ELSEWHERE[phrase].split("::")
        assert f"def {name}(" in (Path(__file__).parents[1] / file).read_text()
    else:
        assert phrase in {*REFUSED, *TOLERATED}


def test_the_framework_s_files_are_refused_alike(cli: Any, place: Path) -> None:
    (place / "trainer_state.json").write_text('{"log_history": [')
    (place / "version_0").mkdir()
    (place / "version_0" / "metrics.csv").write_text("epoch,step,loss\n0,0,oops\n")
    (place / "run").mkdir()
    (place / "run" / "events.out.tfevents.1").write_bytes(os.urandom(100))
    expected = {
        "trainer_state.json": (3, "trainer_state.json: expected whole JSON"),
        "version_0": (3, "version_0: column 'loss', data row 1: expected a number, got 'oops'"),
        "run": (6, "run: events.out.tfevents.1: damaged record"),
    }
    for source, (code, message) in expected.items():
        done = cli("predict", "-i", source, "-o", "out.csv")
        assert (done.code, done.error[: len(message)]) == (code, message)
        assert not (place / "out.csv").exists()
