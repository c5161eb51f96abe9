"""Settings: frozen, keyword-only, checked when built, read from one strict YAML file."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar

from epochs_left.errors import UsageError, did_you_mean

Settings = TypeVar("Settings")


def parse_settings(kind: type[Settings], values: object, where: str) -> Settings:
    """Build a settings dataclass from a mapping that came out of a YAML file.

    Parameters
    ----------
    kind
        A dataclass whose fields are scalars, tuples of scalars, mappings or settings themselves.
    values
        What the file holds.
    where
        How to call the place in messages, e.g. ``"params.yaml: neuron"``.

    Raises
    ------
    UsageError
        For an unknown or missing key, a value of another type (``1e-6`` read as text), or a value
        that the dataclass refuses.
    """
    if not isinstance(values, Mapping):
        remedy = "; add it to the file, one line a setting" if values is None else ""
        raise UsageError(f"{where}: expected a mapping, got {values!r}{remedy}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            hint = did_you_mean(str(key), fields)
            raise UsageError(f"{where}: unknown key {key!r}{hint}; known: {', '.join(fields)}")
    missing = [name for name in fields if name not in values]
    if missing:
        raise UsageError(f"{where}: missing keys {missing}; add them")
    types = typing.get_type_hints(kind)
    converted = {name: _convert(types[name], values[name], f"{where}.{name}") for name in fields}
    try:
        return kind(**converted)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return parse_settings(typing.cast("type[Any]", kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return _convert_list(arguments[0], value, where)
    if origin is Mapping:
        return _convert_mapping(arguments[1], value, where)
    if origin is UnionType:
        member = next(kind for kind in arguments if isinstance(value, list) == (kind is not str))
        return _convert(member, value, where)
    return _convert_scalar(kind, value, where)


def _convert_list(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: expected a list with at least one item, got {value!r}")
    return tuple(_convert(kind, item, f"{where}[{i}]") for i, item in enumerate(value))


def _convert_mapping(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise UsageError(f"{where}: expected a mapping with at least one key, got {value!r}")
    return {str(key): _convert(kind, item, f"{where}.{key}") for key, item in value.items()}


def _convert_scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise UsageError(
            f"{where}: expected {kind.__name__}, got {value!r} ({type(value).__name__})"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: expected a finite number, got {value!r}")
    return value


def root_seed_of(params: Mapping[str, Any], where: str) -> int:
    """Return ``root_seed`` of a parameter file, an integer of at least 0 (UsageError)."""
    seed = _convert_scalar(int, params.get("root_seed"), f"{where}.root_seed")
    if seed < 0:
        raise UsageError(f"{where}.root_seed: expected 0 or more, got {seed}")
    return int(seed)


@dataclass(frozen=True, kw_only=True)
class FeaturizeSettings:
    """Which examples and which features the feature table holds."""

    epochs_per_run: int
    landmarks: tuple[int, ...]
    locked_share: float
    extra_share: Mapping[str, float]
    probed_share: Mapping[str, float]
    groups: str | tuple[str, ...]

    def __post_init__(self) -> None:
        for family, share in self.extra_share.items():
            check_range(f"extra_share.{family}", share, 0, 1)
        for family, share in self.probed_share.items():
            check_range(f"probed_share.{family}", share, 0, 1)
        check_range("epochs_per_run", self.epochs_per_run, 1, 100_000)
        check_range("landmarks", min(self.landmarks), 0, 1_000_000)
        check_range("locked_share", self.locked_share, 0.01, 0.9)


@dataclass(frozen=True, kw_only=True)
class BranchSettings:
    """Of which families, how many states are branched, and how often each."""

    families: tuple[str, ...]
    states: int
    branches: int

    def __post_init__(self) -> None:
        check_range("states", self.states, 1, 1_000_000)
        check_range("branches", self.branches, 2, 10_000)  # of one there is no variance


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Cross-validation and fitting: which regressors, by their kind."""

    regressors: Mapping[str, tuple[str, ...]]
    families: tuple[str, ...]
    folds: int
    row_wise_folds: int
    rows_in_memory: int

    def __post_init__(self) -> None:
        check_range("folds", self.folds, 2, 100)
        check_range("rows_in_memory", self.rows_in_memory, 1, 1_000_000_000)
        check_range("row_wise_folds", self.row_wise_folds, 1, self.folds)
        for kind, names in self.regressors.items():
            _check_distinct(f"regressors.{kind}", names)
        _check_distinct("families", self.families)

    @property
    def fitted(self) -> tuple[str, ...]:
        """Names of everything that is fitted, in the order of the kinds."""
        return tuple(name for names in self.regressors.values() for name in names)


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """The predictor that learns from every family at once."""

    families: tuple[str, ...]
    runs_per_family: int
    folds: int

    def __post_init__(self) -> None:
        check_range("runs_per_family", self.runs_per_family, 10, 100_000_000)
        check_range("folds", self.folds, 2, 100)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Bootstrap and the studies that `evaluate` makes."""

    bootstrap_replicates: int
    bootstrap_refits: int
    study_runs: int
    plane_points: int
    plane_lr: float

    def __post_init__(self) -> None:
        check_range("bootstrap_replicates", self.bootstrap_replicates, 100, 1_000_000)
        check_range("bootstrap_refits", self.bootstrap_refits, 1, 100_000)
        check_range("study_runs", self.study_runs, 10, 10_000_000)
        check_range("plane_points", self.plane_points, 5, 2_000)
        check_range("plane_lr", self.plane_lr, 1e-6, 0.499)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value!r}")


def _check_distinct(name: str, items: tuple[str, ...]) -> None:
    if len(set(items)) < len(items):
        raise ValueError(f"{name}: expected no name twice, got {', '.join(items)}; drop one")
