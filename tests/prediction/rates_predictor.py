"""A predictor of plateaus whose answers hang on every feature of the rates; for the tests here.

It is not fitted: what it says is a weighted sum of all features, so that each of them shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import answers
from epochs_left.prediction.assemble import Block, blocks
from epochs_left.prediction.cells import Names
from epochs_left.prediction.histories import histories
from epochs_left.prediction.layout import ColumnChoice, Layout, OnBad, resolve
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import RowReader
from epochs_left.prediction.runs import Runs, in_order
from epochs_left.statistics.scales import SCALES
from epochs_left.storage.manifests import BundleManifest, ResidualQuantiles

RATE_GROUPS = ("rates_so_far", "plateau_on_rates")
PLAN_GROUPS = ("plateau_on_clock", "schedule_ahead", "schedule_kind")
GROUPS = ("plateau_goal", *RATE_GROUPS, *PLAN_GROUPS)
#: Half widths of the intervals, by what is known.
WIDTHS = {"all": 0.3, "loss_only": 1.0}
UNKNOWN = -7.0
AIM = Aim(plateau=0.02, horizon=60)


def weighted(columns: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a sum over columns, one after another: the same whatever the other rows are."""
    weights = np.random.default_rng(seed).normal(size=columns.sum())

    def total(X: np.ndarray) -> np.ndarray:
        values = np.where(np.isnan(X), UNKNOWN, X).astype(np.float64)
        value = np.zeros(len(X))
        for weight, column in zip(weights, np.flatnonzero(columns), strict=True):
            value += weight * np.tanh(values[:, column] / 5)
        return value / weights.size**0.5

    return total


def rates_predictor(groups: tuple[str, ...] = GROUPS) -> Predictor:
    """Return the predictor, of some feature groups."""
    chosen = tuple(FEATURE_GROUPS[name] for name in groups)
    names = tuple(name for group in chosen for name in group.units)
    every, of_loss = (np.array([name in known for name in names]) for known in (names, ()))
    for name in FEATURE_GROUPS["plateau_goal"].units:
        of_loss |= np.array([other == name for other in names])
    quantiles = {
        name: ResidualQuantiles(levels=(0.9,), lower=(-width,), upper=(width,))
        for name, width in WIDTHS.items()
    }
    facts: dict[str, Any] = {"bundle_id": "rates", "features": names, "target": None}
    facts |= {"residual_quantiles": quantiles, "scale": "share_ahead", "view": "causal"}
    facts |= {name: {} for name in ("ranges", "vocabulary", "training")}
    manifest = BundleManifest(**dict.fromkeys(BundleManifest.__dataclass_fields__, ()) | facts)
    return Predictor(
        manifest=manifest,
        groups=chosen,
        scale=SCALES["share_ahead"],
        time={"all": weighted(every, 1), "loss_only": weighted(of_loss, 2)},
        converges={"all": weighted(every, 3), "loss_only": weighted(of_loss, 4)},
        quantiles=None,
        novelty=None,
        offsets={name: (-width, width) for name, width in WIDTHS.items()},
    )


def read(
    log: pd.DataFrame, stated: Mapping[str, float | str] | None = None
) -> tuple[Runs, list[str], list[str], Layout]:
    """Return the runs of a log, the names of runs and labels, and its layout."""
    table = pa.Table.from_pandas(log, preserve_index=False)
    layout = resolve(table.column_names, ColumnChoice(stated=stated or {}))
    reader = RowReader(
        layout=layout,
        on_bad=OnBad.FLAG,
        with_params=False,
        run_names=Names(),
        label_names=Names(),
        default_run="log",
    )
    (rows,) = reader.read([table])
    runs = in_order(rows, reader.run_names.texts)
    return runs, reader.run_names.texts, reader.label_names.texts, layout


def answered(
    log: pd.DataFrame,
    *,
    stated: Mapping[str, float | str] | None = None,
    aim: Aim = AIM,
    predictor: Predictor | None = None,
) -> pd.DataFrame:
    """Answer every row of a log."""
    runs, run_names, label_names, _ = read(log, stated)
    table = answers(
        runs,
        predictor or rates_predictor(),
        aim=aim,
        at=None,
        run_names=run_names,
        label_names=label_names,
    )
    return pd.DataFrame(table.to_pylist())


def block_of(
    log: pd.DataFrame,
    *,
    stated: Mapping[str, float | str] | None = None,
    aim: Aim = AIM,
    predictor: Predictor | None = None,
) -> Block:
    """Return the one block of a log as the feature groups see it."""
    runs, _, label_names, _ = read(log, stated)
    past = histories(runs, aim)
    inputs = (predictor or rates_predictor()).inputs
    (block,) = blocks(past, past.predictable, inputs, label_names, aim)
    return block


def curve(seed: int, n: int = 41) -> np.ndarray:
    """A noisy curve that falls towards a floor."""
    rng = np.random.default_rng(seed)
    decay = np.exp(-rng.uniform(0.03, 0.2) * np.arange(n))
    return (rng.uniform(0, 0.2) + decay) * np.exp(0.03 * rng.normal(size=n))


def rates_of(seed: int, n: int = 41) -> np.ndarray:
    """Rates that stay for some epochs and then jump and drift."""
    rng = np.random.default_rng(seed)
    moves = rng.choice([0.0, -0.02, -1.5, 0.8], n, p=[0.6, 0.2, 0.1, 0.1])
    moves[: rng.integers(3, 8)] = 0.0
    moves[12] = -0.5
    return 0.1 * np.exp(np.cumsum(moves))


def log_of(seed: int, n: int = 41, **columns: Any) -> pd.DataFrame:
    """A log of one run with its learning rate row by row."""
    usual = {"epoch": np.arange(n), "loss": curve(seed, n), "lr": rates_of(seed, n)}
    return pd.DataFrame({**usual, **columns})
