"""Bundles: every byte is vouched for, nothing is unpickled, other versions are named."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochs_left.errors import IntegrityError, ModelError
from epochs_left.schema import SCHEMA_VERSION
from epochs_left.storage.bundles import (
    dump_columns,
    known_bundles,
    load_bundle,
    load_columns,
    save_bundle,
    sha256,
)
from epochs_left.storage.manifests import MANIFEST, BundleManifest, ResidualQuantiles

FILES = {"time.ubj": bytes(range(256)), "converges.ubj": b"{L...}", "reference.parquet": b""}


def manifest() -> BundleManifest:
    return BundleManifest(
        schema_version=SCHEMA_VERSION,
        bundle_id="xgboost-causal",
        view="causal",
        regressor="xgboost",
        title="Gradient boosting",
        scale="log_ratio",
        features=("log_loss", "lr"),
        target=1e-6,
        ranges={"log_loss": (-13.8, 2.0), "lr": (0.001, 1.0)},
        vocabulary={"optimizer": ("sgd",), "activation": ("abs", "relu")},
        must_state=("activation",),
        adaptive=False,
        residual_quantiles={
            "all": ResidualQuantiles(levels=(0.5, 0.9), lower=(-0.1, -0.4), upper=(0.2, 0.5))
        },
        training={"n_runs": 10, "families": ["neuron"], "seeds": {"root": 1}},
        scores={"r2": 0.9},
        versions={"python": "3.11"},
        files={},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "xgboost-causal"
    save_bundle(path, manifest(), FILES)
    return path


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    raw = json.loads(path.read_text())
    raw.update(changes)
    path.write_text(json.dumps(raw))


def test_saved_bundle_is_loaded_as_it_was(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert dict(bundle.files) == FILES
    hashes = {name: sha256(data) for name, data in FILES.items()}
    assert bundle.manifest == replace(manifest(), files=hashes)


def test_saving_again_replaces_every_file(folder: Path) -> None:
    save_bundle(folder, manifest(), {"time.skops": b"new"})
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "time.skops"]
    assert known_bundles(folder.parent) == ["xgboost-causal"]


def test_bundles_are_known_up_to_two_folders_down(folder: Path) -> None:
    for name in ("linear/neuron-causal", "baselines/theory/neuron-causal", "too/far/down/causal"):
        save_bundle(folder.parent / name, manifest(), FILES)
    found = ["baselines/theory/neuron-causal", "linear/neuron-causal", "xgboost-causal"]
    assert known_bundles(folder.parent) == found


def test_same_bundle_gives_the_same_bytes(folder: Path) -> None:
    before = (folder / MANIFEST).read_bytes()
    save_bundle(folder, manifest(), FILES)
    assert (folder / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("position", range(0, 256, 51))
def test_any_altered_byte_is_found(folder: Path, position: int) -> None:
    data = bytearray(FILES["time.ubj"])
    data[position] ^= 1
    (folder / "time.ubj").write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"time\.ubj: expected SHA-256"):
        load_bundle(folder)


def test_truncated_file_is_found(folder: Path) -> None:
    (folder / "time.ubj").write_bytes(FILES["time.ubj"][:-1])
    with pytest.raises(IntegrityError, match="restore the bundle"):
        load_bundle(folder)


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "converges.ubj").unlink()
    with pytest.raises(IntegrityError, match=r"missing \['converges\.ubj'\]"):
        load_bundle(folder)


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (self.path.write_text, ("unpickled",))


def test_a_pickle_beside_the_files_is_refused_and_never_loaded(
    folder: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(IntegrityError, match=r"not in the manifest \['model\.pkl'\]"):
        load_bundle(folder)
    assert not trace.exists()


def test_a_pickle_in_the_manifest_stays_bytes(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    data = pickle.dumps(Bomb(trace))
    save_bundle(folder, manifest(), {"time.pkl": data})
    assert load_bundle(folder).files["time.pkl"] == data
    assert not trace.exists()


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, None, "1"])
def test_another_schema_version_names_both(folder: Path, version: object) -> None:
    edit_manifest(folder, schema_version=version, unheard_of=1)
    with pytest.raises(ModelError, match=f"version {version!r}, this program reads") as caught:
        load_bundle(folder)
    assert f"reads {SCHEMA_VERSION}" in str(caught.value)


def test_no_folder_lists_the_bundles_beside_it(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"nearest: xgboost-causal; .* all 1$"):
        load_bundle(folder.parent / "xgbost-causal")


def test_no_bundles_at_all_is_said_too(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there are none beside it; fit it first"):
        load_bundle(tmp_path / "nowhere" / "x")


def test_unfinished_and_hidden_folders_are_no_bundles(folder: Path) -> None:
    (folder.parent / "empty").mkdir()
    hidden = folder.parent / ".xgboost.tmp"
    hidden.mkdir()
    (hidden / MANIFEST).write_text("{}")
    assert known_bundles(folder.parent) == ["xgboost-causal"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"extra": 1}, r"unknown ones \['extra'\]"),
        ({"view": "prophetic"}, "prophetic"),
        ({"target": "1e-6"}, "finite number"),
        ({"target": True}, "finite number"),
        ({"features": "log_loss"}, "expected a list"),
        ({"features": [1]}, "expected text"),
        ({"ranges": {"lr": [0.0]}}, "malformed"),
        ({"ranges": {"lr": [0.0, None]}}, "finite number"),
        ({"vocabulary": ["sgd"]}, "expected an object"),
        ({"residual_quantiles": {"all": {"levels": [0.5]}}}, "malformed"),
        ({"residual_quantiles": {"all": {"levels": [0.5], "lower": [], "upper": []}}}, "length"),
        (
            {
                "residual_quantiles": {
                    "all": {"levels": [0.5, 0.5], "lower": [0, 0], "upper": [0, 0]}
                }
            },
            "increase",
        ),
        ({"files": {"time.ubj": 5}}, "expected text"),
        ({"training": {"n_params": 5}}, "expected a list of whole numbers as n_params .* got 5;"),
        ({"training": {"n_params": ["5"]}}, "expected a list of whole numbers as n_params"),
        ({"training": {"n_params": "5"}}, "expected a list of whole numbers as n_params"),
        ({"training": {"n_params": [True]}}, "expected a list of whole numbers as n_params"),
    ],
)
def test_malformed_manifest_is_a_model_error(
    folder: Path, changes: dict[str, Any], complaint: str
) -> None:
    edit_manifest(folder, **changes)
    with pytest.raises(ModelError, match=complaint):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"schema_version": NaN}'])
def test_manifest_that_is_no_json_object_is_a_model_error(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ModelError):
        load_bundle(folder)


def test_manifest_that_is_no_text_is_a_model_error(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="not UTF-8"):
        load_bundle(folder)


def test_missing_field_is_named(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    del raw["scale"]
    (folder / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(ModelError, match=r"lacks the fields \['scale'\]"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b", "..", MANIFEST])
def test_no_file_outside_the_bundle_is_written_or_read(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        save_bundle(folder, manifest(), {name: b""})
    edit_manifest(folder, files={name: "00"})
    with pytest.raises(IntegrityError, match="outside the bundle"):
        load_bundle(folder)


def test_a_folder_in_the_place_of_a_file_is_an_error(folder: Path) -> None:
    (folder / "time.ubj").unlink()
    (folder / "time.ubj").mkdir()
    with pytest.raises(IntegrityError, match="regular file"):
        load_bundle(folder)


def test_numbers_that_json_cannot_carry_are_refused_before_writing(folder: Path) -> None:
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        save_bundle(folder, replace(manifest(), scores={"r2": float("nan")}), FILES)
    assert (folder / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("seed", range(3))
def test_columns_keep_their_order_their_bits_and_their_gaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=40).astype(np.float32) for name in ("b", "a", "c")}
    columns["a"][3] = np.nan
    columns["c"][:] = np.nan
    loaded = load_columns(dump_columns(columns))
    assert list(loaded) == ["b", "a", "c"]
    for name, values in columns.items():
        np.testing.assert_array_equal(loaded[name], values)
        assert loaded[name].dtype == np.float32


def test_bytes_that_are_no_table_are_a_model_error() -> None:
    for data in (b"", b"PAR1", pickle.dumps({"a": 1})):
        with pytest.raises(ModelError, match="unreadable reference table"):
            load_columns(data)


@pytest.mark.parametrize(
    ("values", "found"),
    [([], "no rows"), ([1.0, np.inf], r"infinities in the columns \['b'\]")],
)
def test_a_reference_that_measures_nothing_is_a_model_error(
    values: list[float], found: str
) -> None:
    column = np.array(values, dtype=np.float32)
    with pytest.raises(ModelError, match=f"finite rows in a reference table, got {found}; fit it"):
        load_columns(dump_columns({"a": np.ones_like(column), "b": column}))
