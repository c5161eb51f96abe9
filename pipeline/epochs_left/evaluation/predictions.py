"""Single predictions on the locked test set, for the figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from epochs_left.arrays import IntArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.evaluation.scores import locked_rows

_ROWS_PER_MODEL = 4_000


@result("predictions.parquet")
def predictions(context: FamilyContext) -> pa.Table:
    """Return at most 4,000 rows a model: truth, prediction and interval."""
    rows = np.flatnonzero(locked_rows(context))
    if rows.size > _ROWS_PER_MODEL:
        rows = np.sort(context.rng("rows").choice(rows, _ROWS_PER_MODEL, replace=False))
    frames = [_of_model(context, key, rows) for key in context.models]
    return pa.Table.from_pandas(pd.concat(frames), preserve_index=False)


def _of_model(context: FamilyContext, key: ModelKey, rows: IntArray) -> pd.DataFrame:
    table, forecast = context.locked.iloc[rows], context.forecasts[key]
    epoch, remaining = table["epoch"].to_numpy(), table["remaining"].to_numpy(float)
    full = (table["batch_size"] == table["n_examples"]).to_numpy()
    return pd.DataFrame(
        {
            "model": key[0],
            "view": key[1].value,
            "run_id": table["run_id"].to_numpy(),
            "epoch": epoch,
            "outcome_epoch": epoch + remaining,
            "actual": remaining,
            "predicted": forecast.remaining[rows],
            "lower": forecast.lower[rows],
            "upper": forecast.upper[rows],
            "activation": table["activation"].to_numpy(),
            "batch": np.where(full, "full", "online"),
            "lr": table["lr"].to_numpy(),
        }
    )
