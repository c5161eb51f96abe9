"""What an answer may depend on, and what its columns promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochs_left.errors import DataError
from epochs_left.prediction.histories import LAST
from epochs_left.prediction.layout import ColumnChoice, OnBad
from epochs_left.prediction.predictor import WIDENING, Predictor
from epochs_left.prediction.unlike import far_from_training, outside_ranges
from epochs_left.statistics.scales import MAX_REMAINING

Answer = Callable[..., pd.DataFrame]
MODELS = ("xgboost/neuron-causal", "linear-causal")

few = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def one_run(losses: list[float], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"run_id": "r", "epoch": range(len(losses)), "loss": losses, **columns})


GEOMETRIC = [0.9**t for t in range(30)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_and_columns_never_matters(
    answer: Answer, log: pd.DataFrame, model: str, seed: int
) -> None:
    whole = answer(log, model=model)
    shuffled = log.sample(frac=1, random_state=seed)[list(reversed(log.columns))]
    assert_same(answer(shuffled, model=model).sort_index(), whole.sort_index())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batch_rows", [1, 7, 100])
def test_batches_never_matter(
    answer: Answer, log: pd.DataFrame, model: str, batch_rows: int
) -> None:
    assert_same(answer(log, model=model, batch_rows=batch_rows), answer(log, model=model))


@pytest.mark.parametrize("model", MODELS)
def test_other_runs_never_matter(answer: Answer, log: pd.DataFrame, model: str) -> None:
    whole = answer(log, model=model)
    for name, alone in log.groupby("run_id"):
        assert_same(answer(alone, model=model), whole.loc[[name]])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("cut", [2, 5, 20, 60])
def test_later_rows_never_change_earlier_answers(
    answer: Answer, log: pd.DataFrame, model: str, cut: int
) -> None:
    prefix = answer(log[log["epoch"] < cut], model=model)
    assert_same(prefix, answer(log, model=model).loc[prefix.index])


def test_later_trouble_never_changes_earlier_answers(answer: Answer) -> None:
    healthy = one_run(GEOMETRIC, grad_norm=1.0, lr=0.1, optimizer="sgd")
    troubled = healthy.copy()
    troubled.loc[20, "grad_norm"] = None
    troubled.loc[22, "lr"] = 0.2
    troubled.loc[24, "epoch"] = 50
    troubled.loc[26, "loss"] = np.inf
    found = answer(troubled, on_bad=OnBad.FLAG)
    assert_same(found.head(20), answer(healthy).head(20))
    assert found["reason"].iloc[20] == "predicted from the loss alone"
    assert "lr changes along the run" in found["reason"].iloc[22]


def test_a_measure_that_another_run_lacks_never_matters(answer: Answer, log: pd.DataFrame) -> None:
    lacking = log["run_id"] == "run-4"
    mixed = answer(log.assign(grad_norm=log["grad_norm"].mask(lacking)))
    bare = answer(log[lacking].drop(columns="grad_norm"))
    assert_same(mixed.loc[["run-4"]], bare)
    assert_same(mixed.drop(index="run-4", level="run_id"), answer(log[~lacking]))


def test_a_log_with_some_measures_is_predicted_from_the_loss_alone(
    answer: Answer, log: pd.DataFrame
) -> None:
    numbers = ["epochs_remaining", "lower", "upper", "p_converges"]
    partly = answer(log[["run_id", "epoch", "loss", "lr"]])
    alone = answer(log[["run_id", "epoch", "loss"]])
    same = (partly["status"] == "ok") & (alone["status"] == "ok")
    assert same.sum() > 100
    assert_same(partly.loc[same, numbers], alone.loc[same, numbers])


@pytest.mark.parametrize("unit", [2, 10, 500])
def test_a_coarser_clock_multiplies_the_answer(answer: Answer, unit: int) -> None:
    fine, coarse = one_run(GEOMETRIC), one_run(GEOMETRIC).assign(epoch=np.arange(30) * unit)
    numbers = ["epochs_remaining", "lower", "upper"]
    expected = answer(fine)[numbers].to_numpy() * unit
    np.testing.assert_allclose(answer(coarse)[numbers].to_numpy(), expected, rtol=1e-12)


def test_two_times_the_learning_rate_of_a_coarser_clock_is_not_known(answer: Answer) -> None:
    coarse = one_run(GEOMETRIC, lr=0.1, grad_norm=1.0).assign(epoch=np.arange(30) * 2)
    assert set(answer(coarse)["reason"].iloc[1:]) >= {"predicted from the loss alone"}


def test_unseen_runs_are_predicted_well(answer: Answer, log: pd.DataFrame) -> None:
    """Closed form: loss_t = loss_0 (1 - 2 lr)^(2t), target 1e-3."""
    found = answer(log).reset_index().merge(log, on=["run_id", "epoch"])
    found = found[(found["status"] == "ok") & (found["p_converges"] > 0.9)]
    truth = np.ceil(np.log(1e-3 / found["loss"]) / (2 * np.log1p(-2 * found["lr"])))
    error = np.abs(found["epochs_remaining"] - truth) / truth
    covered = (found["lower"] <= truth) & (truth <= found["upper"])
    assert len(found) > 100
    assert error.median() < 0.1
    assert covered.mean() > 0.75


@few
@given(losses=st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=40))
def test_numbers_keep_their_promises_for_any_curve(answer: Answer, losses: list[float]) -> None:
    found = answer(one_run(losses))
    predicted = found.dropna(subset="epochs_remaining")
    assert len(found) == len(losses)
    assert (found["epochs_remaining"].isna() == (found["status"] == "insufficient_history")).all()
    assert (predicted["lower"] >= 0).all()
    assert (predicted["lower"] <= predicted["epochs_remaining"]).all()
    assert (predicted["epochs_remaining"] <= predicted["upper"]).all()
    assert (predicted["upper"] <= MAX_REMAINING * (1 + 1e-12)).all()
    assert predicted["p_converges"].between(0, 1).all()


def test_a_higher_level_is_never_narrower(answer: Answer, log: pd.DataFrame) -> None:
    narrow, wide = answer(log, level=0.5), answer(log, level=0.9)
    assert (wide["lower"].dropna() <= narrow["lower"].dropna()).all()
    assert (wide["upper"].dropna() >= narrow["upper"].dropna()).all()
    assert (wide["upper"] > narrow["upper"]).any()


def test_an_unsupported_level_has_no_upper_end(answer: Answer) -> None:
    found = answer(one_run(GEOMETRIC), level=0.999999)
    assert found["epochs_remaining"].iloc[1:].notna().all()
    assert (found["lower"].iloc[1:] == 0).all()
    assert found["upper"].isna().all()


def test_a_run_is_over_once_it_reached_the_target_for_good(answer: Answer) -> None:
    found = answer(one_run([1.0, 0.5, 1e-3, 0.5, 0.4]))
    assert found["status"].tolist()[2:] == ["already_converged"] * 3
    assert (found[["epochs_remaining", "lower", "upper"]].iloc[2:] == 0).all(axis=None)
    assert (found["p_converges"].iloc[2:] == 1).all()


def test_a_first_epoch_below_the_target_needs_no_history(answer: Answer) -> None:
    assert answer(one_run([1e-9]))["status"].tolist() == ["already_converged"]


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_what_happened_first_decides(answer: Answer, bad: float) -> None:
    diverged = answer(one_run([1.0, 0.5, bad, 1e-4]), on_bad=OnBad.FLAG)
    assert diverged["status"].tolist()[2:] == ["diverged"] * 2
    assert diverged["epochs_remaining"].iloc[2:].isna().all()
    assert (diverged["p_converges"].iloc[2:] == 0).all()
    converged = answer(one_run([1.0, 1e-4, bad, 1.0]), on_bad=OnBad.FLAG)
    assert converged["status"].tolist()[1:] == ["already_converged"] * 3


def test_bad_values_stop_unless_flagged(answer: Answer) -> None:
    bad = pa.table({"run_id": ["r"] * 3, "epoch": [0, 1, 2], "loss": [1.0, 0.5, float("nan")]})
    with pytest.raises(DataError, match=r"column 'loss', data row 3: .* got nan; .*--on-bad flag"):
        answer(bad)
    assert answer(bad, on_bad=OnBad.FLAG)["status"].tolist()[2] == "diverged"


def test_a_missing_loss_is_an_evaluation_that_did_not_happen(answer: Answer) -> None:
    """Missing rows in a run of unit spacing leave a gap, which is flagged; a bad one diverges."""
    found = answer(one_run([1.0, 0.9, None, 0.72, 0.65]))  # type: ignore[list-item]
    assert found["status"].tolist()[2] == "insufficient_history"
    assert found["reason"].tolist()[2] == "no loss at this epoch"
    assert found["reason"].tolist()[3].startswith("epochs not evenly spaced")
    assert found["epochs_remaining"].iloc[3:].notna().all()


def test_evaluations_every_other_epoch_are_an_even_log(answer: Answer) -> None:
    sparse = one_run([value if t % 2 == 0 else None for t, value in enumerate(GEOMETRIC)])  # type: ignore[misc]
    dense = one_run(GEOMETRIC[::2]).assign(epoch=range(0, 30, 2))
    evaluated = answer(sparse).iloc[::2]
    assert_same(evaluated, answer(dense))


def test_last_is_the_last_row_of_each_run(answer: Answer, log: pd.DataFrame) -> None:
    every = answer(log)
    last = every.groupby("run_id", sort=False).tail(1)
    assert_same(answer(log, at=LAST), last)


def test_last_is_the_last_row_with_a_loss(answer: Answer) -> None:
    trailing = one_run([*GEOMETRIC, None])  # type: ignore[list-item]
    assert answer(trailing, at=LAST).index.tolist() == [("r", 29)]
    nothing = one_run([None, None]).astype({"loss": float})  # type: ignore[list-item]
    assert answer(nothing, at=LAST)["status"].tolist() == ["insufficient_history"]


@pytest.mark.parametrize("epoch", [0, 3, 40, 10**6])
def test_at_an_epoch_is_the_row_of_that_epoch_or_the_last_before(
    answer: Answer, log: pd.DataFrame, epoch: int
) -> None:
    every = answer(log).reset_index()
    expected = every[every["epoch"] <= epoch].groupby("run_id", sort=False).tail(1)
    assert_same(answer(log, at=epoch), expected.set_index(["run_id", "epoch"]))


def test_a_run_without_such_an_epoch_says_so(answer: Answer, log: pd.DataFrame) -> None:
    late = log.assign(epoch=log["epoch"] + np.where(log["run_id"] == "run-3", 10, 0))
    found = answer(late, at=5)
    assert len(found) == late["run_id"].nunique()
    row = found.loc[("run-3", 5)]
    assert row["status"] == "insufficient_history"
    assert row["reason"] == "no epoch up to 5 with a loss"
    assert np.isnan(row["epochs_remaining"])


def test_unlike_rows_get_an_interval_twice_as_wide_in_the_logarithm(
    answer: Answer, predictor: Callable[..., Predictor]
) -> None:
    known = one_run(GEOMETRIC, optimizer="sgd")
    unseen = one_run(GEOMETRIC, optimizer="adamw")
    ok, unlike = answer(known, model="loss-causal"), answer(unseen, model="loss-causal")
    rows = (ok["status"] == "ok") & (ok["lower"] > 0) & (unlike["lower"] > 0)
    assert rows.sum() > 5
    assert (unlike["status"].iloc[1:] == "out_of_distribution").all()
    assert (unlike["reason"].iloc[1:].str.startswith("optimizer 'adamw' not in training")).all()
    down, up = predictor("loss-causal").offsets["all"]
    for side, offset in (("lower", down), ("upper", up)):
        centre = np.log1p(ok.loc[rows, "epochs_remaining"])
        inside = (offset < 0) == (side == "lower")
        assert inside, "the offsets of this bundle lie on both sides of its predictions"
        np.testing.assert_allclose(np.log1p(ok.loc[rows, side]) - centre, offset, rtol=1e-9)
        wide = np.log1p(unlike.loc[rows, side]) - centre
        np.testing.assert_allclose(wide, WIDENING * offset, rtol=1e-9)


@pytest.mark.parametrize("spelling", ["sgd", "SGD", " Sgd "])
def test_the_case_of_a_known_name_never_matters(answer: Answer, spelling: str) -> None:
    assert_same(
        answer(one_run(GEOMETRIC, optimizer=spelling)), answer(one_run(GEOMETRIC, optimizer="sgd"))
    )


def test_a_feature_outside_its_range_is_named(answer: Answer) -> None:
    found = answer(one_run(GEOMETRIC, lr=1e-6, grad_norm=1.0))
    assert (found["status"].iloc[1:] == "out_of_distribution").all()
    assert found["reason"].iloc[1:].str.contains("log_lr below -4").all()


def test_a_curve_unlike_any_other_is_flagged(answer: Answer) -> None:
    wild = [float(10 ** (2 * (-1) ** t)) for t in range(30)]
    assert (answer(one_run(wild))["status"].iloc[2:] == "out_of_distribution").all()


def test_a_long_list_of_reasons_is_cut(answer: Answer) -> None:
    wild = one_run([1e9, 1e-2, 1e8, 1e-2], lr=1e-9, grad_norm=1e9, optimizer="lion")
    reason = answer(wild)["reason"].iloc[-1]
    assert reason.count(";") == 3
    assert reason.endswith(" more")


def test_setting_that_changes_is_flagged_from_there_on(answer: Answer) -> None:
    scheduled = one_run(GEOMETRIC, lr=[0.1] * 10 + [0.01] * 20, grad_norm=1.0)
    reasons = answer(scheduled)["reason"]
    changed = reasons.str.contains("lr changes along the run")
    assert changed.tolist() == [False] * 10 + [True] * 20


def test_parameters_count(answer: Answer, draw_curves: Callable[..., Any]) -> None:
    curves = draw_curves(seed=5, n_runs=1)
    base = one_run(list(curves.loss[0, :20]), lr=curves.lr[0, 0]).assign(
        grad_norm=curves.grad_norm[0, :20], path_length=curves.path_length[0, :20]
    )
    params = curves.params[0, :20]
    scalar = base.assign(**{f"param_{i}": params[:, i] for i in range(3)})
    listed = base.assign(params=list(params))
    found = answer(scalar, model="params-causal")
    assert_same(answer(listed, model="params-causal"), found)
    assert "predicted from the loss alone" not in set(found["reason"])
    assert set(answer(base, model="params-causal")["reason"].iloc[1:3]) == {
        "predicted from the loss alone"
    }


def test_another_number_of_parameters_is_refused(answer: Answer) -> None:
    four = one_run(GEOMETRIC, **{f"param_{i}": 1.0 for i in range(4)})
    with pytest.raises(DataError, match=r"expected 3 parameters .* found 4"):
        answer(four, model="params-causal")
    assert len(answer(four, model="xgboost/neuron-causal")) == 30, "a bundle without parameters"


def test_names_of_columns_can_be_chosen(answer: Answer, log: pd.DataFrame) -> None:
    foreign = log.rename(columns={"run_id": "id", "epoch": "t", "loss": "train_loss"})
    choice = ColumnChoice(run="id", time="t", metric="train_loss")
    assert_same(answer(foreign, columns=choice), answer(log))


def test_a_log_without_runs_is_one_run(answer: Answer) -> None:
    alone = one_run(GEOMETRIC).drop(columns="run_id")
    named = one_run(GEOMETRIC).assign(run_id="log")
    assert_same(answer(alone), answer(named))


def test_strict_refuses_what_is_tolerated(answer: Answer) -> None:
    tolerated = {
        "ignored columns 'note'": one_run(GEOMETRIC, note="x"),
        "no column of runs": one_run(GEOMETRIC).drop(columns="run_id"),
        "1 runs had their epochs out of order": one_run(GEOMETRIC).iloc[::-1],
        "1 rows without a loss": one_run([1.0, None, 0.5]),  # type: ignore[list-item]
        "no rows": one_run(GEOMETRIC).iloc[:0].astype({"run_id": str}),
    }
    for message, tolerable in tolerated.items():
        assert len(answer(tolerable)) == len(tolerable)
        with pytest.raises(DataError, match=message):
            answer(tolerable, strict=True)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Bit-equal, missing values included."""
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_an_interval_holds_its_prediction_however_biased_the_residuals(
    predictor: Callable[..., Predictor],
) -> None:
    remaining, no = np.array([0.0, 3.0, 100.0]), np.zeros(3, dtype=bool)
    for offsets in ((0.1, 0.5), (-0.5, -0.1)):
        biased = replace(predictor(), offsets={"all": offsets, "loss_only": offsets})
        lower, upper = biased.interval(remaining, (np.zeros(3), np.ones(3)), ~no, no)
        assert (lower <= remaining).all()
        assert (upper >= remaining).all()


