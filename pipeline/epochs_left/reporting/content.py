"""What a section may contain, as plain data: the renderer makes HTML of it, JSON carries it as is.

Every block is a dictionary with its ``kind``; the functions here build them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

#: Rows that a table in the page may have; the results file behind it has all of them.
MAX_ROWS = 400

Form = Literal["text", "code", "integer", "decimal", "percent", "brief"]
Mark = Literal["circle", "open", "diamond", "square", "line", "dash", "hatch", "ramp"]


class Estimate(TypedDict):
    """A figure with its 95 % interval; null bounds where no interval was made."""

    value: float | None
    lower: float | None
    upper: float | None


Cell = str | int | float | Estimate | None


class Headline(TypedDict):
    """The sentence that a hurried reader takes home."""

    kind: Literal["headline"]
    sentence: str


class Text(TypedDict):
    """Paragraphs; a note stands out."""

    kind: Literal["text", "note"]
    paragraphs: list[str]


class Points(TypedDict):
    """A list of sentences, each with the words that it is about in front."""

    kind: Literal["points"]
    items: list[dict[str, str]]


class Fact(TypedDict):
    """A question or name, the figure that answers it, and what belongs to the figure."""

    label: str
    value: str
    detail: str


class Facts(TypedDict):
    """Facts side by side."""

    kind: Literal["facts"]
    items: list[Fact]


class Commands(TypedDict):
    """Command lines to copy."""

    kind: Literal["commands"]
    lines: list[str]


class Column(TypedDict):
    """A table column: how its cells are written, and whether a menu filters by it."""

    label: str
    form: Form
    filter: str | None


class Table(TypedDict):
    """Rows and columns; ``omitted`` counts the rows that the page leaves out."""

    kind: Literal["table"]
    id: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    omitted: int


class Panel(TypedDict):
    """One picture: a chart specification of `reporting.charts`, and its words."""

    title: str
    description: str
    chart: Mapping[str, Any]


class LegendEntry(TypedDict):
    """What a colour and a mark stand for."""

    label: str
    colour: str
    mark: Mark


class Figure(TypedDict):
    """Panels side by side with one legend, a caption that says how to read them, and the data."""

    kind: Literal["figure"]
    id: str
    title: str
    caption: str
    panels: list[Panel]
    legend: list[LegendEntry]
    table: Table


class Option(TypedDict):
    """One of several contents; ``name`` is part of the ids within."""

    name: str
    title: str
    blocks: list[Block]


class Choice(TypedDict):
    """Contents of which the page shows one at a time; on paper and without a script all."""

    kind: Literal["choice"]
    label: str
    options: list[Option]


Block = Headline | Text | Points | Facts | Commands | Table | Figure | Choice


def choice(label: str, options: Sequence[tuple[str, str, Sequence[Block]]]) -> Choice:
    """Return a choice between (name, title, blocks); choices of one label change together."""
    listed: list[Option] = [
        {"name": name, "title": title, "blocks": list(blocks)} for name, title, blocks in options
    ]
    return {"kind": "choice", "label": label, "options": listed}


def headline(sentence: str) -> Headline:
    """Return a headline block."""
    return {"kind": "headline", "sentence": sentence}


def text(*paragraphs: str) -> Text:
    """Return paragraphs."""
    return {"kind": "text", "paragraphs": list(paragraphs)}


def note(*paragraphs: str) -> Text:
    """Return paragraphs that stand out."""
    return {"kind": "note", "paragraphs": list(paragraphs)}


def points(*items: tuple[str, str]) -> Points:
    """Return a list of (words in front, sentence)."""
    return {"kind": "points", "items": [{"lead": lead, "body": body} for lead, body in items]}


def fact(label: str, value: str, detail: str = "") -> Fact:
    """Return one fact."""
    return {"label": label, "value": value, "detail": detail}


def facts(*items: Fact) -> Facts:
    """Return facts side by side."""
    return {"kind": "facts", "items": list(items)}


def commands(*lines: str) -> Commands:
    """Return command lines."""
    return {"kind": "commands", "lines": list(lines)}


def column(label: str, form: Form = "text", *, start: str | None = None) -> Column:
    """Return a column; ``start`` gives it a menu that begins at this value ("" for all)."""
    return {"label": label, "form": form, "filter": start}


def table(
    name: str, caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]
) -> Table:
    """Return a table of at most ``MAX_ROWS`` rows; each row has a cell a column (ValueError)."""
    listed = [list(row) for row in rows]
    if any(len(row) != len(columns) for row in listed):
        raise ValueError(f"table {name!r}: every row needs {len(columns)} cells")
    return {
        "kind": "table",
        "id": name,
        "caption": caption,
        "columns": list(columns),
        "rows": listed[:MAX_ROWS],
        "omitted": max(0, len(listed) - MAX_ROWS),
    }


def panel(title: str, description: str, chart: Mapping[str, Any]) -> Panel:
    """Return one picture with its title and a description for those who cannot see it."""
    return {"title": title, "description": description, "chart": chart}


def legend(*entries: tuple[str, str, Mark]) -> list[LegendEntry]:
    """Return legend entries of (label, colour name of `reporting.palette`, mark)."""
    return [{"label": label, "colour": colour, "mark": mark} for label, colour, mark in entries]


def figure(
    name: str,
    title: str,
    caption: str,
    panels: Sequence[Panel],
    data: Table,
    *,
    key: Sequence[LegendEntry] = (),
) -> Figure:
    """Return a figure; ``name`` is unique within the section and fit for an id."""
    return {
        "kind": "figure",
        "id": name,
        "title": title,
        "caption": caption,
        "panels": list(panels),
        "legend": list(key),
        "table": data,
    }
