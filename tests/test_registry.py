"""One file in a package adds one item."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epochs_left.errors import UsageError
from epochs_left.registry import Registry, module_names

PLUGIN = """
from {package} import ITEMS
ITEMS.add("{name}", "{name} from a file")
"""
BASE = """
from epochs_left.registry import Registry
ITEMS = Registry("fruit", __name__)
"""
numbers = itertools.count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a registry and two plugins, importable for the length of a test."""
    folder = tmp_path / f"fruits_{next(numbers)}"
    folder.mkdir()
    (folder / "__init__.py").write_text(BASE)
    for name in ("pear", "apple"):
        add_plugin(folder, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield folder
    for module in set(sys.modules) - before:
        del sys.modules[module]


def add_plugin(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(PLUGIN.format(package=folder.name, name=name))


def registry_of(package: Path) -> Registry[str]:
    module = __import__(package.name)
    items: Registry[str] = module.ITEMS
    return items


def test_items_are_found_by_scanning_the_package(package: Path) -> None:
    items = registry_of(package)
    assert list(items) == ["apple", "pear"]
    assert items["pear"] == "pear from a file"
    assert len(items) == 2


def test_a_new_file_is_a_new_item(package: Path) -> None:
    add_plugin(package, "medlar")
    assert dict(registry_of(package).items())["medlar"] == "medlar from a file"


def test_nothing_is_imported_before_the_first_question(package: Path) -> None:
    registry_of(package)
    assert f"{package.name}.pear" not in sys.modules


def test_a_broken_plugin_is_not_passed_over(package: Path) -> None:
    (package / "quince.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        list(registry_of(package))


@pytest.mark.parametrize(("name", "hint"), [("aple", "did you mean 'apple'"), ("Pear", "'pear'")])
def test_an_unknown_name_gets_the_nearest_one(package: Path, name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown fruit '{name}', .*{hint}") as caught:
        registry_of(package)[name]
    assert "known: apple, pear" in str(caught.value)


def test_a_name_like_no_other_gets_the_list_alone(package: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown fruit 'zzz' \(known: apple, pear\)"):
        registry_of(package)["zzz"]


def test_a_name_can_be_taken_once(package: Path) -> None:
    items = registry_of(package)
    assert "pear" in list(items)
    with pytest.raises(ValueError, match="fruit 'pear' is registered twice"):
        items.add("pear", "another")


@pytest.mark.parametrize(
    ("wanted", "names"),
    [("all", ["apple", "pear"]), ("pear", ["pear"]), (["pear", "apple"], ["pear", "apple"])],
)
def test_a_setting_selects_items(package: Path, wanted: object, names: list[str]) -> None:
    assert [name for name, _ in registry_of(package).select(wanted)] == names


def test_a_setting_with_an_unknown_name_is_refused(package: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'apple'"):
        registry_of(package).select(["pear", "appel"])


def test_modules_are_listed_in_alphabetical_order(package: Path) -> None:
    assert module_names(package.name) == ["apple", "pear"]


def test_an_item_in_a_subpackage_is_found(package: Path) -> None:
    folder = package / "stone_fruit"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "plum.py").write_text(PLUGIN.format(package=package.name, name="plum"))
    assert list(registry_of(package)) == ["apple", "pear", "plum"]
