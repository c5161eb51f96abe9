"""What `watch` does: look, answer, show, wait."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any, Protocol

from epochs_left.cli import INTERRUPTED
from epochs_left.cli.aim_choice import about_model, aim_for
from epochs_left.cli.messages import Messages, is_terminal, one_line
from epochs_left.errors import DataError, EpochsLeftError, UsageError, did_you_mean
from epochs_left.live.goal import Goal
from epochs_left.live.growing import GrowingLog
from epochs_left.live.tracker import EtaTracker
from epochs_left.live.watching import Seen, Watcher
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.batch import about_columns, require_horizon
from epochs_left.prediction.layout import ColumnChoice
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundle_choice import bundle_folder, goal_of
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.follow import Follower
from epochs_left.storage.formats import PIPE
from epochs_left.storage.logs import errors_name


@dataclass(frozen=True, kw_only=True)
class WatchTask:
    """The options of `watch`, checked."""

    log: str
    model: str | None
    target: float | None
    plateau: float | None
    horizon: int | None
    mode: str
    ceiling: float
    level: float
    run_id: str | None
    as_json: bool
    once: bool
    interval: float
    columns: ColumnChoice
    messages: Messages


class View(Protocol):
    """Shows what was answered."""

    def show(self, seen: Seen) -> None:
        """Take a row, with or without an answer."""

    def end(self) -> None:
        """Leave the last answer to be read."""


class StoppedWatchingError(EpochsLeftError):
    """Somebody pressed Ctrl-C, which is how a watch ends; the last answer has been given."""

    exit_code = INTERRUPTED


def run(task: WatchTask) -> None:
    """Carry out a task.

    Raises
    ------
    StoppedWatchingError
        At an interrupt, when everything has been said.
    EpochsLeftError
        If it cannot be done, or no longer.
    """
    if task.log == PIPE:
        raise UsageError("watch follows a file, not a pipe; name it, or use predict -i -")
    bundle = load_bundle(bundle_folder(task.model, goal_of(task.plateau)))
    predictor = predictor_of(bundle, level=task.level, jobs=1)
    if task.mode == "max" and task.target is None and task.plateau is None:
        raise UsageError("--mode max: pass --target METRIC, or --plateau SHARE --horizon EPOCHS")
    aim = aim_for(predictor, task.target, task.plateau, task.horizon)
    asked = _falling(aim, task)
    task.messages.warn_all(about_model(predictor, asked, task.level), strict=False)
    with errors_name(task.log), _interrupts() as interrupted, _view(task) as view:
        watch = _Watch(task, predictor, aim, view)
        try:
            watch.to_the_end()
            while not (task.once or interrupted.wait(task.interval)):
                watch.to_the_end()
            watch.to_the_end()
            watch.finish()
        except BrokenPipeError:  # the reader has what it wanted, as `head` has
            return
    if interrupted.is_set():
        raise StoppedWatchingError("interrupted; the last answer stands above")


def _falling(aim: Aim, task: WatchTask) -> Aim:
    """Return what is asked of a value that falls; UsageError if it cannot be reached."""
    if aim.target is None:
        return aim
    try:
        goal = Goal.of(
            target=aim.target, plateau=None, horizon=None, mode=task.mode, ceiling=task.ceiling
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return goal.aim


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Yield what an interrupt sets, so that rows under way are finished; a second one ends it."""
    interrupted = Event()

    def note(number: int, frame: object) -> None:
        del number, frame
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if current_thread() is not main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _Watch:
    """The state of one file's watch."""

    task: WatchTask
    predictor: Predictor
    aim: Aim
    view: View
    _noted: bool = False
    _any: bool = False
    _follower: Follower = field(init=False)
    _growing: GrowingLog = field(init=False)
    _watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self._follower = Follower(Path(self.task.log))
        self._begin()

    def _begin(self) -> None:
        path = Path(self.task.log)
        self._growing = GrowingLog(self.task.columns, path.stem, path.name)
        self._watcher = Watcher(self._tracker, self.task.run_id)

    def to_the_end(self) -> None:
        """Take all whole lines that are there."""
        while True:
            news = self._follower.read()
            if news.restarted:
                self.task.messages.warn(f"{self.task.log}: {news.restarted}; reading it again")
                self._begin()
            if not news.lines:
                return
            self._take(news.lines, news.written)

    def finish(self) -> None:
        """Take a last line without its end if it is whole, and say what is missing."""
        try:
            self._take(self._follower.rest, math.nan, last=True)
        except DataError:
            if not self._any:
                raise
            self.task.messages.warn(f"{self.task.log}: left out the last line, which is cut short")
        if not self._any:
            names = self._growing.run_names
            wanted = self.task.run_id
            of_run = "" if wanted is None else f" of run {wanted!r}{did_you_mean(wanted, names)}"
            self.task.messages.warn(f"{self.task.log}: no rows{of_run}")
        self.view.end()

    def _take(self, lines: bytes, written: float, *, last: bool = False) -> None:
        rows = self._growing.add(lines, last=last)
        if rows is None:
            return
        self._note_columns()
        every = self.task.as_json
        for seen in self._watcher.take(self._growing, rows, written=written, every=every):
            self._any = True
            if seen.back_from is not None:
                self.task.messages.warn(
                    f"run {seen.run!r}: epoch {seen.epoch} after {seen.back_from}; went back to it"
                )
            self.view.show(seen)

    def _note_columns(self) -> None:
        layout = self._growing.layout
        if self._noted or layout is None:
            return
        self._noted = True
        require_horizon(layout, self.aim)
        for text in about_columns(layout, Path(self.task.log).stem):
            self.task.messages.note(text)
        # An epoch of the answer is another than that of a log that counts from 0.
        tell = self.task.messages.warn if self._growing.shifted else self.task.messages.note
        for text in self._growing.notes:
            tell(text)

    def _tracker(self, horizon: float | None, settings: Mapping[str, Any]) -> EtaTracker:
        try:
            return EtaTracker(
                self.aim.target,
                plateau=self.aim.plateau,
                horizon=self.task.horizon if horizon is None else horizon,
                mode=self.task.mode,
                ceiling=self.task.ceiling,
                level=self.task.level,
                model_bundle=self.predictor,
                unit=_unit(self._growing),
                **settings,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error


def _unit(log: GrowingLog) -> str:
    """Return what the rows count: a column called after a step counts steps."""
    assert log.layout is not None
    return "step" if "step" in log.layout.time.lower() else "epoch"


@contextmanager
def _view(task: WatchTask) -> Iterator[View]:
    if task.as_json:
        yield _JsonLines()
    elif is_terminal(sys.stdout) and not task.once:
        from epochs_left.cli.watch_view import live_panel  # noqa: PLC0415

        with live_panel(task.log) as panel:
            yield panel
    else:
        yield _Lines(last_alone=task.once)


class _JsonLines:
    """A JSON object a row."""

    def show(self, seen: Seen) -> None:
        """Write the answer."""
        if seen.eta is not None:
            answer = {"run_id": seen.run, "epoch": seen.epoch}
            _write(json.dumps(answer | _without_epoch(seen)))

    def end(self) -> None:
        """Everything has been said."""


def _without_epoch(seen: Seen) -> dict[str, object]:
    assert seen.eta is not None
    return {name: value for name, value in asdict(seen.eta).items() if name != "epoch"}


def _write(line: str) -> None:
    """Write a line now: whoever reads it waits for it. `BrokenPipeError` if nobody does."""
    if sys.stdout is not None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


class _Lines:
    """A line an answer, or one for the last answer alone."""

    def __init__(self, *, last_alone: bool) -> None:
        self._last_alone, self._last = last_alone, ""

    def show(self, seen: Seen) -> None:
        """Write the answer, or keep it."""
        if seen.eta is not None:
            self._last = described(seen)
            if not self._last_alone:
                _write(self._last)

    def end(self) -> None:
        """Write what was kept."""
        if self._last_alone and self._last:
            _write(self._last)


def described(seen: Seen) -> str:
    """Return a row and its answer in one line."""
    value = "no loss" if math.isnan(seen.value) else f"{seen.value:.4g}"
    unit = seen.eta.unit if seen.eta is not None else "epoch"
    return one_line(f"{seen.run}, {unit} {seen.epoch}, {value}: {seen.eta}")
