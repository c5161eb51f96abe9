"""Estimators as bytes: same predictions, nothing but listed types, no pickle."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from epochs_left.errors import ModelError
from epochs_left.storage.estimators import (
    SKOPS,
    UBJSON,
    dump_estimator,
    load_estimator,
    row_values,
)


def data(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    return X, X[:, 0] - X[:, 1] ** 2 + 0.1 * rng.normal(size=n)


ESTIMATORS = {
    "linear": make_pipeline(StandardScaler(), LinearRegression()),
    "ridge": Ridge(),
    "forest": RandomForestRegressor(n_estimators=10, random_state=0),
    "boosting": XGBRegressor(n_estimators=20, n_jobs=1),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_predictions_are_bit_equal_after_a_round_trip(name: str) -> None:
    X, y = data()
    estimator = ESTIMATORS[name].fit(X, y)
    extension, stored = dump_estimator(estimator)
    assert extension == (UBJSON if name == "boosting" else SKOPS)
    loaded = load_estimator(extension, stored)
    assert type(loaded) is type(estimator)
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


def test_classifier_comes_back_as_a_classifier() -> None:
    X, y = data()
    estimator = XGBClassifier(n_estimators=20, n_jobs=1).fit(X, (y > 0).astype(int))
    loaded = load_estimator(*dump_estimator(estimator))
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(loaded.classes_, [0, 1])


def test_gaps_are_missing_values_after_a_round_trip_too() -> None:
    X, y = data()
    X[::3, 0] = np.nan
    estimator = XGBRegressor(n_estimators=20, n_jobs=1).fit(X, y)
    loaded = load_estimator(*dump_estimator(estimator))
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("early", [None, 3])
def test_values_without_scikit_learn_are_bit_equal_to_its_predictions(
    early: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = np.nan_to_num(X[:, 0]) + rng.normal(size=300)
    options: dict[str, Any] = {"n_estimators": 40, "n_jobs": 1, "early_stopping_rounds": early}
    shown = [(X[200:], y[200:])]
    regressor = XGBRegressor(**options).fit(X[:200], y[:200], eval_set=shown, verbose=False)
    loaded = load_estimator(*dump_estimator(regressor))
    assert early is None or loaded.get_booster().best_iteration < 39 - early
    np.testing.assert_array_equal(row_values(loaded)(X), loaded.predict(X))
    whether = XGBClassifier(**options).fit(
        X[:200], y[:200] > 0, eval_set=[(X[200:], y[200:] > 0)], verbose=False
    )
    loaded = load_estimator(*dump_estimator(whether))
    np.testing.assert_array_equal(row_values(loaded)(X), loaded.predict_proba(X)[:, 1])


@pytest.mark.filterwarnings("ignore")  # xgboost says that such models are on their way out
def test_a_model_without_trees_is_refused() -> None:
    X, y = data()
    linear = XGBRegressor(n_estimators=2, booster="gblinear").fit(X, y)
    with pytest.raises(ModelError, match="expected boosted trees, got xgboost's gblinear; fit"):
        load_estimator(*dump_estimator(linear))


DUMP_HASH = """
import hashlib, numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from epochs_left.storage.estimators import dump_estimator
X = np.random.default_rng(0).normal(size=(100, 3))
model = make_pipeline(StandardScaler(), RandomForestRegressor(n_estimators=5, random_state=0))
print(hashlib.sha256(dump_estimator(model.fit(X, X[:, 0]))[1]).hexdigest())
"""


def test_bytes_do_not_depend_on_the_process() -> None:
    """skops itself names objects by their memory address and stamps the time."""
    elsewhere = subprocess.run(
        [sys.executable, "-c", DUMP_HASH], capture_output=True, text=True, check=True
    )
    X = np.random.default_rng(0).normal(size=(100, 3))
    forest = RandomForestRegressor(n_estimators=5, random_state=0)
    model = make_pipeline(StandardScaler(), forest).fit(X, X[:, 0])
    assert elsewhere.stdout.strip() == hashlib.sha256(dump_estimator(model)[1]).hexdigest()


class Stranger(LinearRegression):
    """An estimator that is on no list."""


def stranger_bytes() -> bytes:
    X, y = data()
    return skops.io.dumps(Stranger().fit(X, y))


def test_a_type_off_the_list_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"Stranger, which is not on the list"):
        load_estimator(SKOPS, stranger_bytes())


def test_what_could_not_be_loaded_is_not_stored() -> None:
    X, y = data()
    with pytest.raises(ModelError, match="Stranger"):
        dump_estimator(Stranger().fit(X, y))


def test_functions_are_refused_though_skops_would_load_them() -> None:
    data_with_function = skops.io.dumps(FunctionTransformer(np.log1p).fit(data()[0]))
    assert skops.io.get_untrusted_types(data=data_with_function) == []
    with pytest.raises(ModelError, match="FunctionNode"):
        load_estimator(SKOPS, data_with_function)


def with_schema(edit: Any) -> bytes:
    """Bytes of a fitted linear model whose skops schema went through ``edit``."""
    X, y = data()
    _, stored = dump_estimator(LinearRegression().fit(X, y))
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, edit(content.decode()) if name == "schema.json" else content)
    return buffer.getvalue()


def test_a_schema_that_names_another_class_is_refused() -> None:
    edited = with_schema(lambda text: text.replace("sklearn.linear_model._base", "subprocess"))
    with pytest.raises(ModelError, match=r"subprocess\.LinearRegression"):
        load_estimator(SKOPS, edited)


def test_an_estimator_of_another_scikit_learn_names_both_versions() -> None:
    def edit(text: str) -> str:
        schema = json.loads(text)
        state = schema["content"]["content"]
        state["_sklearn_version"]["content"] = json.dumps("0.99.1")
        return json.dumps(schema)

    with pytest.raises(ModelError, match=r"scikit-learn 0\.99\.1, found \d"):
        load_estimator(SKOPS, with_schema(edit))


@pytest.mark.parametrize("extension", [".pkl", ".joblib", "", ".json"])
def test_other_formats_are_refused_unread(extension: str, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return ((tmp_path / "trace").write_text, ("unpickled",))

    with pytest.raises(ModelError, match=r"an estimator is \.skops or \.ubj"):
        load_estimator(extension, pickle.dumps(Bomb()))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("extension", [SKOPS, UBJSON])
@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps(LinearRegression())])
def test_bytes_that_are_no_estimator_are_a_model_error(extension: str, content: bytes) -> None:
    with pytest.raises(ModelError, match="fit the bundle again"):
        load_estimator(extension, content)


def test_an_archive_without_arrays_is_a_model_error() -> None:
    X, y = data()
    _, stored = dump_estimator(LinearRegression().fit(X, y))
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(buffer, "w") as new:
        new.writestr("schema.json", old.read("schema.json"))
    with pytest.raises(ModelError, match="unreadable skops file"):
        load_estimator(SKOPS, buffer.getvalue())


def test_an_array_that_would_need_pickle_is_a_model_error() -> None:
    X, y = data()
    _, stored = dump_estimator(LinearRegression().fit(X, y))
    with_objects = io.BytesIO()
    np.save(with_objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, with_objects.getvalue() if name == "0.npy" else old.read(name))
    with pytest.raises(ModelError, match="allow_pickle=False"):
        load_estimator(SKOPS, buffer.getvalue())
