"""`validate`: everything that is wrong with a log, and never another verdict than predict's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochs_left.prediction.predictor import predictor_of
from epochs_left.storage.bundles import load_bundle

ROWS = [("a", t, 0.9**t, 0.1) for t in range(6)] + [("b", t, 0.8**t, 0.1) for t in range(6)]
HEADER = "run_id,epoch,loss,lr"


def table(*lines: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *lines))


GOOD = table(*(",".join(map(str, row)) for row in ROWS))
BAD = table(
    "a,0,1,.1", "a,1,x,-1", "a,1", "a,2,nan,.1", "b,-1,2,.1", "a,2,1,.1", "b,0,1,.1", ",2,1,"
)


def verdict(cli: Any, *arguments: Any) -> tuple[int, dict[str, Any]]:
    done = cli("validate", *arguments, "--json", "-q")
    return done.code, json.loads(done.out)


def test_a_good_log_is_described(cli: Any, place: Path) -> None:
    (place / "x.csv").write_text(GOOD.replace("loss", "los"))
    code, found = verdict(cli, "x.csv", "--metric", "los")
    assert (code, found["accepted"], found["problems"]) == (0, True, [])
    assert found["columns"] == {"run_id": "run", "epoch": "epoch", "los": "loss", "lr": "lr"}
    assert (found["reader"], found["runs"], found["rows"]) == ("CSV", 2, 12)
    assert (found["first_epoch"], found["last_epoch"]) == (0, 5)
    assert found["missing"] == [
        "without grad_norm the predictor answers from the loss alone, with wider intervals"
    ]


def test_every_problem_is_named_with_its_row(cli: Any, place: Path) -> None:
    (place / "x.csv").write_text(BAD)
    code, found = verdict(cli, "x.csv")
    assert code == 3
    where = {(problem["column"], problem["row"]) for problem in found["problems"]}
    assert where == {
        (None, 3),
        ("loss", 2),
        ("lr", 2),
        ("run_id", 8),
        ("epoch", 5),
        ("loss", 4),
        (None, 6),
    }
    assert found["all_problems_shown"]
    by_row = {(p["column"], p["row"]): p for p in found["problems"]}
    text = by_row["loss", 2]
    assert text["expected"] == "a number"
    assert text["got"] == "'x'"
    assert text["remedy"] == "correct the value or leave it empty"
    assert "data rows 4 and 6" in by_row[None, 6]["message"]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
@pytest.mark.parametrize("block", [60, 10**6])
def test_blocks_never_change_the_rows(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch, name: str, block: int
) -> None:
    lines = [f"a,{t},{0.9**t}" for t in range(30)]
    lines[9], lines[20], lines[25] = "a,9", "a,20,oops", "a,25,1,2"
    text = "run_id,epoch,loss\n" + "".join(f"{line}\n" for line in lines)
    if name == "x.jsonl":
        rows = [{"run_id": "a", "epoch": t, "loss": 0.9**t} for t in range(30)]
        encoded = [json.dumps(row) for row in rows]
        encoded[9], encoded[25] = encoded[9][:-4], "[1]"
        encoded[20] = json.dumps(rows[20] | {"loss": "oops"})
        text = "".join(f"{line}\n" for line in encoded)
    (place / name).write_text(text)
    monkeypatch.setattr("epochs_left.storage.text_logs.BLOCK_BYTES", block)
    code, found = verdict(cli, name)
    assert (code, sorted(p["row"] for p in found["problems"])) == (3, [10, 21, 26])
    assert found["rows"] == 28


def test_it_stops_at_as_many_problems_as_were_asked_for(cli: Any, place: Path) -> None:
    (place / "x.csv").write_text(table(*(f"a,{t},x,1" for t in range(50))))
    code, found = verdict(cli, "x.csv")
    assert (code, len(found["problems"]), found["all_problems_shown"]) == (3, 20, False)
    assert len(verdict(cli, "x.csv", "--max-problems", "3")[1]["problems"]) == 3
    assert len(verdict(cli, "x.csv", "--max-problems", "99")[1]["problems"]) == 50
    assert cli("validate", "x.csv", "--max-problems", "0").code == 2


def test_people_get_a_line_a_fact_and_one_error(cli: Any, place: Path) -> None:
    (place / "x.csv").write_text(BAD)
    done = cli("validate", "x.csv")
    assert done.out.splitlines()[0] == "x.csv: refused"
    assert sum(line.startswith("problem: ") for line in done.out.splitlines()) == 7
    assert done.err == "epochs-left: error: x.csv: 7 problems; predict would refuse it\n"
    (place / "x.csv").write_text(GOOD)
    done = cli("validate", "x.csv")
    assert (done.code, done.err, done.out.splitlines()[0]) == (0, "", "x.csv: accepted")


@pytest.mark.parametrize(
    ("column", "options", "said"),
    [
        ("lr", [], "the loss and the learning rates so far (column lr): those to come are not"),
        ("note", [], "without lr (a column with the learning rate of each epoch) or lr_schedule"),
        ("note", ["--set", "lr=0.1"], "answers from the loss alone, with wider intervals"),
        ("lr_schedule", [], None),
        ("lr", ["--set", "lr_schedule=cosine"], None),
    ],
)
def test_of_a_plateau_it_says_which_rates_are_missing(
    cli: Any, place: Path, column: str, options: list[str], said: str | None
) -> None:
    (place / "x.csv").write_text(GOOD.replace(",lr\n", f",{column}\n"))
    code, found = verdict(cli, "x.csv", "-m", "plateau-causal", *options)
    assert code == 0
    assert len(found["missing"]) == (said is not None)
    assert said is None or said in found["missing"][0]


def test_a_framework_s_log_is_described_by_its_reader(
    cli: Any, example_logs: dict[str, Any]
) -> None:
    folder = example_logs["EXAMPLES"] / "frameworks" / "lightning_logs"
    code, found = verdict(cli, folder, "--metric", "val_loss")
    assert (code, found["reader"], found["runs"]) == (0, "Lightning CSVLogger", 2)
    assert "1 was added" in found["notes"][0]
    code, found = verdict(cli, folder, "--metric", "valid_loss")
    assert code == 3
    assert found["problems"][0]["message"].endswith("pass --metric val_loss")


def test_a_damaged_file_exits_as_predict_does(cli: Any, example_logs: dict[str, Any]) -> None:
    events = example_logs["EXAMPLES"] / "frameworks/tensorboard/lr=0.01/events.out.tfevents.0"
    content = bytearray(events.read_bytes())
    content[200] ^= 1
    Path("events.out.tfevents.1").write_bytes(content)
    assert cli("predict", "-i", "events.out.tfevents.1").code == 6
    assert verdict(cli, "events.out.tfevents.1")[0] == 6


def test_interleaved_runs_and_wrong_parameter_counts_are_seen(cli: Any, place: Path) -> None:
    lines = [f"{run},{t},{0.9**t}" for t in range(4) for run in "ab"]
    (place / "x.csv").write_text("run_id,epoch,loss\n" + "".join(f"{line}\n" for line in lines))
    assert verdict(cli, "x.csv")[1]["runs"] == 2
    pq.write_table(
        pa.table({"epoch": [0, 1], "loss": [1.0, 0.5], "params": [[1.0, 2.0]] * 2}), "x.parquet"
    )
    code, found = verdict(cli, "x.parquet", "-m", "params-causal")
    assert (code, len(found["problems"])) == (3, 1)
    assert "expected 3 parameters" in found["problems"][0]["message"]
    assert verdict(cli, "x.parquet", "-m", "loss-causal")[0] == 0


def test_a_column_of_a_wrong_type_does_not_hide_the_others(cli: Any, place: Path) -> None:
    columns = {"epoch": [0, 1], "loss": [True, False], "lr": [0.1, -1.0]}
    pq.write_table(pa.table(columns), place / "x.parquet")
    _, found = verdict(cli, "x.parquet")
    assert {p["column"] for p in found["problems"]} == {"loss", "lr"}


CELLS = st.sampled_from(
    ["", "0", "1", "2", "-1", "1.5", "x", "nan", "inf", "1e999", "a", "b", " 1 ", "NA", '"', "1,2"]
)
EDITS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), CELLS), max_size=4)


def corrupted(edits: list[tuple[int, int, str]], dropped: list[int]) -> str:
    rows = [HEADER.split(","), *([str(cell) for cell in row] for row in ROWS)]
    for row, column, cell in edits:
        rows[row][column] = cell
    return "".join(",".join(row) + "\n" for i, row in enumerate(rows) if i not in dropped)


@pytest.fixture
def loaded_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the bundle once: that takes longer than to predict, and is the same for both."""
    predictor = predictor_of(load_bundle(place / "models/xgboost/neuron-causal"), level=0.9, jobs=1)
    for command in ("aim_choice", "validate_run"):
        module = f"epochs_left.cli.{command}"
        monkeypatch.setattr(f"{module}.load_bundle", lambda _: None)
        monkeypatch.setattr(f"{module}.predictor_of", lambda *_, **__: predictor)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=EDITS,
    dropped=st.lists(st.integers(0, 12), max_size=2),
    cut=st.integers(0, 40),
    flag=st.booleans(),
    strict=st.booleans(),
)
def test_it_never_disagrees_with_predict(
    cli: Any,
    place: Path,
    loaded_once: None,
    edits: list[tuple[int, int, str]],
    dropped: list[int],
    cut: int,
    flag: bool,
    strict: bool,
) -> None:
    text = corrupted(edits, dropped)
    (place / "x.csv").write_text(text[: len(text) - cut] if cut > 20 else text)
    options = [*(["--on-bad", "flag"] if flag else []), *(["--strict"] if strict else [])]
    predicted = cli("predict", "-i", "x.csv", "-q", "--jobs", "1", *options)
    code, found = verdict(cli, "x.csv", *options)
    assert code == predicted.code
    assert found["accepted"] == (predicted.code == 0)
    if not found["accepted"]:
        messages = [problem["message"] for problem in found["problems"]]
        assert any(message in predicted.err for message in messages), (predicted.err, messages)


@pytest.mark.parametrize("seed", range(4))
def test_it_never_disagrees_about_damaged_parquet(
    cli: Any, place: Path, loaded_once: None, seed: int
) -> None:
    names = HEADER.split(",")
    whole = pa.table(dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True)))
    pq.write_table(whole, place / "good.parquet", write_page_checksum=True, compression="none")
    content, rng = (place / "good.parquet").read_bytes(), np.random.default_rng(seed)
    for _ in range(8):
        damaged = bytearray(content)
        damaged[rng.integers(4, len(content) - 8)] ^= 1 << int(rng.integers(8))
        (place / "x.parquet").write_bytes(damaged)
        assert verdict(cli, "x.parquet")[0] == cli("predict", "-i", "x.parquet", "-q").code
