"""Where the predictor lies that the package brings along."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "released"

#: The bundle's folder, and the name under which it answers.
RELEASED = _FOLDER / "predictor"
RELEASED_ID = "released"
#: What people should know of it.
CARD = _FOLDER / "MODEL_CARD.md"
#: The package must stay light.
MAX_BYTES = 5_000_000
