"""Model bundles: a folder with a manifest that vouches for every byte beside it.

``manifest.json`` names the view, the features, the training ranges and the SHA-256 of each file.
Hashes are verified before anything is parsed, and nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from epochs_left.errors import InputOutputError, IntegrityError, ModelError, did_you_mean
from epochs_left.schema import SCHEMA_VERSION, View
from epochs_left.storage.atomic import replaced_folder, write_synced

MANIFEST = "manifest.json"

#: File of the training rows that the novelty of a row is measured against.
REFERENCE = "reference.parquet"

#: Names of the estimators' files without the extension, which says how they are stored: for rows
#: with every input, and with `LOSS_ONLY_SUFFIX` for rows of which the loss alone is known.
TIME, CONVERGES = "time", "converges"
LOSS_ONLY_SUFFIX = "_loss_only"

#: A file of a bundle is at most this large, in bytes; ours have a few megabytes.
MAX_FILE_BYTES = 1 << 29


@dataclass(frozen=True, kw_only=True)
class ResidualQuantiles:
    """Offsets of central prediction intervals on the log(1 + R) scale, for a grid of levels.

    Parallel tuples: the interval of level ``levels[i]`` runs from prediction + ``lower[i]`` to
    prediction + ``upper[i]``.
    """

    levels: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.levels) == len(self.lower) == len(self.upper):
            raise ValueError("levels, lower and upper must have the same length")
        if any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError("levels must increase")
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
        Loss threshold that it was trained for.
    ranges
        Smallest and largest value seen in training, by feature.
    vocabulary
        Names seen in training, by ``"optimizer"``, ``"activation"`` and ``"architecture"``.
    must_state
        Keys of ``vocabulary`` without which nothing says that a run is of a kind seen in training;
        a run that does not state them counts as out of distribution.
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
    target: float
    ranges: Mapping[str, tuple[float, float]]
    vocabulary: Mapping[str, tuple[str, ...]]
    must_state: tuple[str, ...]
    residual_quantiles: Mapping[str, ResidualQuantiles]
    training: Mapping[str, Any]
    scores: Mapping[str, Any]
    versions: Mapping[str, str]
    files: Mapping[str, str]

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
        except (TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{MANIFEST} is malformed: {error}; fit the bundle again") from error


@dataclass(frozen=True)
class Bundle:
    """A manifest and the verified bytes of every file it names."""

    manifest: BundleManifest
    files: Mapping[str, bytes]


def save_bundle(folder: Path, manifest: BundleManifest, files: Mapping[str, bytes]) -> None:
    """Write a bundle, replacing an old one; no half bundle is ever visible.

    Parameters
    ----------
    folder
        Where the bundle goes; its parents are made.
    manifest
        Its ``files`` are filled in here from the bytes.
    files
        Content by plain file name.

    Raises
    ------
    InputOutputError
        If it cannot be written; an old bundle is then untouched.
    """
    for name in files:
        if not _is_plain_name(name):
            raise ValueError(
                f"a bundle file needs a plain name other than {MANIFEST}, got {name!r}"
            )
    manifest = replace(manifest, files={name: sha256(data) for name, data in files.items()})
    text = manifest.to_json()
    with replaced_folder(folder) as temporary:
        for name, data in files.items():
            write_synced(temporary / name, data)
        write_synced(temporary / MANIFEST, text.encode())


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify the SHA-256 of every file before anything is parsed.

    Raises
    ------
    ModelError
        No folder or no manifest (with the bundles that lie beside it), or a manifest of another
        schema version.
    IntegrityError
        A file that is altered, missing, or not named in the manifest.
    InputOutputError
        A file that cannot be read.
    """
    try:
        manifest = BundleManifest.from_json(_read_manifest(folder))
        _check_names(folder, manifest)
        files = {name: _read_file(folder / name) for name in manifest.files}
    except OSError as error:
        raise InputOutputError(
            f"cannot read bundle {folder}: {error.strerror or error}; check its permissions"
        ) from error
    for name, data in files.items():
        if sha256(data) != manifest.files[name]:
            raise IntegrityError(
                f"{folder / name}: expected SHA-256 {manifest.files[name]}, found {sha256(data)}; "
                "restore the bundle or fit it again",
                folder / name,
            )
    return Bundle(manifest, files)


def estimator_stem(role: str, availability: str) -> str:
    """Return the name of an estimator's file without its extension."""
    return role if availability == "all" else role + LOSS_ONLY_SUFFIX


def known_bundles(folder: Path) -> list[str]:
    """Return the names of the bundles below ``folder``, in alphabetical order.

    A bundle lies in the folder or up to two levels deeper; its name is the path from the folder.
    """
    levels = ["/".join(["[!.]*"] * depth) for depth in (1, 2, 3)]
    found = [path for level in levels for path in folder.glob(f"{level}/{MANIFEST}")]
    return sorted(path.parent.relative_to(folder).as_posix() for path in found)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def dump_columns(columns: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return float32 columns of equal length as the bytes of a Parquet file."""
    schema = pa.schema([pa.field(name, pa.float32()) for name in columns])
    table = pa.table(dict(columns), schema=schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def load_columns(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the columns that `dump_columns` wrote, in their order.

    Raises
    ------
    ModelError
        If the bytes are no Parquet table of float32 columns.
    """
    try:
        # Not pq.read_table: its dataset threads may free a Python buffer while Python closes.
        source = pa.BufferReader(data)
        table = pq.ParquetFile(source, page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        raise ModelError(f"unreadable reference table: {error}; fit the bundle again") from error
    odd = [field.name for field in table.schema if field.type != pa.float32()]
    if odd:
        raise ModelError(f"columns {odd} of a reference table are not float32; fit it again")
    return {name: table[name].to_numpy() for name in table.column_names}


def _read_file(path: Path) -> bytes:
    """Read a regular file of bounded size: a link or a device could be anything, and endless."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise IntegrityError(
            f"{path}: expected a regular file of at most {MAX_FILE_BYTES} bytes; "
            "restore the bundle or fit it again"
        )
    return path.read_bytes()


def _read_manifest(folder: Path) -> str:
    path = folder / MANIFEST
    if not path.is_file():
        found = known_bundles(folder.parent)
        hint = did_you_mean(folder.name, found)
        known = ", ".join(found) if found else "none"
        raise ModelError(
            f"no bundle at {folder}{hint} (bundles there: {known}); "
            "name one of them or fit it first"
        )
    try:
        return _read_file(path).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text; fit the bundle again") from error


def _check_names(folder: Path, manifest: BundleManifest) -> None:
    odd = [name for name in manifest.files if not _is_plain_name(name)]
    if odd:
        raise IntegrityError(
            f"{folder / MANIFEST} names files outside the bundle: {odd}; fit it again"
        )
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    missing = sorted(set(manifest.files) - present)
    extra = sorted(present - set(manifest.files))
    if missing or extra:
        raise IntegrityError(
            f"{folder}: files missing {missing}, files not in the manifest {extra}; "
            "restore the bundle or fit it again"
        )


def _is_plain_name(name: str) -> bool:
    return name == Path(name).name and name not in {"", ".", "..", MANIFEST}


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
    "target": _number,
    "ranges": _by_name(_range),
    "vocabulary": _by_name(_texts),
    "must_state": _texts,
    "residual_quantiles": _by_name(_quantiles),
    "training": _mapping,
    "scores": _mapping,
    "versions": _by_name(_text),
    "files": _by_name(_text),
}
