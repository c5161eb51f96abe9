"""Shared by the tests of the report."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochs_left.reporting import build_report

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def results() -> dict[str, Any]:
    """A full set of results, made up."""
    return runpy.run_path(str(HERE / "fake_results.py"))["fake_results"]()


@pytest.fixture(scope="session")
def report(results: dict[str, Any]) -> str:
    """The report of these results."""
    return build_report(results)


@pytest.fixture(scope="session")
def audit() -> Callable[[str], Any]:
    """A strict reader of HTML."""
    return runpy.run_path(str(HERE / "html_audit.py"))["Audit"]
