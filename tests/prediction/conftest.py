"""Shared by the tests of prediction: a folder of small bundles, and logs of the same curves."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import settings

from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import ANSWER_SCHEMA
from epochs_left.prediction.batch import Request, predict_log
from epochs_left.prediction.histories import At
from epochs_left.prediction.layout import ColumnChoice, OnBad
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundles import load_bundle

# How long an example takes says nothing on a machine that others use too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

small = runpy.run_path(str(Path(__file__).parent / "small_bundle.py"))


@pytest.fixture(scope="session")
def models(bundles_folder: Path) -> Path:
    """A folder of bundles."""
    return bundles_folder


@pytest.fixture(scope="session")
def predictor(models: Path) -> Callable[..., Predictor]:
    """Load the predictor of a bundle by its id."""

    def load(bundle_id: str = "xgboost/neuron-causal", level: float = 0.9) -> Predictor:
        return predictor_of(load_bundle(models / bundle_id), level=level, jobs=1)

    return load


@pytest.fixture(scope="session")
def draw_curves() -> Callable[..., Any]:
    """Draw curves like those that the bundles were trained on."""
    return small["Curves"].draw


@dataclass(frozen=True)
class TableLog:
    """A log in memory, handed out in batches of a given size."""

    table: pa.Table
    batch_rows: int

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.column_names)

    @property
    def n_rows(self) -> int:
        return int(self.table.num_rows)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        chosen = self.table.select(list(columns))
        for start in range(0, max(1, self.n_rows), self.batch_rows):
            yield chosen.slice(start, self.batch_rows)


@dataclass
class Sink:
    """Collects an answer."""

    tables: list[pa.Table] = field(default_factory=list)

    def write(self, table: pa.Table) -> None:
        self.tables.append(table)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(scope="session")
def answer(predictor: Callable[..., Predictor]) -> Callable[..., pd.DataFrame]:
    """Predict a log in memory; return the answer indexed by run and epoch."""

    def predict(
        log: pd.DataFrame | pa.Table,
        *,
        model: str = "xgboost/neuron-causal",
        level: float = 0.9,
        batch_rows: int = 10_000,
        columns: ColumnChoice = ColumnChoice(),  # noqa: B008 - frozen
        target: float | None = None,
        plateau: float | None = None,
        horizon: int | None = None,
        at: At = None,
        on_bad: OnBad = OnBad.ERROR,
        strict: bool = False,
        jobs: int = 1,
    ) -> pd.DataFrame:
        table = (
            log if isinstance(log, pa.Table) else pa.Table.from_pandas(log, preserve_index=False)
        )
        used = predictor(model, level)
        request = Request(
            columns=columns,
            aim=Aim(
                target=target or (used.manifest.target if plateau is None else None),
                plateau=plateau,
                horizon=horizon,
            ),
            at=at,
            on_bad=on_bad,
            strict=strict,
            default_run="log",
            jobs=jobs,
            on_progress=lambda _: None,
        )
        sink = Sink()

        def open_sink() -> nullcontext[Sink]:
            sink.tables.clear()
            return nullcontext(sink)

        predict_log(TableLog(table, batch_rows), used, request, open_sink)
        whole = pa.concat_tables(
            [ANSWER_SCHEMA.empty_table(), *sink.tables], promote_options="none"
        )
        plain = whole.cast(pa.schema([f.with_type(_plain(f.type)) for f in whole.schema]))
        return plain.to_pandas().set_index(["run_id", "epoch"])

    return predict


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


@pytest.fixture(scope="session")
def log(draw_curves: Callable[..., Any]) -> pd.DataFrame:
    """A log of 30 unseen runs of unequal length, some of which converge, with every measure."""
    curves = draw_curves(seed=2, n_runs=30)
    n_epochs = curves.loss.shape[1]
    lengths = np.random.default_rng(3).integers(1, n_epochs, 30)
    run, epoch = np.nonzero(np.arange(n_epochs) < lengths[:, None])
    return pd.DataFrame(
        {
            "run_id": [f"run-{i}" for i in run],
            "epoch": epoch,
            "loss": curves.loss[run, epoch],
            "grad_norm": curves.grad_norm[run, epoch],
            "lr": curves.lr[run, 0],
            "optimizer": "sgd",
        }
    )
