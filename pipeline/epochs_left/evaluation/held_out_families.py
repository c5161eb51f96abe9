"""The predictor of any threshold where a whole family of runs was held out of its training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import LEVEL, EvaluationContext
from epochs_left.evaluation.plain import counts
from epochs_left.prediction.intervals import Residuals, calibrated, interval_ends
from epochs_left.prediction.pool import LANDMARK, PRIOR, PoolExamples, pooled_examples
from epochs_left.prediction.predictor import WIDENING
from epochs_left.prediction.thresholds import SPEC
from epochs_left.prediction.training import (
    LABELS,
    availabilities,
    estimator_seed,
    predict_remaining,
)
from epochs_left.regressors._converges import build_converges_classifier
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.schema import TargetKind
from epochs_left.seeding import Purpose, generator
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.conformal import Offsets, offsets_at
from epochs_left.statistics.folds import grouped_folds, run_weights
from epochs_left.statistics.novelty import MAX_REFERENCE_ROWS, Novelty
from epochs_left.statistics.plain import entry_of, finite
from epochs_left.statistics.scales import SCALES
from epochs_left.statistics.scores import auc, error_sums, mean, mean_sums, r2, weighted_median
from epochs_left.statistics.unseen_family import unseen_family_offsets
from epochs_left.storage.tables import read_json, read_table

#: Runs of a family that are looked at: some thirty fits are made, and each takes half a second.
RUNS_PER_FAMILY = 250
#: Folds by lineage, for the intervals of the families that are left and for those within a family.
FOLDS = 2
#: Fewer families leave too little to train on.
MIN_FAMILIES = 3
#: How intervals are made: as measured on the families that are left, wider where the features say
#: that a row is hard; so many times as wide on the log(1 + R) scale, which is what
#: `Predictor.interval` does with rows that it flags; the same with one interval for every row; and
#: from how far off each of the families that are left was when it, too, was left out.
AS_MEASURED, WIDENED, UNSEEN = "as measured", "widened", "unseen family"
EVEN = "widened, the same for every row"
#: What stands in the entry itself: how `Predictor.forecast` answers rows that it flags, but with a
#: fit without tuning.
HEADLINE = ("loss_only", WIDENED)
#: A part of a family with fewer runs says nothing.
MIN_RUNS = 20
#: Bins in which epochs seen and epochs left are looked at, by the last epoch before them.
BINS = {"0": -1.0, "1 to 10": 0.0, "11 to 100": 10.0, "over 100": 100.0}

#: Lower and upper offsets from the predictions on the log(1 + R) scale, shape ``(n,)`` each.
Ends = tuple[FloatArray, FloatArray]
#: The ends by inputs and kind of interval.
Kinds = Mapping[str, Mapping[str, Ends]]
Entry = dict[str, Any]


@result("held_out_families.json", of=ALL, long=True)
def held_out_families(context: EvaluationContext) -> list[Entry]:
    """Return scores on each family of predictors that were trained on all others.

    Drawn rows of runs that reach their target, whatever it is, every run weighing the same. An
    entry's own figures are those of `HEADLINE`, and so are those of its ``parts``; ``answers`` has
    the others, ``in_family`` those of predictors that have seen other lineages of the family.
    """
    pool = _pool(context)
    if pool is None:
        return []
    families = _Families(pool, context.root_seed)
    if len(families.names) < MIN_FAMILIES:
        return []
    score = _Scorer(families, context)
    return [_entry(families, name, score) for name in families.names]


def _pool(context: EvaluationContext) -> PoolExamples | None:
    """Return some runs of each family and of the curve prior, none of the locked test set."""
    if not context.families:
        return None
    folder = next(iter(context.families.values())).features_folder
    paths = {name: folder / name / "examples.parquet" for name in (*context.families, PRIOR)}
    tables = [read_table(path) for path in paths.values() if path.exists()]
    plateau = TargetKind.PLATEAU.value  # the predictor of plateaus has seen no family at all
    of_loss = [table.filter(pc.not_equal(table["target_kind"], plateau)) for table in tables]
    unlocked = [table.filter(pc.invert(table["locked"])) for table in of_loss]
    dictionary = read_json(folder / next(iter(context.families)) / "features.json")
    return pooled_examples(pa.concat_tables(unlocked), dictionary, RUNS_PER_FAMILY, SPEC)


@dataclass(frozen=True)
class _Families:
    """The pool, and what models of parts of it say of other parts.

    Residuals are actual minus predicted log(1 + R), shape ``(n,)``, NaN where nothing was asked.
    """

    pool: PoolExamples
    root_seed: int
    _left_out: dict[tuple[str, frozenset[str]], FloatArray] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The families of real runs."""
        return sorted(set(self.pool.family.tolist()) - {PRIOR})

    @property
    def scored(self) -> BoolArray:
        """Rows that are scored: drawn, of runs that reach their target, with epochs to go."""
        examples = self.pool.examples
        reached = examples.sampled & examples.converged & (self.pool.family != PRIOR)
        mask: BoolArray = reached & (np.nan_to_num(examples.remaining) > 0)
        return mask

    @property
    def availabilities(self) -> tuple[str, ...]:
        """Which inputs models are fitted with."""
        return availabilities(self.pool.examples.loss_only)

    def of(self, *names: str) -> BoolArray:
        """Return the rows of some families."""
        return np.isin(self.pool.family, names)

    def residual(self, availability: str, train: BoolArray, test: BoolArray) -> FloatArray:
        """Return the residuals on ``test`` of a model of ``train``."""
        examples, scale = self.pool.examples, SCALES[SPEC.scale]
        rows = train & examples.converged
        target = scale.forward(examples.remaining[rows], examples.elapsed[rows])
        X = examples.inputs(availability)
        model = fit_weighted(self._seeded(SPEC.build), X[rows], target, self.pool.weight[rows])
        predicted = predict_remaining(model, scale, X[test], examples.elapsed[test])
        found = np.full(test.size, np.nan)
        found[test] = np.log1p(examples.remaining[test]) - np.log1p(predicted)
        return found

    def left_out(self, availability: str, *families: str) -> FloatArray:
        """Return the residuals on families of a model that has seen none of them."""
        key = availability, frozenset(families)
        if key not in self._left_out:
            unseen = self.of(*families)
            self._left_out[key] = self.residual(availability, ~unseen, self.scored & unseen)
        return self._left_out[key]

    def by_lineage(self, availability: str, rows: BoolArray) -> FloatArray:
        """Return residuals on the scored ones of some rows, trained on other lineages of them."""
        found = np.full(rows.size, np.nan)
        for train, test in self._folds(rows):
            found = np.where(test, self.residual(availability, train, test & self.scored), found)
        return found

    def ends(
        self, availability: str, residual: FloatArray, rows: BoolArray, *, adaptive: bool
    ) -> Ends:
        """Return where intervals begin and end that the residuals of some rows support.

        As `pooling.build_pooled_bundle` makes them: beside the predictions of all rows of the pool,
        on the log(1 + R) scale.
        """
        known = rows & np.isfinite(residual)
        X = self.pool.examples.inputs(availability)
        residuals = Residuals(
            X=X[known],
            residual=residual[known],
            lineage=self.pool.examples.lineage[known],
            run=self.pool.keys["run_id"].to_numpy(str)[known],
            fold=np.argmax([test for _, test in self._folds(rows)], axis=0)[known],
        )
        intervals = calibrated(residuals, self.root_seed, adaptive=adaptive)
        return interval_ends(intervals, X, LEVEL)

    def p_converges(self, availability: str, train: BoolArray, test: BoolArray) -> FloatArray:
        """Return the probabilities on ``test`` of a classifier of ``train``, shape ``(n,)``."""
        examples = self.pool.examples
        X, label = examples.inputs(availability), examples.converged.astype(np.int64)
        model = self._seeded(build_converges_classifier)
        model = fit_weighted(model, X[train], label[train], self.pool.whether_weight[train])
        found = np.full(test.size, np.nan)
        found[test] = model.predict_proba(X[test])[:, 1]
        return found

    @cached_property
    def within(self) -> FloatArray:
        """Residuals by lineage of every scored row, every input known, shape ``(n,)``."""
        return self.by_lineage("all", self.everything)

    @cached_property
    def ends_within(self) -> Ends:
        """Ends of the intervals of every row from residuals of other lineages."""
        first, second = self._folds(self.everything)
        ends = [self.ends("all", self.within, train, adaptive=True) for train, _ in (first, second)]
        lower, upper = np.where(first[1], *ends)
        return lower, upper

    @cached_property
    def p_within(self) -> FloatArray:
        """Probabilities of every row, trained on other lineages, shape ``(n,)``."""
        found = np.full(self.everything.size, np.nan)
        for train, test in self._folds(self.everything):
            found = np.where(test, self.p_converges("all", train, test), found)
        return found

    @property
    def everything(self) -> BoolArray:
        """Every row of the pool, shape ``(n,)``."""
        return np.ones(len(self.pool.keys), dtype=np.bool_)

    def _folds(self, rows: BoolArray) -> Iterator[tuple[BoolArray, BoolArray]]:
        index = np.flatnonzero(rows)
        seed = estimator_seed(self.root_seed, Purpose.FOLDS)
        for train, test in grouped_folds(self.pool.examples.lineage[index], FOLDS, seed):
            masks = np.zeros((2, rows.size), dtype=np.bool_)
            masks[0, index[train]] = masks[1, index[test]] = True
            yield masks[0], masks[1]

    def _seeded(self, build: Callable[[int], Any]) -> Any:
        return build(estimator_seed(self.root_seed, Purpose.ESTIMATOR))


