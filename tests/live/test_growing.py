"""Logs that grow, as rows and as answers (3 s)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.errors import DataError
from epochs_left.live.growing import GrowingLog
from epochs_left.live.tracker import EtaTracker
from epochs_left.live.watching import Seen, Watcher
from epochs_left.prediction.layout import ColumnChoice
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import Rows

N = 30
CSV = b"run_id,epoch,loss,lr\n" + b"".join(b"a,%d,%.4f,0.1\n" % (t, 0.9**t) for t in range(N))
JSON = b"".join(
    json.dumps({"epoch": t, "loss": 0.9**t, "optimizer": "sgd"}).encode() + b"\n" for t in range(N)
)
KERAS = b"epoch,accuracy,loss,val_loss\n" + b"".join(
    b"%d,0.5,%.4f,1.0\n" % (t, 0.9**t) for t in range(N)
)
LIGHTNING = b"epoch,step,train_loss,val_loss\n" + b"".join(
    b"%d,%d,%.4f,\n%d,%d,,0.5\n" % (t, 10 * t, 0.9**t, t, 10 * t + 9) for t in range(N)
)


def growing(name: str = "x.csv", metric: str | None = None) -> GrowingLog:
    return GrowingLog(ColumnChoice(metric=metric), "log", name)


def read(log: GrowingLog, pieces: list[bytes]) -> list[Rows]:
    found = [log.add(piece) for piece in pieces] + [log.add(b"", last=True)]
    return [rows for rows in found if rows is not None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("content", "name", "metric", "first"),
    [
        (CSV, "x.csv", None, 0),
        (JSON, "x.jsonl", None, 0),
        (KERAS, "k.csv", None, 1),
        (LIGHTNING, "metrics.csv", "train_loss", 1),
    ],
)
def test_however_the_lines_come_the_rows_are_the_same(
    seed: int, content: bytes, name: str, metric: str | None, first: int
) -> None:
    lines = content.splitlines(keepends=True)
    rng = np.random.default_rng(seed)
    cuts = [0, *sorted(rng.choice(np.arange(1, len(lines)), 9, replace=False)), len(lines)]
    pieces = [b"".join(lines[a:b]) for a, b in itertools.pairwise(cuts)]
    whole = read(growing(name, metric), [content])
    parts = read(growing(name, metric), pieces)
    one_by_one = read(growing(name, metric), lines)
    for found in (whole, parts, one_by_one):
        epochs = np.concatenate([rows.epoch for rows in found])
        losses = np.concatenate([rows.loss for rows in found])
        assert np.array_equal(epochs[: N - 1], first + np.arange(N - 1))
        assert losses[: N - 1] == pytest.approx(0.9 ** np.arange(N - 1), abs=1e-4)


def test_a_row_that_cannot_be_used_is_named_by_its_number_in_the_log() -> None:
    log = growing()
    log.add(b"run_id,epoch,loss\na,0,1\n")
    log.add(b"a,1,1\n")
    with pytest.raises(DataError, match="column 'loss', data row 4: expected a number, got 'low'"):
        log.add(b"a,2,1\na,3,low\n")


@pytest.mark.parametrize("last", [b"a,2,0.5,3\n", b"a,2\n"])
def test_a_ragged_row_is_refused(last: bytes) -> None:
    log = growing()
    log.add(b"run_id,epoch,loss\na,0,1\n")
    with pytest.raises(DataError, match="data row 2: expected 3 fields"):
        log.add(last)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1...\n", "found a Parquet file, which does not grow"),
        (b"\x1f\x8b....\n", "found gzip data"),
        (b"epoch,los\n0,1\n", r"missing columns \['loss'\]"),
    ],
)
def test_what_cannot_be_followed_is_refused_at_once(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        growing().add(content)


def test_lines_of_another_kind_before_the_first_loss_are_waited_for_but_not_forever() -> None:
    log = growing()
    assert log.add(b'{"epoch": 0, "los": 3}\n') is None
    rows = log.add(b'{"epoch": 1, "loss": 2}\n')
    assert rows is not None
    assert rows.measured.tolist() == [False, True]
    with pytest.raises(DataError, match="missing columns"):
        growing().add(b'{"epoch": 0, "los": 3}\n' * 20)
    with pytest.raises(DataError, match="missing columns"):
        growing().add(b'{"epoch": 0, "los": 3}\n', last=True)


@pytest.fixture
def watcher(small: Predictor) -> Callable[..., Watcher]:
    def make(run: str | None = None) -> Watcher:
        return Watcher(
            lambda horizon, stated: EtaTracker(0.05, horizon=horizon, model_bundle=small, **stated),
            run,
        )

    return make


def seen_of(watcher: Watcher, pieces: list[bytes], every: bool) -> list[Seen]:
    log, found = growing(), []
    for now, piece in enumerate(pieces):
        rows = log.add(piece)
        if rows is not None:
            found += watcher.take(log, rows, written=10.0 * now, every=every)
    return found


def test_what_is_answered_does_not_depend_on_who_looks_when(
    watcher: Callable[..., Watcher],
) -> None:
    lines = CSV.splitlines(keepends=True)
    each = seen_of(watcher(), [lines[0] + lines[1], *lines[2:]], every=False)
    every = seen_of(watcher(), [CSV], every=True)
    rarely = seen_of(watcher(), [b"".join(lines[:12]), b"".join(lines[12:])], every=False)
    assert [e.eta.as_dict() for e in every if e.eta] == [
        {name: v for name, v in e.eta.as_dict().items() if "seconds" not in name}
        for e in each
        if e.eta
    ]
    answered = [seen for seen in rarely if seen.eta is not None]
    assert [seen.epoch for seen in answered] == [10, N - 1]
    for seen in answered:
        assert seen.eta is not None
        assert seen.eta.status == every[seen.epoch].eta.status  # type: ignore[union-attr]
        assert seen.eta.lower == every[seen.epoch].eta.lower  # type: ignore[union-attr]


def test_the_pace_comes_from_rows_whose_time_is_known(watcher: Callable[..., Watcher]) -> None:
    lines = CSV.splitlines(keepends=True)
    pieces = [b"".join(lines[:6]), *(a + b for a, b in zip(lines[6::2], lines[7::2], strict=False))]
    found = seen_of(watcher(), pieces[:6], every=False)
    eta = found[-1].eta
    assert eta is not None
    assert eta.seconds_remaining == pytest.approx(5 * (eta.epochs_remaining or 0))


def test_runs_have_trackers_of_their_own(watcher: Callable[..., Watcher]) -> None:
    both = b"run_id,epoch,loss,lr\n" + b"".join(
        b"a,%d,%.4f,0.1\nb,%d,%.4f,0.2\n" % (t, 0.9**t, t, 0.8**t) for t in range(9)
    )
    alone = seen_of(watcher(), [CSV], every=True)[:9]
    mixed = seen_of(watcher(), [both], every=True)
    assert [s.eta for s in mixed if s.run == "a"] == [s.eta for s in alone]
    assert seen_of(watcher("a"), [both], every=True) == [s for s in mixed if s.run == "a"]


def test_a_metric_above_the_ceiling_names_its_row(small: Predictor) -> None:
    watch = Watcher(lambda _h, _s: EtaTracker(0.9, mode="max", model_bundle=small))
    with pytest.raises(DataError, match=r"data row 2: metric 97 is above the ceiling 1; .*=100"):
        seen_of(watch, [b"epoch,loss\n0,0.5\n1,97\n"], every=True)
