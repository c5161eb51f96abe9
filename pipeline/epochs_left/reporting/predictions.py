"""Reading predictions.parquet: predictions for unseen runs of the locked test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.hexes import Vertex
from epochs_left.reporting.results import Results
from epochs_left.reporting.scoring import Score

PREDICTIONS = "predictions.parquet"
NUMBERS = ("epoch", "outcome_epoch", "actual", "predicted", "lower", "upper", "lr")
TEXTS = ("model", "view", "run_id", "activation", "batch")

BINS_A_DECADE = 4

#: Predictions below this many epochs are drawn and compared as this many.
LEAST = 0.5
LOW_EDGE = 0.4  # epochs: where their axis begins, so that those at LEAST are seen whole
MIN_ROWS = 10  # rows of a bin from which its median is drawn


@dataclass(frozen=True)
class Predictions:
    """Columns of equal length N; ``actual`` is positive and ``predicted`` finite."""

    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.columns["actual"].size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column."""
        return self.columns[name]

    def where(self, mask: NDArray[np.bool_]) -> Predictions:
        """Return the rows of a mask."""
        return Predictions({name: values[mask] for name, values in self.columns.items()})

    @property
    def log_factor(self) -> NDArray[np.float64]:
        """log10(predicted / actual), shape (N,): 0 is exact, +1 ten times too many epochs."""
        predicted = np.maximum(self["predicted"], LEAST)
        return np.asarray(np.log10(predicted) - np.log10(self["actual"]))

    @property
    def relative_error(self) -> NDArray[np.float64]:
        """|predicted - actual| / actual, shape (N,)."""
        return np.asarray(np.abs(self["predicted"] - self["actual"]) / self["actual"])


def read_predictions(results: Results) -> Predictions:
    """Return the rows that can be compared: of runs with epochs remaining, with a prediction."""
    columns: dict[str, NDArray[Any]] = {
        name: results.numbers(PREDICTIONS, name) for name in NUMBERS
    }
    columns |= {name: results.texts(PREDICTIONS, name) for name in TEXTS}
    is_usable = (columns["actual"] > 0) & np.isfinite(columns["actual"])
    return Predictions(columns).where(is_usable & np.isfinite(columns["predicted"]))


def shown_by_view(
    scores: Sequence[Score], predictions: Predictions
) -> list[tuple[str, str, Predictions]]:
    """Return (view, title of the model, its rows) for the model that each view is shown with.

    That is the best one (`scoring.champion_of`), or the one with most rows if that has none.
    """
    shown = []
    for view, _ in scoring.VIEWS:
        rows = predictions.where(predictions["view"] == view)
        if len(rows):
            best = scoring.champion_of(scores, view)
            model = _model_shown(rows, best.model if best else None)
            title = scoring.titles(scores).get(model, model) or "unnamed model"
            shown.append((view, title, rows.where(rows["model"] == model)))
    return shown


def top_edge(columns: Sequence[NDArray[np.float64]]) -> float:
    """Return log10 of where an axis ends that has nearly all of these epochs, at least at 10.

    One prediction in a thousand may lie beyond: a single absurd one must not flatten the rest.
    """
    high = max(float(np.quantile(values, 0.999)) for values in columns)
    return max(1.0, float(np.log10(max(high, 1.0))) + 0.05)


def _model_shown(rows: Predictions, best: str | None) -> str:
    names, counts = np.unique(rows["model"].astype(str), return_counts=True)
    return best if best is not None and best in names else str(names[np.argmax(counts)])


def decade_bins(
    logs: NDArray[np.float64],
) -> Iterator[tuple[float, float, NDArray[np.bool_]]]:
    """Yield (low, high, mask) of each bin of log10 values that holds some."""
    index = np.floor(logs * BINS_A_DECADE)
    for i in np.unique(index):
        yield float(i) / BINS_A_DECADE, float(i + 1) / BINS_A_DECADE, index == i


def running_median(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[Vertex]:
    """Return the median of y in each well-filled bin of the log10 values x, at its middle."""
    return [
        {"x": (low + high) / 2, "y": float(np.median(y[inside]))}
        for low, high, inside in decade_bins(x)
        if inside.sum() >= MIN_ROWS
    ]