def _entry(families: _Families, name: str, score: _Scorer) -> Entry:
    own = families.of(name)
    scored = families.scored & own
    by_features = _unlike_features(families, own)
    unlike = by_features | _unseen_names(families, own)
    ends = {each: _offsets(families, each, name, unlike) for each in families.availabilities}
    answers = list(_answers(families, name, ends, score))
    seen = score(scored, families.within, *families.ends_within)
    headline = next(each for each in answers if (each["inputs"], each["interval"]) == HEADLINE)
    return {
        "family": name,
        "level": LEVEL,
        **{key: value for key, value in headline.items() if key not in ("inputs", "interval")},
        "coverage": headline["coverage"]["estimate"],
        "share_unlike": _share(families, scored, unlike),
        "share_unlike_features": _share(families, scored, by_features),
        **counts(families.pool.keys[scored]),
        "parts": list(_by_part(families, name, ends, score)),
        "answers": answers,
        "in_family": {
            **seen,
            "coverage": seen["coverage"]["estimate"],
            "auc": _auc(families, own, families.p_within),
        },
    }


def _answers(families: _Families, name: str, ends: Kinds, score: _Scorer) -> Iterator[Entry]:
    """Score what is said of a family with each set of inputs and each kind of interval."""
    own = families.of(name)
    for availability, of_kind in ends.items():
        residual = families.left_out(availability, name)
        area = _auc(families, own, families.p_converges(availability, ~own, own))
        for interval, found in of_kind.items():
            scores = score(families.scored & own, residual, *found)
            yield {"inputs": availability, "interval": interval, **scores, "auc": area}


