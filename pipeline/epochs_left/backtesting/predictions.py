"""Every forecast of a backtest as a table: a row a run, budget and forecaster."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.backtesting.recorded import Recorded
from epochs_left.backtesting.replay import Replay
from epochs_left.backtesting.truth import Truth
from epochs_left.prediction.answers import Status

_TEXT = pa.dictionary(pa.int32(), pa.string())
_STATUSES = [status.value for status in Status]

#: Columns of the predictions, in order. ``actual`` is the epochs that were left after the cut,
#: empty where the run did not reach what was asked for, below 0 where it had begun before.
PREDICTION_SCHEMA = pa.schema(
    [
        pa.field("run_id", _TEXT),
        pa.field("cut_epoch", pa.int64()),
        pa.field("epochs_remaining", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("p_converges", pa.float64()),
        pa.field("status", _TEXT),
        pa.field("task", _TEXT),
        pa.field("budget", pa.float64()),
        pa.field("forecaster", _TEXT),
        pa.field("actual", pa.float64()),
    ]
)


def prediction_tables(recorded: Recorded, truth: Truth, replayed: Replay) -> list[pa.Table]:
    """Return the forecasts at one budget, a table a forecaster, columns of `PREDICTION_SCHEMA`.

    A forecast of "never" has no epochs remaining; neither has a run that is not predictable.
    """
    n, every = recorded.n_runs, np.arange(recorded.n_runs)
    cut = pa.array(np.nan_to_num(replayed.cut).astype(np.int64), mask=np.isnan(replayed.cut))
    return [
        pa.Table.from_arrays(
            [
                _texts(every, list(recorded.names)),
                cut,
                *(
                    _nullable(values)
                    for values in (
                        forecast.remaining,
                        forecast.lower,
                        forecast.upper,
                        forecast.p_converges,
                    )
                ),
                _texts(np.array([_STATUSES.index(each) for each in forecast.status]), _STATUSES),
                _texts(recorded.task, list(recorded.task_names)),
                pa.array(np.full(n, replayed.budget)),
                _texts(np.zeros(n, dtype=np.int64), [name]),
                _nullable(truth.time - replayed.cut),
            ],
            schema=PREDICTION_SCHEMA,
        )
        for name, forecast in replayed.forecasts.items()
    ]


def _texts(codes: IntArray, texts: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(texts, pa.string()))


def _nullable(values: FloatArray) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))
