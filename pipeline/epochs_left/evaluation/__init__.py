"""What the fitted models are worth: one file a result, found by name.

A result is a function of what it is about: one family, or all of them together. `evaluate` writes
what it returns to ``reports/results`` (``reports/results/<family>`` for one family), and the report
reads it there. The locked test set is opened here alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochs_left.registry import Registry

if TYPE_CHECKING:
    from epochs_left.evaluation.context import EvaluationContext

Compute = Callable[[Any], Any]

#: `ResultSpec.of`: computed for every family, or once for all of them.
EACH, ALL = "each", "all"


@dataclass(frozen=True, kw_only=True)
class ResultSpec:
    """A result and the name of its file; JSON holds plain data, Parquet an Arrow table.

    Attributes
    ----------
    of
        `EACH` family, `ALL` families together, or the name of the one family that it is about.
    long
        It takes many seconds, and is begun first so that none waits for it at the end.
    """

    file: str
    of: str
    summary: str
    compute: Compute
    long: bool = False

    def parts(self, families: Sequence[str]) -> list[str]:
        """Return the files below ``reports/results`` that it is written to."""
        if self.of == ALL:
            return [self.file]
        return [f"{name}/{self.file}" for name in families if self.of in (EACH, name)]

    def computed(self, context: EvaluationContext, part: str) -> Any:
        """Return the value of one of `parts`."""
        family = part.rpartition("/")[0]
        return self.compute(context.families[family] if family else context)


RESULTS: Registry[ResultSpec] = Registry("result", __name__)


def result(file: str, *, of: str = EACH, long: bool = False) -> Callable[[Compute], Compute]:
    """Register a function as the result that is written to ``file``.

    Parameters
    ----------
    file
        A name that ends in ``.json`` or ``.parquet`` (ValueError otherwise).
    of
        `ALL` for a function of the `EvaluationContext`; `EACH`, or the name of a family, for one
        of a `FamilyContext`.
    long
        True for what takes more than some ten seconds.
    """
    if not file.endswith((".json", ".parquet")):
        raise ValueError(f"expected a .json or .parquet file, got {file!r}")

    def register(compute: Compute) -> Compute:
        summary = (inspect.getdoc(compute) or "").partition("\n")[0]
        RESULTS.add(file, ResultSpec(file=file, of=of, long=long, summary=summary, compute=compute))
        return compute

    return register
