"""What a tracker is asked for, and values in which it falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from epochs_left.live.settings import as_number
from epochs_left.prediction.aims import Aim


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A target or a plateau of a value that falls, or of a metric that rises to a ceiling.

    Attributes
    ----------
    target, plateau, horizon
        As for `EtaTracker`, checked.
    ceiling
        Highest value of a metric that rises; None where the value falls.
    """

    target: float | None
    plateau: float | None
    horizon: float | None
    ceiling: float | None

    @classmethod
    def of(
        cls,
        *,
        target: float | None,
        plateau: float | None,
        horizon: float | None,
        mode: str,
        ceiling: float,
    ) -> Goal:
        """Return the goal of what a user asks for; ValueError if it makes no sense."""
        if mode not in {"min", "max"}:
            raise ValueError(f"mode: expected 'min' or 'max', got {mode!r}")
        if (target is None) == (plateau is None):
            raise ValueError(
                f"expected a target or a plateau, got {'neither' if target is None else 'both'}; "
                "pass target=LOSS, or plateau=SHARE with horizon=EPOCHS"
            )
        goal = cls(
            target=None if target is None else as_number("target", target),
            plateau=None if plateau is None else as_number("plateau", plateau),
            horizon=None if horizon is None else as_number("horizon", horizon),
            ceiling=None if mode == "min" else as_number("ceiling", ceiling),
        )
        goal._check()
        return goal

    def _check(self) -> None:
        if self.ceiling is not None and not math.isfinite(self.ceiling):
            raise ValueError(f"ceiling: expected a number, got {self.ceiling:g}")
        if self.horizon is not None and not (self.horizon >= 1 and math.isfinite(self.horizon)):
            raise ValueError(f"horizon: expected 1 or more, got {self.horizon:g}")
        if self.plateau is not None:
            if not 0 < self.plateau < 1:
                raise ValueError(f"plateau: expected a share in (0, 1), got {self.plateau:g}")
            if self.horizon is None:
                raise ValueError(
                    "a plateau is that of the curve up to its horizon; pass horizon=EPOCHS"
                )
        if self.target is not None and not self._can_be_reached(self.target):
            bound = "above 0" if self.ceiling is None else f"below the ceiling {self.ceiling:g}"
            remedy = "" if self.ceiling is None else "; pass the highest possible value as ceiling"
            raise ValueError(f"target: expected a number {bound}, got {self.target:g}{remedy}")

    def _can_be_reached(self, target: float) -> bool:
        fallen = target if self.ceiling is None else self.ceiling - target
        return math.isfinite(fallen) and fallen > 0

    @property
    def aim(self) -> Aim:
        """What the predictor is asked for; the horizon comes with the rows."""
        target = None if self.target is None else self.falling(self.target)
        return Aim(target=target, plateau=self.plateau)

    def falling(self, value: float) -> float:
        """Return what falls as the run gets better: the value, or its distance from the ceiling.

        Raises
        ------
        ValueError
            If a metric is above its ceiling.
        """
        if self.ceiling is None:
            return value
        if math.isfinite(value) and value > self.ceiling:
            likely = 100.0 if self.ceiling < value <= 100 else value
            raise ValueError(
                f"metric {value:g} is above the ceiling {self.ceiling:g}; pass the highest value "
                f"that it can have, such as ceiling={likely:g}"
            )
        return self.ceiling - value

    def may_settle(self, epoch: float, falling: float | None) -> bool:
        """Tell whether an evaluation may be the last that matters: only the answer knows."""
        if falling is None:
            return False
        over = self.horizon is not None and epoch >= self.horizon
        target = self.aim.target
        return over or not math.isfinite(falling) or (target is not None and falling <= target)

    def worded(self, reason: str) -> str:
        """Return a reason about a loss as one about what was given."""
        return reason if self.ceiling is None else reason.replace("loss", "metric")
