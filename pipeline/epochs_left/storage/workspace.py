"""Workspaces: a second place to run the pipeline in, with the code of this checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

#: What the pipeline needs of the checkout; the rest it makes.
_COPIED = ("dvc.yaml", ".dvcignore", "pipeline", "benchmarks/results")


def make_workspace(folder: Path) -> None:
    """Bring ``folder`` up to date with this checkout's pipeline; its outputs stay.

    The workspace is no git repository: DVC runs there without one, and caches on its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        _copy(Path(name), folder / name)
    (folder / ".dvc").mkdir(exist_ok=True)
    settings = Path(".dvc/config").read_text()
    without_git = settings.replace("[core]\n", "[core]\n    no_scm = true\n", 1)
    (folder / ".dvc" / "config").write_text(without_git)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy2(source, target)
