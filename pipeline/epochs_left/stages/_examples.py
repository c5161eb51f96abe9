"""What the stages that fit on one family read: its examples outside the locked test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.config import FitSettings
from epochs_left.errors import DataError
from epochs_left.prediction.training import LABELS, require_distinct_curves
from epochs_left.schema import TargetKind
from epochs_left.stages._command import say
from epochs_left.stages._paths import FEATURES
from epochs_left.storage.params import PARAMS
from epochs_left.storage.tables import read_json, read_table, table_parts

#: What is read of the examples besides the features that the regressor sees.
_COLUMNS = (
    *("family", "run_id", "lineage_id", "curve_id", *LABELS, "n_params", "target_kind", "target"),
    *("epoch", "remaining", "observed", "converged", "locked", "sampled"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingExamples:
    """Examples of one family towards the runs' own criterion, outside the locked test set.

    Attributes
    ----------
    family
        Name of the family.
    table
        Rows of examples.parquet: all, or those of a sample of whole lineages.
    dictionary
        Features.json.
    is_sample
        Whether there are more rows than ``table`` holds.
    """

    family: str
    table: pa.Table
    dictionary: Sequence[dict[str, Any]]
    is_sample: bool

    def parts(self) -> Iterator[pa.Table]:
        """Yield all rows, whole runs at a time."""
        path = FEATURES / self.family / "examples.parquet"
        for part in table_parts(path, self.table.column_names):
            yield part.filter(_wanted(part))


def read_training_examples(
    family: str, settings: FitSettings, features: Sequence[str] | None = None
) -> TrainingExamples:
    """Read the examples of a family, as many as memory is allowed for.

    Parameters
    ----------
    settings
        ``rows_in_memory``, and ``folds``, which the converged lineages have to fill.
    features
        Feature columns to read; all if None.

    Raises
    ------
    DataError
        For lineages that share a run, or too few of them.
    """
    folder = FEATURES / family
    dictionary = read_json(folder / "features.json")
    wanted = [entry["name"] for entry in dictionary] if features is None else features
    keys = read_table(folder / "examples.parquet", list(_COLUMNS))
    require_distinct_curves(family, keys)
    keys = keys.filter(_wanted(keys))
    _require_lineages(family, keys, settings.folds)
    sample = _sample(family, keys, settings.rows_in_memory)
    rows = pc.field("target_kind") == TargetKind.EPSILON.value
    rows &= ~pc.field("locked")
    if sample is not None:
        rows &= pc.field("lineage_id").isin(sample)
    table = read_table(folder / "examples.parquet", [*_COLUMNS, *wanted], rows)
    return TrainingExamples(
        family=family, table=table, dictionary=dictionary, is_sample=sample is not None
    )


def _wanted(table: pa.Table) -> pa.ChunkedArray:
    primary = pc.equal(table["target_kind"], TargetKind.EPSILON.value)
    return pc.and_(primary, pc.invert(table["locked"]))


def _sample(family: str, keys: pa.Table, rows_in_memory: int) -> pa.Array | None:
    """Return as many lineages as there is memory for, in the order of their ids, which are hashes.

    None if there is memory for all of them.
    """
    if keys.num_rows <= rows_in_memory:
        return None
    lineage, n_rows = np.unique(keys["lineage_id"].to_numpy(False), return_counts=True)
    taken = max(1, int(np.searchsorted(n_rows.cumsum(), rows_in_memory, side="right")))
    say(
        f"family {family}: {n_rows[:taken].sum():,} of {keys.num_rows:,} rows of examples fit in "
        f"memory (fit.rows_in_memory), those of {taken:,} of {lineage.size:,} lineages; models "
        "that can be fitted batch by batch see all rows, the others and all scores this sample"
    )
    return pa.array(lineage[:taken])


def _require_lineages(family: str, table: pa.Table, folds: int) -> None:
    converged = table.filter(table["converged"])
    found = pc.count_distinct(converged["lineage_id"]).as_py()
    if found < folds:
        raise DataError(
            f"family {family}: expected at least {folds} lineages with a converged run to fit on, "
            f"got {found}; simulate more runs or take it out of fit.families in {PARAMS}"
        )
