"""The vocabulary and the tables: outcomes, column names, Arrow schemas.

`data/README.md` describes each column for readers; a test keeps the two in step.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

SCHEMA_VERSION = 1

#: Up to this many parameters are stored as scalar columns, which is faster to write.
MAX_SCALAR_PARAMS = 32


class Outcome(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"  # loss < epsilon
    STUCK = "stuck"  # gradient norm < delta while loss >= epsilon
    CAPPED = "capped"  # max_epochs reached: right-censored
    DIVERGED = "diverged"  # loss not finite or above the bound


#: Integer codes that compiled kernels write; the order is part of the kernels' contract.
OUTCOMES: tuple[Outcome, ...] = (Outcome.CONVERGED, Outcome.STUCK, Outcome.CAPPED, Outcome.DIVERGED)


class View(StrEnum):
    """What a feature may look at."""

    ORACLE = "oracle"  # the final parameters too
    CAUSAL = "causal"  # epochs 0..t only


def _field(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


RUNS = pa.schema(
    [
        _field("run_id", pa.string()),
        _field("lineage_id", pa.string()),
        _field("family", pa.string()),
        _field("task", pa.string()),
        _field("architecture", pa.string()),
        _field("activation", pa.string()),
        _field("n_params", pa.int32()),
        _field("init_scheme", pa.string()),
        _field("optimizer", pa.string()),
        _field("lr", pa.float64()),
        _field("momentum", pa.float64()),
        _field("weight_decay", pa.float64()),
        _field("weight_decay_mode", pa.string()),
        _field("batch_size", pa.int32()),
        _field("n_examples", pa.int32()),
        _field("lr_schedule", pa.string()),
        _field("init_seed", pa.int64()),
        _field("order_seed", pa.int64()),
        _field("epsilon", pa.float64()),
        _field("delta", pa.float64()),
        _field("max_epochs", pa.int32()),
        _field("outcome", pa.string()),
        _field("outcome_epoch", pa.int32()),
        _field("final_loss", pa.float64()),
        _field("final_grad_norm", pa.float64()),
        _field("engine", pa.string()),
        _field("engine_version", pa.string()),
    ]
)

#: float32 columns of an epoch row, before the parameters, in the order in which engines write them.
EPOCH_MEASURES: tuple[str, ...] = (
    "loss",
    "grad_norm",
    "update_norm",
    "path_length",
    "probe_kl",
    "lr",
)


def scalar_param_names(n_params: int) -> list[str]:
    """Return the names of scalar parameter columns, ``param_0`` to ``param_{n-1}``."""
    return [f"param_{i}" for i in range(n_params)]


def epochs_schema(n_params: int, measures: tuple[str, ...] = EPOCH_MEASURES) -> pa.Schema:
    """Return the schema of an epochs file for one parameter width.

    ``run_id`` is dictionary-encoded, parameters are scalar columns up to ``MAX_SCALAR_PARAMS`` and
    a fixed-size list ``params`` above it; every field is non-nullable.
    """
    float32 = pa.float32()
    fields = [_field("run_id", pa.dictionary(pa.int32(), pa.string())), _field("epoch", pa.int32())]
    fields += [_field(name, float32) for name in measures]
    if n_params <= MAX_SCALAR_PARAMS:
        fields += [_field(name, float32) for name in scalar_param_names(n_params)]
    else:
        item = pa.field("item", float32, nullable=False)
        fields.append(_field("params", pa.list_(item, n_params)))
    return pa.schema(fields)
