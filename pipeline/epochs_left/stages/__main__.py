"""``python -m epochs_left.stages STAGE ...``: what dvc.yaml runs.

A stage is imported under its own name, not run as ``__main__``: what worker processes are sent by
reference must be importable there.
"""

from __future__ import annotations

import importlib
import sys

from epochs_left.errors import UsageError
from epochs_left.orphans import end_with_dvc
from epochs_left.registry import module_names
from epochs_left.stages._command import run_stage


def main() -> None:
    """Run the stage that the first argument names."""
    known = [name for name in module_names("epochs_left.stages") if not name.startswith("_")]
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in {"-h", "--help"}:
        print(f"usage: python -m epochs_left.stages {{{','.join(known)}}} ...")  # noqa: T201
        return
    if name not in known:
        raise UsageError(f"expected one of the stages {', '.join(known)}, got {name!r}")
    sys.argv[:2] = [f"python -m epochs_left.stages {name}"]  # what --help calls the program
    importlib.import_module(f"epochs_left.stages.{name}").main()


if __name__ == "__main__":
    end_with_dvc()
    run_stage(main)
