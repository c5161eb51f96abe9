"""Stage mend: remove what a killed DVC left half-written and no later ``dvc repro`` would get past.

`make reproduce` and `make smoke` begin with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from epochs_left.stages._command import stage_parser
from epochs_left.storage.dvc_files import remove_torn_files


def main() -> None:
    """Remove the torn files and name them."""
    stage_parser(__doc__).parse_args()
    mend(Path())


def mend(project: Path) -> None:
    """Do so in a project and say so on stderr."""
    for name in remove_torn_files(project):
        print(  # noqa: T201
            f"epochs-left: removed {name}, torn when DVC was killed; DVC makes it again",
            file=sys.stderr,
        )
