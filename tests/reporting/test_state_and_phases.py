"""Sections on state and history, phases, edges of the learning rate, and ways of resampling."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from epochs_left.reporting import build_report
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import ALL, FAMILIES, SECTIONS

NAMES = ("markov", "phases", "learning_rate_edges", "resampling")
EVIL = "<script>alert(1)</script>"
Block = dict[str, Any]


def _blocks(name: str, results: dict[str, Any], family: str = "neuron") -> list[Block]:
    spec, read = SECTIONS[name], Results(results)
    return [dict(block) for block in spec.compose(read if spec.of == ALL else read.below(family))]


def _words(blocks: list[Block]) -> str:
    told = [line for block in blocks for line in block.get("paragraphs", [])]
    points = [
        item["body"] for block in blocks if block["kind"] == "points" for item in block["items"]
    ]
    return " ".join([*told, *points])


def _figure(blocks: list[Block], name: str) -> Block:
    (found,) = (block for block in blocks if block["kind"] == "figure" and block["id"] == name)
    return found


def _estimate(value: float, half: float | None = 0.02) -> dict[str, float | None]:
    lower, upper = (None, None) if half is None else (value - half, value + half)
    return {"estimate": value, "lower": lower, "upper": upper}


def _part(part: str, gain: float, half: float | None = 0.02) -> dict[str, Any]:
    counts = {"n_rows": 800, "n_runs": 100, "n_lineages": 40}
    return {
        "part": part,
        "state": _estimate(0.8) | counts,
        "state_and_history": _estimate(0.8 + gain) | counts,
        "gain": _estimate(gain, half),
    }


def _group(dimension: str, group: str, n_runs: int, changed: float) -> dict[str, Any]:
    return {
        "dimension": dimension,
        "group": group,
        "n_runs": n_runs,
        "changed": _estimate(changed),
        "speeds_up": _estimate(changed / 2),
        "share_of_training_quartiles": [0.2, 0.5, 0.7] if changed else None,
    }


def _errors(change: str, rows: str, error: float, bias: float) -> dict[str, Any]:
    counts = {"n_runs": 30, "n_rows": 90}
    return {
        "change": change, "rows": rows, **counts, "median_relative_error": error,
        "bias": _estimate(bias, 0.1),
    }  # fmt: skip


def _sweep(task: str, n_runs: int, drop: float, predicted: float | None) -> dict[str, Any]:
    bins = [
        {
            "bin": at, "lr_from": 10.0 ** (at - 3), "lr_to": 10.0 ** (at - 2), "n_runs": 20,
            "converged_share": 0.9 - drop * (at > 1), "n_tested": 4,
            "predicted_share": None if predicted is None else 0.9 - predicted * (at > 1),
            "tested_share": 0.9 - drop * (at > 1),
        }
        for at in range(4)
    ]  # fmt: skip
    return {
        "task": task, "optimizers": "sgd", "batch": "minibatch", "n_runs": n_runs, "bins": bins,
        "sharpest_drop": {"lr": 0.1, "drop": _estimate(drop, 0.1), "predicted_drop": predicted},
        "p_converges": {"n_tested": 16, "gap": 0.05, "gap_of_constant": 0.2},
    }  # fmt: skip


def _resampled(model: str, view: str, **own: Any) -> dict[str, Any]:
    return {"model": model, "view": view, "n_lineages": 100, "n_replicates": 200, **own}


def _refit(model: str, view: str, value: float) -> dict[str, Any]:
    method = "lineages resampled, model fitted again"
    alone = {"estimate": value, "lower": None, "upper": None}
    return _resampled(model, view, method=method, **alone, out_of_bag=_estimate(value))


def _score(model: str, view: str, split: str, value: float) -> dict[str, Any]:
    return {
        "model": model, "title": model.title(), "view": view, "baseline": False, "split": split,
        "scope": "all", "scale": "log", "weighting": "run", "metric": "r2", "level": None,
        "n_runs": 200, "n_lineages": 100, **_estimate(value),
    }  # fmt: skip


def _results() -> dict[str, Any]:
    """Return results of one family in which everything is as one would wish."""
    values = {"row-wise": 0.75, "by lineage": 0.7, "locked test": 0.69}
    models = ("linear", "forest")
    return {
        "neuron/markov.json": [_part("sgd", 0.001), _part("momentum", 0.3), _part("adaptive", 0.1)],
        "neuron/phases.json": {
            "definition": {"min_epochs": 12, "min_segment": 4, "slope_ratio": 3.0},
            "along_training": [
                _group("all", "all", 400, 0.2),
                _group("optimizer", "sgd", 300, 0.1),
                _group("lr_schedule", "constant", 400, 0.2),
            ],
            "prediction": [
                _errors("speeds up", "before the change", 0.1, 0.0),
                _errors("speeds up", "after the change", 0.1, 0.0),
                _errors("none", "all", 0.1, 0.0),
            ],
            "over_lr": [_sweep("moons", 300, 0.2, 0.2), _sweep("xor", 200, 0.6, 0.6)],
        },
        "neuron/bootstrapped_cv.json": [
            *(_refit("linear", view, 0.7) for view in ("oracle", "causal")),
            _resampled("forest", "causal", method="conditional on the fits", **_estimate(0.7)),
        ],
        "neuron/scores.json": [
            _score(model, view, split, value)
            for model in models
            for view in ("oracle", "causal")
            for split, value in values.items()
        ],
    }


def test_history_adds_nothing_beyond_chance_or_it_does() -> None:
    results = _results()
    assert "history adds nothing that shows" in _words(_blocks("markov", results))
    assert "it holds." in _words(_blocks("markov", results))
    results["neuron/markov.json"][0] = _part("sgd", 0.2)
    words = _words(_blocks("markov", results))
    assert "history adds to the present state" in words
    assert "a gain of 0.200 (0.180 to 0.220)" in words
    assert "it does not hold." in words
    assert "beyond chance in 2 of 2 cases, and most in neuron, momentum" in words


def test_without_an_interval_the_claim_is_undecided() -> None:
    results = {"neuron/markov.json": [_part("sgd", 0.2, None)]}
    words = _words(_blocks("markov", results))
    assert "it is undecided." in words
    assert "a gain of 0.200." in words


def test_without_plain_sgd_the_claim_is_not_tested() -> None:
    results = {"mlp/markov.json": [_part("momentum", 0.05)], "char_lm/markov.json": []}
    blocks = _blocks("markov", results)
    assert "No family has enough runs of plain SGD" in _words(blocks)
    assert not [block for block in blocks if block["kind"] == "points"]
    assert len(_figure(blocks, "gain")["table"]["rows"]) == 1


def test_the_gain_is_drawn_of_every_family_and_optimizer() -> None:
    results = _results() | {"resnet/markov.json": [_part("momentum", 0.05)]}
    found = _figure(_blocks("markov", results), "gain")
    labels = [row["label"] for row in found["panels"][1]["chart"]["rows"]]
    assert labels == [
        "neuron, plain SGD",
        "neuron, momentum",
        "neuron, adaptive",
        "resnet, momentum",
    ]


@pytest.mark.parametrize(
    ("error", "bias", "words"),
    [
        (0.1, 0.0, "seen coming: the median error is 10\u202f% before one that speeds up"),
        (0.3, 0.0, "not seen coming: the median error is 30\u202f%"),
        (0.1, 0.3, "the end is predicted too late, by a factor of 1.35 (1.22 to 1.49)"),
        (0.1, -0.3, "the end is predicted too early, by a factor of 0.74 (0.67 to 0.82)"),
    ],
)
def test_a_change_is_seen_coming_if_errors_before_it_are_the_usual(
    error: float, bias: float, words: str
) -> None:
    results = _results()
    results["neuron/phases.json"]["prediction"][0] = _errors(
        "speeds up", "before the change", error, bias
    )
    told = _words(_blocks("phases", results))
    assert words in told
    assert ("not seen coming" in told) == ((error, bias) != (0.1, 0.0))


def test_runs_that_change_are_counted_and_placed() -> None:
    words = _words(_blocks("phases", _results()))
    assert "20\u202f% (18\u202f% to 22\u202f%) of 400 converged runs change their regime" in words
    assert "10\u202f% (8\u202f% to 12\u202f%) to a faster one" in words
    assert "Half of the changes lie between 20\u202f% and 70\u202f%" in words
    assert "at least 3 times as steep" in words


def test_a_group_of_all_runs_is_not_shown_again() -> None:
    rows = _figure(_blocks("phases", _results()), "changes")["table"]["rows"]
    assert [row[0] for row in rows] == ["all runs", "optimizer sgd"]


def test_no_change_at_all_is_said_so() -> None:
    results = _results()
    phases = results["neuron/phases.json"]
    phases["along_training"] = [_group("all", "all", 50, 0.0)]
    phases["prediction"] = [_errors("none", "all", 0.1, 0.0)]
    blocks = _blocks("phases", results)
    assert "None of 50 converged runs changes its regime" in _words(blocks)
    assert "Too few change for an error before and after." in _words(blocks)
    assert [block["id"] for block in blocks if block["kind"] == "figure"] == ["changes"]


def test_the_clearest_edge_of_many_runs_stands_first() -> None:
    results = _results()
    results["neuron/phases.json"]["over_lr"].append(_sweep("rings", 30, 0.9, 0.9))
    blocks = _blocks("learning_rate_edges", results)
    assert "The clearest edge (xor, sgd, minibatch) is at a learning rate of 0.1" in _words(blocks)
    assert "falls by 60 (50 to 70) points" in _words(blocks)
    rows = _figure(blocks, "edges")["table"]["rows"]
    assert [row[0].partition(",")[0] for row in rows] == ["xor", "moons", "rings"]


@pytest.mark.parametrize(
    ("predicted", "seen"), [((0.2, 0.6), 2), ((0.2, 0.1), 1), ((None, 0.1), 0)]
)
def test_falls_that_are_predicted_are_counted(
    predicted: tuple[float | None, float], seen: int
) -> None:
    results = _results()
    results["neuron/phases.json"]["over_lr"] = [
        _sweep("moons", 300, 0.2, predicted[0]),
        _sweep("xor", 200, 0.6, predicted[1]),
    ]
    words = _words(_blocks("learning_rate_edges", results))
    assert f"Of 2 sharpest falls beyond chance, {seen} are predicted" in words


def test_a_fall_that_may_be_chance_is_not_counted() -> None:
    results = _results()
    results["neuron/phases.json"]["over_lr"] = [_sweep("moons", 300, 0.05, 0.2)]
    words = _words(_blocks("learning_rate_edges", results))
    assert "Of 0 sharpest falls beyond chance, 0 are predicted" in words


def test_bins_without_a_prediction_leave_a_gap_in_its_line() -> None:
    results = _results()
    sweep = results["neuron/phases.json"]["over_lr"][1]
    sweep["bins"][1]["predicted_share"] = None
    (panel,) = _figure(_blocks("learning_rate_edges", results), "over-lr")["panels"]
    recorded, predicted = panel["chart"]["lines"]
    assert (len(recorded["points"]), len(predicted["points"])) == (4, 3)
    sweep["bins"] = [each | {"predicted_share": None} for each in sweep["bins"]]
    (panel,) = _figure(_blocks("learning_rate_edges", results), "over-lr")["panels"]
    assert len(panel["chart"]["lines"]) == 1


def test_the_way_of_resampling_matters_where_the_figures_part() -> None:
    results = _results()
    words = _words(_blocks("resampling", results))
    assert "hardly matters in neuron (0.000; 100 lineages): R²" in words
    assert "R² by folds over rows is up to 0.05 higher than by folds over lineages" in words
    results["neuron/bootstrapped_cv.json"][0] = _refit("linear", "oracle", 0.2)
    words = _words(_blocks("resampling", results))
    assert "matters in neuron (0.50; 100 lineages): R²" in words
    assert "hardly" not in words


def test_intervals_that_lie_apart_are_counted() -> None:
    results = _results()
    blocks = _blocks("resampling", results)
    assert "1 of 1 models (100\u202f%) agree" in _words(blocks)
    results["neuron/scores.json"] = [
        row | _estimate(0.9) if row["split"] == "locked test" else row
        for row in results["neuron/scores.json"]
    ]
    blocks = _blocks("resampling", results)
    assert "0 of 1 models (0\u202f%) agree" in _words(blocks)
    (agreed,) = (block for block in blocks if block.get("id") == "agreement")
    assert agreed["rows"] == [["neuron", "Past alone", 1, 0, 1, 0]]


def test_resampling_shows_row_wise_beside_by_lineage() -> None:
    found = _figure(_blocks("resampling", _results()), "ways")
    for panel in found["panels"]:
        tips = [dot["tip"].partition(":")[0] for dot in panel["chart"]["rows"][0]["dots"]]
        assert tips == ["row-wise", "by lineage", ".632+", "out of bag", "locked test"]


def test_what_lies_below_the_axis_stands_at_its_edge() -> None:
    results = _results()
    results["neuron/bootstrapped_cv.json"][0] = _refit("linear", "oracle", -3.0)
    oracle, causal = _figure(_blocks("resampling", results), "ways")["panels"]
    assert oracle["chart"]["floor"] == -0.5
    assert causal["chart"]["floor"] is None


@pytest.mark.parametrize("name", NAMES)
def test_without_results_there_is_no_section(name: str) -> None:
    assert _blocks(name, {}) == []
    files = {f"neuron/{file.rpartition('/')[2]}": [] for file in SECTIONS[name].reads}
    assert _blocks(name, files) == []


def _broken(value: Any) -> Any:
    """Return results with every number gone."""
    if isinstance(value, dict):
        return {key: _broken(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_broken(each) for each in value]
    return None if isinstance(value, float) else value


@pytest.mark.parametrize("name", NAMES)
def test_results_without_figures_raise_nothing(name: str) -> None:
    assert _blocks(name, _broken(_results())) == []


@pytest.mark.parametrize("name", NAMES)
def test_results_without_intervals_are_told_without(name: str) -> None:
    bare = json.loads(json.dumps(_results()), object_hook=_without_bounds)
    blocks = _blocks(name, bare)
    assert [block for block in blocks if block["kind"] == "figure"]
    assert "None" not in _words(blocks)


def _without_bounds(found: dict[str, Any]) -> dict[str, Any]:
    return found | {key: None for key in ("lower", "upper") if key in found}


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_title_caption_description_and_data(name: str) -> None:
    figures = [block for block in _blocks(name, _results()) if block["kind"] == "figure"]
    assert figures
    for each in figures:
        assert each["title"]
        assert each["caption"]
        assert each["table"]["rows"]
        assert all(panel["title"] and panel["description"] for panel in each["panels"])


def test_names_from_data_stay_text() -> None:
    results = deepcopy(_results())
    results["neuron/markov.json"][1]["part"] = EVIL
    phases = results["neuron/phases.json"]
    phases["along_training"][1]["group"] = EVIL
    phases["prediction"][0]["change"] = EVIL
    phases["over_lr"][1]["task"] = EVIL
    results["neuron/scores.json"] = [row | {"title": EVIL} for row in results["neuron/scores.json"]]
    page = build_report(results)
    assert EVIL not in page
    assert page.count("&lt;script&gt;") > len(NAMES)


def test_a_family_alone_is_enough() -> None:
    results = {name.replace("neuron", FAMILIES[-1]): value for name, value in _results().items()}
    for name in NAMES:
        assert _blocks(name, results, FAMILIES[-1])
