"""Runs stages on a disk that is full: a program of test_disk_full.py.

Takes a JSON list of cases: folder, stage (words), and either limit (bytes of the largest file) or
mount and room: the folder to put on a small tmpfs, and the bytes that are free there, for which the
caller gives it mounts of its own. For each case it writes a JSON line: the exit code and what the
stage said, and what then lies in the folder; where the size of files was limited, also the exit
code and what the stage says once it no longer is.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from epochs_left.registry import module_names
from epochs_left.stages._command import run_stage

PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    for name in module_names("epochs_left.stages"):
        importlib.import_module(f"epochs_left.stages.{name}")
    for case in json.loads(sys.argv[1]):
        sys.stdout.flush()
        if not os.fork():
            sys.stdout.write(json.dumps(outcome(case)) + "\n")
            sys.stdout.flush()
            os._exit(0)
        os.wait()


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    os.chdir(case["folder"])
    if "mount" in case:
        mount(Path(case["mount"]), case["room"])
    else:
        limit(case["limit"])
    code, said = run(case["stage"])
    found = hashes()
    if "mount" in case:
        return {"code": code, "said": said, "found": found}
    limit(resource.RLIM_INFINITY)
    return {"code": code, "said": said, "found": found, "later": run(case["stage"])}


def limit(n_bytes: int) -> None:
    """Make the system refuse larger files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


def mount(folder: Path, room: int) -> None:
    """Move a folder to a tmpfs that has no more room than that."""
    aside = folder.with_name(f"{folder.name}-aside")
    shutil.copytree(folder, aside)
    taken = sum(-(-path.stat().st_size // PAGE) for path in aside.rglob("*") if path.is_file())
    size = taken * PAGE + room
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    shutil.rmtree(aside)


def run(words: list[str]) -> tuple[int, str]:
    """Run a stage in this process."""
    sys.argv = [*words, "--jobs", "1"]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            run_stage(importlib.import_module(f"epochs_left.stages.{words[0]}").main)
        except SystemExit as error:
            code = int(error.code or 0)
    return code, said.getvalue()


def hashes() -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for product in ("data/runs", "data/branches", "features", "models", "reports")
        for path in Path(product).rglob("*")
        if path.is_file()
    }


if __name__ == "__main__":
    main()
