"""The vocabulary and the tables: outcomes, column names, Arrow schemas.

`data/README.md` describes each column for readers; a test keeps the two in step.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

SCHEMA_VERSION = 2

#: Up to this many parameters are stored as scalar columns, which is faster to write.
MAX_SCALAR_PARAMS = 32

#: Up to this many parameters are stored one by one; above it the volume is the limit, and each
#: epoch keeps exact statistics of every tensor and a count-sketch of the whole vector.
MAX_STORED_PARAMS = 6_000

#: Width of the count-sketch (`dynamics.sketch`).
SKETCH_SIZE = 256

#: Statistics of each tensor of a wide model, in the order in which they are stored: L2 norm, L2
#: distance from its initial value, L2 norm of the change since the previous epoch, largest
#: absolute value.
TENSOR_STATISTICS: tuple[str, ...] = ("norm", "distance_from_start", "update_norm", "max_abs")


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


class TargetKind(StrEnum):
    """What an example is asked for."""

    EPSILON = "epsilon"  # the run's own criterion
    THRESHOLD = "threshold"  # another loss
    PLATEAU = "plateau"  # the plateau of its curve


def _field(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


RUNS = pa.schema(
    [
        _field("run_id", pa.string()),
        _field("lineage_id", pa.string()),
        _field("family", pa.string()),
        _field("cohort", pa.string()),
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

#: float32 columns of an epoch row of every family, before the parameters.
EPOCH_MEASURES: tuple[str, ...] = (
    "loss",
    "grad_norm",
    "update_norm",
    "path_length",
    "probe_kl",
    "lr",
)

#: The same for families that hold examples out.
VALIDATED_MEASURES: tuple[str, ...] = (*EPOCH_MEASURES, "valid_loss", "valid_metric")


def scalar_param_names(n_params: int) -> list[str]:
    """Return the names of scalar parameter columns, ``param_0`` to ``param_{n-1}``."""
    return [f"param_{i}" for i in range(n_params)]


def epochs_schema(
    n_params: int, measures: tuple[str, ...] = EPOCH_MEASURES, n_tensors: int = 1
) -> pa.Schema:
    """Return the schema of an epochs file for one parameter width; every field is non-nullable.

    ``run_id`` is dictionary-encoded. Parameters are scalar columns up to ``MAX_SCALAR_PARAMS``, a
    fixed-size list ``params`` up to ``MAX_STORED_PARAMS``, and above that a list
    ``tensor_statistics`` (``n_tensors`` times ``TENSOR_STATISTICS``) and a list ``sketch``.
    """
    fields = [_field("run_id", pa.dictionary(pa.int32(), pa.string())), _field("epoch", pa.int32())]
    fields += [_field(name, pa.float32()) for name in measures]
    if n_params <= MAX_SCALAR_PARAMS:
        fields += [_field(name, pa.float32()) for name in scalar_param_names(n_params)]
    elif n_params <= MAX_STORED_PARAMS:
        fields.append(_vector("params", n_params))
    else:
        fields.append(_vector("tensor_statistics", n_tensors * len(TENSOR_STATISTICS)))
        fields.append(_vector("sketch", SKETCH_SIZE))
    return pa.schema(fields)


def _vector(name: str, width: int) -> pa.Field:
    return _field(name, pa.list_(pa.field("item", pa.float32(), nullable=False), width))
