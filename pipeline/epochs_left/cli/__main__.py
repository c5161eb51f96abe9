"""``python -m epochs_left.cli`` does what the script `epochs-left` does."""

from epochs_left.cli import script

script()
