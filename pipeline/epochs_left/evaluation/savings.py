"""What predictions are good for: epochs saved by stopping runs, and choosing by predicted time.

On the locked test set, in the causal view. A run that does not converge is charged its cap, as in
the penalised average runtime of algorithm configuration (Hutter et al. 2009, JAIR 36: PAR1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import BoolArray, FloatArray, IntArray, Labels
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.schema import Outcome, View
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import SumStatistic, landmark_rows

#: Epochs seen when runs are stopped, and when one of them is chosen.
STOP_AT = (0, 2, 5, 10, 20, 50)
CHOOSE_AT = (0, 2, 5)
#: Probabilities of converging below which a run is stopped, and factors above which it is slow.
PROBABILITIES = (0.02, 0.05, 0.1, 0.2, 0.5)
FACTORS = (1.25, 1.5, 2.0, 3.0, 5.0)
#: Lineages that an initialisation is chosen from.
POOL = 4
#: Fewer runs in progress say nothing.
_MIN_RUNS = 20

Entry = dict[str, Any]
#: ``(runs, threshold) -> (n,)``: which runs a rule stops, those that are over included.
Rule = Callable[[pd.DataFrame, float], BoolArray]


@result("savings.json")
def savings(context: FamilyContext) -> Entry:
    """Return the epochs saved and the regret of stopping by prediction, and of choosing by it."""
    fields = dict(_fields(context))
    if not fields:
        return {}
    first = next(iter(fields.values()))
    return {
        "model": context.best_causal,
        "n_runs": len(first),
        "n_lineages": int(first["lineage_id"].nunique()),
        "epochs_of_all": int(first["end"].sum()),
        "converged_share": float(first["converged"].mean()),
        "stopping": [e for at, field in fields.items() for e in _stopping(context, field, at)],
        "choosing": [
            entry
            for at in CHOOSE_AT
            if at in fields
            for entry in _choosing(context, fields[at], at)
        ],
    }


def _fields(context: FamilyContext) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the epochs at which every run in progress has an example, with all runs as seen then.

    Columns: those of the runs, ``end`` (epochs until the outcome), ``epochs`` (to the target, or
    the cap), ``converged``, ``open`` (still in progress), ``p`` and ``expected``.
    """
    locked = context.locked
    if locked.empty:
        return
    forecast = context.forecasts[context.best_causal, View.CAUSAL]
    if forecast.p_converges is None:
        return
    runs = _charged(context.runs[context.runs["lineage_id"].isin(locked["lineage_id"].unique())])
    for at in STOP_AT:
        rows = landmark_rows(locked["run_id"].to_numpy(), locked["epoch"].to_numpy(), at)
        known = pd.DataFrame(
            {
                "run_id": locked["run_id"].to_numpy()[rows],
                "p": forecast.p_converges[rows],
                "total": at + forecast.remaining[rows],
            }
        )
        field = runs.merge(known, on="run_id", how="left")
        in_progress = (field["end"] > at).to_numpy()
        complete = bool(field.loc[in_progress, "p"].notna().all())
        if complete and np.count_nonzero(in_progress) >= _MIN_RUNS:
            yield at, _seen(field, in_progress)


