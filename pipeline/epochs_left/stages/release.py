"""Stage release: pack the predictors of a full-size run into the package, with their model card.

It is no part of ``dvc repro``: ``make full`` runs it, git keeps what it writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from epochs_left.errors import DataError
from epochs_left.reporting.model_card import CardFacts, model_card
from epochs_left.stages._command import sole_writer, stage_parser
from epochs_left.stages._paths import MODELS, RESULTS
from epochs_left.stages.profile import ELAPSED
from epochs_left.storage.atomic import write_bytes_atomically
from epochs_left.storage.bundle_choice import GOALS
from epochs_left.storage.bundles import Bundle, load_bundle, save_bundle
from epochs_left.storage.released import CARD, MAX_BYTES, RELEASED, RELEASED_ID
from epochs_left.storage.tables import read_json

#: Where the bundles lie that are packed: those that serve any family.
PACKED = MODELS / "pooled"
#: What the profile is called that is none.
DEFAULT = "default"
#: Results that the card shows, of the full profile and of the default one.
_RESULTS = ("pooled_locked.json", "held_out_families.json")


def main() -> None:
    """Read a workspace's bundle and results and this checkout's results, check, write."""
    parser = stage_parser(__doc__)
    help_text = f"the profile that made it, or `{DEFAULT}` for this checkout's own run (full)"
    parser.add_argument("profile", nargs="?", default="full", help=help_text)
    arguments = parser.parse_args()
    is_default = arguments.profile == DEFAULT
    workspace = Path() if is_default else Path("build") / arguments.profile
    bundles = {goal: load_bundle(workspace / PACKED / goal) for goal in GOALS}
    facts = CardFacts(
        command="make reproduce" if is_default else f"make {arguments.profile}",
        hours=None if is_default else read_json(workspace / ELAPSED)["seconds"] / 3600,
        results=_results(workspace),
        default_results={} if is_default else _results(Path()),
    )
    _require_size(bundles.values())
    manifests = {
        goal: replace(bundle.manifest, bundle_id=f"{RELEASED_ID}/{goal}")
        for goal, bundle in bundles.items()
    }
    card = model_card({goal: asdict(manifest) for goal, manifest in manifests.items()}, facts)
    with sole_writer("release", RELEASED / "*", CARD):
        for goal, manifest in manifests.items():
            save_bundle(RELEASED / goal, manifest, bundles[goal].files)
        write_bytes_atomically(CARD, card.encode())
    print(f"released: {RELEASED}, card: {CARD}")  # noqa: T201


def _results(folder: Path) -> dict[str, Any]:
    return {Path(name).stem: read_json(folder / RESULTS / name) for name in _RESULTS}


def _require_size(bundles: Iterable[Bundle]) -> None:
    size = sum(len(data) for bundle in bundles for data in bundle.files.values())
    if size > MAX_BYTES:
        raise DataError(
            f"expected bundles of at most {MAX_BYTES:,} bytes together, got {size:,}; "
            "fit fewer or smaller trees in `pool`"
        )
