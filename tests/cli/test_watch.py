"""`epochs-left watch`: growing files, interrupts, what is shown (15 s)."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from epochs_left.cli.watch_view import band, ends_at, sparkline
from epochs_left.live.eta import Eta

Cli = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[bytes]"]
HEADER = "run_id,epoch,loss\n"
#: Seconds after which a test gives up waiting for a line.
PATIENCE = 120


def rows(n: int, run: str = "a", rate: float = 0.9, first: int = 0) -> str:
    return "".join(f"{run},{t},{rate**t}\n" for t in range(first, first + n))


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def watching(start: Start, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    def hear_interrupts() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    options = {"preexec_fn": hear_interrupts} | options
    with start("watch", *arguments, "--interval", "0.05", **options) as process:
        giving_up = threading.Timer(PATIENCE, process.kill)
        giving_up.start()
        try:
            yield process
        finally:
            giving_up.cancel()
            process.kill()


def next_line(stream: IO[bytes] | None) -> str:
    assert stream is not None
    line = stream.readline().decode()
    assert line, "the program has ended"
    return line


def test_once_says_what_predict_says_at_the_last_row(cli: Cli, place: Path) -> None:
    (place / "x.csv").write_text(HEADER + rows(20))
    (predicted,) = parsed(cli("predict", "-i", "x.csv", "--at", "last", "--json").out)
    done = cli("watch", "x.csv", "--once", "--json")
    assert (done.code, done.err) == (0, "")
    watched = parsed(done.out)
    assert [row["epoch"] for row in watched] == list(range(20))
    assert {name: watched[-1][name] for name in predicted} == predicted
    line = cli("watch", "x.csv", "--once").out
    assert re.fullmatch(r"a, epoch 19, 0\.1351: [\d.]+ epochs left \(.* at 90 %\); .*\n", line)


@pytest.mark.parametrize("jsonl", [True, False])
def test_every_row_is_answered_as_predict_does(cli: Cli, place: Path, jsonl: bool) -> None:
    values = [(t, 0.8**t if t != 4 else None) for t in range(40)]
    if jsonl:
        text = "".join(json.dumps({"epoch": t, "loss": v, "lr": 0.1}) + "\n" for t, v in values)
    else:
        text = "epoch,loss,lr\n" + "".join(f"{t},{'' if v is None else v},0.1\n" for t, v in values)
    (place / "log").write_text(text)
    predicted = parsed(cli("predict", "-i", "log", "--json", "-q").out)
    watched = parsed(cli("watch", "log", "--once", "--json", "-q").out)
    before_the_gap = slice(0, 5)
    for old, new in zip(predicted[before_the_gap], watched[before_the_gap], strict=True):
        assert {name: new[name] for name in old} == old
    assert [row["status"] for row in watched[-5:]] == [row["status"] for row in predicted[-5:]]


def test_a_metric_that_rises_is_followed_to_its_ceiling(cli: Cli, place: Path) -> None:
    (place / "k.csv").write_text(
        "epoch,val_acc\n" + "".join(f"{t},{100 - 50 * 0.7**t}\n" for t in range(20))
    )
    options = ("--metric", "val_acc", "--mode", "max", "--once")
    done = cli("watch", "k.csv", *options, "--target", 99, "--ceiling", 100)
    assert "0 epochs left: the metric has reached the target" in done.out
    refused = cli("watch", "k.csv", *options, "--target", 0.9, "-q")
    assert refused.code == 3
    assert "data row 1: metric 50 is above the ceiling 1" in refused.error


def test_plateaus_want_a_horizon_and_get_an_answer(cli: Cli, place: Path) -> None:
    (place / "x.csv").write_text(HEADER + rows(20))
    options = ("watch", "x.csv", "--once", "-m", "plateau-causal", "--plateau", 0.01)
    assert cli(*options).code == 2
    assert "epochs left" in cli(*options, "--horizon", 100).out


def test_of_several_runs_the_last_one_written_or_the_named_one_is_shown(
    cli: Cli, place: Path
) -> None:
    (place / "x.csv").write_text(HEADER + rows(9) + rows(5, "b"))
    assert cli("watch", "x.csv", "--once").out.startswith("b, epoch 4, ")
    assert cli("watch", "x.csv", "--once", "--run", "a").out.startswith("a, epoch 8, ")
    done = cli("watch", "x.csv", "--once", "--run", "bb")
    assert (done.code, done.out) == (0, "")
    assert "no rows of run 'bb', did you mean 'b'?" in done.err


@pytest.mark.parametrize(
    ("unfinished", "last", "warning"),
    [
        ("a,9,0.38", 9, ""),  # whole but for its end, as predict takes it
        ("a,9", 8, "left out the last line"),
        ("", 8, ""),
    ],
)
def test_the_last_line_counts_if_it_is_whole(
    cli: Cli, place: Path, unfinished: str, last: int, warning: str
) -> None:
    (place / "x.csv").write_text(HEADER + rows(9) + unfinished)
    done = cli("watch", "x.csv", "--once")
    assert done.code == 0
    assert f"a, epoch {last}, " in done.out
    assert warning in done.err


def test_nan_is_news_and_no_error(cli: Cli, place: Path) -> None:
    (place / "x.csv").write_text(HEADER + rows(5) + "a,5,nan\na,6,0.1\n")
    done = cli("watch", "x.csv", "--once")
    assert (done.code, done.out) == (
        0,
        "a, epoch 6, 0.1: diverged: the loss is not finite, here or before\n",
    )


@pytest.mark.parametrize(
    ("content", "arguments", "code", "message"),
    [
        (None, (), 5, "No such file or directory"),
        (HEADER + "a,0,low\n", (), 3, "x.csv: column 'loss', data row 1: expected a number"),
        (HEADER + "a,0\nb,1,1\n", (), 3, "data row 1: expected 3 fields"),
        ("run_id,epoch,los\na,0,1\n", (), 3, "missing columns ['loss'], found ['los']"),
        ("PAR1", (), 3, "found a Parquet file, which does not grow"),
        (HEADER, ("--interval", 0), 2, "--interval: expected seconds above 0, got 0"),
        (HEADER, ("--target", 0), 2, "--target: expected a loss above 0"),
        (HEADER, ("--mode", "max", "--metric", "loss"), 2, "pass --target METRIC"),
        (HEADER, ("--level", "90"), 2, "--level: expected a share"),
        (HEADER, ("-m", "nowhere"), 4, "no bundle at nowhere"),
        (HEADER + "a,0,0.5\n", ("--mode", "max", "--target", 2), 2, "below the ceiling 1, got 2"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    cli: Cli,
    place: Path,
    content: str | None,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    if content is not None:
        (place / "x.csv").write_text(content)
    done = cli("watch", "x.csv", "--once", *arguments)
    assert done.code == code
    assert message in done.error


@pytest.mark.parametrize("content", ["", HEADER])
def test_a_file_without_rows_yet_is_no_error(cli: Cli, place: Path, content: str) -> None:
    (place / "x.csv").write_text(content)
    done = cli("watch", "x.csv", "--once")
    assert (done.code, done.out) == (0, "")
    assert "no rows" in done.err


def test_epochs_of_keras_count_passes_done_and_that_is_said(cli: Cli, place: Path) -> None:
    text = "".join(f"{t},0.5,{0.9**t}\n" for t in range(9))
    (place / "k.csv").write_text("epoch,accuracy,loss\n" + text)
    done = cli("watch", "k.csv", "--once")
    assert done.out.startswith("k, epoch 9, ")
    assert "warning: read as Keras CSVLogger: 1 was added to its epochs" in done.err


def test_a_pipe_is_not_followed(cli: Cli) -> None:
    done = cli("watch", "-", "--once")
    assert done.code == 2
    assert "predict -i -" in done.error


def test_a_growing_file_is_followed_until_an_interrupt(start: Start, place: Path) -> None:
    log = place / "x.csv"
    log.write_text(HEADER + rows(5))
    with watching(start, "x.csv") as process:
        assert next_line(process.stdout).startswith("a, epoch 4, ")
        with log.open("a", buffering=1) as file:
            for t in range(5, 9):
                file.write(f"a,{t},")
                file.flush()
                time.sleep(0.06)  # the program looks at half a line
                file.write(f"{0.9**t}\n")
                assert next_line(process.stdout).startswith(f"a, epoch {t}, {0.9**t:.4g}: ")
            file.write("a,9,0.3")
            file.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert process.returncode == 130
        assert out.decode().startswith("a, epoch 9, 0.3: ")
        assert b"Traceback" not in err
    last = out.decode().partition(": ")[2].partition(",")[0]
    with start("watch", "x.csv", "--once") as again:
        same, _ = again.communicate()
    assert again.returncode == 0
    assert same.decode().partition(": ")[2].startswith(last)


def test_a_restart_from_a_checkpoint_goes_on_from_there(start: Start, place: Path) -> None:
    log = place / "x.csv"
    log.write_text(HEADER + rows(9))
    with watching(start, "x.csv", "--json") as process:
        before = [json.loads(next_line(process.stdout)) for _ in range(9)]
        with log.open("a") as file:
            file.write(rows(3, first=5))
        after = [json.loads(next_line(process.stdout)) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert b"run 'a': epoch 5 after 8; went back to it" in err
    for old, new in zip(before[5:8], after, strict=True):
        assert {k: v for k, v in new.items() if "seconds" not in k} == {
            k: v for k, v in old.items() if "seconds" not in k
        }


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_starts_anew_is_read_anew(start: Start, place: Path, replaced: bool) -> None:
    log = place / "x.csv"
    log.write_text(HEADER + rows(9))
    with watching(start, "x.csv") as process:
        assert next_line(process.stdout).startswith("a, epoch 8, ")
        if replaced:
            (place / "new.csv").write_text(HEADER + rows(4, "b"))
            (place / "new.csv").replace(log)
        else:
            os.truncate(log, 0)
            with log.open("a") as file:
                file.write(HEADER + rows(4, "b"))
        while not (line := next_line(process.stdout)).startswith("b, epoch 3, "):
            assert line.startswith("b, ")  # what had been written by then
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert b"reading it again" in err


def test_a_reader_that_leaves_ends_it_quietly(start: Start, place: Path) -> None:
    (place / "x.csv").write_text(HEADER + rows(400, rate=0.999))
    with watching(start, "x.csv", "--json") as process:
        next_line(process.stdout)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def eta(**changes: Any) -> Eta:
    usual: dict[str, Any] = {
        "epoch": 1.0,
        "epochs_remaining": 40.0,
        "lower": 20.0,
        "upper": 80.0,
        "p_converges": 0.5,
        "status": "ok",
        "reason": "",
        "level": 0.9,
        "unit": "epoch",
        "seconds_remaining": 100.0,
        "seconds_lower": 50.0,
        "seconds_upper": 200.0,
        "model_id": "m",
    }
    return Eta(**(usual | changes))


def test_a_curve_is_drawn_from_its_highest_to_its_lowest() -> None:
    assert sparkline([math.exp(-t) for t in range(8)], 60) == "█▇▆▅▄▃▂▁"
    assert sparkline([1.0, 0.0], 60) == "█▁"
    assert sparkline([3.0] * 5, 60) == "▁" * 5
    assert sparkline([], 60) == ""
    assert len(sparkline(list(range(1, 1000)), 60)) == 60


def test_the_band_spans_the_interval_with_the_prediction_in_it() -> None:
    drawn = band(eta(), 43)
    assert drawn == "─" * 10 + "━" * 10 + "●" + "━" * 19 + " 80"
    assert len(drawn) == 43
    assert band(eta(upper=None), 40).endswith(" more")
    assert band(eta(epochs_remaining=None), 40) == ""
    assert band(eta(epochs_remaining=0.0, lower=0.0, upper=0.0), 40) == ""


def test_the_end_is_a_time_of_day_and_a_date_if_it_is_another_day() -> None:
    noon = time.mktime((2024, 5, 1, 12, 0, 0, 0, 0, -1))
    assert ends_at(eta(seconds_remaining=3600.0), noon) == "13:00"
    assert ends_at(eta(seconds_remaining=86400.0), noon) == "2024-05-02 12:00"


def test_on_a_terminal_a_panel_is_drawn_without_what_run_names_smuggle_in(
    start: Start, place: Path
) -> None:
    pty = pytest.importorskip("pty")
    (place / "x.csv").write_text(HEADER + rows(9, "evil\x1b]0;title\x07"))
    leader, follower = pty.openpty()
    with watching(start, "x.csv", stdout=follower) as process:
        os.close(follower)
        shown = b""
        while b"epochs left" not in shown:
            shown += os.read(leader, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert "█".encode() in shown
    assert b"\x1b]0;" not in shown
    os.close(leader)
