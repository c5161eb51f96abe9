"""Kills `dvc repro` at random moments, again and again, and compares what it makes in the end.

Shared by tests/stages/test_kills.py and benchmarks/kill.py. Processes are started in one of two
ways: as a person would (`Commands`), or forked from a process that has imported DVC and the stages
already (`preloaded`), which saves the seconds of importing that most kills would hit. The code that
runs is the same, and so are the processes: DVC, a stage, its workers.
"""

from kills.launch import Commands, Launcher, below, is_alive, kind_of, preloaded
from kills.project import KillError, Project, families, few_runs
from kills.torment import GRACE, TARGETS, Toll, Torment, undisturbed

__all__ = [
    "GRACE",
    "TARGETS",
    "Commands",
    "KillError",
    "Launcher",
    "Project",
    "Toll",
    "Torment",
    "below",
    "families",
    "few_runs",
    "is_alive",
    "kind_of",
    "preloaded",
    "undisturbed",
]
