"""The manifest of a bundle: what it is, what it was trained on, and the hash of each file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from epochs_left.errors import ModelError
from epochs_left.schema import SCHEMA_VERSION, View

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class ResidualQuantiles:
    """Offsets of central prediction intervals, for a grid of levels.

    Parallel tuples: on the scale of intervals (`statistics.scales.interval_scale`), that of level
    ``levels[i]`` runs from centre + ``lower[i]`` half widths to centre + ``upper[i]``. Without a
    "spread" the centre is the prediction and the half width 1.
    """

    levels: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.levels) == len(self.lower) == len(self.upper):
            raise ValueError("levels, lower and upper must have the same length")
        if any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError("levels must increase")
        if any(not 0 < level < 1 for level in self.levels):
            raise ValueError("levels must lie in (0, 1)")
        if any(a > b for a, b in zip(self.lower, self.upper, strict=True)):
            raise ValueError("lower must be at most upper")


@dataclass(frozen=True, kw_only=True)
class BundleManifest:
    """What a bundle is, what it was trained on, and the hash of each of its files.

    Parameters
    ----------
    schema_version
        Version of the tables and of this manifest (`schema.SCHEMA_VERSION`).
    bundle_id
        ``"<regressor>/<family>-<view>"``, the path below the folder of models.
    view
        ``"oracle"`` or ``"causal"``.
    regressor, title
        Name in the registry, and name for people.
    scale
        Scale of the regressor's target, a key of `statistics.scales.SCALES`.
    features
        Columns in the order in which the estimators take them.
    target
        Loss threshold that it was trained for; None of one that serves any threshold, or plateaus.
    ranges
        Smallest and largest value seen in training, by feature.
    vocabulary
        Names seen in training, by ``"optimizer"``, ``"activation"`` and ``"architecture"``.
    must_state
        Keys of ``vocabulary`` without which nothing says that a run is of a kind seen in training;
        a run that does not state them counts as out of distribution.
    adaptive
        Whether interval offsets count in the half widths that the estimator "spread" says of each
        row, around the centre that it says; else they are the same for every row.
    residual_quantiles
        Interval offsets by availability of the inputs, ``"all"`` or ``"loss_only"``.
    training, scores, versions
        Facts for people: data hash, sizes, seeds; figures; library versions.
    files
        SHA-256 of each file, by name.
    """

    schema_version: int
    bundle_id: str
    view: str
    regressor: str
    title: str
    scale: str
    features: tuple[str, ...]
    target: float | None
    ranges: Mapping[str, tuple[float, float]]
    vocabulary: Mapping[str, tuple[str, ...]]
    must_state: tuple[str, ...]
    adaptive: bool
    residual_quantiles: Mapping[str, ResidualQuantiles]
    training: Mapping[str, Any]
    scores: Mapping[str, Any]
    versions: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def of_plateaus(self) -> bool:
        """Whether it was trained on plateaus; else on losses to be reached."""
        return "log_plateau_share" in self.features and "log_gap_to_target" not in self.features

    def to_json(self) -> str:
        """Return the manifest as JSON; ValueError for NaN or infinite numbers."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BundleManifest:
        """Parse a manifest.

        Raises
        ------
        ModelError
            For another schema version (naming both), a missing or unknown field, a wrong type.
        """
        raw = _parse_object(text)
        _check_version(raw)
        _check_fields(raw)
        try:
            return cls(**{name: _READERS[name](value) for name, value in raw.items()})
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(f"{MANIFEST} is malformed: {error}; fit the bundle again") from error


def _parse_object(text: str) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{MANIFEST} is not JSON: {error}; fit the bundle again") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{MANIFEST} must hold an object, got {type(raw).__name__}; fit it again")
    return raw


def _check_version(raw: Mapping[str, Any]) -> None:
    """Check the version first: another one may have other fields."""
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"bundle schema version {version!r}, this program reads {SCHEMA_VERSION}; "
            "install the matching release or fit the bundle again"
        )


def _check_fields(raw: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(BundleManifest)}
    missing, unknown = sorted(known - set(raw)), sorted(set(raw) - known)
    if missing or unknown:
        raise ModelError(
            f"{MANIFEST} lacks the fields {missing} and has unknown ones {unknown}; "
            "fit the bundle again"
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"expected a finite number, got {value!r}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, got {value!r}")
    return value


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r}")
    return value


def _view(value: Any) -> str:
    return View(_text(value)).value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {value!r}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in _sequence(value))


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(_number(item) for item in _sequence(value))


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {value!r}")
    return value


def _range(value: Any) -> tuple[float, float]:
    low, high = _numbers(value)
    return low, high


def _quantiles(value: Any) -> ResidualQuantiles:
    return ResidualQuantiles(**{name: _numbers(item) for name, item in _mapping(value).items()})


def _by_name(read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: read(item) for name, item in _mapping(value).items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "schema_version": _whole,
    "bundle_id": _text,
    "view": _view,
    "regressor": _text,
    "title": _text,
    "scale": _text,
    "features": _texts,
    "target": _number_or_none,
    "ranges": _by_name(_range),
    "vocabulary": _by_name(_texts),
    "must_state": _texts,
    "adaptive": _flag,
    "residual_quantiles": _by_name(_quantiles),
    "training": _mapping,
    "scores": _mapping,
    "versions": _by_name(_text),
    "files": _by_name(_text),
}
