"""What a user says of a run before it starts, checked as logs are."""

from __future__ import annotations

import math
from collections.abc import Mapping

from epochs_left.dynamics.schedules import OWN_STEPS_EXAMPLE, SCHEDULES, is_schedule
from epochs_left.errors import did_you_mean
from epochs_left.prediction.layout import LABELS, MEASURES, RECORDED_LR, SETTINGS, SYNONYMS

#: What a tracker is told of an epoch, by the name in `History`: beside the measures of logs the
#: learning rate in force, which is a setting too.
_OF_AN_EPOCH = {**{name: name for name in MEASURES}, "lr": RECORDED_LR}
#: Numbers that a tracker takes as settings; the horizon is an argument of its own.
NUMBERS = tuple(name for name in SETTINGS if name != "horizon")


def checked_settings(settings: Mapping[str, object]) -> dict[str, float | str]:
    """Return the settings that are known (None means not stated), numbers as floats.

    Raises
    ------
    TypeError
        For a name that is none, with the nearest that is, or a value of the wrong type.
    ValueError
        For a number outside its bounds.
    """
    known = (*NUMBERS, *LABELS)
    for name in settings:
        if name not in known:
            meant = [
                usual for usual, others in SYNONYMS.items() if name in others and usual in known
            ]
            near = f", did you mean {meant[0]!r}?" if meant else did_you_mean(name, known)
            raise TypeError(f"unknown setting {name!r}{near or f'; known: {sorted(known)}'}")
    stated = {name: value for name, value in settings.items() if value is not None}
    return {
        name: _text(name, value) if name in LABELS else _setting(name, value)
        for name, value in stated.items()
    }


def checked_measures(measures: Mapping[str, object]) -> dict[str, float]:
    """Return what is known of an epoch by its name in `History`, as floats.

    None and what is not finite are left out.

    Raises
    ------
    TypeError
        For a name that is none, with the nearest that is, or a value that is no number.
    ValueError
        For one below its bound.
    """
    found = {}
    for name, value in measures.items():
        if name not in _OF_AN_EPOCH:
            near = did_you_mean(name, _OF_AN_EPOCH) or f"; known: {sorted(_OF_AN_EPOCH)}"
            raise TypeError(f"unknown measure {name!r}{near}")
        if value is None:
            continue
        number = as_number(name, value)
        lowest = {**MEASURES, **SETTINGS}[name]
        if number < lowest:
            raise ValueError(f"{name}: expected {lowest:g} or more, got {number:g}")
        if math.isfinite(number):
            found[_OF_AN_EPOCH[name]] = number
    return found


def as_number(name: str, value: object) -> float:
    """Return a number, or what holds one (a tensor of one element); TypeError for the rest."""
    if not isinstance(value, (str, bytes)):
        detach = getattr(value, "detach", None)  # torch warns of a number that has a gradient
        try:
            return float(value if detach is None else detach())  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError):
            pass
    raise TypeError(f"{name}: expected a number, got {type(value).__name__}; pass float(...) of it")


def _setting(name: str, value: object) -> float:
    number = as_number(name, value)
    lowest = SETTINGS[name]
    above = name == "lr"
    if not math.isfinite(number) or number < lowest or (above and number == lowest):
        bound = f"above {lowest:g}" if above else f"from {lowest:g} on"
        raise ValueError(f"{name}: expected a number {bound}, got {number:g}; correct it")
    return number


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name}: expected a name, got {value!r}; pass text such as 'sgd'")
    if name == "lr_schedule" and not is_schedule(value.strip().lower()):
        known = f"; known: {', '.join(SCHEDULES)}, and such as {OWN_STEPS_EXAMPLE}"
        near = did_you_mean(value, SCHEDULES) or known
        raise ValueError(f"{name}: unknown schedule {value!r}{near}; leave another one out")
    return value
