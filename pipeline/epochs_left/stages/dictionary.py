"""Stage dictionary: rewrite features/README.md from the registry of feature groups."""

from __future__ import annotations

from epochs_left.features import FEATURE_GROUPS
from epochs_left.features._dictionary import feature_dictionary
from epochs_left.stages._command import sole_writer, stage_parser
from epochs_left.stages._paths import FEATURES
from epochs_left.storage.atomic import write_bytes_atomically


def main() -> None:
    """Write the feature dictionary."""
    stage_parser(__doc__).parse_args()
    path = FEATURES / "README.md"
    with sole_writer("dictionary", path):
        text = feature_dictionary(group for _, group in FEATURE_GROUPS.items())
        write_bytes_atomically(path, text.encode())
