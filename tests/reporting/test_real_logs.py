"""The section on real logs, and the benchmark that it shows."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from epochs_left.backtesting.forecasters import FORECASTERS, TRIED
from epochs_left.cli.program import app
from epochs_left.reporting import build_report
from epochs_left.reporting.replays import RULES
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS

FILE = "benchmarks/real_logs.json"
ROOT = Path(__file__).parents[2]
BENCHMARK = ROOT / "benchmarks" / "real_logs.py"
RECORDED = ROOT / "benchmarks" / "results" / "real_logs.json"
EVIL = "<script>alert(1)</script>"
Block = dict[str, Any]
LOGS = {"keras": "Keras, schedule stated", "keras_bare": "Keras, no schedule stated"}


def _blocks(record: Any) -> list[Block]:
    return [dict(block) for block in SECTIONS["real_logs"].compose(Results({FILE: record}))]


def _words(blocks: list[Block]) -> str:
    return " ".join(line for block in blocks for line in block.get("paragraphs", []))


def _figure(blocks: list[Block], name: str) -> Block:
    (found,) = (block for block in blocks if block["kind"] == "figure" and block["id"] == name)
    return found


def _table(blocks: list[Block], name: str) -> Block:
    (found,) = (block for block in blocks if block["kind"] == "table" and block["id"] == name)
    return found


def _around(value: float, half: float = 0.01) -> list[float]:
    return [value, value - half, value + half]


def _tried(name: str, error: float, rules: dict[str, float]) -> dict[str, Any]:
    against = [
        {"baseline": rule, "wins_ties_losses": [9, 0, 1], "difference": _around(error - theirs)}
        for rule, theirs in rules.items()
    ]
    return {
        "forecaster": name, "n_scored": 200, "n_lineages": 90, "error": _around(error),
        "r2_log": _around(0.9), "coverage": _around(0.9), "width_factor": _around(2.5),
        "against": against,
    }  # fmt: skip


def _entry(log: str, budget: float, error: float, rules: dict[str, float]) -> dict[str, Any]:
    baselines = [
        {"forecaster": rule, "n_scored": 200, "n_lineages": 90, "error": _around(theirs)}
        for rule, theirs in rules.items()
    ]
    tried = [_tried(TRIED[0], error, rules), _tried(TRIED[1], error / 2, rules)]
    return {"log": log, "budget": budget, "forecasters": [*tried, *baselines]}


def _record(error: float = 0.1, **rules: float) -> dict[str, Any]:
    rules = rules or {"power_law": 0.2, "task_median": 0.3}
    logs = [
        {
            "log": name, "title": title, "origin": "somebody/something, MIT, 2018",
            "metric": "loss", "is_pooled": at == 0, "n_runs": 300, "n_lineages": 100,
            "n_reached": 250, "n_not_reached": 40, "n_unfinished": 10,
        }
        for at, (name, title) in enumerate(LOGS.items())
    ]  # fmt: skip
    scores = [
        _entry(log, budget, error, rules) for log in ("pooled", *LOGS) for budget in (10.0, 25.0)
    ]
    head = {"model": "released/plateau", "model_sha256": "ab" * 32, "plateau": 0.01, "level": 0.9}
    return {**head, "logs": logs, "scores": scores}


def test_the_sentence_follows_the_figures() -> None:
    words = _words(_blocks(_record()))
    assert "On 200 runs of 1 public set of logs, at 25\u202f% of their horizon" in words
    assert "by 10\u202f% (9\u202f% to 11\u202f%) of it (median)" in words
    assert "the best simple rule (power law), picked afterwards, by 20\u202f%" in words
    assert "errs less than 2 of 2 rules beyond chance, and more than none" in words
    assert "In none of 12 cases" in words
    assert "Predictor: released/plateau (abababababab)" in words
    assert "they served to choose features and priors, never to fit" in words


def test_a_rule_that_is_better_is_named_where_it_is() -> None:
    blocks = _blocks(_record(0.3, power_law=0.05, optimus=0.5))
    words = _words(blocks)
    assert "errs less than 1 of 2 rules beyond chance, and more than power law" in words
    assert "in 12 of 12 cases" in words
    rows = _table(blocks, "losses")["rows"]
    assert {row[4] for row in rows} == {"power law"}
    assert rows[0][5]["value"] == pytest.approx(25.0)


def test_a_rule_that_may_be_better_by_chance_is_not_named() -> None:
    blocks = _blocks(_record(0.2, power_law=0.195))
    assert "errs less than 0 of 1 rules beyond chance, and more than none" in _words(blocks)


def test_the_best_rule_is_picked_budget_by_budget() -> None:
    record = _record()
    for entry in record["scores"]:
        if entry["budget"] == 25.0:
            entry["forecasters"][-1]["error"] = _around(0.15)
    (panel, *_) = _figure(_blocks(record), "errors")["panels"]
    tips = [point["tip"] for point in panel["chart"]["lines"][0]["points"]]
    assert [tip.partition(",")[0] for tip in tips] == ["power law", "median of finished runs"]


def test_hopeless_errors_stand_at_the_upper_edge() -> None:
    for panel in _figure(_blocks(_record(7.0)), "errors")["panels"]:
        points = [point for line in panel["chart"]["lines"] for point in line["points"]]
        assert max(point["y"] for point in points) == 1.0
        assert max(point["upper"] for point in points) == 1.0


def test_coverage_is_that_of_the_logs_with_all_that_is_known_stated() -> None:
    found = _figure(_blocks(_record()), "coverage")
    labels = [row["label"] for row in found["panels"][0]["chart"]["rows"]]
    assert labels == ["Keras, schedule stated, 10 %", "Keras, schedule stated, 25 %"]
    assert found["panels"][0]["chart"]["reference"] == 0.9


def test_without_pooled_logs_the_first_is_told() -> None:
    record = _record()
    record["scores"] = [entry for entry in record["scores"] if entry["log"] != "pooled"]
    assert "On 200 runs of Keras, schedule stated, at" in _words(_blocks(record))


@pytest.mark.parametrize(
    "record",
    [
        {},
        [],
        {"scores": []},
        {"scores": [None, 3, {"log": "keras"}]},
        {"scores": [{"log": "keras", "budget": 10, "forecasters": [{"forecaster": "model"}]}]},
        {"scores": [_entry("keras", 10.0, math.nan, {})]},
    ],
)
def test_nothing_usable_leaves_the_section_out(record: Any) -> None:
    assert _blocks(record) == []


def test_partial_results_raise_nothing() -> None:
    alone = {"forecaster": TRIED[1], "n_scored": 3, "error": 0.2}
    blocks = _blocks({"scores": [{"log": "new", "budget": 40, "forecasters": [alone]}]})
    assert "was not tried at 40\u202f%" in _words(blocks)
    assert len(_figure(blocks, "errors")["panels"]) == 1
    bare = {"forecaster": TRIED[0], "n_scored": 3, "error": 0.2}
    blocks = _blocks({"scores": [{"log": "new", "budget": 40, "forecasters": [bare]}]})
    assert "by 20\u202f% of it (median). By itself" in _words(blocks)


def test_every_figure_has_title_caption_description_and_data() -> None:
    figures = [block for block in _blocks(_record()) if block["kind"] == "figure"]
    assert [each["id"] for each in figures] == ["errors", "coverage"]
    for each in figures:
        assert each["title"]
        assert each["caption"]
        assert each["table"]["rows"]
        assert all(panel["title"] and panel["description"] for panel in each["panels"])


def test_names_from_data_stay_text() -> None:
    record = json.loads(json.dumps(_record()).replace("power_law", EVIL).replace("Keras", EVIL))
    page = build_report({FILE: record | {"model": EVIL}})
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_recorded_results_are_those_of_the_present_forecasters() -> None:
    record = json.loads(RECORDED.read_text())
    names = {name for name, _ in FORECASTERS.items()}
    assert {
        each["forecaster"] for entry in record["scores"] for each in entry["forecasters"]
    } == names
    assert names - set(TRIED) == set(RULES)
    assert RECORDED.stat().st_size < 40 * 1024
    assert {entry["log"] for entry in record["scores"]} == {
        "pooled", *(log["log"] for log in record["logs"]),
    }  # fmt: skip
    assert len(_figure(_blocks(record), "errors")["panels"]) == 1 + len(record["logs"])


# The benchmark


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARK))


def _curves(seed: int, n_runs: int, n_epochs: int, time: str, metric: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    epoch = np.arange(1, n_epochs + 1)
    rates = rng.uniform(0.05, 0.6, (n_runs, 1))
    loss = np.exp(-rates * epoch) + 0.1 + 0.002 * rng.normal(size=(n_runs, n_epochs))
    return pd.DataFrame(
        {
            "run_id": np.repeat([f"run {at}" for at in range(n_runs)], n_epochs),
            time: np.tile(epoch, n_runs),
            metric: loss.ravel(),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three logs of the published ones' columns, made up."""
    here = tmp_path_factory.mktemp("logs")
    keras = _curves(0, 24, 40, "epoch", "train_loss")
    settings = [json.dumps({"e": "040", "seed": name[-1]}) for name in keras["run_id"]]
    keras.assign(task="digits", hyperparameters=settings).to_parquet(here / "garbin_keras.parquet")
    cifar = _curves(1, 6, 164, "epoch", "train_loss")
    cifar.assign(task="cifar10/vgg19_bn").to_parquet(here / "bearpaw.parquet")
    gpt = _curves(2, 8, 20, "step", "valid_loss")
    gpt.assign(task="short", record="one", total_steps=20).to_parquet(
        here / "modded_nanogpt.parquet"
    )
    return here