def _charged(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the epochs until the outcome, and the epochs that a run is charged with: at least 1."""
    converged = runs["outcome"] == Outcome.CONVERGED.value
    charged = runs["outcome_epoch"].where(converged, runs["max_epochs"]).clip(lower=1)
    return runs.assign(
        converged=converged, end=runs["outcome_epoch"].astype(float), epochs=charged.astype(float)
    )


def _seen(field: pd.DataFrame, in_progress: BoolArray) -> pd.DataFrame:
    """Replace the predictions of runs that are over by what is known of them."""
    p = field["p"].where(in_progress, field["converged"]).astype(float)
    total = field["total"].where(in_progress, field["epochs"])
    expected = expected_epochs(p.to_numpy(), total.to_numpy(float), field["max_epochs"].to_numpy())
    return field.assign(open=in_progress, p=p, expected=expected).drop(columns="total")


def expected_epochs(p: FloatArray, total: FloatArray, cap: FloatArray) -> FloatArray:
    """Return the geometric mean of what a run will be charged.

    Parameters
    ----------
    p
        Probability of converging by the cap, shape ``(n,)``.
    total
        Predicted epochs to the target if it converges, shape ``(n,)``.
    cap
        Epochs that it is charged if not, shape ``(n,)``.
    """
    reached = np.log(np.clip(total, 1, cap))
    expected: FloatArray = np.exp(p * reached + (1 - p) * np.log(cap))
    return expected


def _unlikely(field: pd.DataFrame, threshold: float) -> BoolArray:
    unlikely: BoolArray = (field["p"] < threshold).to_numpy()
    return unlikely


def _slower_than(reference: str) -> Rule:
    def rule(field: pd.DataFrame, factor: float) -> BoolArray:
        siblings = field.groupby("lineage_id")["expected"].transform(reference)
        slow: BoolArray = (field["expected"] > factor * siblings).to_numpy()
        return slow

    return rule


def _never_converges(field: pd.DataFrame, threshold: float) -> BoolArray:
    never: BoolArray = (field["converged"] < threshold).to_numpy()
    return never


def _beaten(field: pd.DataFrame, factor: float) -> BoolArray:
    reached = field["epochs"].where(field["converged"])
    fastest = reached.groupby(field["lineage_id"]).transform("min")
    beaten: BoolArray = (~(reached <= factor * fastest)).to_numpy()
    return beaten


#: The rules known beforehand know how runs end: the most that can be saved without regret.
RULES: Mapping[str, tuple[Rule, tuple[float, ...]]] = {
    "unlikely to converge": (_unlikely, PROBABILITIES),
    "slower than the best sibling": (_slower_than("min"), FACTORS),
    "slower than the median sibling": (_slower_than("median"), FACTORS),
    "never converges, known beforehand": (_never_converges, (1.0,)),
    "all but the fastest sibling, known beforehand": (_beaten, (1.0,)),
}

#: Of the columns of `_consequences`: epochs, epochs saved, runs in progress that converge, those of
#: them stopped, lineages in which a run converges, those of them lost, log slowdown.
_STOPPING: Mapping[str, SumStatistic] = {
    "epochs_saved": lambda sums: sums[..., 1] / sums[..., 0],
    "converging_stopped": lambda sums: sums[..., 3] / sums[..., 2],
    "lineages_lost": lambda sums: sums[..., 5] / sums[..., 4],
    "slowdown": lambda sums: np.exp(sums[..., 6] / (sums[..., 4] - sums[..., 5])),
}


def _stopping(context: FamilyContext, field: pd.DataFrame, at: int) -> list[Entry]:
    """Return what each rule and threshold saves and costs, and the same share at random.

    ``epochs_saved`` is a share of all epochs, ``converging_stopped`` of the runs in progress that
    converge, ``lineages_lost`` of the lineages in which a run converges: none is kept. ``slowdown``
    is the geometric mean, over the lineages not lost, of epochs of the best run kept over those of
    the best run. Training all saves nothing and costs nothing.
    """
    entries, sums = [], []
    siblings = Siblings.of(field)
    n_open = int(field["open"].sum())
    for name, (rule, thresholds) in RULES.items():
        for threshold in thresholds:
            stop = (rule(field, threshold) & field["open"]).to_numpy(float)
            n_stopped = int(stop.sum())
            by_chance = field["open"].to_numpy(float) * n_stopped / n_open
            entries.append({"rule": name, "threshold": threshold, "n_stopped": n_stopped})
            sums += [_consequences(field, siblings, chance, at) for chance in (stop, by_chance)]
    estimates = _bootstrapped(context, sums, _STOPPING)
    return [
        {
            "epochs_seen": at,
            "n_open": n_open,
            **entry,
            "predictor": estimates[2 * i],
            "random": estimates[2 * i + 1],
        }
        for i, entry in enumerate(entries)
    ]


@dataclass(frozen=True)
class Siblings:
    """The runs of a field as a table of lineages, the converging ones first and fastest first.

    Attributes
    ----------
    code, rank
        Row and column of each run, shape ``(n,)``.
    """

    code: IntArray
    rank: IntArray

    @classmethod
    def of(cls, field: pd.DataFrame) -> Siblings:
        """Lay out the runs of a field."""
        converged, epochs = field["converged"].to_numpy(), field["epochs"].to_numpy()
        _, code = np.unique(field["lineage_id"].to_numpy(), return_inverse=True)
        order = np.lexsort((epochs, ~converged, code))
        starts = np.searchsorted(code[order], code[order])
        rank = np.empty_like(code)
        rank[order] = np.arange(code.size) - starts
        return cls(code, rank)

    def table(self, values: FloatArray, missing: float) -> FloatArray:
        """Return values, shape ``(n,)``, as a table of lineages, filled with ``missing``."""
        shape = int(self.code.max()) + 1, int(self.rank.max()) + 1
        cells = np.full(shape, missing)
        cells[self.code, self.rank] = values
        return cells


def _consequences(
    field: pd.DataFrame, siblings: Siblings, chance: FloatArray, at: int
) -> FloatArray:
    """Return expected sums by lineage when each run is stopped at ``at`` with its chance.

    Of the converging runs of a lineage in order of their epochs, the i-th is the best one kept with
    probability (1 - c_i) c_1 ... c_{i-1}; the columns are `_STOPPING`'s.
    """
    end, converged = field["end"].to_numpy(), field["converged"].to_numpy(float)
    sums = [
        siblings.table(values, 0.0).sum(axis=1)
        for values in (
            end,
            chance * (end - at),
            converged * field["open"].to_numpy(float),
            chance * converged,
        )
    ]
    unsolved = siblings.table(np.where(converged, chance, 1.0), 1.0)
    solvable = siblings.table(converged, 0.0).any(axis=1).astype(float)
    all_before = np.cumprod(np.insert(unsolved, 0, 1.0, axis=1), axis=1)[:, :-1]
    best_kept = (1 - unsolved) * all_before
    log_epochs = siblings.table(np.log(field["epochs"].to_numpy()), 0.0)
    slowdown = np.sum(best_kept * (log_epochs - log_epochs[:, :1]), axis=1)
    lost = solvable * np.prod(unsolved, axis=1)
    return np.stack([*sums, solvable, lost, slowdown], axis=1)


_CHOOSING: Mapping[str, SumStatistic] = {
    "ratio": lambda sums: np.exp(sums[..., 1] / sums[..., 0]),
    "ratio_with_trials": lambda sums: np.exp(sums[..., 2] / sums[..., 0]),
    "solved": lambda sums: sums[..., 3] / sums[..., 0],
    "random_ratio": lambda sums: np.exp(sums[..., 4] / sums[..., 0]),
    "random_solved": lambda sums: sums[..., 5] / sums[..., 0],
    "train_all_ratio": lambda sums: np.exp(sums[..., 6] / sums[..., 0]),
    "gain_over_random": lambda sums: np.exp((sums[..., 4] - sums[..., 1]) / sums[..., 0]),
}


def _choosing(context: FamilyContext, field: pd.DataFrame, at: int) -> Iterator[Entry]:
    """Yield what choosing the smallest expected time is worth, by what there is to choose from.

    Ratios are geometric means of epochs charged over those of the true best, among choices in which
    some run converges: ``ratio`` of the chosen run, ``ratio_with_trials`` with what the others were
    trained until the choice, ``train_all_ratio`` of all runs to their end.
    """
    for name, (table, choice, cluster) in _choices(field).items():
        sums = _worth(table, choice, cluster, at)
        if len(sums) < 2:
            continue
        yield {
            "choice": name,
            "epochs_seen": at,
            "n_choices": int(sums[:, 0].sum()),
            "n_clusters": len(sums),
            **_bootstrapped(context, [sums], _CHOOSING)[0],
        }


def _choices(field: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, Labels, Labels]]:
    """Return the runs to choose from, the label of the choice that each is in, and its cluster."""
    settings = field.groupby("lineage_id")[["lr", "optimizer"]].transform("nunique")
    varied = field[(settings > 1).any(axis=1)]
    lineage = varied["lineage_id"].to_numpy()
    fixed = field["cohort"] == "fixed"
    return {
        "hyperparameters, initialisation fixed": (varied, lineage, lineage),
        "initialisation, hyperparameters fixed": _pooled(field[fixed]),
        "initialisation and hyperparameters": _pooled(field[~fixed]),
    }


def _pooled(field: pd.DataFrame) -> tuple[pd.DataFrame, Labels, Labels]:
    """Pool lineages of one task and architecture; a choice is one run of each of them.

    Ids are hashes, so that their order is random. Pools that are not full are left out.
    """
    kind = ["task", "architecture"]
    lineages = field[["lineage_id", *kind]].drop_duplicates().sort_values("lineage_id")
    lineages = lineages.assign(pool=lineages.groupby(kind).cumcount() // POOL)
    size = lineages.groupby([*kind, "pool"])["lineage_id"].transform("size")
    full = lineages.loc[size == POOL, ["lineage_id", "pool"]]
    table = field.sort_values("run_id").merge(full, on="lineage_id")
    cluster = table.groupby([*kind, "pool"]).ngroup().to_numpy()
    rank = table.groupby("lineage_id").cumcount().to_numpy()
    return table, cluster * (1 + rank.max(initial=0)) + rank, cluster


def _worth(table: pd.DataFrame, choice: Labels, cluster: Labels, at: int) -> FloatArray:
    """Return sums by cluster over its choices, in the order that `_CHOOSING` reads them."""
    runs = pd.DataFrame(
        {
            "choice": choice,
            "cluster": cluster,
            "expected": table["expected"].to_numpy(),
            "epochs": table["epochs"].to_numpy(),
            "log_epochs": np.log(table["epochs"].to_numpy()),
            "reached": table["epochs"].where(table["converged"]).to_numpy(),
            "converged": table["converged"].to_numpy(float),
            "trial": table["end"].clip(upper=at).to_numpy(),
            "end": table["end"].to_numpy(),
        }
    )
    by_choice = runs.groupby("choice")
    chosen = runs.loc[by_choice["expected"].idxmin()].set_index("choice")
    log_best = np.log(by_choice["reached"].min())
    trials = by_choice["trial"].sum() - chosen["trial"]
    sums = pd.DataFrame(
        {
            "n": 1.0,
            "ratio": chosen["log_epochs"] - log_best,
            "with_trials": np.log(chosen["epochs"] + trials) - log_best,
            "solved": chosen["converged"],
            "random_ratio": by_choice["log_epochs"].mean() - log_best,
            "random_solved": by_choice["converged"].mean(),
            "train_all": np.log(by_choice["end"].sum().clip(lower=1)) - log_best,
        }
    )
    solvable = sums[log_best.notna() & (by_choice.size() > 1)]
    by_cluster: FloatArray = solvable.groupby(chosen["cluster"]).sum().to_numpy()
    return by_cluster


def _bootstrapped(
    context: FamilyContext, sums: Sequence[FloatArray], statistics: Mapping[str, SumStatistic]
) -> list[dict[str, Any]]:
    """Return the statistics of each block of sums with intervals, from the same replicates."""
    width = sums[0].shape[1]
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {
            f"{block} {name}": _of_block(block, width, statistic)
            for block in range(len(sums))
            for name, statistic in statistics.items()
        },
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("savings"),
    )
    return [
        {name: entry_of(estimates[f"{block} {name}"]) for name in statistics}
        for block in range(len(sums))
    ]


def _of_block(block: int, width: int, statistic: SumStatistic) -> SumStatistic:
    columns = slice(block * width, (block + 1) * width)
    return lambda sums: statistic(sums[..., columns])
