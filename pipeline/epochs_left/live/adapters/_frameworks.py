"""Frameworks that a user may have: imported by the adapter of each, and by nothing else."""

from __future__ import annotations

import importlib
from typing import Any


def framework(*modules: str, package: str) -> Any:
    """Return the first of ``modules`` that is installed.

    Raises
    ------
    ImportError
        If none is; one that is there and broken says so itself.
    """
    for module in modules:
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
    raise ImportError(f"{package} is not installed; pip install {package}")
