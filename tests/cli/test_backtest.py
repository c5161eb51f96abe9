"""`backtest` end to end: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.backtesting.forecasters import FORECASTERS, TRIED
from epochs_left.cli.backtest_table import TextTable, fitting

N_RUNS, HORIZON = 10, 40
ASKED = ("--target", "0.05", "--horizon", HORIZON, "--task-column", "task")


def sweep_of(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for run in range(N_RUNS):
        epoch, pace = np.arange(1, HORIZON + 1), rng.uniform(0.08, 0.18)
        loss = np.exp(-pace * epoch) + (0.2 if run == 3 else 0.0)
        noise = np.exp(0.02 * rng.normal(size=HORIZON))
        config = json.dumps({"pace": round(pace, 2), "e": f"{HORIZON:03d}", "seed": run})
        parts.append(
            pd.DataFrame(
                {
                    "run_id": f"run-{run}",
                    "epoch": epoch,
                    "loss": loss * noise,
                    "task": "odd" if run % 2 else "even",
                    "goal": 0.05,
                    "config": config,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def log(place: Path) -> str:
    """A log of finished runs in the current folder."""
    sweep_of().to_csv(place / "sweep.csv", index=False)
    return "sweep.csv"


@pytest.fixture
def scores(cli: Any, log: str) -> Callable[..., Any]:
    """Run a backtest and return its JSON."""

    def run(*options: str | int) -> Any:
        done = cli("backtest", log, "-o", "-", *map(str, options))
        assert done.code == 0, done.err
        return json.loads(done.out)

    return run


def test_every_forecaster_is_scored_at_every_budget_and_task(scores: Any) -> None:
    found = scores(*ASKED)
    assert found["budgets"] == [10, 25, 50]
    seen = {(each["budget"], each["task"], each["forecaster"]) for each in found["scores"]}
    tasks = (None, "even", "odd")
    assert seen == {(b, t, f) for b in (10, 25, 50) for t in tasks for f in FORECASTERS}
    assert found["runs"]["n_runs"] == N_RUNS
    assert found["runs"]["n_not_reached"] >= 1


def test_the_counts_add_up_and_tasks_add_up_to_all(scores: Any) -> None:
    found = scores(*ASKED)["scores"]
    counts = ("n_runs", "n_resolved", "n_not_predictable", "n_censored", "n_scored")
    for entry in found:
        n_runs, *parts = (entry[name] for name in counts)
        assert n_runs == sum(parts)
    for entry in (each for each in found if each["task"] is None):
        same = [
            each
            for each in found
            if (each["budget"], each["forecaster"]) == (entry["budget"], entry["forecaster"])
        ]
        for name in counts:
            assert 2 * entry[name] == sum(each[name] for each in same)


def test_what_is_tried_has_intervals_and_is_compared_with_every_baseline(scores: Any) -> None:
    found = scores(*ASKED)
    for entry in (each for each in found["scores"] if each["task"] is None):
        lower = entry["median_relative_error"]["lower"]
        assert (lower is not None) == (entry["forecaster"] in TRIED)
    pairs = {(each["forecaster"], each["baseline"]) for each in found["comparisons"]}
    assert pairs == set(product(TRIED, set(FORECASTERS) - set(TRIED)))
    for each in found["comparisons"]:
        assert each["wins"] + each["losses"] + each["ties"] == each["n_runs"]


@pytest.mark.parametrize(
    "options",
    [
        ("--target-column", "goal", "--horizon-column", "config.e", "--task-column", "task"),
        (*ASKED, "--budgets", "50,10,25,25%"),
    ],
)
def test_other_words_for_the_same_question(scores: Any, options: Sequence[str]) -> None:
    found, same = scores(*ASKED), scores(*options)
    assert same["scores"] == found["scores"]
    assert same["comparisons"] == found["comparisons"]


def test_permuted_rows_give_the_same_scores(cli: Any, place: Path, scores: Any) -> None:
    found = scores(*ASKED)
    sweep_of().sample(frac=1.0, random_state=0).to_csv(place / "sweep.csv", index=False)
    for entry, same in zip(found["scores"], scores(*ASKED)["scores"], strict=True):
        assert same.keys() == entry.keys()
        for name, value in entry.items():
            assert same[name] == (pytest.approx(value) if isinstance(value, dict) else value), name


def test_without_a_horizon_budgets_are_of_the_task_median(scores: Any) -> None:
    usual = scores("--target", "0.05", "--task-column", "task")
    named = scores("--target", "0.05", "--task-column", "task", "--horizon", "task-median")
    assert usual == named
    assert usual["horizon"] == "task-median"


def test_a_plateau_of_json_columns(scores: Any) -> None:
    found = scores(
        *("--plateau", "0.05", "-m", "plateau-causal", "--horizon-column", "config.e"),
        *("--lineage-column", "config", "--lineage-without", "config.seed"),
    )
    assert found["plateau"] == 0.05
    assert found["runs"]["n_lineages"] <= N_RUNS
    assert {each["task"] for each in found["scores"]} == {None}


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_predictions_have_a_row_a_run_budget_and_forecaster(
    cli: Any, log: str, place: Path, extension: str
) -> None:
    out = f"all.{extension}"
    assert cli("backtest", log, *ASKED, "--predictions", out, "-q").code == 0
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    table = readers[extension](place / out)
    keys = ["run_id", "budget", "forecaster"]
    assert len(table) == N_RUNS * 3 * len(FORECASTERS)
    assert not table.duplicated(keys).any()
    assert list(table.columns[:7]) == [
        *("run_id", "cut_epoch", "epochs_remaining"),
        *("lower", "upper", "p_converges", "status"),
    ]
    assert (table.cut_epoch == (table.budget / 100 * HORIZON).astype(int)).all()
    reached = sweep_of().query("loss <= 0.05").groupby("run_id").epoch.min()
    actual = table.run_id.map(reached) - table.cut_epoch
    pd.testing.assert_series_equal(table.actual.astype(float), actual, check_names=False)


def test_the_table_goes_to_stdout_and_the_json_to_its_file(cli: Any, log: str, place: Path) -> None:
    done = cli("backtest", log, *ASKED, "-o", "scores.json", "--policy", "slower", "--no-progress")
    assert done.code == 0
    assert "10 % of the horizon, all runs\nforecaster" in done.out
    assert all(name in done.out for name in FORECASTERS)
    assert "stopping runs there\npolicy" in done.out
    assert json.loads((place / "scores.json").read_text())["runs"]["n_runs"] == N_RUNS
    assert "ignored columns 'goal', 'config'" in done.err
    assert cli("backtest", log, *ASKED, "-q").out == ""


def test_policies_are_in_the_json(scores: Any) -> None:
    texts = ("never:0.9", "slower:0.8", "median", "never+slower")
    found = scores(*ASKED, *(part for text in texts for part in ("--policy", text)))
    policies = found["policies"]
    assert [each["policy"] for each in policies[::3]] == list(texts) * 3
    for each in policies:
        assert each["n_stopped"] == each["n_rightly"] + each["n_wrongly"] <= each["n_open"]


def test_a_pipe_is_read_and_another_metric_rises(cli: Any, log: str, place: Path) -> None:
    table = pd.read_csv(log)
    table.assign(accuracy=100 * (1 - table.loss)).drop(columns="loss").to_json(
        place / "rises.jsonl", orient="records", lines=True
    )
    options = ("--metric", "accuracy", "--mode", "max", "--ceiling", "100", "--target", "95")
    done = cli("backtest", "rises.jsonl", *options, "--horizon", "40", "-o", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["runs"]["n_reached"] >= 5


def test_runs_that_nothing_is_said_of_are_counted_and_named(cli: Any, place: Path) -> None:
    log = sweep_of()
    late = log[(log.run_id != "run-0") | (log.epoch > 8)]
    late[(late.run_id != "run-3") | (late.epoch <= 30)].to_csv(place / "sweep.csv", index=False)
    done = cli("backtest", "sweep.csv", *ASKED, "-o", "-")
    assert "1 runs end before their horizon and are not scored" in done.err
    assert "1 runs have fewer than 2 rows at 10 %; not predictable" in done.err
    first = json.loads(done.out)["scores"][0]
    assert (first["n_runs"], first["n_not_predictable"]) == (N_RUNS - 1, 1)


def test_no_rows_are_no_error(cli: Any, place: Path) -> None:
    (place / "none.csv").write_text("run_id,epoch,loss\n")
    done = cli("backtest", "none.csv", "--target", "1", "-o", "-", "--predictions", "all.csv")
    assert done.code == 0
    assert "no rows: nothing to replay" in done.err
    assert json.loads(done.out)["scores"] == []
    assert (place / "all.csv").read_text().count("\n") == 1


REFUSED = [
    (("absent.csv", "--target", "1"), 5, "cannot read absent.csv"),
    (("sweep.csv",), 2, "expected one of --target X, --target-column COLUMN and --plateau P"),
    (("sweep.csv", "--target", "1", "--plateau", "0.1"), 2, "pass one"),
    (("sweep.csv", "--target", "0"), 2, "--target: expected a loss above 0"),
    (("sweep.csv", "--target", "2", "--mode", "max"), 2, "less than the ceiling 1, got 2"),
    (("sweep.csv", "--target", "1", "--ceiling", "nan"), 2, "--ceiling: expected a number"),
    (("sweep.csv", "--target", "1", "--horizon", "x"), 2, "or task-median, got 'x'"),
    (("sweep.csv", "--target", "1", "--horizon", "0"), 2, "--horizon: expected 1 or more"),
    (("sweep.csv", "--target", "1", "--budgets", "0"), 2, "--budgets: expected percents"),
    (("sweep.csv", "--target", "1", "--budgets", "10,100"), 2, "got '10,100'"),
    (("sweep.csv", "--target", "1", "--budgets", "x"), 2, "write 10,25,50"),
    (("sweep.csv", "--target", "1", "--level", "1.5"), 2, "--level"),
    (("sweep.csv", "--target", "1", "--jobs", "0"), 2, "--jobs"),
    (("sweep.csv", "--target", "1", "--policy", "nevr"), 2, "did you mean 'never'"),
    (("sweep.csv", "--plateau", "0.1"), 4, "was not trained on plateaus"),
    (("sweep.csv", "--plateau", "0.1", "-m", "plateau-causal"), 2, "pass --horizon EPOCHS"),
    (
        ("sweep.csv", "--plateau", "0.1", "-m", "plateau-causal", "--horizon", "task-median"),
        2,
        "exclude each other",
    ),
    (("sweep.csv", "--target", "1", "--task-column", "tusk"), 3, "did you mean 'task'"),
    (("sweep.csv", "--target", "1", "--metric", "los"), 3, "--metric loss"),
    (("sweep.csv", "--target-column", "config.goal"), 3, "got nothing"),
    (("sweep.csv", "--target", "1", "--horizon-column", "task.x"), 3, "expected JSON"),
    (("sweep.csv", "--target", "1", "--task-column", "epoch"), 3, "one value in a run"),
    (("sweep.csv", "--target", "1e-9"), 3, "no run has another lineage"),
    (
        ("sweep.csv", "--target", "1", "--lineage-column", "task", "--lineage-without", "task"),
        2,
        "expected a key of the JSON",
    ),
    (("sweep.csv", "--target", "0.001", "--strict", "--horizon", "9"), 3, "ignored columns"),
    (("sweep.csv", "--target", "1", "-o", "sweep.csv", "--force"), 2, "is the input"),
    (("sweep.csv", "--target", "1", "-o", "x.json", "--predictions", "x.json"), 2, "two outputs"),
    (("sweep.csv", "--target", "1", "--predictions", "x.txt"), 2, "extension '.txt'"),
    (("sweep.csv", "--target", "1", "-o", "absent/x.json"), 5, "no folder absent"),
    (("sweep.csv", "--target", "1", "-m", "xgboost-oracle"), 4, "oracle view"),
    (("bad.csv", "--target", "1"), 3, "column 'loss', data row 2: expected a finite number"),
    (("twice.csv", "--target", "1"), 3, "run 'a' has epoch 0 twice"),
]


@pytest.mark.parametrize(("options", "code", "says"), REFUSED)
def test_refused_in_one_line_and_nothing_is_published(
    cli: Any, log: str, place: Path, options: Sequence[str], code: int, says: str
) -> None:
    (place / "bad.csv").write_text("run_id,epoch,loss\na,0,1\na,1,nan\n")
    (place / "twice.csv").write_text("run_id,epoch,loss\na,0,1\na,0,1\n")
    before = {path.name: path.read_bytes() for path in place.glob("*.*")}
    done = cli("backtest", *options)
    assert done.code == code, done.err
    assert says in done.error
    assert {path.name: path.read_bytes() for path in place.glob("*.*")} == before


def test_an_output_is_replaced_with_force_alone(cli: Any, log: str, place: Path) -> None:
    (place / "x.json").write_text("old")
    done = cli("backtest", log, *ASKED, "-o", "x.json")
    assert (done.code, (place / "x.json").read_text()) == (5, "old")
    assert cli("backtest", log, *ASKED, "-o", "x.json", "--force", "-q").code == 0
    assert json.loads((place / "x.json").read_text())["schema_version"] == 1


def test_full_disk_leaves_the_old_outputs(
    cli: Any, log: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x.json", "x.csv"):
        (place / name).write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("epochs_left.storage.atomic.os.fsync", full)
    done = cli("backtest", log, *ASKED, "-o", "x.json", "--predictions", "x.csv", "--force", "-q")
    assert done.code == 5
    assert {(place / name).read_text() for name in ("x.json", "x.csv")} == {"old"}


def test_a_device_is_written_to_and_not_replaced(
    log: str, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    program = start("backtest", log, *ASKED, "-o", "/dev/stdout", "-q")
    out, err = program.communicate()
    assert program.returncode == 0, err
    assert json.loads(out)["runs"]["n_runs"] == N_RUNS


def test_a_narrow_terminal_goes_without_spare_columns_alone() -> None:
    table = TextTable("", ("forecaster", "runs", "lineages", "error"), [("model", "9", "8", "0.1")])
    assert fitting(table, 80) == table
    narrow = fitting(table, 30)
    assert narrow.head == ("forecaster", "runs", "error")
    assert narrow.rows == [("model", "9", "0.1")]
    assert fitting(table, 1).head == narrow.head