def test_what_was_odd_once_stays_flagged(answer: Answer) -> None:
    blip = one_run(GEOMETRIC, lr=0.1, grad_norm=1.0)
    blip.loc[10, "lr"] = 0.2
    blip.loc[20:, "epoch"] += 1
    reasons = answer(blip)["reason"]
    for reason, since in {"lr changes": 10, "epochs not evenly spaced": 20}.items():
        assert reasons.str.contains(reason).tolist() == [t >= since for t in range(30)]


def test_a_combination_is_far_though_each_feature_is_usual(
    predictor: Callable[..., Predictor],
) -> None:
    novelty = predictor().novelty
    assert novelty is not None
    usual = novelty.reference
    rng = np.random.default_rng(0)
    mixed = np.stack([rng.permutation(column) for column in usual.T], axis=1)
    (near,), (far,) = (far_from_training(rows, novelty).values() for rows in (usual, mixed))
    assert near.mean() < 0.02
    assert far.mean() > 0.5
    assert not outside_ranges(mixed, predictor().manifest, predictor().ranges)


def test_a_bundle_without_a_classifier_gives_no_probability(
    predictor: Callable[..., Predictor],
) -> None:
    bare = replace(predictor(), converges=None, novelty=None)
    n_features = len(bare.manifest.features)
    yes = np.ones(2, dtype=bool)
    forecast = bare.forecast(np.zeros((2, n_features), np.float32), np.ones(2), yes, ~yes)
    assert forecast.p_converges is None
    assert far_from_training(np.zeros((2, n_features)), bare.novelty) == {}