@pytest.fixture(scope="module")
def measured(benchmark: dict[str, Any], folder: Path, tmp_path_factory: Any) -> dict[str, Any]:
    """Return what the benchmark writes of the made-up logs."""
    output = tmp_path_factory.mktemp("out") / "real_logs.json"
    arguments, sys.argv = sys.argv, ["real_logs.py", str(folder), "-o", str(output)]
    try:
        benchmark["main"]()
    finally:
        sys.argv = arguments
    return json.loads(output.read_text())


def test_scores_are_those_of_the_command(
    measured: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    options = {
        "--metric": "train_loss", "--plateau": "0.01", "--set": "lr_schedule=constant",
        "--horizon-column": "hyperparameters.e", "--task-column": "task",
        "--lineage-column": "hyperparameters", "--lineage-without": "hyperparameters.e",
        "-o": str(tmp_path / "scores.json"),
    }  # fmt: skip
    log = str(folder / "garbin_keras.parquet")
    arguments = ["backtest", log, "-q", *(word for pair in options.items() for word in pair)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    said = json.loads((tmp_path / "scores.json").read_text())
    reference = {(e["budget"], e["forecaster"]): e for e in said["scores"] if e["task"] is None}
    found = {
        (entry["budget"], each["forecaster"]): each
        for entry in measured["scores"]
        if entry["log"] == "garbin_constant"
        for each in entry["forecasters"]
    }
    assert set(found) == set(reference)
    for key, each in found.items():
        assert each["n_scored"] == reference[key]["n_scored"]
        error = reference[key]["median_relative_error"]["estimate"]
        assert each["error"][0] == pytest.approx(error, rel=6e-3)


def test_pooled_logs_hold_the_runs_of_each(measured: dict[str, Any]) -> None:
    together = [log["log"] for log in measured["logs"] if log["is_pooled"]]
    assert len(together) == 3
    for budget in (10.0, 25.0, 50.0):
        runs = {
            entry["log"]: entry["forecasters"][0]["n_scored"]
            for entry in measured["scores"]
            if entry["budget"] == budget
        }
        assert runs["pooled"] == sum(runs[log] for log in together)


def test_the_section_shows_what_the_benchmark_writes(measured: dict[str, Any]) -> None:
    blocks = _blocks(measured)
    assert len(_figure(blocks, "errors")["panels"]) == 6
    assert len(_table(blocks, "logs")["rows"]) == 5


def test_lineages_of_two_logs_stay_apart(benchmark: dict[str, Any]) -> None:
    numbers = dict.fromkeys(("time", "predicted", "cut", "lower", "upper", "chance"), np.ones(2))
    cases = benchmark["Cases"](**numbers, lineage=np.array([0, 1]))
    assert np.unique(benchmark["joined"]([cases, cases]).lineage).size == 4


@pytest.mark.parametrize(
    ("task", "planned"),
    [("cifar10/resnet-110", 164), ("cifar100/WRN-28-10-drop", 200), ("imagenet/resnet18", 90)],
)
def test_planned_epochs_are_those_of_the_recipe(
    benchmark: dict[str, Any], task: str, planned: int
) -> None:
    log = benchmark["with_planned_epochs"](pd.DataFrame({"task": [task]}))
    assert log["planned"].tolist() == [planned]


def test_runs_of_few_evaluations_are_left_out(benchmark: dict[str, Any]) -> None:
    log = pd.DataFrame({"run_id": ["few"] * 7 + ["many"] * 8})
    assert set(benchmark["evaluated_often"](log)["run_id"]) == {"many"}


def test_a_folder_without_the_logs_is_told_so(
    benchmark: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["real_logs.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"expected garbin_keras\.parquet, bearpaw\.parquet"):
        benchmark["main"]()
