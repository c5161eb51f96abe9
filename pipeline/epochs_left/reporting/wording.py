"""Figures as words: one way to write each kind of number."""

from __future__ import annotations

import math

MISSING = "–"
_NARROW_SPACE = "\u202f"
CONFIDENCE = f"95{_NARROW_SPACE}% interval"

#: How much of the variation is explained, from the largest bound down.
_GRADES = (
    (0.95, "almost completely"),
    (0.8, "largely"),
    (0.5, "in good part"),
    (0.2, "only roughly"),
    (0.05, "hardly"),
)


def decimal(value: float | None, digits: int = 2) -> str:
    """Return a number with a true minus sign; never a minus zero."""
    if value is None or not math.isfinite(value):
        return MISSING
    written = f"{value:,.{digits}f}"
    is_zero = not any(character in "123456789" for character in written)
    return (written.lstrip("-") if is_zero else written).replace("-", "−")


def integer(value: float | None) -> str:
    """Return a whole number with thousands separated."""
    return decimal(value, 0)


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share as a percentage."""
    return MISSING if value is None else f"{decimal(100 * value, digits)}{_NARROW_SPACE}%"


def brief(value: float | None) -> str:
    """Return a number with up to three significant digits, for sizes that span decades."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        whole_digits = 1 if value == 0 else math.floor(math.log10(abs(value))) + 1
        written = decimal(value, min(5, max(0, 3 - whole_digits)))
        return written.rstrip("0").rstrip(".") if "." in written else written
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa} × 10^{int(exponent)}".replace("-", "−")


def between(lower: float | None, upper: float | None, digits: int = 2) -> str:
    """Return ``0.91 to 0.94``, or an empty string where no interval was made."""
    if lower is None or upper is None:
        return ""
    return f"{decimal(lower, digits)} to {decimal(upper, digits)}"


def between_percent(lower: float | None, upper: float | None) -> str:
    """Return ``91 to 94 %``, or an empty string where no interval was made."""
    if lower is None or upper is None:
        return ""
    return f"{decimal(100 * lower, 0)} to {percent(upper)}"


def file_size(n_bytes: float | None) -> str:
    """Return a size in the unit that keeps it readable (1 kB = 1000 B)."""
    if n_bytes is None:
        return MISSING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{brief(n_bytes / size)} {unit}"
    return f"{integer(n_bytes)} B"


def grade(r2: float) -> str:
    """Return how well remaining epochs are predicted, as an adverb, from a share explained."""
    return next((words for bound, words in _GRADES if r2 >= bound), "not at all")


def joined(names: list[str]) -> str:
    """Return ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def decade_label(exponent: int) -> str:
    """Return 10^exponent as people write it on an axis, for exponent >= 0."""
    return f"{10**exponent:,}"


def factor_label(exponent: int) -> str:
    """Return 10^exponent as a factor: ×10, equal, ÷10."""
    if exponent == 0:
        return "equal"
    return f"{'×' if exponent > 0 else '÷'}{10 ** abs(exponent):,}"
