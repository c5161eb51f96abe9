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


def torch_rates(*optimizers: Any) -> list[Any]:
    """Return the learning rate of each parameter group of PyTorch optimizers, as it is now.

    A schedule may change a tensor in place: it is copied, which waits for no device.
    """
    groups = [group for one in optimizers for group in getattr(one, "param_groups", ())]
    rates = [group.get("lr") for group in groups]
    return [rate.clone() if hasattr(rate, "clone") else rate for rate in rates]


def agreed_rate(rates: Sequence[Any]) -> float | None:
    """Return the learning rate in which all agree, 0 or more; None if there is no such."""
    return _common(rates, 0.0, above=False)


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
