"""From a bundle and logs to predictions with intervals."""
