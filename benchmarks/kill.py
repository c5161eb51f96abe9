"""Kills the smoke pipeline at random moments and compares what it makes with an undisturbed run.

Run with `python benchmarks/kill.py --kills 100` from an environment with the pipeline. It works in
a temporary folder, starts `dvc repro` there as a person would, and kills DVC (`--what parent`), a
random process below it (`child`: the stage or one of its workers), or all of them at once
(`group`) with SIGKILL; the next run starts at once. Prints what was hit; exits 1 if the pipeline
ends with other bytes than without kills, needs a helping hand, hangs, or leaves a process behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "pipeline"), str(ROOT / "tests" / "stages")]

from kills import TARGETS, Commands, KillError, Project, Toll, Torment, undisturbed  # noqa: E402

from epochs_left.storage.params import PARAMS, load_params, merged  # noqa: E402

PROFILE = ROOT / "pipeline" / "profiles" / "smoke.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed and when")
    parser.add_argument("--what", choices=[*TARGETS, "all"], default="all")
    arguments = parser.parse_args()
    targets = TARGETS if arguments.what == "all" else (arguments.what,)
    params = merged(load_params(ROOT / PARAMS), load_params(PROFILE))
    with tempfile.TemporaryDirectory(prefix="epochs-left-kill-") as folder:
        project = Project.make(Path(folder) / "project", params)
        torment(project, arguments.kills, arguments.seed, targets)


def torment(project: Project, kills: int, seed: int, targets: tuple[str, ...]) -> None:
    start = time.monotonic()
    launcher = Commands()
    expected, lives = undisturbed(project, launcher)
    print(f"undisturbed: {time.monotonic() - start:.0f} s, {len(expected)} files")
    for family, data_sha256 in project.data_hashes().items():
        print(f"  {family}: data_sha256 {data_sha256}")
    project.forget()
    torment = Torment(project, launcher, expected, seed=seed, lives=lives, what=targets)
    try:
        torment.inflict(kills)
    except KillError as error:
        print(table(torment.toll))
        sys.exit(f"after {torment.toll.kills} kills: {error}")
    print(table(torment.toll))
    print(
        f"{torment.toll.kills} kills in {time.monotonic() - start:.0f} s; compared at "
        f"{torment.toll.rounds} ends, always the same bytes; slowest orphan gone after "
        f"{torment.toll.slowest_orphan:.1f} s; {torment.toll.mended} torn files of DVC removed"
    )


def table(toll: Toll) -> str:
    """Return the kills by stage (down) and what was killed (across)."""
    columns = sorted({what for _, what in toll.hits})
    stages = list(dict.fromkeys(stage for stage, _ in toll.hits))
    rows = [["stage", *columns, "all"]]
    for stage in stages:
        counts = [toll.hits[stage, what] for what in columns]
        rows.append([stage, *map(str, counts), str(sum(counts))])
    totals: Counter[str] = Counter()
    for (_, what), number in toll.hits.items():
        totals[what] += number
    rows.append(["all", *(str(totals[what]) for what in columns), str(toll.kills)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


if __name__ == "__main__":
    main()
