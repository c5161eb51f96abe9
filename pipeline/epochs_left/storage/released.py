"""Where the predictors lie that the package brings along."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "released"

#: The folder with a bundle for each kind of goal, and the name under which they answer.
RELEASED = _FOLDER / "predictor"
RELEASED_ID = "released"
#: What people should know of them.
CARD = _FOLDER / "MODEL_CARD.md"
#: The package must stay light.
MAX_BYTES = 5_000_000
