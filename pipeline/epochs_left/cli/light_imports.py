"""What a command need not import: start-up is most of the time that a short log takes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from epochs_left.hidden import hidden


class _Deferred(ModuleType):
    """Stands for a module until something of it is needed.

    Parameters
    ----------
    name
        Name of the module.
    functions
        Those that may be handed out before the module is there: they import it when called.
    """

    def __init__(self, name: str, functions: Sequence[str]) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # a package, whose parts are imported from the real one
        self._functions = functions

    def __getattr__(self, name: str) -> Any:
        """Return a function that imports the module, or the attribute of the module itself."""
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._functions:
            return getattr(self._module(), name)

        def imported_when_called(*values: Any, **options: Any) -> Any:
            return getattr(self._module(), name)(*values, **options)

        return imported_when_called

    def _module(self) -> ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)


@contextmanager
def light_imports() -> Iterator[None]:
    """Leave out of the imports in a block what predicting never uses; halves the start-up.

    scikit-learn, xgboost and pyarrow import pandas wherever it is installed, to recognise data
    frames; none is ever made here. scikit-learn imports scipy.stats for two functions that no
    estimator of ours calls. What is imported already stays, and after the block both are as ever.
    """
    deferred = _Deferred("scipy.stats", ("mode", "rankdata"))
    sys.modules.setdefault(deferred.__name__, deferred)
    try:
        with hidden("pandas"):
            yield
    finally:
        if sys.modules.get(deferred.__name__) is deferred:
            del sys.modules[deferred.__name__]
