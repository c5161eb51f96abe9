"""The summary as one HTML document that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import count

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from epochs_left.reporting import wording
from epochs_left.reporting.compact_svg import compact
from epochs_left.reporting.content import Cell, Form, Panel
from epochs_left.reporting.palette import css_rules
from epochs_left.reporting.summary import Summary
from epochs_left.reporting.svg import StyleSheet, chart_svg


def _decimal(value: float | None) -> str:
    """Return three decimals; a hopeless score of thousands is written short."""
    is_huge = value is not None and abs(value) >= 1000
    return wording.brief(value) if is_huge else wording.decimal(value, digits=3)


_WRITERS: dict[Form, Callable[[float | None], str]] = {
    "integer": wording.integer,
    "decimal": _decimal,
    "percent": partial(wording.percent, digits=1),
    "brief": wording.brief,
}


def render(summary: Summary) -> str:
    """Return the HTML of a summary; whatever the summary says is escaped."""
    environment = _environment()
    sheet = StyleSheet()
    body = environment.get_template("body.html").render(
        summary=summary, picture=partial(_picture, sheet=sheet, numbers=count())
    )
    style = css_rules() + _source("report.css") + sheet.css()
    script = _source("report.js")
    return environment.get_template("report.html").render(
        title=summary["title"],
        body=Markup(body),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("epochs_left.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(written=_written, sort_key=_sort_key)
    return environment


def _picture(name: str, panel: Panel, *, sheet: StyleSheet, numbers: Iterator[int]) -> Markup:
    svg = chart_svg(
        panel["chart"],
        name=name,
        title=panel["title"],
        description=panel["description"],
        sheet=sheet,
    )
    return Markup(compact(svg, prefix=f"p{next(numbers)}-"))


def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows these two texts and images in the page alone."""
    return (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _written(cell: Cell, form: Form) -> str:
    """Return a cell as people read it; an interval goes below its estimate."""
    if cell is None:
        return wording.MISSING
    if isinstance(cell, str):
        return cell
    writer = _WRITERS.get(form, wording.brief)
    return writer(cell["value"] if isinstance(cell, dict) else cell)


def _sort_key(cell: Cell) -> str:
    """Return what a column is sorted by: six digits of a number, or nothing for text and null."""
    value = cell["value"] if isinstance(cell, dict) else cell
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value) if isinstance(value, int) else ""
