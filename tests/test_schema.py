"""The vocabulary and the tables."""

from __future__ import annotations

import pyarrow as pa
import pytest

from epochs_left.schema import (
    EPOCH_MEASURES,
    MAX_SCALAR_PARAMS,
    MAX_STORED_PARAMS,
    OUTCOMES,
    RUNS,
    SKETCH_SIZE,
    TENSOR_STATISTICS,
    VALIDATED_MEASURES,
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


@pytest.mark.parametrize(
    "schema",
    [
        RUNS,
        epochs_schema(3),
        epochs_schema(5000),
        epochs_schema(5000, VALIDATED_MEASURES),
        epochs_schema(7000, VALIDATED_MEASURES, n_tensors=5),
    ],
)
def test_every_column_is_non_nullable_and_named_once(schema: pa.Schema) -> None:
    assert not any(field.nullable for field in schema)
    assert len(set(schema.names)) == len(schema)


@pytest.mark.parametrize("n_params", [1, 3, MAX_SCALAR_PARAMS])
def test_few_parameters_are_scalar_columns(n_params: int) -> None:
    names = epochs_schema(n_params).names
    assert names == ["run_id", "epoch", *EPOCH_MEASURES, *scalar_param_names(n_params)]


@pytest.mark.parametrize("n_params", [MAX_SCALAR_PARAMS + 1, MAX_STORED_PARAMS])
def test_more_parameters_are_one_list_of_fixed_width(n_params: int) -> None:
    schema = epochs_schema(n_params)
    assert schema.names[-1] == "params"
    assert schema.field("params").type.list_size == n_params
    assert not schema.field("params").type.value_field.nullable


@pytest.mark.parametrize("n_tensors", [1, 2, 30])
def test_even_more_parameters_are_statistics_of_every_tensor_and_a_sketch(n_tensors: int) -> None:
    schema = epochs_schema(MAX_STORED_PARAMS + 1, VALIDATED_MEASURES, n_tensors)
    assert schema.names[-2:] == ["tensor_statistics", "sketch"]
    lists = [schema.field(name).type for name in schema.names[-2:]]
    assert [kind.list_size for kind in lists] == [n_tensors * len(TENSOR_STATISTICS), SKETCH_SIZE]
    assert not any(kind.value_field.nullable for kind in lists)


def test_families_that_hold_examples_out_have_two_measures_more() -> None:
    assert set(VALIDATED_MEASURES) - set(EPOCH_MEASURES) == {"valid_loss", "valid_metric"}
    schema = epochs_schema(40, VALIDATED_MEASURES)
    assert schema.names == ["run_id", "epoch", *VALIDATED_MEASURES, "params"]


def test_a_run_says_which_cohort_it_is_of() -> None:
    assert RUNS.field("cohort").type == pa.string()
