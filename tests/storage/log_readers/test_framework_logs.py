"""Logs of frameworks: each value stands at the epoch after which it was measured.

The files in data/examples/frameworks were written by the frameworks themselves; where they are
installed they write them anew here.
"""

from __future__ import annotations

import json
import math
import random
import runpy
import shutil
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage import logs
from epochs_left.storage.log_readers import huggingface, lightning
from epochs_left.storage.logs import open_log
from epochs_left.storage.text_logs import column_of

writers = runpy.run_path(str(Path(__file__).parent / "framework_writers.py"))
EXAMPLES = Path(__file__).parents[3] / "data" / "examples" / "frameworks"
BATCHES, EPOCHS, LR = writers["BATCHES"], writers["EPOCHS"], writers["LR"]
loss_after: Callable[..., float] = writers["loss_after"]
batch_mean: Callable[..., float] = writers["batch_mean"]


def read(path: Path | str, *columns: str) -> list[dict[str, Any]]:
    with open_log(str(path), None) as log:
        table = pa.concat_tables(log.batches(columns), promote_options="permissive")
    return [dict(row) for row in table.to_pylist()]


def series(rows: Sequence[dict[str, Any]], time: str, name: str) -> dict[float, float]:
    found = {float(row[time]): float(row[name]) for row in rows if row[name] is not None}
    assert len(found) == len(rows), "a time twice, or a row without the metric"
    return found


def after_epochs(lr: float = LR, first: int = 1, offset: float = 0.0) -> Any:
    epochs = range(first, EPOCHS + 1)
    truth = {float(t): loss_after(BATCHES * t, lr) + offset for t in epochs}
    return pytest.approx(truth, rel=1e-5)


def means_of_epochs() -> Any:
    return pytest.approx({float(t): batch_mean(t) for t in range(1, EPOCHS + 1)}, rel=1e-5)


def check_lightning(folder: Path, runs: Sequence[str]) -> None:
    for metric, truth in (("val_loss", after_epochs()), ("train_loss", means_of_epochs())):
        rows = read(folder, "run_id", "epoch", metric, "lr")
        assert list(dict.fromkeys(row["run_id"] for row in rows)) == runs
        for run in runs:
            own = [row for row in rows if row["run_id"] == run]
            assert series(own, "epoch", metric) == truth
            assert {row["lr"] for row in own} == {LR}
    steps = read(folder / runs[0], "run_id", "step", "val_loss")
    expected = {float(BATCHES * t): loss_after(BATCHES * t) for t in range(1, EPOCHS + 1)}
    assert series(steps, "step", "val_loss") == pytest.approx(expected, rel=1e-5)


def check_keras(file: Path) -> None:
    assert series(read(file, "epoch", "val_loss"), "epoch", "val_loss") == after_epochs()
    assert series(read(file, "epoch", "loss"), "epoch", "loss") == means_of_epochs()


def check_huggingface(folder: Path) -> None:
    rows = read(folder, "run_id", "epoch", "eval_loss", "horizon")
    assert series(rows, "epoch", "eval_loss") == after_epochs()
    assert {(row["run_id"], row["horizon"]) for row in rows} == {(folder.name, EPOCHS)}
    rows = read(folder, "run_id", "epoch", "loss")
    assert series(rows, "epoch", "loss") == means_of_epochs()
    rows = read(folder, "run_id", "step", "loss", "horizon", "grad_norm")
    assert [row["step"] for row in rows] == list(range(2, BATCHES * EPOCHS + 1, 2))
    assert {row["horizon"] for row in rows} == {BATCHES * EPOCHS}
    assert all(row["grad_norm"] > 0 for row in rows)


def check_tensorboard(folder: Path) -> None:
    for metric, offset in (("loss/train", 0.0), ("loss/valid", 1.0)):
        rows = read(folder, "run_id", "step", metric)
        assert {row["run_id"] for row in rows} == {"lr=0.01", "lr=0.02"}
        for lr in (0.01, 0.02):
            own = [row for row in rows if row["run_id"] == f"lr={lr}"]
            assert series(own, "step", metric) == after_epochs(lr, first=0, offset=offset)
    with open_log(str(folder), None) as log:
        assert log.columns == ("run_id", "loss/train", "loss/valid", "step", "wall_time")


