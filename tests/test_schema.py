"""The vocabulary and the tables."""

from __future__ import annotations

import pyarrow as pa
import pytest

from epochs_left.schema import (
    EPOCH_MEASURES,
    MAX_SCALAR_PARAMS,
    OUTCOMES,
    RUNS,
    Outcome,
    View,
    epochs_schema,
    scalar_param_names,
)


def test_codes_cover_every_outcome_in_their_stored_order() -> None:
    """Golden: engines write these codes."""
    assert [outcome.value for outcome in OUTCOMES] == ["converged", "stuck", "capped", "diverged"]
    assert set(OUTCOMES) == set(Outcome)


def test_views_are_the_two_of_the_manifest() -> None:
    assert {view.value for view in View} == {"oracle", "causal"}


@pytest.mark.parametrize("schema", [RUNS, epochs_schema(3), epochs_schema(5000)])
def test_every_column_is_non_nullable_and_named_once(schema: pa.Schema) -> None:
    assert not any(field.nullable for field in schema)
    assert len(set(schema.names)) == len(schema)


@pytest.mark.parametrize("n_params", [1, 3, MAX_SCALAR_PARAMS])
def test_few_parameters_are_scalar_columns(n_params: int) -> None:
    names = epochs_schema(n_params).names
    assert names == ["run_id", "epoch", *EPOCH_MEASURES, *scalar_param_names(n_params)]


def test_more_parameters_are_one_list_of_fixed_width() -> None:
    schema = epochs_schema(MAX_SCALAR_PARAMS + 1)
    assert schema.names[-1] == "params"
    assert schema.field("params").type.list_size == MAX_SCALAR_PARAMS + 1
    assert not schema.field("params").type.value_field.nullable
