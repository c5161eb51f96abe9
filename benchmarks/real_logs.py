"""How well the plateaus of real runs are foreseen: public logs that nobody here made, replayed.

Run with `python benchmarks/real_logs.py FOLDER` (`-m MODEL` for another predictor), in about a
minute; it writes benchmarks/results/real_logs.json, which the report shows. FOLDER holds three tidy
Parquet files, a row a run and epoch or evaluation, made of logs that their authors published:

- garbin_keras.parquet: fau-masters-collected-works-cgarbin/dropout-vs-batch-normalization, MIT,
  2018. MNIST MLPs and CIFAR-10 CNNs in Keras. The column hyperparameters holds JSON with the budget
  in ``e``; runs that are equal but for it are one lineage. The learning rate is constant.
- bearpaw.parquet: bearpaw/pytorch-classification, MIT, 2017. CIFAR ResNets, VGG, WRN and DenseNet,
  an ImageNet ResNet-18 and an AlexNet; the learning rate drops in steps. Their planned epochs stand
  in that repository's TRAINING.md; a run that ended before them is not scored.
- modded_nanogpt.parquet: KellerJordan/modded-nanogpt, MIT, 2024. Validation losses of GPT-2 speed
  runs, few a run; the column total_steps says how long a run was meant to last.

The logs are not in this repository. They are development logs: they served to choose features and
priors, never to fit. Each log is replayed by what it says itself and, where its users know more
(the schedule of the learning rate), also with that stated. ``pooled`` joins the three logs, every
run weighing the same, with all that is known stated.

The JSON: ``model`` and ``model_sha256`` (of its manifest, which lists the hashes of its files),
``plateau``, ``level``; ``logs`` with their origin and what became of their runs; ``scores``, an
entry a log and budget (percent of the horizon) with a list of forecasters: ``error`` (median of
|predicted - actual| / actual time of the plateau), ``r2_log`` (of log time), ``r2`` (of time; not
pooled, for epochs and steps do not add up), and of those that give them ``coverage`` and
``width_factor`` of intervals and ``auc`` of reaching the plateau. Those that are tried also have
``against``: in how many runs their error is smaller, equal and larger than a baseline's on the same
runs, and the difference of the median errors, below 0 where they are better. Figures are
[estimate, lower, upper], 95 % over lineages, or an estimate alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.backtesting.forecasters import FORECASTERS, TRIED, Known
from epochs_left.backtesting.recorded import Question, Recorded, read_recorded
from epochs_left.backtesting.replay import Replay, budget_horizon, replay
from epochs_left.backtesting.scores import Bootstrap, Cases, paired, statistics_of
from epochs_left.backtesting.summary import Scope, cases_of, run_counts
from epochs_left.backtesting.truth import Truth, truth
from epochs_left.prediction.layout import ColumnChoice
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.statistics.bootstrap import Estimate
from epochs_left.storage.bundle_choice import PLATEAU, bundle_folder
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.logs import open_log
from epochs_left.storage.manifests import MANIFEST

OUTPUT = Path(__file__).parent / "results" / "real_logs.json"
SHARE, LEVEL, BUDGETS = 0.01, 0.9, (10.0, 25.0, 50.0)
POOLED = "pooled"
#: Planned epochs of bearpaw's runs by architecture, from its TRAINING.md; of all others 164.
PLANNED = {"WRN-28-10-drop": 200, "densenet-bc-100-12": 300, "resnet18": 90}
USUALLY_PLANNED = 164
#: Runs of fewer evaluations hold nothing that a plateau at 1 % could be told from.
MIN_EVALUATIONS = 8
#: Scores of what is tried, and of baselines; R^2 of time itself is that of one log alone.
SHOWN = ("median_relative_error", "r2_log", "r2", "coverage", "width_factor", "auc")
SHOWN_OF_BASELINES = SHOWN[:-1]
_SHORT = {"median_relative_error": "error"}
DIGITS = 3

Figures = Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class LogSet:
    """A log and what is said of it.

    Attributes
    ----------
    name, title, file, origin
        What it is called, where it lies in the folder and where it is from.
    question
        The plateau that is asked for, and the columns.
    prepare
        Makes the log that is replayed of the published one.
    stated
        Settings of every run that its users know and its columns do not say.
    is_pooled
        Whether it counts among the pooled: of the ways to ask a log, the one with most stated.
    """

    name: str
    title: str
    file: str
    origin: str
    question: Question
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    stated: Mapping[str, float | str] = field(default_factory=dict)
    is_pooled: bool = True


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A log after its replay: runs, what became of them, and what was said at each budget."""

    log: LogSet
    recorded: Recorded
    truth: Truth
    replays: Sequence[Replay]

    def cases(self, at: int, forecaster: str) -> Cases:
        """Return what a forecaster said at a budget, and what became of the runs."""
        everything = Scope(task=None, runs=np.ones(self.recorded.n_runs, dtype=np.bool_))
        said = self.replays[at].forecasts[forecaster]
        return cases_of(self.recorded, self.truth, self.replays[at], said, everything)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the three files lie")
    parser.add_argument("-m", "--model", help="a bundle of plateaus, or a folder that has one")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    folder = bundle_folder(arguments.model, PLATEAU)
    predictor = predictor_of(load_bundle(folder), level=LEVEL, jobs=1)
    missing = [log.file for log in log_sets() if not (arguments.folder / log.file).is_file()]
    if missing:
        sys.exit(f"expected {', '.join(dict.fromkeys(missing))} in {arguments.folder}")
    found = [replayed(log, arguments.folder, predictor) for log in log_sets()]
    head = {
        "model": predictor.manifest.bundle_id,
        "model_sha256": hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest(),
        "plateau": SHARE,
        "level": LEVEL,
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(written(head, found))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB")


def log_sets() -> list[LogSet]:
    """Return the logs in the order of the report, each by itself and with more stated."""
    keras = LogSet(
        name="garbin",
        title="Keras, no schedule stated",
        file="garbin_keras.parquet",
        origin="fau-masters-collected-works-cgarbin/dropout-vs-batch-normalization, MIT, 2018",
        question=asked(
            "train_loss",
            horizon_column="hyperparameters.e",
            task_column="task",
            lineage_columns=("hyperparameters",),
            lineage_without=("hyperparameters.e",),
        ),
        prepare=as_it_is,
        is_pooled=False,
    )
    cifar = LogSet(
        name="bearpaw",
        title="CIFAR, no schedule stated",
        file="bearpaw.parquet",
        origin="bearpaw/pytorch-classification, MIT, 2017",
        question=asked("train_loss", horizon_column="planned"),
        prepare=with_planned_epochs,
        is_pooled=False,
    )
    gpt = LogSet(
        name="modded_nanogpt",
        title="GPT-2 speed runs",
        file="modded_nanogpt.parquet",
        origin="KellerJordan/modded-nanogpt, MIT, 2024",
        question=asked(
            "valid_loss",
            time="step",
            horizon_column="total_steps",
            task_column="task",
            lineage_columns=("record",),
        ),
        prepare=evaluated_often,
    )
    return [
        told(keras, "Keras, schedule stated", "constant"),
        keras,
        told(cifar, "CIFAR, schedule stated", "step"),
        cifar,
        gpt,
    ]


def asked(metric: str, time: str | None = None, **where: Any) -> Question:
    """Return the question of the plateau of a metric."""
    return Question(columns=ColumnChoice(metric=metric, time=time), plateau=SHARE, **where)


def told(log: LogSet, title: str, schedule: str) -> LogSet:
    """Return a log with its schedule stated."""
    stated = {"lr_schedule": schedule}
    return replace(log, name=f"{log.name}_{schedule}", title=title, stated=stated, is_pooled=True)


def as_it_is(log: pd.DataFrame) -> pd.DataFrame:
    return log


def with_planned_epochs(log: pd.DataFrame) -> pd.DataFrame:
    """Add the planned epochs by architecture, the last part of the task's name."""
    architecture = log["task"].str.rpartition("/")[2]
    return log.assign(planned=architecture.map(PLANNED).fillna(USUALLY_PLANNED))


def evaluated_often(log: pd.DataFrame) -> pd.DataFrame:
    """Leave out the runs of few evaluations."""
    return log[log.groupby("run_id")["run_id"].transform("size") >= MIN_EVALUATIONS]


def replayed(log: LogSet, folder: Path, predictor: Predictor) -> Replayed:
    """Replay a log at every budget."""
    recorded = read(log, folder, predictor)
    became = truth(recorded)
    horizon, siblings = budget_horizon(recorded, became, of_task_median=False)
    known = Known(predictor=predictor, siblings=siblings, level=LEVEL)
    forecasters = list(FORECASTERS.items())
    replays = [replay(recorded, horizon, budget, known, forecasters) for budget in BUDGETS]
    return Replayed(log=log, recorded=recorded, truth=became, replays=replays)


def read(log: LogSet, folder: Path, predictor: Predictor) -> Recorded:
    """Read a log as `epochs-left backtest` does."""
    columns = replace(log.question.columns, stated=log.stated)
    question = replace(log.question, columns=columns)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / log.file
        log.prepare(pd.read_parquet(folder / log.file)).to_parquet(path)
        with open_log(str(path), None) as opened:
            recorded, _ = read_recorded(opened, predictor, question, log.name)
    if recorded is None:
        sys.exit(f"{log.file} has no rows")
    return recorded


def written(head: Mapping[str, Any], found: Sequence[Replayed]) -> str:
    """Return the JSON, a line an entry of its lists."""
    lists = {
        "logs": list(map(about, found)),
        "scores": [
            entry(scope, at, parts) for scope, parts in scopes(found) for at in range(len(BUDGETS))
        ],
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, entries in lists.items():
        body = ",\n".join(compact(each) for each in entries)
        lines.append(f"{json.dumps(key)}: [\n{body}\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def about(of: Replayed) -> dict[str, Any]:
    """Return where a log is from, what was stated of it and what became of its runs."""
    return {
        "log": of.log.name,
        "title": of.log.title,
        "origin": of.log.origin,
        "metric": of.log.question.columns.metric,
        "stated": dict(of.log.stated),
        "is_pooled": of.log.is_pooled,
        **run_counts(of.recorded, of.truth),
    }


def scopes(found: Sequence[Replayed]) -> Iterator[tuple[str, list[Replayed]]]:
    """Yield what is scored together: the pooled logs, then each by itself."""
    yield POOLED, [each for each in found if each.log.is_pooled]
    for each in found:
        yield each.log.name, [each]


def entry(scope: str, at: int, parts: Sequence[Replayed]) -> dict[str, Any]:
    """Return what every forecaster is worth at a budget."""
    cases = {
        name: joined([part.cases(at, name) for part in parts]) for name, _ in FORECASTERS.items()
    }
    any_cases = next(iter(cases.values()))
    return {
        "log": scope,
        "budget": BUDGETS[at],
        "n_open": int(any_cases.time.size),
        "n_censored": int(np.isnan(any_cases.time).sum()),
        "forecasters": [of_forecaster(name, cases, scope) for name in ordered(cases)],
    }


def ordered(names: Mapping[str, Cases]) -> list[str]:
    """Return what is tried, then the baselines by name."""
    return [*TRIED, *sorted(name for name in names if name not in TRIED)]


def joined(parts: Sequence[Cases]) -> Cases:
    """Return the cases of several logs as those of one; their lineages stay apart."""
    labels = [
        np.array([f"{at}/{label}" for label in part.lineage]) for at, part in enumerate(parts)
    ]
    names = ("time", "predicted", "cut", "lower", "upper", "chance")
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Cases(**values, lineage=np.concatenate(labels))


def of_forecaster(name: str, cases: Mapping[str, Cases], scope: str) -> dict[str, Any]:
    """Return the scores of a forecaster, and of those tried how they fare against each other."""
    own, bootstrap = cases[name], Bootstrap()
    scored = own.scored
    counts = {
        "n_scored": int(scored.sum()),
        "n_lineages": int(np.unique(own.lineage[scored]).size),
    }
    against = {"against": list(pairs(name, cases, bootstrap))} if name in TRIED else {}
    return {"forecaster": name, **counts, **scores(name, own, scope, bootstrap), **against}


def scores(name: str, cases: Cases, scope: str, bootstrap: Bootstrap) -> dict[str, Any]:
    """Return the scores by their short names; of baselines the error alone has an interval."""
    is_tried = name in TRIED
    found = {}
    for key, (statistic, lineage) in statistics_of(cases).items():
        if key not in (SHOWN if is_tried else SHOWN_OF_BASELINES) or (key, scope) == ("r2", POOLED):
            continue
        if is_tried or key in _SHORT:
            found[_SHORT.get(key, key)] = said(bootstrap.of(statistic, lineage))
        else:
            found[key] = rounded(float(statistic(np.ones((1, lineage.size)))[0]))
    return found


def pairs(name: str, cases: Mapping[str, Cases], bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    """Yield a forecaster against each baseline on the runs that both have a forecast for."""
    for other in ordered(cases):
        found = None if other in TRIED else paired(cases[name], cases[other], bootstrap)
        if found is not None:
            yield {
                "baseline": other,
                "wins_ties_losses": [found.wins, found.ties, found.losses],
                "difference": said(found.difference),
            }


def said(estimate: Estimate) -> Figures:
    """Return an estimate and its interval, rounded; None for what is undefined."""
    bounds = estimate.interval or (np.nan, np.nan)
    return [rounded(float(value)) for value in (estimate.value, *bounds)]


def rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


if __name__ == "__main__":
    main()