def _by_part(families: _Families, name: str, ends: Kinds, score: _Scorer) -> Iterator[Entry]:
    """Score the headline's answer in each part of the family of enough runs."""
    availability, interval = HEADLINE
    residual, found = families.left_out(availability, name), ends[availability][interval]
    scored, keys = families.scored & families.of(name), families.pool.keys
    for part, mask in _parts(keys).items():
        rows = scored & mask
        if keys.loc[rows, "run_id"].nunique() >= MIN_RUNS and (rows != scored).any():
            yield {"part": part, **score(rows, residual, *found), **counts(keys[rows])}


def _parts(keys: pd.DataFrame) -> dict[str, BoolArray]:
    """Return the parts that are looked at, as masks of the rows."""
    columns = {"target": "target_kind", **{label: label for label in LABELS}}
    values = {what: keys[column].astype(str) for what, column in columns.items()}
    for what, column in {"epochs seen": "epoch", "epochs left": "remaining"}.items():
        values[what] = pd.cut(keys[column], [*BINS.values(), np.inf], labels=list(BINS)).astype(str)
    return {
        f"{what} {value}": (found == value).to_numpy()
        for what, found in values.items()
        for value in found.unique()
    }


def _offsets(
    families: _Families, availability: str, name: str, unlike: BoolArray
) -> Mapping[str, Ends]:
    """Return the ends of the intervals of every row by their kind."""
    rest = ~families.of(name)
    residual = families.by_lineage(availability, rest)
    (low, high), even = (
        families.ends(availability, residual, rest, adaptive=adaptive) for adaptive in (True, False)
    )
    factor = np.where(unlike, WIDENING, 1.0)
    unseen = offsets_at(LEVEL, _unseen(families, availability, name))
    return {
        AS_MEASURED: (low, high),
        WIDENED: (factor * low, factor * high),
        EVEN: (factor * even[0], factor * even[1]),
        UNSEEN: (np.full(rest.size, unseen[0]), np.full(rest.size, unseen[1])),
    }


