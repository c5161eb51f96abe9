"""Predict how many epochs a training run has left, how sure that is, and whether it converges."""

__version__ = "0.1.0"
