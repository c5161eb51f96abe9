"""Registries: one file in a package adds one item, without an edit anywhere else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from epochs_left.errors import UsageError, did_you_mean

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """Named items of one kind, found by scanning a package and its subpackages for modules.

    Parameters
    ----------
    kind
        What an item is called in messages, e.g. ``"regressor"``.
    package
        Import name of the package whose modules register items.
    remedy
        What makes a missing item, where people who add one often forget it.
    """

    def __init__(self, kind: str, package: str, *, remedy: str = "") -> None:
        self.kind = kind
        self._package = package
        self._remedy = f"; {remedy}" if remedy else ""
        self._items: dict[str, Item] = {}
        self._scanned = False

    def add(self, name: str, item: Item) -> None:
        """Register ``item``; a name that is taken is a programming error (ValueError)."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item

    def __getitem__(self, name: str) -> Item:
        """Return the item called ``name``; UsageError with the nearest name if there is none."""
        self._scan()
        try:
            return self._items[name]
        except KeyError:
            hint = did_you_mean(name, self._items)
            known = ", ".join(sorted(self._items))
            raise UsageError(
                f"unknown {self.kind} {name!r}{hint} (known: {known}){self._remedy}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """Names in alphabetical order."""
        self._scan()
        return iter(sorted(self._items))

    def __len__(self) -> int:
        """Return the number of registered items."""
        self._scan()
        return len(self._items)

    def items(self) -> list[tuple[str, Item]]:
        """Return (name, item) pairs in alphabetical order of the names."""
        return [(name, self[name]) for name in self]

    def select(self, wanted: str | Iterable[str]) -> list[tuple[str, Item]]:
        """Return the pairs that a setting asks for: ``"all"`` or a list of names."""
        if wanted == "all":
            return self.items()
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return [(name, self[name]) for name in names]

    def _scan(self) -> None:
        if self._scanned:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        self._scanned = True


def module_names(package: str) -> list[str]:
    """Return the names of a package's modules and subpackages, in alphabetical order."""
    path = importlib.import_module(package).__path__
    return sorted(info.name for info in pkgutil.iter_modules(path))
