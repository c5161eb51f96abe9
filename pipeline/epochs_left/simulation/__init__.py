"""The training engines."""
