"""What the fitted models are worth: one file a result, found by name.

A result is a function of the evaluation context; `evaluate` writes what it returns to
``reports/results``, and the report reads it there. The locked test set is opened here alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochs_left.registry import Registry

if TYPE_CHECKING:
    from epochs_left.evaluation.context import EvaluationContext

Compute = Callable[["EvaluationContext"], Any]


@dataclass(frozen=True, kw_only=True)
class ResultSpec:
    """A result and the name of its file; JSON holds plain data, Parquet an Arrow table."""

    file: str
    summary: str
    compute: Compute


RESULTS: Registry[ResultSpec] = Registry("result", __name__)


def result(file: str) -> Callable[[Compute], Compute]:
    """Register a function of the context as the result that is written to ``file``.

    Raises
    ------
    ValueError
        Unless ``file`` ends in ``.json`` or ``.parquet``.
    """
    if not file.endswith((".json", ".parquet")):
        raise ValueError(f"expected a .json or .parquet file, got {file!r}")

    def register(compute: Compute) -> Compute:
        summary = (inspect.getdoc(compute) or "").partition("\n")[0]
        RESULTS.add(file, ResultSpec(file=file, summary=summary, compute=compute))
        return compute

    return register
