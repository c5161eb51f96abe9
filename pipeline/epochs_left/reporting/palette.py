"""The colours of the report: one name, a light and a dark value.

Charts are drawn with the light values; the page replaces each by a CSS variable of the same name,
so that one picture reads in both schemes. Hues are those of Okabe and Ito (2008), which people with
any form of colour vision tell apart; the dark values are lighter tints of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Shade(NamedTuple):
    """A colour under the light and the dark scheme, as hexadecimal RGB."""

    light: str
    dark: str


PALETTE: Mapping[str, Shade] = {
    "ink": Shade("#1d2329", "#e6e8ea"),
    "muted": Shade("#59636e", "#a4aeb8"),
    "grid": Shade("#d9dee3", "#333c45"),
    "paper": Shade("#fdfdfc", "#14181c"),
    "blue": Shade("#0072b2", "#4aa6e0"),
    "orange": Shade("#e69f00", "#f0b432"),
    "green": Shade("#009e73", "#2ec79c"),
    "vermillion": Shade("#d55e00", "#f58442"),
    "purple": Shade("#b8609a", "#dd98bf"),
    "sky": Shade("#56b4e9", "#9bd3f5"),
    "grey": Shade("#98a2ab", "#78838d"),
    "level0": Shade("#dceaf5", "#18344a"),
    "level1": Shade("#bfd9ed", "#1d4766"),
    "level2": Shade("#9bc4e2", "#245e87"),
    "level3": Shade("#72abd5", "#3277a8"),
    "level4": Shade("#4a8fc5", "#4b94c6"),
    "level5": Shade("#2a72ae", "#72b2dc"),
    "level6": Shade("#17558c", "#a4d0ec"),
    "level7": Shade("#0b3965", "#dceffb"),
}

#: Filled regions that are raster images keep one set of colours in both schemes: cividis, reversed
#: (Nunez, Anderton and Renslow 2018), fast in yellow and slow in blue.
REGION_LEVELS = (
    "#fdea45",
    "#e2cb5b",
    "#c3ae6b",
    "#a59774",
    "#878478",
    "#696b70",
    "#4a5570",
    "#223e6c",
)

OUTCOME_COLOURS: Mapping[str, str] = {
    "converged": "blue",
    "stuck": "orange",
    "capped": "grey",
    "diverged": "vermillion",
}


def colour(name: str) -> str:
    """Return the colour in which charts are drawn."""
    return PALETTE[name].light


def css_rules() -> str:
    """Return the CSS variables of both schemes, and the colours of the marks in legends."""
    light, dark = (
        "".join(f"--{name}:{getattr(shade, scheme)};" for name, shade in PALETTE.items())
        for scheme in ("light", "dark")
    )
    marks = [f".mark.{name}{{color:var(--{name})}}" for name in PALETTE]
    marks += [f".mark.region{at}{{color:{code}}}" for at, code in enumerate(REGION_LEVELS)]
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
        + "\n".join(marks)
        + "\n"
    )
