"""Random kills, and what must be so after each."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from epochs_left.storage.dvc_files import remove_torn_files
from kills.launch import PATIENCE, Launcher, Run, below, is_alive, kind_of
from kills.project import KillError, Project

#: What can be killed: DVC, a random process below it, or all of them at once.
TARGETS = ("parent", "child", "group")

#: Seconds until everything that a kill left without a parent must be gone; two would do on a
#: machine that has nothing else to do.
GRACE = 10.0

#: What DVC does before its first stage.
BEGINNING = "dvc, before any stage"

#: A moment is drawn over so many lives of a stage, so that some fall between two stages.
MORE = 1.1

#: DVC's exit code when a stage fails.
STAGE_FAILED = 255

#: Times that workers may be killed before a stage gives up.
WORKER_DEATHS = 3


@dataclass
class Toll:
    """What was killed, and how it went on."""

    hits: Counter[tuple[str, str]] = field(default_factory=Counter)  # (stage, what was killed)
    rounds: int = 0  # times that the pipeline reached its end and was compared
    mended: int = 0  # torn files of DVC that were removed
    slowest_orphan: float = 0.0  # seconds from a kill to the end of what it left behind

    @property
    def kills(self) -> int:
        return self.hits.total()


class Torment:
    """Kills runs of a project until so many kills are done, then lets it run to its end.

    Parameters
    ----------
    expected
        Hashes of what an undisturbed run made.
    lives
        Seconds that each stage lives when nothing disturbs it (`undisturbed`). A kill hits one of
        the next stages that DVC starts, at a moment that is drawn over that life and a bit more.
    what
        Targets to draw from.
    stages
        Stages to ask DVC for; all if empty.
    """

    def __init__(
        self,
        project: Project,
        launcher: Launcher,
        expected: Mapping[str, str],
        *,
        seed: int,
        lives: Mapping[str, float],
        what: Sequence[str] = TARGETS,
        stages: Sequence[str] = (),
    ) -> None:
        self._project, self._launcher, self._expected = project, launcher, expected
        self._random, self._lives = random.Random(seed), lives
        self._what, self._stages = what, stages
        self._doomed: list[tuple[psutil.Process, float]] = []
        self._run: Run | None = None
        self.toll = Toll()

    def inflict(self, kills: int) -> Toll:
        """Do it; KillError if anything is not as it must be, and then nothing is left running."""
        limit = 3 * kills + 3  # a run may end before its kill
        try:
            while self.toll.kills < kills and self.toll.rounds < limit:
                self._disturbed_run(kills)
            self._comes_to_its_end(self._start())
            while self._orphans_left():
                time.sleep(0.05)
        except BaseException:
            put_down(self._run)
            raise
        return self.toll

    def _start(self) -> Run:
        """Start at once, whether or not what the last kill left is gone."""
        self.toll.mended += len(remove_torn_files(self._project.folder))
        self._orphans_left()
        self._run = self._launcher.start(self._project, *self._stages)
        return self._run

    def _disturbed_run(self, kills: int) -> None:
        """Start a run and kill at it until it is dead, done, or enough."""
        run = self._start()
        survived = 0
        while self.toll.kills < kills and self._moment_comes(run):
            target = self._random.choice(self._what)
            if self._kill_child(run) if target == "child" else self._kill_dvc(run, target):
                return
            survived += 1
        if self._comes_to_its_end(run, may_fail=survived >= WORKER_DEATHS):
            self._project.forget(keep_shards=self._random.random() < 0.5)

    def _moment_comes(self, run: Run) -> bool:
        """Wait for the moment of the next kill; False if the run ends before.

        Most hit the next stage that is started, some the one after it, few the present one.
        """
        ahead = 0 if self._random.random() < 0.15 else 1 + int(self._random.expovariate(2.0))
        wanted = len(stages_of(run)) + min(ahead, len(self._stages) or ahead)
        deadline = time.monotonic() + PATIENCE
        while len(stages_of(run)) < wanted:
            if run.wait(0.01) is not None:
                return False
            if time.monotonic() > deadline:
                raise KillError(f"a run hangs: {tail(run)}")
        return run.wait(self._random.uniform(0, MORE * self._lives[stage_of(run)])) is None

    def _kill_dvc(self, run: Run, target: str) -> bool:
        """Kill DVC, alone or with all below it; that ends the run."""
        family = below(run.pid)
        self._note(run, target if family else f"{target}, no stage alive")
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if target == "group" else os.kill)(run.pid, signal.SIGKILL)
        self._expect_end(run, -signal.SIGKILL, family)
        return True

    def _kill_child(self, run: Run) -> bool:
        """Kill one process below DVC, if there is one; return whether that ends the run."""
        family = below(run.pid)
        if not family:
            return False
        victim = self._random.choice(family)
        kind = kind_of(victim, run.pid)
        self._note(run, kind)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        if kind != "stage":
            return False
        self._expect_end(run, STAGE_FAILED, family)
        return True

    def _note(self, run: Run, what: str) -> None:
        self.toll.hits[stage_of(run), what] += 1

    def _expect_end(self, run: Run, code: int, family: list[psutil.Process]) -> None:
        """Check that a kill ended a run, and remember whose parent it was."""
        now = time.monotonic()
        self._doomed += [(process, now) for process in family]
        found = run.wait(PATIENCE)
        if found == 0:  # it came to its end at that very moment
            self._compare()
        elif found != code:
            raise KillError(f"expected exit code {code} after a kill, got {found}: {tail(run)}")

    def _comes_to_its_end(self, run: Run, *, may_fail: bool = False) -> bool:
        """Leave a run alone and compare what it made; False if it has failed and may."""
        code = run.wait(PATIENCE)
        if may_fail and code == STAGE_FAILED:
            return False
        if code != 0:
            raise KillError(f"expected the run to succeed, got exit code {code}: {tail(run)}")
        self._compare()
        return True

    def _compare(self) -> None:
        self.toll.rounds += 1
        found = self._project.hashes()
        names = sorted({*found, *self._expected})
        different = [name for name in names if found.get(name) != self._expected.get(name)]
        if different:
            raise KillError(f"other bytes than those of an undisturbed run: {different}")

    def _orphans_left(self) -> bool:
        """Tell whether anything lives that a kill left without a parent; KillError if too long."""
        now = time.monotonic()
        self._doomed = [(process, since) for process, since in self._doomed if is_alive(process)]
        ages = [now - since for _, since in self._doomed]
        self.toll.slowest_orphan = max([self.toll.slowest_orphan, *ages])
        if self.toll.slowest_orphan > GRACE:
            raise KillError(f"alive {GRACE} s after what they belong to was killed: {self._doomed}")
        return bool(ages)


def put_down(run: Run | None) -> None:
    """End a run and all below it."""
    if run is not None and run.wait(0) is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait(PATIENCE)


def stages_of(run: Run) -> list[str]:
    """Return the stages that DVC says it has started."""
    lines = run.log.read_text(errors="replace").splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]


def stage_of(run: Run) -> str:
    """Return the stage that DVC started last."""
    return [BEGINNING, *stages_of(run)][-1]


def tail(run: Run) -> str:
    return run.log.read_text(errors="replace")[-2000:]


def undisturbed(
    project: Project, launcher: Launcher, *stages: str
) -> tuple[dict[str, str], dict[str, float]]:
    """Run all stages or some; return the hashes of what they made, and the seconds they took."""
    run = launcher.start(project, *stages)
    began = {BEGINNING: time.monotonic()}
    while run.wait(0.01) is None and time.monotonic() < began[BEGINNING] + PATIENCE:
        began.setdefault(stage_of(run), time.monotonic())
    if run.wait(0) != 0:
        put_down(run)
        raise KillError(f"expected an undisturbed run to succeed: {tail(run)}")
    moments = [*began.values(), time.monotonic()]
    lives = [end - start for start, end in itertools.pairwise(moments)]
    return project.hashes(), dict(zip(began, lives, strict=True))
