"""The tables of figures in the README, from the results of the last run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from epochs_left.errors import DataError
from epochs_left.regressors import REGRESSORS
from epochs_left.reporting.markdown import table
from epochs_left.schema import View

Entry = Mapping[str, Any]

_SPLITS = ("by lineage", "locked test")
_ROW_WISE, _GAP = "row-wise", "row-wise less by lineage"
#: Row-wise folds predict some of the rows only: the gain is on those that both splits predict.
_ROW_WISE_HEADER = "row-wise (gain on the same rows)"
_SCORES, _FAMILIES = "scores", "families"
#: What the table of families is about.
_MODEL = "xgboost"


def with_tables(page: str, metrics: Mapping[str, Any], results: Mapping[str, Entry]) -> str:
    """Return a page with its two tables rewritten.

    Parameters
    ----------
    page
        Markdown with ``<!-- scores -->`` and ``<!-- families -->``, each before a table.
    metrics
        metrics.json of one family: R^2 by split, and its gain row-wise, by
        ``"<regressor>-<view>"``.
    results
        By family, scores.json as ``"scores"`` and ceiling.json as ``"ceiling"``.

    Raises
    ------
    DataError
        If the page has no such mark.
    """
    page = _replaced(page, _SCORES, score_table(metrics))
    return _replaced(page, _FAMILIES, family_table(results))


def score_table(metrics: Mapping[str, Any]) -> str:
    """Return R^2 of every regressor in the causal view, the best first, baselines below."""
    names = sorted(
        (name for name, _ in REGRESSORS.items()),
        key=lambda name: (
            REGRESSORS[name].baseline,
            -metrics["by lineage"][f"{name}-{View.CAUSAL.value}"],
        ),
    )
    return table(
        ["model, causal view", _ROW_WISE_HEADER, *_SPLITS],
        (_score_row(name, metrics) for name in names),
    )


def _score_row(name: str, metrics: Mapping[str, Any]) -> list[str]:
    row_wise, gap, *honest = (
        metrics[part][f"{name}-{View.CAUSAL.value}"] for part in (_ROW_WISE, _GAP, *_SPLITS)
    )
    return [_title(name), _with_gain(row_wise, gap), *(f"{value:.3f}" for value in honest)]


def _with_gain(row_wise: float, gap: float) -> str:
    return f"{row_wise:.3f} ({gap:+.3f})"


def family_table(results: Mapping[str, Entry]) -> str:
    """Return R^2 of gradient boosting by family, with intervals, and the ceiling."""
    header = ["family", "converged runs", "causal", _ROW_WISE_HEADER, "oracle", _ROW_WISE_HEADER]
    return table(
        [*header, "ceiling of the causal view"],
        (_family_row(family, found) for family, found in results.items()),
    )


def _family_row(family: str, found: Entry) -> list[str]:
    row = [family, f"{_r2(found['scores'], View.CAUSAL, 'by lineage')['n_runs']:,}"]
    for view in (View.CAUSAL, View.ORACLE):
        row.append(_with_interval(_r2(found["scores"], view, "by lineage")))
        row_wise, gap = (
            _r2(found["scores"], view, _ROW_WISE, metric)["estimate"] for metric in ("r2", "r2_gap")
        )
        row.append(_with_gain(row_wise, gap))
    return [*row, _with_interval(found["ceiling"]["ceiling"])]


def _with_interval(found: Entry) -> str:
    if found["lower"] is None:
        return f"{found['estimate']:.3f}"
    return f"{found['estimate']:.3f} ({found['lower']:.3f}-{found['upper']:.3f})"


def _r2(scores: Sequence[Entry], view: View, split: str, metric: str = "r2") -> Entry:
    wanted = {
        "model": _MODEL,
        "view": view.value,
        "split": split,
        "scope": "all",
        "scale": "log",
        "weighting": "run",
        "metric": metric,
    }
    (entry,) = (e for e in scores if all(e[name] == value for name, value in wanted.items()))
    return entry


def _title(name: str) -> str:
    spec = REGRESSORS[name]
    return f"{spec.title} (baseline)" if spec.baseline else spec.title


def _replaced(page: str, name: str, rows: str) -> str:
    mark = f"<!-- {name} -->\n"
    before, found, after = page.partition(mark)
    if not found:
        raise DataError(f"expected the line {mark.strip()!r} before a table, got none; put it back")
    rest = after.partition("\n\n")[2]
    return f"{before}{mark}{rows}\n\n{rest}"
