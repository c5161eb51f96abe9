"""Settings are checked when they are built, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from epochs_left.config import (
    BranchSettings,
    EvaluateSettings,
    FeaturizeSettings,
    FitSettings,
    check_range,
    parse_settings,
    root_seed_of,
)
from epochs_left.errors import UsageError
from epochs_left.storage.params import load_params
from epochs_left.workloads import WORKLOADS


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Settings inside of settings."""

    depth: int


@dataclass(frozen=True, kw_only=True)
class Example:
    """One field of every kind."""

    count: int
    rate: float
    name: str
    flag: bool
    limits: tuple[float, ...]
    weights: Mapping[str, float]
    chosen: str | tuple[str, ...]
    inner: Inner

    def __post_init__(self) -> None:
        check_range("count", self.count, 1, 10)


GOOD: dict[str, Any] = {
    "count": 3,
    "rate": 1,
    "name": "a",
    "flag": True,
    "limits": [0, 0.5],
    "weights": {"a": 1, "b": 0.5},
    "chosen": "all",
    "inner": {"depth": 2},
}


def test_good_settings_are_converted() -> None:
    found = parse_settings(Example, GOOD, "params.yaml: example")
    assert found.rate == 1.0
    assert isinstance(found.rate, float)
    assert found.limits == (0.0, 0.5)
    assert found.weights == {"a": 1.0, "b": 0.5}
    assert found.inner.depth == 2
    assert parse_settings(Example, {**GOOD, "chosen": ["a"]}, "here").chosen == ("a",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuont": 3}, "example: unknown key 'cuont', did you mean 'count'"),
        ({"count": "3"}, "example.count: expected int, got '3' .str."),
        ({"count": 3.0}, "example.count: expected int, got 3.0"),
        ({"count": True}, "example.count: expected int, got True"),
        ({"count": 11}, r"example: count must lie in \[1, 10\], got 11"),
        ({"rate": "1e-6"}, "example.rate: expected float, got '1e-6' .str."),
        ({"rate": None}, "example.rate: expected float, got None"),
        ({"rate": True}, "example.rate: expected float, got True"),
        ({"rate": float("nan")}, "example.rate: expected a finite number, got nan"),
        ({"rate": float("inf")}, "example.rate: expected a finite number, got inf"),
        ({"flag": 1}, "example.flag: expected bool, got 1"),
        ({"limits": 0.5}, "example.limits: expected a list"),
        ({"limits": []}, "example.limits: expected a list with at least one item"),
        ({"limits": [0, "1e-6"]}, r"example.limits\[1\]: expected float, got '1e-6'"),
        ({"weights": [1]}, "example.weights: expected a mapping"),
        ({"weights": {}}, "example.weights: expected a mapping with at least one key"),
        ({"weights": {"a": "x"}}, "example.weights.a: expected float, got 'x'"),
        ({"chosen": 3}, "example.chosen: expected str, got 3"),
        ({"chosen": [3]}, r"example.chosen\[0\]: expected str, got 3"),
        ({"inner": 3}, "example.inner: expected a mapping, got 3"),
        ({"inner": {"dept": 3}}, "example.inner: unknown key 'dept', did you mean 'depth'"),
    ],
)
def test_bad_settings_are_named_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_settings(Example, {**GOOD, **change}, "params.yaml: example")
    assert "\n" not in str(caught.value)


def test_missing_keys_are_named() -> None:
    few = {key: GOOD[key] for key in GOOD if key not in {"rate", "flag"}}
    with pytest.raises(UsageError, match=r"missing keys \['rate', 'flag'\]"):
        parse_settings(Example, few, "here")


@pytest.mark.parametrize("values", [None, 3, "text", [1]])
def test_a_section_is_a_mapping(values: object) -> None:
    with pytest.raises(UsageError, match="here: expected a mapping, got"):
        parse_settings(Example, values, "here")


@pytest.mark.parametrize("params", [{}, {"root_seed": "1"}, {"root_seed": -1}, {"root_seed": 1.5}])
def test_a_root_seed_is_a_whole_number(params: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"here\.root_seed: expected"):
        root_seed_of(params, "here")


def test_the_pipeline_s_own_parameters_are_good() -> None:
    params = load_params(Path(__file__).parents[1] / "pipeline" / "params.yaml")
    assert root_seed_of(params, "params") >= 0
    for name, kind in (
        ("featurize", FeaturizeSettings),
        ("branch", BranchSettings),
        ("fit", FitSettings),
        ("evaluate", EvaluateSettings),
        *((name, workload.settings_type) for name, workload in WORKLOADS.items()),
    ):
        parse_settings(kind, params[name], name)


@pytest.mark.parametrize(
    ("kind", "section", "change", "message"),
    [
        (FeaturizeSettings, "featurize", {"epochs_per_run": 0}, "epochs_per_run must lie in"),
        (FeaturizeSettings, "featurize", {"locked_share": 1.0}, "locked_share must lie in"),
        (FeaturizeSettings, "featurize", {"landmarks": [0, -1]}, "landmarks must lie in"),
        (BranchSettings, "branch", {"states": 0}, "states must lie in"),
        (BranchSettings, "branch", {"branches": 1}, "branches must lie in"),
        (FitSettings, "fit", {"folds": 1}, "folds must lie in"),
        (EvaluateSettings, "evaluate", {"bootstrap_replicates": 9}, "bootstrap_replicates must"),
        (EvaluateSettings, "evaluate", {"plane_lr": 0.5}, "plane_lr must lie in"),
        (EvaluateSettings, "evaluate", {"plane_points": 4}, "plane_points must lie in"),
    ],
)
def test_values_out_of_range_are_refused(
    small_params: dict[str, Any],
    kind: type[Any],
    section: str,
    change: dict[str, Any],
    message: str,
) -> None:
    values = {**small_params[section], "folds": 5} if section == "fit" else small_params[section]
    with pytest.raises(UsageError, match=message):
        parse_settings(kind, {**values, **change}, section)
