"""Estimators as bytes, without pickle.

xgboost models are kept in xgboost's own binary JSON (UBJSON); everything else in the skops format,
which names each type and is audited before anything is built. The audit here is narrower than
skops' own: only the node kinds and types below, so no functions, methods or arbitrary classes.
"""

from __future__ import annotations

import importlib
import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import xgboost
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import InconsistentVersionWarning

from epochs_left.arrays import FloatArray
from epochs_left.errors import ModelError
from epochs_left.hidden import hidden

#: From rows, shape ``(n, p)``, to values, shape ``(n,)``, or ``(n, 2)`` of two quantiles.
RowValues = Callable[[FloatArray], FloatArray]
#: Rows that an estimator with matrix products is given at once.
BLOCK_ROWS = 1024

UBJSON = ".ubj"
SKOPS = ".skops"

#: Types that are loaded beside those that skops trusts itself (scikit-learn's estimators, arrays
#: and plain values). A regressor that brings a class of its own adds its name here.
TRUSTED_TYPES = (
    "epochs_left.regressors._exponential.GammaWithLogLink",
    "epochs_left.regressors._kernels.Landmarks",
    "epochs_left.regressors._perceptron.MultilayerPerceptron",
    "epochs_left.regressors._ridge.GroupedRidge",
    "epochs_left.regressors._stacking.Blend",
    "epochs_left.regressors._stacking.PackedBoosting",
    "epochs_left.regressors._transforms.BoundToTraining",
    "epochs_left.regressors._transforms.Powers",
    "epochs_left.regressors._first_feature.FirstFeature",
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
)

#: Kinds of skops nodes that are loaded: values, containers, arrays, objects; nothing callable.
TRUSTED_NODES = frozenset(
    {
        "DTypeNode",
        "DictNode",
        "JsonNode",
        "ListNode",
        "NdArrayNode",
        "ObjectNode",
        "RandomStateNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
    }
)

#: What a skops archive may unpack to, in bytes; our largest forest has some 20 MB.
MAX_UNPACKED_BYTES = 1 << 30

#: Kinds of xgboost models that are loaded.
_TREES = frozenset({"gbtree", "dart"})

_SCHEMA = "schema.json"
#: The same estimator gives the same bytes: no clock in the archive.
_ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)


def dump_estimator(estimator: BaseEstimator) -> tuple[str, bytes]:
    """Return the extension of the format and the estimator's bytes.

    Of an estimator that predicts by another one, its ``predictor_`` (a search, a fit on a sample),
    that one is kept.

    Raises
    ------
    ModelError
        If `load_estimator` would refuse a type that the estimator is made of.
    """
    while hasattr(estimator, "predictor_"):
        estimator = estimator.predictor_
    if isinstance(estimator, xgboost.XGBModel):
        return UBJSON, bytes(estimator.get_booster().save_raw(raw_format="ubj"))
    data = _canonical(_skops().dumps(estimator))
    _audit(data)
    return SKOPS, data


def load_estimator(extension: str, data: bytes) -> Any:
    """Rebuild an estimator from the bytes of `dump_estimator`; its predictions are bit-equal.

    The caller has verified the SHA-256 of ``data``: xgboost itself trusts what it parses.

    Raises
    ------
    ModelError
        For another extension, a type or node kind that is not on the list, bytes that are no
        estimator, or an estimator that another version of scikit-learn made.
    """
    loaders = {UBJSON: _load_ubjson, SKOPS: _load_skops}
    if extension not in loaders:
        raise ModelError(
            f"an estimator is {' or '.join(sorted(loaders))}, got {extension!r}; "
            "fit the bundle again"
        )
    return loaders[extension](data)


def row_values(estimator: Any) -> RowValues:
    """Return what a loaded estimator says of rows, of a classifier the second class's probability.

    The answer for a row does not depend on how many others there are. Boosted trees are so by
    themselves. Matrix products round differently for different numbers of rows, so other estimators
    get blocks of one shape, the last one filled up.
    """
    if isinstance(estimator, xgboost.XGBModel):
        return _boosted(estimator)
    if is_classifier(estimator):
        return _in_equal_blocks(lambda rows: estimator.predict_proba(rows)[:, 1])
    return _in_equal_blocks(estimator.predict)


def _boosted(model: xgboost.XGBModel) -> RowValues:
    """Return the predictions of a model of xgboost less what scikit-learn's interface adds.

    Bit-equal to ``predict`` and ``predict_proba``. For one row that interface takes as long as the
    trees do. Nothing checks the number of columns.
    """
    booster = model.get_booster()
    is_stopped_early = booster.attr("best_iteration") is not None
    rounds = (0, booster.best_iteration + 1 if is_stopped_early else 0)

    def values(rows: FloatArray) -> FloatArray:
        found = booster.inplace_predict(rows, iteration_range=rounds, validate_features=False)
        return np.asarray(found, dtype=np.float64)

    return values


