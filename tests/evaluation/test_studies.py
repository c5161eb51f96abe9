"""The studies on families whose truth is planted."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.distance_alone import FEATURE_SETS, distance_alone
from epochs_left.evaluation.initialisation import CAPE, initialisation
from epochs_left.evaluation.learning_curve import SHARES, learning_curve
from epochs_left.evaluation.markov import STATE_FEATURES, STATE_GROUPS, markov
from epochs_left.evaluation.refits import FOLDS
from epochs_left.evaluation.simple_rule import DEPTH, TERMS, FewTerms, simple_rule
from epochs_left.evaluation.transfer import LR_BINS, transfer
from epochs_left.evaluation.transfer_families import transfer_families
from epochs_left.features import FEATURE_GROUPS
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.schema import View

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))
N_LINEAGES = 60

Frame = pd.DataFrame


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    """Planted truths are plain: few large steps find them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"n_estimators": 60, "learning_rate": 0.15}.items():
            patch.setitem(BOOSTING, name, value)  # type: ignore[arg-type]
        yield


def draw(seed: int = 0, n_lineages: int = N_LINEAGES) -> Frame:
    """Rows of runs, two a lineage, and what the studies look at besides the features."""
    rng = np.random.default_rng(seed)
    rows: Frame = planted["rows"](rng, n_lineages)
    run = np.unique(rows["run_id"], return_inverse=True)[1]
    per_run = {
        "cohort": np.where(np.arange(run.max() + 1) // 2 % 2, "swept", "fixed"),
        "optimizer": np.where(np.arange(run.max() + 1) // 2 % 3 == 0, "momentum", "sgd"),
        "lr": np.exp(rng.uniform(-6, 0, run.max() + 1)),
        "batch_size": np.where(np.arange(run.max() + 1) % 2, 32, 4),
    }
    same = {"task": "one", "architecture": "a", "activation": "relu", "init_scheme": "he"}
    same |= {"lr_schedule": "constant"}
    return rows.assign(n_examples=32, **same, **{k: v[run] for k, v in per_run.items()})


def normal(rows: Frame, seed: int, *, of_run: bool = False) -> np.ndarray:
    """Standard normal numbers, one a row or one a run."""
    label = rows["run_id"] if of_run else rows.index
    codes = np.unique(label, return_inverse=True)[1]
    return np.random.default_rng(seed).normal(size=codes.max() + 1)[codes]


def told(rows: Frame, log_remaining: np.ndarray) -> Frame:
    """The rows with this truth, of which the studies may see its features alone."""
    return rows.assign(remaining=np.expm1(np.clip(log_remaining, 0.7, 12)))


def context_of(rows: Frame, groups: dict[str, str], oracle: tuple[str, ...] = ()) -> Any:
    frame = planted["examples"](rows, {})
    return planted["context"](
        ["xgboost"], examples=frame, dictionary=planted["dictionary"](groups, oracle)
    )


def estimates(entries: list[dict[str, Any]], *keys: str) -> dict[Any, float]:
    json.dumps(entries, allow_nan=False)
    return {
        tuple(e[key] for key in keys) if len(keys) > 1 else e[keys[0]]: e["estimate"]
        for e in entries
    }


class TestDistanceAlone:
    GROUPS: ClassVar = {"far": "oracle_distances", "rate": "learning_rate", "level": "loss_level"}

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> dict[Any, float]:
        """Distance is all that matters at fixed hyperparameters, else the rate matters as much."""
        rows = draw()
        rows = rows.assign(far=normal(rows, 1), rate=normal(rows, 2, of_run=True))
        rows = rows.assign(level=normal(rows, 3))
        varied = (rows["cohort"] == "swept") * rows["rate"]
        rows = told(rows, 4 + rows["far"].to_numpy() + varied.to_numpy())
        return estimates(
            distance_alone(context_of(rows, cls.GROUPS, ("far",))), "cohort", "features"
        )

    def test_distance_explains_all_where_the_hyperparameters_are_fixed(
        self, found: dict[Any, float]
    ) -> None:
        assert found["hyperparameters fixed", "distance to the end"] > 0.9
        assert found["hyperparameters fixed", "hyperparameters"] < 0.1
        assert found["hyperparameters fixed", "loss curve"] < 0.1

    def test_distance_explains_half_where_they_vary_as_much(self, found: dict[Any, float]) -> None:
        assert 0.2 < found["hyperparameters varied", "distance to the end"] < 0.7
        assert found["hyperparameters varied", "everything, oracle"] > 0.8
        assert found["hyperparameters varied", "everything causal"] < 0.6

    def test_epochs_elapsed_are_no_part_of_a_distance(self) -> None:
        """R falls as t grows, whatever the distance: alone it explains nothing."""
        rows = draw()
        rows = rows.assign(far=normal(rows, 1), elapsed=np.log1p(rows["epoch"]))
        rows = told(rows, 2 + 2 * rows["elapsed"].to_numpy())
        groups = {"far": "oracle_distances", "elapsed": "loss_level"}
        found = estimates(distance_alone(context_of(rows, groups, ("far",))), "cohort", "features")
        for cohort in ("fixed", "varied"):
            assert found[f"hyperparameters {cohort}", "distance to the end"] < 0.1
            assert found[f"hyperparameters {cohort}", "loss curve"] > 0.9

    def test_sets_are_made_of_groups_that_exist(self) -> None:
        named = {group for groups in FEATURE_SETS.values() for group in groups}
        assert named <= set(FEATURE_GROUPS)

    def test_too_few_lineages_say_nothing(self) -> None:
        rows = draw(n_lineages=FOLDS - 1).assign(far=0.0, cohort="fixed")
        assert distance_alone(context_of(rows, {"far": "oracle_distances"}, ("far",))) == []


class TestMarkov:
    GROUPS: ClassVar = {"log_loss": "loss_level", "slope": "loss_slopes", "log_lr": "learning_rate"}

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> dict[str, dict[str, Any]]:
        """History matters with momentum alone."""
        rows = draw(n_lineages=90)
        rows = rows.assign(
            log_loss=normal(rows, 1), slope=normal(rows, 2), log_lr=np.log(rows["lr"])
        )
        history = (rows["optimizer"] == "momentum") * rows["slope"]
        rows = told(rows, 4 + (rows["log_loss"] + history).to_numpy())
        return {entry["part"]: entry for entry in markov(context_of(rows, cls.GROUPS))}

    def test_history_adds_nothing_where_the_state_tells_all(
        self, found: dict[str, dict[str, Any]]
    ) -> None:
        entry = found["sgd"]
        assert entry["state"]["estimate"] > 0.9
        assert abs(entry["gain"]["estimate"]) < 0.05

    def test_history_adds_what_the_state_does_not_tell(
        self, found: dict[str, dict[str, Any]]
    ) -> None:
        entry = found["momentum"]
        assert entry["state"]["estimate"] < 0.7
        assert entry["gain"]["lower"] > 0.2
        whole = entry["state_and_history"]["estimate"] - entry["state"]["estimate"]
        assert entry["gain"]["estimate"] == pytest.approx(whole)

    def test_time_is_no_part_of_the_state(self) -> None:
        """R follows from the epochs elapsed alone, which a schedule's features would tell."""
        rows = draw(n_lineages=90)
        rows = rows.assign(log_clock=np.log1p(rows["epoch"]), log_loss=normal(rows, 1))
        rows = told(rows, 2 + 2 * rows["log_clock"].to_numpy())
        groups = {"log_clock": "schedule_ahead", "log_loss": "loss_level"}
        (entry,) = (e for e in markov(context_of(rows, groups)) if e["part"] == "sgd")
        assert entry["state"]["estimate"] < 0.1
        assert entry["gain"]["lower"] > 0.7

    def test_runs_under_a_schedule_are_no_evidence(self) -> None:
        rows = draw(n_lineages=90).assign(lr_schedule="cosine")
        rows = rows.assign(log_loss=normal(rows, 1))
        assert markov(context_of(rows, {"log_loss": "loss_level"})) == []

    def test_parts_without_runs_are_left_out(self, found: dict[str, dict[str, Any]]) -> None:
        assert set(found) == {"sgd", "momentum"}

    def test_the_state_is_made_of_what_exists(self) -> None:
        assert set(STATE_GROUPS) <= set(FEATURE_GROUPS)
        names = {name for _, group in FEATURE_GROUPS.items() for name in group.units}
        assert set(STATE_FEATURES) <= names


class TestTransfer:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> dict[Any, dict[str, Any]]:
        """Momentum takes eight times as long, which only those know who have seen it."""
        rows = draw()
        momentum = (rows["optimizer"] == "momentum").to_numpy()
        rows = rows.assign(size=normal(rows, 1), is_momentum=momentum.astype(float))
        rows = rows.assign(log_elapsed=np.log1p(rows["epoch"]))
        rows = told(rows, 3 + rows["size"].to_numpy() + 3 * momentum)
        groups = dict.fromkeys(("size", "is_momentum", "log_elapsed"), "loss_level")
        entries = transfer(context_of(rows, groups))
        json.dumps(entries, allow_nan=False)
        return {(entry["dimension"], entry["group"]): entry for entry in entries}

    def test_what_differs_is_known_by_who_has_seen_it(
        self, found: dict[Any, dict[str, Any]]
    ) -> None:
        entry = found["optimizer", "momentum"]
        assert entry["held_out"]["estimate"] < 0
        assert entry["by_lineage"]["estimate"] > 0.6

    def test_what_is_alike_transfers(self, found: dict[Any, dict[str, Any]]) -> None:
        for fifth in range(1, LR_BINS + 1):
            entry = found["lr_bin", f"fifth {fifth} of {LR_BINS}"]
            assert entry["held_out"]["estimate"] > 0.7
            assert entry["by_lineage"]["estimate"] > 0.7

    def test_groups_are_scored_on_their_own_runs(self, found: dict[Any, dict[str, Any]]) -> None:
        rows = draw()
        for (dimension, group), entry in found.items():
            if dimension == "optimizer":
                n_runs = rows.loc[rows["optimizer"] == group, "run_id"].nunique()
                assert entry["held_out"]["n_runs"] == entry["by_lineage"]["n_runs"] == n_runs

    def test_what_all_runs_share_is_no_dimension(self, found: dict[Any, dict[str, Any]]) -> None:
        assert {dimension for dimension, _ in found} == {"optimizer", "lr_bin"}


class TestTransferFamilies:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> dict[Any, dict[str, Any]]:
        """Two families obey one law, the third its opposite, and knows one feature more."""
        families = {}
        for seed, (name, sign) in enumerate((("one", 1), ("two", 1), ("odd", -1))):
            rows = draw(seed, 30)
            rows = rows.assign(size=normal(rows, 1 + seed), log_elapsed=np.log1p(rows["epoch"]))
            rows = told(rows, 4 + sign * rows["size"].to_numpy())
            groups = dict.fromkeys(("size", "log_elapsed"), "loss_level")
            if name == "odd":
                rows, groups = rows.assign(own_one=0.0), groups | {"own_one": "loss_level"}
            families[name] = context_of(rows.drop(columns="own").assign(family=name), groups)
        one = families["one"]
        whole = EvaluationContext(
            families=families,
            stores={},
            settings=one.settings,
            root_seed=one.root_seed,
            models_folder=one.models_folder,
        )
        entries = transfer_families(whole)
        json.dumps(entries, allow_nan=False)
        return {(entry["trained_on"], entry["tested_on"]): entry for entry in entries}

    def test_every_family_is_tested_by_each_other_by_all_others_and_by_itself(
        self, found: dict[Any, dict[str, Any]]
    ) -> None:
        names = ("one", "two", "odd")
        pairs = {(trained, tested) for trained in names for tested in names}
        assert set(found) == pairs | {("all others", tested) for tested in names}

    def test_a_law_that_holds_transfers_and_its_opposite_misleads(
        self, found: dict[Any, dict[str, Any]]
    ) -> None:
        for name in ("one", "two", "odd"):
            assert found[name, name]["estimate"] > 0.8
        assert found["one", "two"]["estimate"] > 0.8
        assert found["two", "one"]["estimate"] > 0.8
        assert found["one", "odd"]["estimate"] < 0
        assert found["odd", "one"]["estimate"] < 0
        assert found["all others", "odd"]["estimate"] < 0

    def test_only_features_that_both_sides_know_are_used(
        self, found: dict[Any, dict[str, Any]]
    ) -> None:
        assert found["one", "odd"]["n_features"] == found["odd", "one"]["n_features"] == 2
        assert found["odd", "odd"]["n_features"] == 3


class TestLearningCurve:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> list[dict[str, Any]]:
        rows = draw()
        names = [f"part_{i}" for i in range(4)]
        parts = {name: normal(rows, i) for i, name in enumerate(names)}
        rows = told(rows.assign(**parts), 4 + np.sum(list(parts.values()), axis=0) / 2)
        rows = rows.assign(log_elapsed=np.log1p(rows["epoch"]))
        groups = dict.fromkeys([*names, "log_elapsed"], "loss_level")
        return learning_curve(context_of(rows, groups, ("part_3",)))

    @pytest.mark.parametrize("view", View)
    def test_more_lineages_help_where_there_is_more_to_learn(
        self, found: list[dict[str, Any]], view: View
    ) -> None:
        of_view = [entry for entry in found if entry["view"] == view.value]
        sizes = [entry["n_training_lineages"] for entry in of_view]
        whole = N_LINEAGES * (FOLDS - 1) / FOLDS
        assert sizes == [round(share * whole) for share in SHARES]
        scores = [entry["estimate"] for entry in of_view]
        assert scores[-1] > scores[0] + 0.1
        assert {entry["n_lineages"] for entry in of_view} == {N_LINEAGES}

    def test_who_sees_more_predicts_better(self, found: list[dict[str, Any]]) -> None:
        best = {entry["view"]: entry["estimate"] for entry in found}  # the last: all lineages
        assert best["oracle"] > best["causal"] + 0.05


class TestInitialisation:
    @staticmethod
    def of(truth: str) -> list[dict[str, Any]]:
        rows = draw()
        rows = rows.assign(**{name: normal(rows, i) for i, name in enumerate(CAPE)})
        rows = rows.assign(log_lr=np.log(rows["lr"]))
        standard = (rows[truth] - rows[truth].mean()) / rows[truth].std()
        rows = told(rows, 4 + standard.to_numpy())
        groups = dict.fromkeys(CAPE, "gradient_norm") | {"log_lr": "learning_rate"}
        return initialisation(context_of(rows, groups))

    def test_where_the_rate_says_all_it_is_enough(self) -> None:
        found = estimates(self.of("log_lr"), "features")
        assert min(found["learning rate"], found["hyperparameters"]) > 0.95
        assert min(found.values()) > 0.65  # among features that say nothing

    def test_what_only_the_state_says_is_found_by_who_looks_at_it(self) -> None:
        entries = self.of("log_grad_norm")
        found = estimates(entries, "features")
        assert found["learning rate"] < 0.1
        assert found["hyperparameters"] < 0.1
        assert min(found["CAPE"], found["causal"]) > 0.6
        assert {entry["n_rows"] for entry in entries} == {2 * N_LINEAGES}  # one a run: epoch 0

    def test_cape_s_features_exist(self) -> None:
        assert set(CAPE) <= {name for _, group in FEATURE_GROUPS.items() for name in group.units}


class TestSimpleRule:
    NAMES = tuple(f"x{i}" for i in range(8))

    def of(self, law: Any) -> dict[str, Any]:
        rows = draw()
        x = {name: normal(rows, i) for i, name in enumerate(self.NAMES)}
        rows = told(rows.assign(**x), law(x))
        rows = rows.assign(log_elapsed=np.log1p(rows["epoch"]))
        groups = dict.fromkeys((*self.NAMES, "log_elapsed"), "loss_level")
        found = simple_rule(context_of(rows, groups))
        json.dumps(found, allow_nan=False)
        return found

    def test_a_planted_formula_is_found(self) -> None:
        found = self.of(lambda x: 6 + 0.5 * x["x1"] - 0.3 * x["x4"] + 0.8 * x["x6"])
        terms = {term["term"]: term["coefficient"] for term in found["formula"]["terms"]}
        expected = {"intercept": 6.0, "x1": 0.5, "x4": -0.3, "x6": 0.8}
        assert terms == pytest.approx(expected, abs=0.02)
        assert found["formula"]["estimate"] > 0.98

    def test_a_planted_tree_is_found(self) -> None:
        found = self.of(lambda x: np.where(x["x2"] > 0.4, 6, np.where(x["x5"] > -0.2, 4, 2.0)))
        assert found["tree"]["estimate"] > 0.95
        text = found["tree"]["text"]
        assert "x2" in text
        assert "x5" in text
        assert not any(name in text for name in ("x1", "x7"))
        assert 2 <= max(line.count("|") for line in text.splitlines()) <= DEPTH + 1

    def test_a_rule_costs_accuracy_where_no_rule_is_planted(self) -> None:
        found = self.of(lambda x: 5 + np.sum(list(x.values()), axis=0) / 2)
        assert found["formula"]["estimate"] < 0.8
        assert found["tree"]["estimate"] < found["best"]["estimate"]

    @pytest.mark.parametrize("seed", range(3))
    def test_few_terms_are_weighted_least_squares_on_what_was_picked(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        X, weight = rng.normal(size=(200, 12)), rng.uniform(0.1, 2, 200)
        y = X @ rng.normal(size=12) + rng.normal(size=200)
        model = FewTerms().fit(X, y, weight)
        picked = np.flatnonzero(model.coef_)
        assert picked.size == TERMS
        reference = LinearRegression().fit(X[:, picked], y, weight)
        np.testing.assert_allclose(model.coef_[picked], reference.coef_, rtol=1e-6)
        np.testing.assert_allclose(model.predict(X), reference.predict(X[:, picked]), rtol=1e-6)
