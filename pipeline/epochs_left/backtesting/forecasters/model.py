"""The bundle that is tried, asked as `predict` asks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from epochs_left.arrays import IntArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.backtesting.recorded import runs_at
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import answers
from epochs_left.prediction.histories import LAST


@forecaster
def model(prefixes: Prefixes, known: Known) -> Forecasts:
    """Answer at the last row of each prefix; runs are answered together that share a target."""
    if prefixes.plateau is not None:
        parts = [(np.arange(prefixes.n_runs), Aim(plateau=prefixes.plateau))]
    else:
        parts = [
            (np.flatnonzero(prefixes.target == target), Aim(target=float(target)))
            for target in np.unique(prefixes.target)
        ]
    tables = [_answer(prefixes, index, aim, known) for index, aim in parts]
    order = np.argsort(np.concatenate([index for index, _ in parts]))
    table = pa.concat_tables(tables).take(pa.array(order))
    columns = [
        table[name].to_numpy() for name in ("epochs_remaining", "lower", "upper", "p_converges")
    ]
    remaining, lower, upper, p_converges = columns
    return Forecasts(
        remaining=remaining,
        lower=lower,
        upper=upper,
        p_converges=p_converges,
        status=table["status"].to_pylist(),
    )


def _answer(prefixes: Prefixes, index: IntArray, aim: Aim, known: Known) -> pa.Table:
    """Return the answers for some of the runs, under numbers: a name may hold a run's length."""
    runs = runs_at(prefixes.runs, index)
    return answers(
        replace(runs, rows=replace(runs.rows, run=runs.run_of_row)),
        known.predictor,
        aim=aim,
        at=LAST,
        run_names=[str(run) for run in range(index.size)],
        label_names=prefixes.label_names,
    )
