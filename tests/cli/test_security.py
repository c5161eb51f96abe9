"""What a hostile log or bundle can do at the command line: nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from epochs_left.cli.messages import TerminalText

STARTS = ("=", "+", "-", "@", "\t", "\r")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.trace.write_text, ("unpickled",))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl", "x.pkl", "trainer_state.json"])
@pytest.mark.parametrize("command", [("predict", "-i"), ("validate",)])
def test_a_pickle_is_never_unpickled(
    cli: Any, place: Path, name: str, command: tuple[str, ...]
) -> None:
    (place / name).write_bytes(pickle.dumps(Bomb(place / "trace")))
    assert cli(*command, name).code == 3
    assert not (place / "trace").exists()


@pytest.mark.parametrize("file", ["time.ubj", "converges.ubj", "reference.parquet"])
def test_bytes_of_a_bundle_are_verified_before_they_are_parsed(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """One altered index in an XGBoost model crashes the process: it must never get that far."""
    (place / "x.csv").write_text("epoch,loss\n0,1\n1,.5\n")
    (place / "copy").mkdir()
    for path in (place / "models/xgboost/neuron-causal").iterdir():
        (place / "copy" / path.name).write_bytes(path.read_bytes())
    (place / "copy" / file).write_bytes(pickle.dumps(Bomb(place / "trace")))

    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("epochs_left.prediction.predictor.load_estimator", parsed)
    done = cli("predict", "-i", "x.csv", "-m", "copy")
    assert done.code == 6
    assert f"copy/{file}: expected SHA-256" in done.error
    assert not (place / "trace").exists()


@pytest.mark.parametrize("start", STARTS)
def test_text_that_a_spreadsheet_would_compute_is_prefixed(
    cli: Any, place: Path, start: str
) -> None:
    name = f"{start}HYPERLINK(1)"
    rows = [{"run_id": name, "epoch": t, "loss": 0.5**t} for t in range(3)]
    (place / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("predict", "-i", "x.jsonl", "-q")
    assert done.code == 0
    cells = [row["run_id"] for row in csv.DictReader(io.StringIO(done.out, newline=""))]
    assert cells == [f"'{name}"] * 3
    assert not any(line.startswith(start) for line in done.out.split("\n"))


@pytest.mark.parametrize("name", ["../outside.csv", "/etc/passwd", "a/../../x"])
def test_a_bundle_that_names_files_elsewhere_is_refused(cli: Any, place: Path, name: str) -> None:
    (place / "x.csv").write_text("epoch,loss\n0,1\n1,.5\n")
    (place / "copy").mkdir()
    source = place / "models/xgboost/neuron-causal"
    for path in source.iterdir():
        (place / "copy" / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((source / "manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (place / "copy" / "manifest.json").write_text(json.dumps(manifest))
    done = cli("predict", "-i", "x.csv", "-m", "copy", "-o", "out.csv")
    assert done.code in {4, 6}
    assert not (place / "out.csv").exists()


def test_a_run_cannot_name_the_place_of_the_output(cli: Any, place: Path) -> None:
    rows = "".join(f"../../outside,{t},{0.5**t}\n" for t in range(3))
    (place / "x.csv").write_text("run_id,epoch,loss\n" + rows)
    before = {*place.rglob("*"), *place.parent.iterdir()}
    assert cli("predict", "-i", "x.csv", "-o", "out.csv").code == 0
    assert {*place.rglob("*"), *place.parent.iterdir()} - before == {place / "out.csv"}


def test_validate_writes_no_control_characters(cli: Any, place: Path) -> None:
    (place / "x.csv").write_text("run_id,epoch,loss,\x1b[31mred\na,0,\x1b[2Jx,1\n")
    done = cli("validate", "x.csv")
    assert done.code == 3
    assert "\x1b" not in done.out + done.err


NAME = "\x1b[2Jred\x9b31m\r\u202eé"
SPELLED = r"\x1b[2Jred\x9b31m\r\u202eé"


def shown_on_a_terminal(start: Any, *arguments: str) -> str:
    """What a person sees whose terminal is the program's stdout."""
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with start(*arguments, stdin=subprocess.DEVNULL, stdout=theirs) as process:
            os.close(theirs)
            seen = b""
            with suppress(OSError):  # how a terminal ends on Linux
                while block := terminal.read(4096):
                    seen += block
        assert process.returncode == 0
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("command", [("predict", "-q", "-i"), ("explain", "-q", "-i")])
def test_no_run_name_commands_a_terminal_and_pipes_get_it_as_it_is(
    cli: Any, start: Any, place: Path, command: tuple[str, ...]
) -> None:
    rows = [{"run_id": NAME, "epoch": t, "loss": 0.5**t} for t in range(3)]
    (place / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = shown_on_a_terminal(start, *command, "x.jsonl")
    assert all(char.isprintable() for char in seen.replace("\n", ""))
    if command[0] == "predict":
        assert seen.count(SPELLED) == 3
        assert cli(*command, "x.jsonl").out.count(NAME) == 3
        assert cli(*command, "x.jsonl", "-o", "x.csv").code == 0
        assert (place / "x.csv").read_bytes().count(NAME.encode()) == 3


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_terminal_is_given_whole_characters_whatever_the_blocks(size: int) -> None:
    file, data = io.BytesIO(), f"a,{NAME}\nb\n".encode()
    terminal = TerminalText(file)
    for at in range(0, len(data), size):
        terminal.write(data[at : at + size])
    assert file.getvalue().decode() == f"a,{SPELLED}\nb\n"


@pytest.mark.parametrize("command", [("list",), ("show", "models/copy")])
def test_a_bundle_writes_no_control_characters(
    cli: Any, place: Path, models: Path, command: tuple[str, ...]
) -> None:
    (place / "models").unlink()
    shutil.copytree(models / "xgboost/neuron-causal", place / "models" / "copy")
    path = place / "models" / "copy" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["vocabulary"] = {NAME: [NAME]}
    manifest["training"] |= {NAME: NAME}
    manifest["residual_quantiles"][NAME] = manifest["residual_quantiles"]["all"]
    path.write_text(json.dumps(manifest | {"title": NAME, "bundle_id": NAME}))
    done = cli("models", *command)
    assert done.code == 0
    assert SPELLED in done.out
    assert all(char.isprintable() for char in done.out.replace("\n", ""))
