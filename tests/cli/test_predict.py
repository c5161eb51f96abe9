"""The command `predict` from end to end, in this process."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochs_left.storage import bundle_choice

COLUMNS = [
    "run_id",
    "epoch",
    "epochs_remaining",
    "lower",
    "upper",
    "p_converges",
    "status",
    "reason",
    "model_id",
]
GOOD = "run_id,epoch,loss\n" + "".join(f"a,{t},{0.9**t}\n" for t in range(20))


@pytest.fixture
def good(place: Path) -> Path:
    path = place / "good.csv"
    path.write_text(GOOD)
    return path


def frame(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype={"run_id": str})


def left_behind(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} - {"models"}


class TestGoodLogs:
    def test_a_row_a_run_and_epoch_on_stdout(self, cli: Any, good: Path) -> None:
        done = cli("predict", "-i", good)
        assert done.code == 0
        assert done.err == ""
        found = frame(done.out)
        assert list(found.columns) == COLUMNS
        assert found["epoch"].tolist() == list(range(20))
        assert set(found["model_id"]) == {"xgboost/neuron-causal"}

    @pytest.mark.parametrize("name", ["units.csv", "units.parquet"])
    def test_examples(self, cli: Any, example_logs: dict[str, Any], name: str) -> None:
        done = cli("predict", "-i", example_logs["EXAMPLES"] / name, "--at", "last")
        assert done.code == 0
        found = frame(done.out)
        assert found["run_id"].tolist() == ["fast", "slow", "slower", "stuck"]
        assert found["status"].iloc[0] == "already_converged"
        assert found["p_converges"].iloc[3] < 0.5

    def test_an_example_without_runs_is_named_after_its_file(
        self, cli: Any, example_logs: dict[str, Any]
    ) -> None:
        done = cli("predict", "-i", example_logs["EXAMPLES"] / "one_run.jsonl")
        assert done.code == 0
        assert "no column of runs: taken as one run, 'one_run'" in done.err
        assert set(frame(done.out)["run_id"]) == {"one_run"}

    def test_a_foreign_example(self, cli: Any, example_logs: dict[str, Any]) -> None:
        path = example_logs["EXAMPLES"] / "foreign.csv"
        missing = cli("predict", "-i", path)
        assert missing.code == 3
        assert missing.error.endswith("pass --metric train_loss")
        options = ("--run-column", "run", "--metric", "train_loss", "--target", "0.05")
        done = cli("predict", "-i", path, *options)
        assert done.code == 0
        assert "target 0.05, while xgboost/neuron-causal was trained for 0.001" in done.err
        assert "ignored columns 'valid_loss'" in done.err
        assert len(frame(done.out)) == 60

    def test_a_diverging_example_is_an_error_or_flagged(
        self, cli: Any, example_logs: dict[str, Any]
    ) -> None:
        path = example_logs["EXAMPLES"] / "diverging.csv"
        stopped = cli("predict", "-i", path)
        assert stopped.code == 3
        assert "column 'loss', data row 26: expected a finite number, got 'inf'" in stopped.error
        done = cli("predict", "-i", path, "--on-bad", "flag", "--at", "last")
        assert done.code == 0
        assert frame(done.out)["status"].tolist() == ["diverged"]

    def test_the_examples_are_what_their_formulas_say(self, example_logs: dict[str, Any]) -> None:
        files = example_logs["example_files"]()
        present = {path.name for path in example_logs["EXAMPLES"].iterdir()}
        assert present == {*files, "README.md", "frameworks"}
        for name, content in files.items():
            kept = (example_logs["EXAMPLES"] / name).read_bytes()
            pd.testing.assert_frame_equal(_table(name, kept), _table(name, content), rtol=1e-9)

    @pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
    def test_every_format_holds_the_same_answer(self, cli: Any, good: Path, extension: str) -> None:
        whole = frame(cli("predict", "-i", good).out)
        target = good.parent / f"out.{extension}"
        done = cli("predict", "-i", good, "-o", target)
        assert (done.code, done.out, done.err) == (0, "", "")
        found = _table(target.name, target.read_bytes())[COLUMNS]
        found = found.astype(whole.dtypes.to_dict())
        found["reason"] = found["reason"].replace("", np.nan)
        pd.testing.assert_frame_equal(found, whole, rtol=1e-15)

    def test_the_answer_in_parquet_has_plain_types(self, cli: Any, good: Path) -> None:
        cli("predict", "-i", good, "-o", "out.parquet")
        schema = pq.read_schema("out.parquet")
        text, number = pa.string(), pa.float64()
        expected = [text, pa.int64(), number, number, number, number, text, text, text]
        assert schema.types == expected

    def test_json_is_short_for_jsonl(self, cli: Any, good: Path) -> None:
        done = cli("predict", "-i", good, "--json", "--at", "last")
        row = json.loads(done.out)
        assert list(row) == COLUMNS
        assert row["epoch"] == 19
        assert done.out == cli("predict", "-i", good, "-t", "jsonl", "--at", "last").out

    def test_missing_numbers_are_null_in_json_and_empty_in_csv(self, cli: Any, good: Path) -> None:
        first = json.loads(cli("predict", "-i", good, "--json").out.splitlines()[0])
        assert first["epochs_remaining"] is None
        assert cli("predict", "-i", good).out.splitlines()[1].startswith("a,0,,,,,insufficient")

    def test_threads_never_change_the_answer(self, cli: Any, good: Path) -> None:
        one, two = (cli("predict", "-i", good, "--jobs", n).out for n in ("1", "2"))
        assert one == two

    def test_a_bundle_can_be_named_by_id_or_folder(
        self, cli: Any, good: Path, models: Path
    ) -> None:
        by_id = cli("predict", "-i", good, "-m", "loss-causal")
        assert by_id.code == 0
        assert by_id.out == cli("predict", "-i", good, "-m", models / "loss-causal").out
        assert set(frame(by_id.out)["model_id"]) == {"loss-causal"}

    def test_an_unsupported_level_warns_and_leaves_the_upper_end_open(
        self, cli: Any, good: Path
    ) -> None:
        done = cli("predict", "-i", good, "--level", "0.99999")
        assert done.code == 0
        assert "no finite interval at level 0.99999" in done.err
        assert frame(done.out)["upper"].isna().all()

    @pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
    def test_no_rows_give_a_valid_empty_answer(self, cli: Any, place: Path, extension: str) -> None:
        (place / "x.csv").write_text("run_id,epoch,loss\n")
        done = cli("predict", "-i", "x.csv", "-o", f"out.{extension}")
        assert done.code == 0
        assert "no rows" in done.err
        content = (place / f"out.{extension}").read_bytes()
        if extension == "jsonl":
            assert content == b""
        else:
            assert list(_table(f"out.{extension}", content).columns) == COLUMNS

    def test_quiet_says_nothing_and_verbose_counts(self, cli: Any, place: Path) -> None:
        (place / "x.csv").write_text("run_id,epoch,loss,note\nr,0,1,x\nr,1,0.5,y\n")
        assert cli("predict", "-i", "x.csv", "-q").err == ""
        assert "1 runs, 2 rows: 1 " in cli("predict", "-i", "x.csv", "-v").err

    def test_devices_are_written_to_and_never_replaced(self, cli: Any, good: Path) -> None:
        assert cli("predict", "-i", good, "-o", os.devnull).code == 0
        assert not Path(os.devnull).is_file()

    def test_a_link_keeps_pointing_to_the_file_that_is_replaced(
        self, cli: Any, good: Path, place: Path
    ) -> None:
        (place / "real.csv").write_text("old")
        (place / "link.csv").symlink_to("real.csv")
        assert cli("predict", "-i", good, "-o", "link.csv", "--force").code == 0
        assert (place / "link.csv").is_symlink()
        assert (place / "real.csv").read_text().startswith("run_id,epoch")


def _table(name: str, content: bytes) -> pd.DataFrame:
    readers = {
        "csv": pd.read_csv,
        "jsonl": lambda data: pd.read_json(data, lines=True),
        "parquet": pd.read_parquet,
    }
    return readers[name.rpartition(".")[2]](io.BytesIO(content))


class TestTextInOutput:
    NAMES = ("=1+1", "+1", "-1", "@x", 'a,"b"', "line\nend", "<script>", "plain", "é🙂")

    @pytest.fixture
    def log(self, place: Path) -> Path:
        rows = [{"run_id": n, "epoch": t, "loss": 0.5**t} for n in self.NAMES for t in (0, 1)]
        (place / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return place / "x.jsonl"

    def test_formulas_are_disarmed_in_csv_alone(self, cli: Any, log: Path) -> None:
        found = frame(cli("predict", "-i", log, "--at", "last").out)["run_id"].tolist()
        assert found == [f"'{n}" if n[0] in "=+-@" else n for n in self.NAMES]
        lines = cli("predict", "-i", log, "--at", "last", "--json").out.splitlines()
        assert [json.loads(line)["run_id"] for line in lines] == list(self.NAMES)
        cli("predict", "-i", log, "--at", "last", "-o", "x.parquet")
        assert pq.read_table("x.parquet")["run_id"].to_pylist() == list(self.NAMES)

    def test_the_answer_can_be_read_back_as_a_log(self, cli: Any, log: Path) -> None:
        done = cli("predict", "-i", log, "-o", "x.csv")
        assert done.code == 0
        assert cli("predict", "-i", "x.csv", "--metric", "p_converges", "-q").code == 0


USAGE = {
    "level above 1": (["--level", "1.5"], "--level: expected a share between 0 and 1, got 1.5"),
    "level 0": (["--level", "0"], "--level"),
    "level nan": (["--level", "nan"], "--level"),
    "level text": (["--level", "x"], "--level: expected a share between 0 and 1, got 'x'; try"),
    "level in percent": (["--level", "90%"], "got '90%'; write 0.9"),
    "two goals": (["--target", "1", "--plateau", "0.1"], "--target and --plateau exclude each"),
    "plateau 1": (["--plateau", "1"], "--plateau: expected a share between 0 and 1, got 1"),
    "plateau in percent": (
        ["--plateau", "1%"],
        "--plateau: expected a share between 0 and 1, got '1%'; write 0.01",
    ),
    "plateau in all percent": (["--plateau", "100%"], "got '100%'; try 0.01"),
    "plateau text": (["--plateau", "x%"], "--plateau: expected a share between 0 and 1, got 'x%'"),
    "plateau superscript": (["--plateau", "\u00b2%"], "share between 0 and 1"),
    "plateau nan": (["--plateau", "nan"], "--plateau: expected a share"),
    "horizon 0": (["--horizon", "0"], "--horizon: expected 1 or more epochs, got 0"),
    "no goal": (["-m", "plateau-causal"], "has no target of its own; pass --plateau SHARE --horiz"),
    "plateau without horizon": (
        ["-m", "plateau-causal", "--plateau", "0.05"],
        "which the log does not say; pass --horizon EPOCHS, or add a column horizon",
    ),
    "strict, another target": (["--strict", "--target", "0.01"], "trained for 0.001: expect larg"),
    "strict, no interval": (["--strict", "--level", "0.99999"], "no finite interval at level"),
    "jobs 0": (["--jobs", "0"], "--jobs: expected 1 or more threads, got 0"),
    "target 0": (["--target", "0"], "--target: expected a loss above 0, got 0"),
    "target inf": (["--target", "inf"], "--target"),
    "at -1": (["--at", "-1"], "--at: expected an epoch (0, 1, ...) or 'last', got '-1'"),
    "at 1.5": (["--at", "1.5"], "--at"),
    "type": (["-t", "xml"], "'xml' is not one of 'parquet', 'csv', 'jsonl'"),
    "on-bad": (["--on-bad", "drop"], "'drop' is not one of 'error', 'flag'"),
    "both types": (["--json", "-t", "csv"], "--json and -t csv exclude each other"),
    "both volumes": (["-q", "-v"], "--quiet and --verbose exclude each other"),
    "unknown option": (["--leve", ".9"], "No such option: --leve"),
    "unknown extension": (["-o", "x.txt"], "no format known for the extension '.txt'"),
    "output is input": (["-o", "good.csv", "--force"], "output good.csv is the input"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_exits_2(cli: Any, good: Path, case: str) -> None:
    arguments, message = USAGE[case]
    done = cli("predict", "-i", "good.csv", *arguments)
    assert done.code == 2
    assert message in done.error
    assert left_behind(good.parent) == {"good.csv"}


def test_the_input_under_another_name_is_still_the_input(cli: Any, good: Path) -> None:
    os.link(good, good.parent / "twin.csv")
    assert "is the input" in cli("predict", "-i", good, "-o", "twin.csv", "--force").error
    assert good.read_text() == GOOD


def row(line: str, header: str = "run_id,epoch,loss") -> bytes:
    return f"{header}\na,0,1\na,1,0.5\n{line}\n".encode()


DATA = {
    "missing column": (GOOD.replace("loss", "los"), "missing columns ['loss'], found ['los']"),
    "text": (row("a,2,abc"), "column 'loss', data row 3: expected a number, got 'abc'"),
    "nan": (row("a,2,nan"), "column 'loss', data row 3: expected a finite number, got 'nan'"),
    "overflow": (row("a,2,1e999"), "data row 3: expected a finite number, got '1e999'"),
    "negative epoch": (row("a,-2,1"), "column 'epoch', data row 3: expected a whole number"),
    "broken epoch": (row("a,2.5,1"), "column 'epoch', data row 3: expected a whole number"),
    "no epoch": (row("a,,1"), "column 'epoch', data row 3"),
    "huge epoch": (row("a,1e30,1"), "column 'epoch', data row 3"),
    "no run": (row(",2,1"), "column 'run_id', data row 3: expected the name of a run"),
    "repeated epoch": (row("a,1,0.4"), "data rows 2 and 3: run 'a' has epoch 1 twice"),
    "ragged": (row("a,2"), "data row 3: expected 3 fields, got 2"),
    "lr below 0": (
        b"run_id,epoch,loss,lr\na,0,1,-1\n",
        "'lr', data row 1: expected a number from 0",
    ),
    "text lr": (b"run_id,epoch,loss,lr\na,0,1,x\n", "column 'lr', data row 1: expected a number,"),
    "nan lr": (b"run_id,epoch,loss,lr\na,0,1,nan\n", "'lr', data row 1: expected a finite number"),
    "negative norm": (b"run_id,epoch,loss,grad_norm\na,0,1,-1\n", "column 'grad_norm', data row 1"),
    "no batch": (b"run_id,epoch,loss,batch_size\na,0,1,0\n", "column 'batch_size', data row 1"),
    "repeated epoch without runs": (b"epoch,loss\n0,1\n0,2\n", "pass --run-column"),
    "empty": (b"", "empty file"),
}


@pytest.mark.parametrize("case", DATA)
def test_bad_data_exit_3_and_leave_nothing(cli: Any, place: Path, case: str) -> None:
    content, message = DATA[case]
    path = place / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for output in ("-", "out.csv", "out.parquet"):
        done = cli("predict", "-i", "x.csv", "-o", output)
        assert done.code == 3
        assert done.error.startswith("x.csv: ")
        assert message in done.error or "name the column that tells runs apart" in done.error
        assert left_behind(place) == {"x.csv"}


def test_bad_data_late_in_a_long_log_leave_nothing(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochs_left.storage.text_logs.BLOCK_BYTES", 200)
    lines = [f"run{i // 10},{i % 10},{0.5 ** (i % 10)}\n" for i in range(300)]
    (place / "x.csv").write_text("run_id,epoch,loss\n" + "".join(lines) + "z,0,oops\n")
    for output in ("-", "out.csv"):
        done = cli("predict", "-i", "x.csv", "-o", output)
        assert "data row 301" in done.error
        assert left_behind(place) == {"x.csv"}


def test_an_interleaved_log_is_started_over_without_a_trace(
    cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"run{i},{t},{0.9**t}\n" for i in range(20) for t in range(10)]
    together = "run_id,epoch,loss\n" + "".join(lines)
    (place / "together.csv").write_text(together)
    interleaved = sorted(lines, key=lambda line: int(line.split(",")[1]))
    (place / "mixed.csv").write_text("run_id,epoch,loss\n" + "".join(interleaved))
    monkeypatch.setattr("epochs_left.storage.text_logs.BLOCK_BYTES", 200)
    outputs = [cli("predict", "-i", name) for name in ("together.csv", "mixed.csv")]
    assert outputs[0] == outputs[1]
    assert cli("predict", "-i", "mixed.csv", "-o", "out.csv").code == 0
    assert left_behind(place) == {"together.csv", "mixed.csv", "out.csv"}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("there.csv", "output there.csv exists; pass --force"),
        ("absent/x.csv", "no folder absent; create it first"),
        ("folder", "it is a folder; name a file in it"),
    ],
)
def test_an_output_that_cannot_be_written_exits_5(
    cli: Any, good: Path, output: str, message: str
) -> None:
    (good.parent / "there.csv").write_text("old")
    (good.parent / "folder").mkdir()
    done = cli("predict", "-i", good, "-o", output)
    assert done.code == 5
    assert message in done.error
    assert (good.parent / "there.csv").read_text() == "old"
    assert left_behind(good.parent) == {"good.csv", "there.csv", "folder"}


def test_force_replaces(cli: Any, good: Path) -> None:
    (good.parent / "there.csv").write_text("old")
    assert cli("predict", "-i", good, "-o", "there.csv", "--force").code == 0
    assert (good.parent / "there.csv").read_text().startswith("run_id,epoch")


@pytest.mark.parametrize(
    ("source", "message"),
    [("absent.csv", "No such file"), (".", "Is a directory")],
)
def test_an_input_that_cannot_be_read_exits_5(cli: Any, source: str, message: str) -> None:
    done = cli("predict", "-i", source)
    assert done.code == 5
    assert message in done.error


def test_a_full_disk_exits_5_and_keeps_the_old_file(
    cli: Any, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (good.parent / "old.csv").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("epochs_left.storage.atomic.os.fsync", full)
    done = cli("predict", "-i", good, "-o", "old.csv", "--force")
    assert done.code == 5
    assert "No space left on device; free space" in done.error
    assert (good.parent / "old.csv").read_text() == "old"
    assert left_behind(good.parent) == {"good.csv", "old.csv"}


def test_an_oracle_bundle_exits_4(cli: Any, good: Path) -> None:
    done = cli("predict", "-i", good, "-m", "xgboost-oracle")
    assert done.code == 4
    assert "oracle view: it needs the final parameters" in done.error


def test_a_bundle_without_plateaus_exits_4(cli: Any, good: Path) -> None:
    done = cli("predict", "-i", good, "--plateau", "0.01", "--horizon", "100")
    assert done.code == 4
    assert "xgboost/neuron-causal was not trained on plateaus; pass --target LOSS" in done.error


def test_a_plateau_is_predicted(cli: Any, good: Path) -> None:
    goal = ("-m", "plateau-causal", "--plateau", "0.003", "--horizon", "79", "--at", "last")
    done = cli("predict", "-i", good, *goal)
    assert (done.code, done.err) == (0, "")
    assert frame(done.out)["status"].tolist() == ["ok"]


def test_an_unknown_bundle_exits_4_and_names_the_others(cli: Any, good: Path) -> None:
    done = cli("predict", "-i", good, "-m", "xgbost/neuron-causal")
    assert done.code == 4
    assert "nearest: xgboost/neuron-causal, " in done.error
    assert "`epochs-left models list` names all 8" in done.error


MODELS = {
    "a file": ("good.csv", "got the file good.csv; pass the one with its manifest.json"),
    "a manifest": ("models/loss-causal/manifest.json", "; pass -m models/loss-causal"),
    "an empty folder": ("empty", "no bundle in empty: it has no manifest.json; nearest: "),
    "a folder of bundles": ("models/xgboost/", "; below it: models/xgboost/neuron-causal; pass"),
    "an empty folder below models": ("nothing", "no bundle at nothing nor at models/nothing; nea"),
    "nowhere": ("nowhere/", "no bundle at nowhere nor at models/nowhere; nearest: "),
    "nowhere at all": ("/nowhere", "no bundle at /nowhere; nearest: "),
    "dots": ("../nowhere", "no bundle at ../nowhere; nearest: "),
    "dots from below models": ("xgboost/../loss-causal", "no bundle at xgboost/../loss-causal; ne"),
    "no name": ("", "expected a bundle, got an empty name; nearest: "),
    "blanks": (" ", "expected a bundle, got an empty name; nearest: "),
    "a long name": ("x" * 5000, "..; nearest: "),
    "escapes": ("\x1b[2Jx\n", "no bundle at  [2Jx nor at models/ [2Jx ; nearest: "),
}


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.parametrize("command", [("predict", "-i"), ("validate",), ("explain", "-i")])
def test_what_is_no_bundle_exits_4_with_what_to_pass(
    cli: Any, good: Path, case: str, command: tuple[str, ...]
) -> None:
    model, message = MODELS[case]
    (good.parent / "empty").mkdir()
    done = cli(*command, "good.csv", "-m", model)
    assert done.code == 4
    assert message in done.error
    assert len(done.error) < 400


@pytest.mark.parametrize("name", ["loss-causal/", "models/loss-causal/", "./models/loss-causal"])
def test_a_slash_at_the_end_changes_nothing(cli: Any, good: Path, name: str) -> None:
    plain = cli("predict", "-i", good, "-m", "loss-causal")
    assert plain.code == 0
    assert cli("predict", "-i", good, "-m", name) == plain


def test_without_a_released_bundle_it_says_how_to_get_one(
    cli: Any, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EPOCHS_LEFT_MODEL")
    monkeypatch.setattr(bundle_choice, "RELEASED", Path("nowhere"))
    done = cli("predict", "-i", good)
    assert done.code == 4
    assert "no released predictor; install a release" in done.error


def damaged_copy(models: Path, place: Path, name: str, edit: Any) -> Path:
    """Copy a bundle and change one of its files."""
    folder = place / "copy"
    folder.mkdir()
    for path in (models / "xgboost/neuron-causal").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(edit((folder / name).read_bytes()))
    return folder


def test_an_altered_bundle_exits_6(cli: Any, good: Path, models: Path) -> None:
    folder = damaged_copy(models, good.parent, "time.ubj", lambda data: data[:-1] + b"\x00")
    done = cli("predict", "-i", good, "-m", folder)
    assert done.code == 6
    assert "expected SHA-256" in done.error


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema_version", 99, "bundle schema version 99"),
        ("scale", "furlongs", "needs the scale 'furlongs'"),
        ("features", ["telepathy"], "needs the features ['telepathy']"),
    ],
)
def test_a_foreign_bundle_exits_4(
    cli: Any, good: Path, models: Path, field: str, value: object, message: str
) -> None:
    def edit(data: bytes) -> bytes:
        return json.dumps(json.loads(data) | {field: value}).encode()

    folder = damaged_copy(models, good.parent, "manifest.json", edit)
    done = cli("predict", "-i", good, "-m", folder)
    assert done.code == 4
    assert message in done.error


def test_what_is_unexpected_is_one_line_too(
    cli: Any, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("epochs_left.cli.predict_run.predict_log", fail)
    done = cli("predict", "-i", good)
    assert done.code == 1
    assert "unexpected RuntimeError: two lines; this is a bug" in done.error
    monkeypatch.setenv("EPOCHS_LEFT_TRACEBACK", "1")
    assert "Traceback" in cli("predict", "-i", good).err


def test_names_of_files_cannot_write_to_the_terminal(cli: Any, place: Path) -> None:
    done = cli("predict", "-i", "\x1b[31mred\nname.csv")
    assert done.code == 5
    assert "\x1b" not in done.error
