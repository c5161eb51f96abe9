"""What a strict reader finds in an HTML document.

Loaded by path (`runpy.run_path`), since test folders are not packages.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br"}
FETCHING = ("src", "href", "data", "poster", "action", "srcset", "xlink:href")


class Audit(HTMLParser):
    """Tags, attributes, ids and text of a document, with every fault found on the way."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.faults: list[str] = []
        self.pieces: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]

    @property
    def text(self) -> str:
        """All text in its order, but that of styles and scripts."""
        return "".join(words for tag, words in self.pieces if tag not in {"style", "script"})

    def inside(self, tag: str) -> str:
        """Return the text that stands directly in elements of this kind."""
        return "".join(words for own, words in self.pieces if own == tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        opened = self._open.pop() if self._open else None
        if opened != tag:
            self.faults.append(f"</{tag}> closes <{opened}>")

    def handle_data(self, data: str) -> None:
        self.pieces.append((self._open[-1] if self._open else "", data))

    def _check(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self._check_attribute(tag, name, value or "")

    def _check_attribute(self, tag: str, name: str, value: str) -> None:
        if name == "id":
            self.ids.append(value)
        elif name == "aria-labelledby":
            self.references += value.split()
        elif name in FETCHING:
            if not value.startswith(("#", "data:")):
                self.faults.append(f"<{tag} {name}={value!r}> leaves the page")
            self.references += [value[1:]] if value.startswith("#") else []
        elif name == "style" or name.startswith("on"):
            self.faults.append(f"<{tag}> has an inline {name}")
        self.references += re.findall(r"url\(#([^)]+)\)", value)

    def dangling(self) -> set[str]:
        """Return the ids that are referred to but not there."""
        return set(self.references) - set(self.ids)

    def duplicated(self) -> set[str]:
        """Return the ids that stand more than once."""
        return {each for each in self.ids if self.ids.count(each) > 1}
