"""``python -m epochs_left.cli`` does what the script `epochs-left` does."""

import sys

from epochs_left.cli.main import main

sys.exit(main())
