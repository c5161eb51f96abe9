"""What a log is asked for: a loss to be reached, or the plateau of its curve."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A goal of every run of a log: a loss, or a plateau.

    Parameters
    ----------
    target
        Loss to be reached; None for a plateau.
    plateau
        Share p of the initial excess over the lowest loss, in (0, 1), at which the plateau of
        `dynamics.targets.plateau_epoch` begins; None for a loss.
    horizon
        Epochs that a run is meant to last, where its log does not say: the column ``horizon``
        knows more about its run than one number for all does. None: not known.
    """

    target: float | None = None
    plateau: float | None = None
    horizon: int | None = None

    def __post_init__(self) -> None:
        if (self.target is None) == (self.plateau is None):
            raise ValueError(f"expected a target or a plateau, got {self!r}")

    @property
    def loss(self) -> float:
        """The loss to be reached, NaN for a plateau."""
        return math.nan if self.target is None else self.target