def _unseen(families: _Families, availability: str, name: str) -> Offsets:
    """Return what each other family says of itself when it is left out together with this one."""
    residual = np.full(families.scored.size, np.nan)
    for other in families.names:
        if other != name:
            rows = families.scored & families.of(other)
            residual[rows] = families.left_out(availability, name, other)[rows]
    known = np.isfinite(residual)
    weight = run_weights(families.pool.examples.run[known])
    return unseen_family_offsets(residual[known], families.pool.family[known], weight)


def _unseen_names(families: _Families, own: BoolArray) -> BoolArray:
    """Return the rows with a name that no row outside the family has, shape ``(n,)``."""
    keys = families.pool.keys
    names = [~keys[label].isin(set(keys.loc[~own, label])).to_numpy() for label in LABELS]
    mask: BoolArray = own & np.any(names, axis=0)
    return mask


def _unlike_features(families: _Families, own: BoolArray) -> BoolArray:
    """Return the family's rows that features alone call unlike the others', shape ``(n,)``."""
    X, weight = families.pool.examples.X, families.pool.weight * ~own
    known = np.isfinite(X[~own]).any(axis=0)
    low, high = np.nanmin(X[~own][:, known], axis=0), np.nanmax(X[~own][:, known], axis=0)
    outside = ((X[:, known] < low) | (X[:, known] > high)).any(axis=1)
    rng = generator(families.root_seed, 0, Purpose.ESTIMATOR)
    size = min(MAX_REFERENCE_ROWS, int(np.sum(~own)))
    reference = rng.choice(own.size, size, replace=False, p=weight / weight.sum())
    found = np.zeros(own.size, dtype=np.bool_)
    found[own] = outside[own] | (Novelty.fit(X[np.sort(reference)]).distance(X[own]) > 1)
    return found


def _share(families: _Families, scored: BoolArray, mask: BoolArray) -> float:
    weight = run_weights(families.pool.examples.run[scored])
    return float(np.average(mask[scored], weights=weight))


def _auc(families: _Families, own: BoolArray, probability: FloatArray) -> float | None:
    """Return the AUC at `LANDMARK` towards the runs' own criterion, one row a run."""
    keys, examples = families.pool.keys, families.pool.examples
    primary = (keys["target_kind"] == TargetKind.EPSILON.value).to_numpy()
    rows = own & primary & (examples.elapsed == LANDMARK)
    return finite(float(auc(examples.converged[rows], probability[rows])))


@dataclass(frozen=True)
class _Scorer:
    """Scores residuals and offsets on the scored rows of a family."""

    families: _Families
    context: EvaluationContext

    def __call__(
        self, rows: BoolArray, residual: FloatArray, lower: FloatArray, upper: FloatArray
    ) -> Entry:
        """Return plain data; arrays are of all rows of the pool, offsets on the log scale."""
        examples = self.families.pool.examples
        error, weight = residual[rows], run_weights(examples.run[rows])
        remaining = examples.remaining[rows]
        predicted = np.log1p(remaining) - error
        # As `Predictor.interval`: around the prediction at least, and not below 0.
        low, high = np.minimum(lower[rows], 0.0), np.maximum(upper[rows], 0.0)
        relative = np.abs(np.expm1(predicted) - remaining) / remaining
        width = predicted + high - np.maximum(predicted + low, 0.0)
        lineage = examples.lineage[rows]
        sums = error_sums(np.log1p(remaining), predicted, lineage, weight)
        sooner, later = (np.asarray(side, dtype=float) for side in (error < low, error > high))
        means = {"sooner": sooner, "later": later, "bias": error}
        coverage = bootstrap_sums(
            mean_sums(1.0 - sooner - later, lineage, weight),
            {"mean": mean},
            n_replicates=self.context.settings.bootstrap_replicates,
            rng=self.context.rng("held out families"),
        )["mean"]
        return {
            "r2": finite(float(r2(sums.sum(axis=0)))),
            "median_relative_error": float(weighted_median(relative, weight)),
            "coverage": entry_of(coverage),
            **{name: float(np.average(each, weights=weight)) for name, each in means.items()},
            "log_width": finite(float(np.average(width, weights=weight))),
        }