class TestFilesThatTheFrameworksWrote:
    def test_lightning(self) -> None:
        check_lightning(EXAMPLES / "lightning_logs", ["version_0", "version_1"])

    def test_keras(self) -> None:
        check_keras(EXAMPLES / "keras.csv")

    def test_huggingface(self) -> None:
        check_huggingface(EXAMPLES / "huggingface")

    def test_tensorboard(self) -> None:
        check_tensorboard(EXAMPLES / "tensorboard")


class TestFrameworks:
    """The frameworks of the test machine, where there are any."""

    @pytest.fixture(autouse=True)
    def _others_warn(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def test_lightning(self, tmp_path: Path) -> None:
        pytest.importorskip("lightning")
        writers["write_lightning"](tmp_path, runs=2)
        check_lightning(tmp_path / "lightning_logs", ["version_0", "version_1"])

    def test_keras(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERAS_BACKEND", "torch")  # TensorFlow is its own choice
        pytest.importorskip("keras")
        writers["write_keras"](tmp_path / "training.log")
        check_keras(tmp_path / "training.log")

    def test_huggingface(self, tmp_path: Path) -> None:
        pytest.importorskip("transformers")
        writers["write_huggingface"](tmp_path / "out")
        check_huggingface(tmp_path / "out")

    def test_tensorboard(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        writers["write_tensorboard"](tmp_path / "runs")
        check_tensorboard(tmp_path / "runs")


CHECKPOINT = f"checkpoint-{BATCHES * EPOCHS}"


@pytest.mark.parametrize(
    ("path", "metric", "run"),
    [
        ("lightning_logs/version_0", "val_loss", "version_0"),
        ("lightning_logs/version_0/metrics.csv", "val_loss", "version_0"),
        ("lightning_logs", "val_loss", "version_0"),
        (".", "eval_loss", "huggingface"),
        ("huggingface", "eval_loss", "huggingface"),
        (f"huggingface/{CHECKPOINT}", "eval_loss", "huggingface"),
        (f"huggingface/{CHECKPOINT}/trainer_state.json", "eval_loss", "huggingface"),
        ("tensorboard", "loss/train", "lr=0.01"),
        ("tensorboard/lr=0.01", "loss/train", "lr=0.01"),
        ("tensorboard/lr=0.01/events.out.tfevents.0", "loss/train", "lr=0.01"),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["from afar", "from inside"])
def test_a_run_is_called_after_its_folder_however_it_is_named(
    path: str, metric: str, run: str, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EXAMPLES / path
    if inside:
        monkeypatch.chdir(whole if whole.is_dir() else whole.parent)
        whole = Path("." if whole.is_dir() else whole.name)
    assert read(whole, "run_id", "step", metric)[0]["run_id"] == run


@pytest.mark.parametrize("name", ["keras.csv", f"huggingface/{CHECKPOINT}/trainer_state.json"])
def test_content_alone_tells_what_comes_through_a_pipe(name: str) -> None:
    with (EXAMPLES / name).open("rb") as pipe, open_log("-", pipe) as log:
        assert log.notes
        assert sum(table.num_rows for table in log.batches(["epoch", "loss"])) == EPOCHS


def test_event_files_come_through_a_pipe_too() -> None:
    path = EXAMPLES / "tensorboard/lr=0.01/events.out.tfevents.0"
    with path.open("rb") as pipe, open_log("-", pipe) as log:
        assert sum(t.num_rows for t in log.batches(["step", "loss/train"])) == EPOCHS + 1


def test_the_notes_say_who_read_and_what_was_added() -> None:
    added = {"lightning_logs": "2 runs: 1 was added", "keras.csv": "Keras CSVLogger: 1 was added"}
    kept = {"huggingface": "epochs are passes done", "tensorboard": "steps are as the writer"}
    for name, text in (added | kept).items():
        with open_log(str(EXAMPLES / name), None) as log:
            assert text in log.notes[0]
            assert log.shifted is (name in added)


@pytest.mark.parametrize("passes_done", [None, 6.4])
@pytest.mark.parametrize("every", [1, 10, 50])
def test_a_log_says_of_how_many_entries_its_rows_were_made(
    tmp_path: Path, every: int, passes_done: float | None
) -> None:
    """25 steps an epoch; beside the loss a summary, which makes no row and is not counted."""
    history = [{"step": s, "epoch": s / 25, "loss": 1.0} for s in range(every, 161, every)]
    history.append({"step": 160, "epoch": 6.4, "train_runtime": 1.0})
    path = TestHuggingFace.write(tmp_path, history, epoch=passes_done)
    with open_log(str(path), None) as log:
        assert not log.merged, "nothing has been read"
        for _ in range(2):  # a log may be read twice
            rows = sum(table.num_rows for table in log.batches(["epoch", "loss"]))
            n = len(history) - 1
            told = f"took {rows} rows of {n} logged entries: one row an epoch, the mean"
            assert log.merged.startswith(told) if n > rows else not log.merged
            assert rows == len({math.ceil(entry["epoch"]) for entry in history[:-1]} - {7})
        steps = sum(table.num_rows for table in log.batches(["step", "loss"]))
        assert (steps, log.merged) == (n, "")


def test_rows_of_lightning_are_counted_by_what_they_hold(tmp_path: Path) -> None:
    path = TestLightning().write(tmp_path, *(f"{s // 5},{s},{s}," for s in range(15)), "2,14,,1")
    with open_log(str(path), None) as log:
        list(log.batches(["epoch", "train_loss"]))
        assert log.merged.startswith("took 3 rows of 15 logged entries")
        list(log.batches(["epoch", "val_loss"]))
        assert not log.merged


def test_a_large_folder_is_read_again_instead_of_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "HELD_BYTES", 0)
    check_tensorboard(EXAMPLES / "tensorboard")


def test_a_folder_without_logs_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputOutputError, match=r"Is a directory; name one file in it"):
        read(tmp_path)


class TestKeras:
    @pytest.mark.parametrize(
        "text",
        [
            "epoch,loss\n0,1\n1,0.5\n",  # nothing that only Keras would write
            "epoch,loss,val_loss\n1,1,1\n2,1,1\n",  # counts from 1
            "epoch,val_loss,loss\n0,1,1\n",  # not in Keras's order
            "run_id,epoch,loss,val_loss\n0,1,1,1\n",
            "epoch,loss,valid_loss\n0,1,1\n",
        ],
    )
    def test_other_tables_keep_their_epochs(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.csv").write_text(text)
        with open_log(str(tmp_path / "x.csv"), None) as log:
            assert log.notes == ()

    def test_an_epoch_that_is_no_number_stays_for_the_error_that_names_it(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "x.csv").write_text("epoch,loss,val_loss\n0,1,1\nx,1,1\n")
        assert [row["epoch"] for row in read(tmp_path / "x.csv", "epoch", "loss")] == ["0", "x"]


class TestHuggingFace:
    @staticmethod
    def write(folder: Path, history: Any, **state: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "trainer_state.json"
        path.write_text(json.dumps({"log_history": history} | state))
        return path

    def test_the_newest_checkpoint_is_read(self, tmp_path: Path) -> None:
        for step in (9, 10, 100):
            self.write(tmp_path / f"checkpoint-{step}", [{"step": step, "loss": 1.0}])
        assert read(tmp_path, "step", "loss") == [{"step": 100, "loss": 1.0}]
        self.write(tmp_path, [{"step": 7, "loss": 1.0}])
        assert read(tmp_path, "step", "loss")[0]["step"] == 7

    def test_the_pass_that_is_going_on_is_left_out(self, tmp_path: Path) -> None:
        history = [{"step": s, "epoch": s / 4, "loss": float(s)} for s in range(1, 7)]
        path = self.write(tmp_path, history, epoch=1.5)
        assert read(path, "epoch", "loss") == [{"epoch": 1, "loss": 2.5}]
        path = self.write(tmp_path, history, epoch=2.0)
        assert read(path, "epoch", "loss")[1:] == [{"epoch": 2, "loss": 5.5}]

    def test_entries_without_the_metric_are_no_evaluations(self, tmp_path: Path) -> None:
        history = [
            {"step": 1, "loss": 2.0, "learning_rate": 0.1},
            {"step": 2, "eval_loss": 1.0},
            {"step": 3, "train_runtime": 9.0},
        ]
        path = self.write(tmp_path, history)
        found = read(path, "step", "eval_loss", "learning_rate")
        assert found == [{"step": 2, "eval_loss": 1.0, "learning_rate": None}]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"log_history": [', "expected whole JSON"),
            ('{"log_history": ' + "[" * 10**5, "expected whole JSON"),
            ('{"log_history": 3}', "expected a list of entries"),
            ('{"log_history": [1]}', "expected a list of entries"),
        ],
    )
    def test_other_json_is_refused(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "trainer_state.json").write_text(text)
        with pytest.raises(DataError, match=message):
            read(tmp_path / "trainer_state.json")
        with pytest.raises(DataError, match=rf"trainer_state.json: {message}"):
            read(tmp_path)

    def test_text_for_a_metric_is_refused_and_nan_is_kept(self, tmp_path: Path) -> None:
        history = [{"step": 1, "loss": "oops"}, {"step": 2, "eval": float("nan")}]
        path = self.write(tmp_path, history)
        with pytest.raises(DataError, match=r"column 'loss', data row 1: expected a number"):
            read(path, "step", "loss")
        value = read(path, "step", "eval")[0]["eval"]
        assert value != value  # noqa: PLR0124 - NaN

    @pytest.mark.parametrize("block_cells", [3, 40, 10**6])
    @pytest.mark.parametrize("seed", range(4))
    def test_blocks_give_the_columns_of_the_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, block_cells: int
    ) -> None:
        """Against json.loads and one column at a time."""
        rng = random.Random(seed)
        kinds = [lambda: rng.randrange(9), rng.random, lambda: None, lambda: math.nan]
        odd = [*kinds, lambda: 'a "log_history": [ ]', lambda: True, lambda: {"b": [1, {}]}]
        history = [
            {"step": step, "loss": rng.choice(kinds[:3])()}
            | {name: rng.choice(odd if name == "odd" else kinds)() for name in ("x", "odd")}
            for step in range(rng.randrange(30))
        ]
        history += [{}] if seed % 2 else []
        state = {"a": 'an "escaped" [', "log_history": history, "train_batch_size": 2, "epoch": 3}
        path = tmp_path / "trainer_state.json"
        path.write_text(json.dumps(state, indent=seed % 3 or None, ensure_ascii=seed > 1))
        monkeypatch.setattr(huggingface, "_BLOCK_CELLS", block_cells)
        with path.open("rb") as file:
            found = huggingface.HuggingFace().read([file])
        names = dict.fromkeys(["epoch", "step", *(name for entry in history for name in entry)])
        assert {*found.values} - {"train_batch_size"} == {*names}
        assert (found.passes_done, found.values["step"].null_count) == (3, seed % 2)
        for name in names:
            whole = column_of([entry.get(name) for entry in history])
            numbers = whole.type in {pa.int64(), pa.float64(), pa.null()}
            expected = whole.cast(pa.float64()) if numbers else whole
            assert str(found.values[name].to_pylist()) == str(expected.to_pylist())

    @pytest.mark.parametrize(
        "text",
        [
            '{"log_history": [{"step": 1},]}',
            '{"log_history": [{"step": 1} {"step": 2}]}',
            '{"log_history": [,]}',
            '{"log_history": [{"step": 1}]',
            '{"log_history": [{"step": 1}]}}',
            '{"log_history": [{"step": 1}',
            '{"log_history": [{"step": 1}], "epoch": }',
        ],
    )
    def test_json_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "trainer_state.json").write_text(text)
        with pytest.raises(DataError, match="expected whole JSON as the Trainer writes it"):
            read(tmp_path / "trainer_state.json")

    @pytest.mark.parametrize("text", ['{"a": {"log_history": [{}]}}', '{"log_history": [{}, 1]}'])
    def test_a_history_is_a_list_of_entries_at_the_top(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "trainer_state.json").write_text(text)
        with pytest.raises(DataError, match="expected a list of entries under 'log_history'"):
            read(tmp_path / "trainer_state.json")

    def test_what_a_history_takes_in_memory_is_bounded(self, tmp_path: Path) -> None:
        """Every name is a column with a place for every entry: 190 KB would take 1.3 GB."""
        path = self.write(tmp_path, [{f"k{i}": 1} for i in range(12_000)])
        tracemalloc.start()
        with pytest.raises(DataError, match=r"at most 50,000,000 values in the log history, got"):
            read(path, "step", "k1")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 50e6

    def test_a_larger_file_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.write(tmp_path, [{"step": 1}])
        monkeypatch.setattr(huggingface, "MAX_BYTES", path.stat().st_size)
        read(path, "step")
        monkeypatch.setattr(huggingface, "MAX_BYTES", path.stat().st_size - 1)
        with pytest.raises(DataError, match=r"trainer_state.json: expected at most .* bytes"):
            read(tmp_path, "step")


class TestLightning:
    HEADER = "epoch,step,train_loss,val_loss\n"

    def write(self, folder: Path, *rows: str) -> Path:
        (folder / "metrics.csv").write_text(self.HEADER + "".join(f"{row}\n" for row in rows))
        return folder / "metrics.csv"

    def test_an_epoch_with_fewer_batches_than_before_is_going_on(self, tmp_path: Path) -> None:
        rows = [f"{step // 5},{step},{step}," for step in range(13)]
        found = read(self.write(tmp_path, *rows), "epoch", "train_loss")
        assert found == [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 7.0}]

    def test_of_several_evaluations_of_an_epoch_the_last_holds(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, "0,4,,3", "0,9,,2", "1,14,,1.5", "1,19,,1")
        assert [row["val_loss"] for row in read(path, "epoch", "val_loss")] == [2.0, 1.0]
        by_step = read(path, "step", "val_loss")
        assert [row["step"] for row in by_step] == [5, 10, 15, 20]

    def test_a_bad_cell_is_named(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, "0,0,1,", "0,1,oops,")
        message = "column 'train_loss', data row 2: expected a number, got 'oops'"
        with pytest.raises(DataError, match=message):
            read(path, "epoch", "train_loss")
        assert read(path, "epoch", "val_loss") == [], "a column that is not asked for is not parsed"

    def test_what_is_held_of_a_run_is_bounded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.write(tmp_path, *(f"{t},{t},1,1" for t in range(100)))
        monkeypatch.setattr(lightning, "MAX_CELLS", 400)
        assert len(read(path, "epoch", "train_loss")) == 100
        monkeypatch.setattr(lightning, "MAX_CELLS", 399)
        with pytest.raises(DataError, match=r"at most 399 values in a run, got 400 or more; log"):
            read(path, "epoch", "train_loss")

    def test_a_table_of_runs_that_is_called_so_is_a_table(self, tmp_path: Path) -> None:
        (tmp_path / "metrics.csv").write_text("run_id,epoch,step,loss\na,0,0,1\n")
        with open_log(str(tmp_path / "metrics.csv"), None) as log:
            assert log.notes == ()


def test_nested_runs_are_called_by_their_path(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "lightning_logs", tmp_path / "a" / "logs")
    shutil.copytree(EXAMPLES / "lightning_logs", tmp_path / "b" / "logs")
    rows = read(tmp_path, "run_id", "epoch", "val_loss")
    names = [f"{x}/logs/version_{n}" for x in "ab" for n in (0, 1)]
    assert list(dict.fromkeys(row["run_id"] for row in rows)) == names
