"""Figures as words: one way to write each kind of number."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"
_NARROW_SPACE = "\u202f"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
CONFIDENCE = f"95{_NARROW_SPACE}% interval"


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
    return f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}".replace("-", "−")


def between(lower: float | None, upper: float | None, digits: int = 2) -> str:
    """Return ``0.91 to 0.94``, or an empty string where no interval was made."""
    if lower is None or upper is None:
        return ""
    return f"{decimal(lower, digits)} to {decimal(upper, digits)}"


def between_percent(lower: float | None, upper: float | None, digits: int = 0) -> str:
    """Return ``91 to 94 %``, or an empty string where no interval was made."""
    if lower is None or upper is None:
        return ""
    return f"{decimal(100 * lower, digits)} to {percent(upper, digits)}"


def span(values: Iterable[float], digits: int = 2) -> str:
    """Return ``0.77 to 0.99``, or one figure where the lowest and the highest read alike."""
    listed = list(values)
    low, high = decimal(min(listed), digits), decimal(max(listed), digits)
    return low if low == high else f"{low} to {high}"


def span_percent(values: Iterable[float], digits: int = 0) -> str:
    """Return ``77 to 99 %``, or one figure where the lowest and the highest read alike."""
    return f"{span((100 * value for value in values), digits)}{_NARROW_SPACE}%"


def file_size(n_bytes: float | None) -> str:
    """Return a size in the unit that keeps it readable (1 kB = 1000 B)."""
    if n_bytes is None:
        return MISSING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{brief(n_bytes / size)} {unit}"
    return f"{integer(n_bytes)} B"


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
