"""What an optimizer says of itself, in the names of the training data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

#: Smallest value that a tracker takes, and whether the bound itself is none.
_BOUNDS = {"lr": (0.0, True), "momentum": (0.0, False), "weight_decay": (0.0, False)}


def optimizer_settings(name: str, groups: Sequence[Mapping[str, Any]]) -> dict[str, float | str]:
    """Return the settings in which all parameter groups agree; what is not clear is left out.

    Parameters
    ----------
    name
        Class of the optimizer.
    groups
        Settings of each parameter group by PyTorch's names. Of a rate that a schedule changes the
        first value counts.
    """
    rated = [{**group, "lr": group.get("initial_lr", group.get("lr"))} for group in groups]
    numbers = {key: _common([group.get(key) for group in rated], *_BOUNDS[key]) for key in _BOUNDS}
    stated: dict[str, float | str] = {key: v for key, v in numbers.items() if v is not None}
    nesterov = any(group.get("nesterov") for group in groups)
    return {**stated, "optimizer": _name(name, numbers["momentum"], nesterov)}


def torch_settings(optimizer: Any) -> dict[str, float | str]:
    """Return the settings of a PyTorch optimizer, wrapped or not."""
    inner = getattr(optimizer, "optimizer", optimizer)
    return optimizer_settings(type(inner).__name__, inner.param_groups)


def _common(values: Sequence[Any], lowest: float, above: bool) -> float | None:
    if not all(isinstance(v, Real) or getattr(v, "ndim", None) == 0 for v in values):
        return None
    found = {float(v) for v in values}
    if len(found) != 1:
        return None
    (number,) = found
    within = number > lowest if above else number >= lowest
    return number if within and math.isfinite(number) else None


def _name(name: str, momentum: float | None, nesterov: bool) -> str:
    """Gradient descent with momentum has a name of its own in the training data."""
    if name.lower() == "sgd" and momentum:
        return "nesterov" if nesterov else "momentum"
    return name.lower()