def _in_equal_blocks(predict: RowValues) -> RowValues:
    def values(rows: FloatArray) -> FloatArray:
        n_rows = rows.shape[0]
        if n_rows == 0:
            return np.empty(0)
        filled = np.pad(rows, ((0, -n_rows % BLOCK_ROWS), (0, 0)), constant_values=np.nan)
        blocks = np.split(filled, range(BLOCK_ROWS, n_rows, BLOCK_ROWS))
        parts = [np.asarray(predict(block)) for block in blocks]
        return np.concatenate(parts)[:n_rows].astype(np.float64)

    return values


def _skops() -> Any:
    """Return skops.io, imported on demand: it imports every package of scikit-learn.

    One of those imports torch where torch is installed, which takes two seconds and serves nothing
    here.
    """
    with hidden("torch"):
        return importlib.import_module("skops.io")


def _load_ubjson(data: bytes) -> xgboost.XGBModel:
    # xgboost ends the process on bytes that are no object; it reports most other faults.
    if not (data.startswith(b"{") and data.endswith(b"}")):
        raise ModelError("unreadable xgboost model: not a UBJSON object; fit the bundle again")
    try:
        booster = xgboost.Booster(model_file=bytearray(data))
        learner = json.loads(booster.save_config())["learner"]
        of_classes = learner["objective"]["name"].startswith(("binary:", "multi:"))
        model = xgboost.XGBClassifier() if of_classes else xgboost.XGBRegressor()
        model.load_model(bytearray(data))
    except (xgboost.core.XGBoostError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"unreadable xgboost model: {reason}; fit the bundle again") from error
    if (kind := learner["gradient_booster"]["name"]) not in _TREES:
        raise ModelError(f"expected boosted trees, got xgboost's {kind}; fit the bundle again")
    return model


def _load_skops(data: bytes) -> Any:
    _audit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return _skops().loads(data, trusted=list(TRUSTED_TYPES))
        except InconsistentVersionWarning as warning:
            raise ModelError(
                f"bundle made with scikit-learn {warning.original_sklearn_version}, found "
                f"{warning.current_sklearn_version}; install that version or fit the bundle again"
            ) from warning
        except Exception as error:
            raise _unreadable(error) from error


def _audit(data: bytes) -> None:
    """Raise ModelError unless every node of the skops archive is on the lists."""
    nodes: set[str] = set()

    def note(item: dict[str, Any]) -> dict[str, Any]:
        if "__loader__" in item:
            nodes.add(str(item["__loader__"]))
        return item

    try:
        with ZipFile(io.BytesIO(data)) as archive:
            _check_size(archive)
            json.loads(archive.read(_SCHEMA), object_hook=note)
        types = set(_skops().get_untrusted_types(data=data))
    except Exception as error:
        raise _unreadable(error) from error
    refused = sorted((nodes - TRUSTED_NODES) | (types - set(TRUSTED_TYPES)))
    if refused:
        raise ModelError(
            f"the estimator holds {', '.join(refused)}, which is not on the list of trusted types; "
            "use a bundle that `epochs-left` made"
        )


def _unreadable(error: Exception) -> ModelError:
    """Whatever a malformed archive provokes in zipfile, json, numpy or skops means the same."""
    return ModelError(f"unreadable skops file: {error}; fit the bundle again")


def _check_size(archive: ZipFile) -> None:
    size = sum(member.file_size for member in archive.infolist())
    if size > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to {size} bytes, more than {MAX_UNPACKED_BYTES}")


def _canonical(data: bytes) -> bytes:
    """Return the same skops archive with bytes that depend on the estimator alone.

    skops names nodes and arrays by their memory address and stamps the time.
    """
    numbers: dict[Any, int] = {}
    renamed: dict[str, str] = {}

    def renumber(item: dict[str, Any]) -> dict[str, Any]:
        if "__id__" in item:
            item["__id__"] = numbers.setdefault(item["__id__"], len(numbers) + 1)
        if item.get("__loader__") == "NdArrayNode" and "file" in item:
            item["file"] = renamed.setdefault(item["file"], f"{len(renamed)}.npy")
        return item

    with ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(_SCHEMA), object_hook=renumber)
        arrays = {new: archive.read(old) for old, new in renamed.items()}
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    return _zipped(arrays | {_SCHEMA: text.encode()})


def _zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(ZipInfo(name, _ARCHIVE_DATE), content, compress_type=ZIP_DEFLATED)
    return buffer.getvalue()
