"""Model bundles: a folder with a manifest that vouches for every byte beside it.

``manifest.json`` names the view, the features, the training ranges and the SHA-256 of each file.
Hashes are verified before anything is parsed, and nothing is ever unpickled.
"""

from __future__ import annotations

import difflib
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from epochs_left.errors import InputOutputError, IntegrityError, ModelError
from epochs_left.storage.atomic import replaced_folder, write_synced
from epochs_left.storage.manifests import MANIFEST, BundleManifest

#: File of the training rows that the novelty of a row is measured against.
REFERENCE = "reference.parquet"

#: Names of the estimators' files without the extension, which says how they are stored: for rows
#: with every input, and with `LOSS_ONLY_SUFFIX` for rows of which the loss alone is known.
TIME, CONVERGES, SPREAD = "time", "converges", "spread"
LOSS_ONLY_SUFFIX = "_loss_only"

#: A file of a bundle is at most this large, in bytes; ours have a few megabytes.
MAX_FILE_BYTES = 1 << 29

#: Bundles that are named where there is none of a name.
_NEAREST = 3


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
        schema version or with a malformed entry.
    IntegrityError
        A file that is altered, missing, or not named in the manifest.
    InputOutputError
        A file that cannot be read.
    """
    try:
        manifest = BundleManifest.from_json(_read_manifest(folder))
        _check_names(folder, manifest)
        _check_training(folder, manifest)
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


def nearest_bundles(name: str, known: Sequence[str]) -> str:
    """Return what to do about the name of no bundle: the three nearest there are, and the list."""
    near = difflib.get_close_matches(name.lower(), known, n=_NEAREST, cutoff=0.0)
    if not near:
        return "there are none beside it; fit it first"
    return f"nearest: {', '.join(near)}; `epochs-left models list` names all {len(known)}"


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
        If the bytes are no Parquet table of float32 columns, or one without rows or with
        infinities.
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
    columns = {name: table[name].to_numpy() for name in table.column_names}
    infinite = [name for name, values in columns.items() if np.isinf(values).any()]
    if not table.num_rows or infinite:
        found = f"infinities in the columns {infinite}" if infinite else "no rows"
        raise ModelError(f"expected finite rows in a reference table, got {found}; fit it again")
    return columns


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
        near = nearest_bundles(folder.name, known_bundles(folder.parent))
        raise ModelError(f"no bundle at {folder}; {near}")
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


def _check_training(folder: Path, manifest: BundleManifest) -> None:
    """Check what predictions depend on in the notes on the training data."""
    counts = manifest.training.get("n_params", [])
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise ModelError(
            f"{folder / MANIFEST}: expected a list of whole numbers as n_params of the training, "
            f"got {counts!r}; fit the bundle again"
        )


def _is_plain_name(name: str) -> bool:
    return name == Path(name).name and name not in {"", ".", "..", MANIFEST}
