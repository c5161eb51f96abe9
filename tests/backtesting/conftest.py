"""Shared by the tests of backtesting: sweeps of made-up runs, and what is found of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.backtesting.forecasters import FORECASTERS, Known
from epochs_left.backtesting.recorded import Question, Recorded, read_recorded
from epochs_left.backtesting.replay import Forecast, Replay, budget_horizon, replay
from epochs_left.backtesting.truth import Truth, truth
from epochs_left.prediction.layout import ColumnChoice
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundles import load_bundle

TO_TARGET, TO_PLATEAU = "xgboost/neuron-causal", "plateau-causal"
TARGET, PLATEAU, HORIZON = 0.05, 0.05, 40


@dataclass(frozen=True)
class TableLog:
    """A log in memory, handed out in two batches."""

    table: pa.Table

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.column_names)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        half = self.table.num_rows // 2
        for part in (self.table.slice(0, half), self.table.slice(half)):
            yield part.select([name for name in columns if name in part.column_names])


def make_sweep(seed: int, n_runs: int = 12, horizon: int = HORIZON) -> pd.DataFrame:
    """Noisy decays of two tasks, epochs from 1, some that stay above every target."""
    rng = np.random.default_rng(seed)
    parts = []
    for run in range(n_runs):
        epoch = np.arange(1, horizon + 1)
        pace, floor = rng.uniform(0.1, 0.4), rng.choice([0.0, 0.0, 0.3])
        noise = np.exp(0.02 * rng.normal(size=horizon))
        settings = {"lr": f"{pace:.3f}", "e": f"{horizon:04d}", "seed": run % 2}
        parts.append(
            pd.DataFrame(
                {
                    "run_id": f"run-{run:02d}",
                    "epoch": epoch,
                    "loss": (floor + np.exp(-pace * epoch)) * noise,
                    "lr": pace,
                    "task": "odd" if run % 2 else "even",
                    "config": json.dumps(settings),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Replayed:
    """A whole backtest at one budget."""

    recorded: Recorded
    truth: Truth
    replay: Replay
    known: Known
    horizon: Any

    def of(self, forecaster: str) -> Forecast:
        return self.replay.forecasts[forecaster]

    def row(self, name: str, run: str) -> tuple[float, ...]:
        """What a forecaster says of a run."""
        at, found = list(self.recorded.names).index(run), self.of(name)
        numbers = (found.remaining, found.lower, found.upper, found.p_converges)
        return tuple(float(each[at]) for each in numbers)


Backtest = Callable[..., Replayed]


@pytest.fixture(scope="session")
def sweep() -> Callable[..., pd.DataFrame]:
    """Make a log of finished runs."""
    return make_sweep


@pytest.fixture(scope="session")
def predictor(bundles_folder: Path) -> Callable[[str], Predictor]:
    """Load a small bundle."""
    return lambda name: predictor_of(load_bundle(bundles_folder / name), level=0.9, jobs=1)


@pytest.fixture(scope="session")
def read(predictor: Callable[[str], Predictor]) -> Callable[..., Recorded]:
    """Read a log in memory."""

    def reading(log: pd.DataFrame, **asked: Any) -> Recorded:
        question = Question(**({"columns": ColumnChoice(), "target": TARGET} | asked))
        table = pa.Table.from_pandas(log, preserve_index=False)
        found, _ = read_recorded(TableLog(table), predictor(TO_TARGET), question, "log")
        assert found is not None
        return found

    return reading


@pytest.fixture(scope="session")
def backtest(predictor: Callable[[str], Predictor], read: Callable[..., Recorded]) -> Backtest:
    """Replay a log in memory at one budget."""

    def run(
        log: pd.DataFrame,
        *,
        budget: float = 25.0,
        of_task_median: bool = False,
        names: Sequence[str] | str = "all",
        **asked: Any,
    ) -> Replayed:
        usual: Mapping[str, Any] = {"task_column": "task"} | (
            {} if of_task_median else {"horizon": HORIZON}
        )
        goal = {} if "plateau" not in asked else {"target": None}
        recorded = read(log, **{**usual, **goal, **asked})
        became = truth(recorded)
        horizon, siblings = budget_horizon(recorded, became, of_task_median=of_task_median)
        bundle = TO_TARGET if recorded.plateau is None else TO_PLATEAU
        known = Known(predictor=predictor(bundle), siblings=siblings, level=0.9)
        found = replay(recorded, horizon, budget, known, FORECASTERS.select(names))
        return Replayed(recorded, became, found, known, horizon)

    return run
