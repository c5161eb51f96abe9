"""A matplotlib figure as inline SVG: no style attribute, no id of its own, colours by name.

The page's Content-Security-Policy allows one style sheet, known by its hash. So the declarations
that matplotlib writes into ``style`` attributes become classes of that sheet, and each colour of
the palette becomes a CSS variable with a light and a dark value.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Tree  # parses only what matplotlib wrote here

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG

from epochs_left.reporting.charts import draw_chart
from epochs_left.reporting.charts.canvas import SETTINGS
from epochs_left.reporting.palette import PALETTE

_VARIABLES = {shade.light: f"var(--{name})" for name, shade in PALETTE.items()}
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_HEX_COLOUR = re.compile(r"#[0-9a-f]{6}")
_REFERENCE = re.compile(r"#([\w-]+)")
_GEOMETRY = ("d", "x", "y", "width", "height", "transform", "points")
_TIP = "tip:"


class StyleSheet:
    """Classes for the declarations met so far, numbered in the order in which they came."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}

    def class_of(self, declarations: str) -> str:
        """Return the class that stands for these declarations."""
        return self._classes.setdefault(declarations, f"m{len(self._classes)}")

    def css(self) -> str:
        """Return the rules."""
        return "".join(f".{name}{{{body}}}\n" for body, name in self._classes.items())


def chart_svg(
    specification: Mapping[str, Any], *, name: str, title: str, description: str, sheet: StyleSheet
) -> str:
    """Return the picture of a chart specification.

    Parameters
    ----------
    name
        Prefix of every id, unique in the page.
    title, description
        What people hear who cannot see it.
    sheet
        Takes up the declarations; its rules must stand in the page.
    """
    root = Tree.fromstring(_matplotlib_svg(specification, name))
    _drop_namespaces(root)
    _drop_metadata(root)
    _move_styles(root, sheet)
    _add_tips(root)
    _prefix_ids(root, name)
    _shorten_numbers(root)
    _describe(root, name, title, description)
    return Tree.tostring(root, encoding="unicode")


def _matplotlib_svg(specification: Mapping[str, Any], salt: str) -> str:
    buffer = io.StringIO()
    settings: dict[Any, Any] = {**SETTINGS, "svg.hashsalt": salt}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Text is written as text: the reader's fonts draw it, not the one that measures it here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas = FigureCanvasSVG(draw_chart(specification))
        canvas.print_figure(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _drop_namespaces(root: Tree.Element) -> None:
    """Use bare names, as HTML does for inline SVG."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if "}" in key]:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))


def _drop_metadata(root: Tree.Element) -> None:
    """Remove what matplotlib says about itself, its own style sheet, and white space."""
    for parent in list(root.iter()):
        parent.text, parent.tail = (
            words if words and words.strip() else None for words in (parent.text, parent.tail)
        )
        for child in list(parent):
            if child.tag in {"metadata", "style"}:
                parent.remove(child)


def _move_styles(root: Tree.Element, sheet: StyleSheet) -> None:
    for element in root.iter():
        declarations = [part.strip() for part in element.attrib.pop("style", "").split(";")]
        kept = [_by_variable(part) for part in declarations if part and "url(" not in part]
        for part in declarations:
            if "url(" in part:  # refers to an id of this picture
                key, _, value = part.partition(":")
                element.set(key, value.strip())
        if kept:
            element.set("class", sheet.class_of(";".join(kept)))


def _by_variable(declaration: str) -> str:
    if declaration.startswith("font:"):  # the page's font, at the size that was asked for
        return f"font-size:{re.findall(r'[0-9.]+px', declaration)[0]}"
    compact = re.sub(r":\s+", ":", declaration)
    return _HEX_COLOUR.sub(lambda code: _VARIABLES.get(code[0], code[0]), compact)


def _add_tips(root: Tree.Element) -> None:
    for element in root.iter():
        words = element.get("id", "")
        if words.startswith(_TIP):
            del element.attrib["id"]
            tip = Tree.Element("title")
            tip.text = words.removeprefix(_TIP)
            element.insert(0, tip)


def _prefix_ids(root: Tree.Element, name: str) -> None:
    """Keep the ids that something refers to, and make them this picture's own."""
    referring = ("href", "clip-path", "fill")
    used = {
        reference
        for element in root.iter()
        for key in referring
        for reference in _REFERENCE.findall(element.get(key, ""))
        if not element.get(key, "").startswith("data:")
    }
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
        for key in referring:
            value = element.get(key, "")
            if "#" in value and not value.startswith("data:"):
                element.set(key, value.replace("#", f"#{name}-"))


def _shorten_numbers(root: Tree.Element) -> None:
    for element in root.iter():
        for key in _GEOMETRY:
            if key in element.attrib and not element.get("transform", "").startswith("matrix"):
                element.set(key, _LONG_DECIMAL.sub(_two_decimals, element.attrib[key]))
        if element.tag == "path" and "d" in element.attrib:
            element.set("d", " ".join(element.attrib["d"].split()))


def _two_decimals(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")


def _describe(root: Tree.Element, name: str, title: str, description: str) -> None:
    for key in ("version", "width", "height"):
        root.attrib.pop(key, None)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for at, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = Tree.Element(tag, id=f"{name}-{tag}")
        element.text = words
        root.insert(at, element)
