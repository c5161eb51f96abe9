"""The same picture in half the bytes: what matplotlib's SVG repeats is said once.

Coordinates are rounded to a tenth of a pixel, paths written relative to where they are, what lies
inside of its clipping rectangle is not clipped, groups that say nothing are dissolved, and ids
shortened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as Tree  # parses only what this package wrote

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_STEP = re.compile(r"([MLz])\s*(?:(-?[\d.]+) (-?[\d.]+))?")
_LETTERS = re.compile(r"[A-Za-z]")
_NO_TURN = re.compile(r"rotate\(-?0 [^)]*\)")
_REFERENCE = re.compile(r"#([\w-]+)")
_ROUNDED = ("x", "y", "width", "height")
_REFERRING = ("href", "clip-path", "fill")

MARK_RADIUS = 6.0  # px: no mark of `charts.canvas` reaches farther
ROUNDING = 0.1  # px by which the coordinates of an edge may differ

#: A place in tenths of a pixel: whole numbers, so that many steps add up without drift.
Place = tuple[int, int]


def compact(svg: str, *, prefix: str) -> str:
    """Return an SVG picture that looks the same in fewer bytes.

    Parameters
    ----------
    svg
        What `reporting.svg.chart_svg` returned.
    prefix
        Begins every id by which the picture refers to its own parts, unique in the page. The ids of
        its title and description stay.
    """
    root = Tree.fromstring(svg)
    _unclip(root)
    _dissolve(root)
    for element in root.iter():
        _shorten(element)
    _rename(root, prefix)
    return Tree.tostring(root, encoding="unicode").replace(" />", "/>")


def _unclip(root: Tree.Element) -> None:
    """Drop the clipping of what is inside, and the rectangles that then clip nothing."""
    rectangles = {
        f"url(#{clip.get('id')})": tuple(float(clip[0].get(key, 0)) for key in _ROUNDED)
        for clip in root.iter("clipPath")
        if len(clip) == 1 and clip[0].tag == "rect"
    }
    for element in root.iter():
        rectangle = rectangles.get(element.get("clip-path", ""))
        if rectangle is not None and _is_inside(element, rectangle):
            del element.attrib["clip-path"]
    used = {element.get("clip-path") for element in root.iter()}
    for parent in root.iter("defs"):
        parent[:] = [each for each in parent if _clips_something(each, used)]


def _clips_something(element: Tree.Element, used: set[str | None]) -> bool:
    return element.tag != "clipPath" or f"url(#{element.get('id')})" in used


def _is_inside(element: Tree.Element, rectangle: tuple[float, ...]) -> bool:
    """Return whether a path of straight lines, or a group of marks, needs no clipping."""
    if element.tag == "path" and set(_LETTERS.findall(element.get("d", ""))) <= set("MLz"):
        steps = _STEP.findall(element.get("d", ""))
        return all(_holds(rectangle, x, y, 0.0) for letter, x, y in steps if letter != "z")
    if element.tag != "g" or any(each.tag not in {"use", "defs"} for each in element):
        return False
    return all(
        _holds(rectangle, each.get("x", "0"), each.get("y", "0"), MARK_RADIUS)
        for each in element
        if each.tag == "use"
    )


def _holds(rectangle: tuple[float, ...], x: str, y: str, margin: float) -> bool:
    left, top, width, height = rectangle
    slack = ROUNDING - margin
    return (
        left - slack <= float(x) <= left + width + slack
        and top - slack <= float(y) <= top + height + slack
    )


def _dissolve(parent: Tree.Element) -> None:
    """Put the children of groups without attributes and titles in the place of the groups."""
    kept: list[Tree.Element] = []
    for child in list(parent):
        _dissolve(child)
        is_bare = child.tag == "g" and not child.attrib
        if is_bare and all(each.tag != "title" for each in child):
            kept += list(child)
        elif len(child) or child.tag not in {"g", "defs"}:
            kept.append(child)
    parent[:] = kept


def _shorten(element: Tree.Element) -> None:
    if _NO_TURN.fullmatch(element.get("transform", "")):
        del element.attrib["transform"]
    for name in _ROUNDED:
        if name in element.attrib:
            element.set(name, _NUMBER.sub(lambda found: _tenth(found[0]), element.attrib[name]))
    if "d" in element.attrib:
        element.set("d", _relative(element.attrib["d"]))


def _relative(path: str) -> str:
    """Write a path of straight lines relative to where it is; others stay as they are."""
    return "".join(_steps(path)) if set(_LETTERS.findall(path)) <= set("MLz") else path


def _steps(path: str) -> Iterator[str]:
    start = at = (0, 0)
    for letter, x, y in _STEP.findall(path):
        if letter == "z":
            at = start
            yield "z"
            continue
        to = _tenths(x), _tenths(y)
        yield _move(to) if letter == "M" else _line(at, to)
        start = to if letter == "M" else start
        at = to


def _move(to: Place) -> str:
    return f"M{_pair(*to)}"


def _line(at: Place, to: Place) -> str:
    right, down = to[0] - at[0], to[1] - at[1]
    if down == 0:
        return f"h{_written(right)}"
    return f"v{_written(down)}" if right == 0 else f"l{_pair(right, down)}"


def _pair(x: int, y: int) -> str:
    """Write two numbers; a minus sign parts them as well as a space does."""
    return _written(x) + ("" if y < 0 else " ") + _written(y)


def _tenth(number: str) -> str:
    return _written(_tenths(number))


def _tenths(number: str) -> int:
    return round(10 * float(number))


def _written(tenths: int) -> str:
    whole, rest = divmod(abs(tenths), 10)
    sign = "-" if tenths < 0 else ""
    return f"{sign}{whole or ''}.{rest}" if rest else f"{sign}{whole}"


def _rename(root: Tree.Element, prefix: str) -> None:
    spoken = root.get("aria-labelledby", "").split()
    own = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    parts = [name for name in own if name not in spoken]
    short = {name: f"{prefix}{at}" for at, name in enumerate(parts)}
    for element in root.iter():
        if "id" in element.attrib:
            element.set("id", short.get(element.attrib["id"], element.attrib["id"]))
        for key in _REFERRING:
            value = element.get(key, "")
            if "#" in value and not value.startswith("data:"):
                renamed = _REFERENCE.sub(lambda to: f"#{short.get(to[1], to[1])}", value)
                element.set(key, renamed)
