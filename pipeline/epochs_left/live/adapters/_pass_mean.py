"""Mean of a loss over a pass."""

from __future__ import annotations

from typing import Any


class PassMean:
    """A weighted mean, updated in place where it lies: no wait for a device."""

    def __init__(self) -> None:
        self._mean: Any = 0.0
        self._weight = 0.0

    def add(self, value: Any, weight: float = 1.0) -> None:
        """Take a number, or a tensor that holds one."""
        self._weight += weight
        self._mean = self._mean + (value - self._mean) * (weight / self._weight)

    def take(self) -> float | None:
        """Return the mean and begin anew; None if there was nothing."""
        found = float(self._mean) if self._weight else None
        self._mean, self._weight = 0.0, 0.0
        return found

    def state(self) -> list[float]:
        """Return what a mean is continued from."""
        return [float(self._mean), self._weight]

    def restore(self, state: list[float]) -> None:
        """Continue from a state."""
        self._mean, self._weight = map(float, state)
