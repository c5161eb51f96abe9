"""Runs in progress: how long they still take, asked from inside the training loop."""
