"""What a killed DVC leaves half-made and no later ``dvc repro`` gets past.

DVC writes ``dvc.lock`` and its table of busy paths in place, and makes the folder of an entry of
its cache of runs before the entry: torn or empty, each stops all later runs until it is removed.
None of them is needed: DVC makes them again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from epochs_left.errors import InputOutputError
from epochs_left.storage.locks import locked

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def remove_torn_files(project: Path) -> list[str]:
    """Remove the files and folders of a project that a killed DVC left half-made.

    Nothing is touched while DVC runs: it holds its lock whenever it writes one of them.

    Returns
    -------
    Their paths in the project.
    """
    dvc = project / ".dvc"
    if not dvc.is_dir():
        return []
    try:
        with locked(dvc / "tmp" / "lock", patience=0):
            torn = [*_torn(project / "dvc.lock", _is_whole), *_torn(dvc / "tmp/rwlock", _is_json)]
            torn += _unfinished_entries(dvc / "cache" / "runs")
            for path in torn:
                path.rmdir() if path.is_dir() else path.unlink()
    except InputOutputError:
        return []
    return [str(path.relative_to(project)) for path in torn]


def _torn(path: Path, is_whole: Callable[[Path], bool]) -> list[Path]:
    return [path] if path.exists() and not is_whole(path) else []


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def _is_whole(path: Path) -> bool:
    """Tell whether every stage and entry of a ``dvc.lock`` has what belongs to it."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text())
        return all(_is_whole_stage(stage) for stage in content["stages"].values())
    except (YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_whole_stage(stage: Any) -> bool:
    params = stage.get("params", {})
    return (
        isinstance(stage["cmd"], str)
        and stage.keys() <= {"cmd", "deps", "params", "outs"}
        and all(isinstance(values, dict) for values in params.values())
        and all(
            _is_whole_entry(entry) for name in ("deps", "outs") for entry in stage.get(name, [])
        )
    )


def _is_whole_entry(entry: Any) -> bool:
    """Tell whether a dependency or an output has its path, its hash, and numbers beside them."""
    numbers = {key: value for key, value in entry.items() if key not in {"path", "hash", "md5"}}
    return (
        isinstance(entry["path"], str)
        and entry["hash"] == "md5"
        and _MD5.fullmatch(entry["md5"]) is not None
        and numbers.keys() <= {"size", "nfiles", "isexec"}
        and all(isinstance(value, int) for value in numbers.values())
    )


def _unfinished_entries(runs: Path) -> list[Path]:
    """Return temporary files of the cache of runs, and then the folders that are empty."""
    found: list[Path] = []
    for folder in runs.glob("*/*"):
        files = list(folder.iterdir())
        temporary = [path for path in files if not _SHA256.fullmatch(path.name)]
        found += temporary + ([folder] if len(temporary) == len(files) else [])
    return found
