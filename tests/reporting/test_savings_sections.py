"""Sections on what predictions are good for: the words follow the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS
from epochs_left.reporting.summary import summarise_section

UNLIKELY, SLOW = "unlikely to converge", "slower than the best sibling"
FIXED = "initialisation, hyperparameters fixed"
VARIED = "hyperparameters, initialisation fixed"
KNOWN = {
    UNLIKELY: "never converges, known beforehand",
    SLOW: "all but the fastest sibling, known beforehand",
}


def _around(value: float, half: float = 0.02) -> dict[str, float]:
    return {"estimate": value, "lower": value - half, "upper": value + half}


def _outcome(saved: float, lost: float) -> dict[str, Any]:
    return {
        "epochs_saved": _around(saved),
        "converging_stopped": _around(lost),
        "lineages_lost": _around(lost / 2),
        "slowdown": _around(1 + lost),
    }


def _stop(rule: str, threshold: float, at: int = 10, **shares: float) -> dict[str, Any]:
    given = {"saved": 0.5, "lost": 0.05, "chance_saved": 0.3, "chance_lost": 0.3, **shares}
    return {
        "epochs_seen": at,
        "n_open": 200,
        "rule": rule,
        "threshold": threshold,
        "n_stopped": 60,
        "predictor": _outcome(given["saved"], given["lost"]),
        "random": _outcome(given["chance_saved"], given["chance_lost"]),
    }


def _stops(**shares: float) -> list[dict[str, Any]]:
    return [_stop(UNLIKELY, 0.1, **shares), _stop(SLOW, 2.0, **shares)]


def _choice(kind: str = VARIED, at: int = 0, gain: float = 3.0) -> dict[str, Any]:
    ratios = {
        "ratio": 1.2,
        "ratio_with_trials": 1.2 + at / 2,
        "random_ratio": 1.2 * gain,
        "train_all_ratio": 12.0,
        "gain_over_random": gain,
    }
    entries = {name: _around(value, 0.1) for name, value in ratios.items()}
    return {"choice": kind, "epochs_seen": at, "n_choices": 40, "n_clusters": 40, **entries}


def _blocks(name: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    results = Results({"mlp/savings.json": {"n_runs": 300, "n_lineages": 75, **record}})
    found = summarise_section(SECTIONS[name], results)["blocks"]
    return [dict(block) for block in found[0]["options"][0]["blocks"]] if found else []  # type: ignore[typeddict-item]


def _words(blocks: list[dict[str, Any]]) -> str:
    lines = [line for block in blocks for line in block.get("paragraphs", [])]
    items = [item for block in blocks if block["kind"] == "points" for item in block["items"]]
    return " ".join([*lines, *(f"{item['lead']} {item['body']}" for item in items)])


def _figure(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (block for block in blocks if block["kind"] == "figure")
    return found


def test_the_answer_on_stopping_has_the_figures_of_the_stated_rules() -> None:
    rows = [*_stops(saved=0.4), _stop(UNLIKELY, 0.5, saved=0.9), _stop(UNLIKELY, 0.1, 0, saved=0.1)]
    words = _words(_blocks("savings", {"stopping": rows}))
    assert "is below 10\u202f% saves 40\u202f% (38 to 42\u202f%) of all epochs" in words
    assert "5.0\u202f% (3.0 to 7.0\u202f%) of the runs that would have converged are lost" in words
    assert "stopped at random save 30\u202f% and lose 30\u202f%." in words
    assert "takes 5.0\u202f% (3.0 to 7.0\u202f%) longer than the best of all" in words
    assert "2.5\u202f% (0.5 to 4.5\u202f%) of the initialisations lose" in words


def test_without_a_loss_the_words_claim_no_interval_of_nothing() -> None:
    words = _words(_blocks("savings", {"stopping": _stops(lost=0.0)}))
    assert "; none of the runs that would have converged are lost" in words
    assert "the best run that is kept is the best of all, and none of the initialisations" in words


@pytest.mark.parametrize(
    ("shares", "holds"),
    [
        ({}, True),
        ({"chance_saved": 0.49}, False),
        ({"chance_lost": 0.06}, False),
        ({"saved": 0.2}, False),
        ({"lost": 0.5}, False),
    ],
)
def test_stopping_early_holds_only_if_it_beats_chance_on_both_counts(
    shares: dict[str, float], holds: bool
) -> None:
    words = _words(_blocks("savings", {"stopping": _stops(**shares)}))
    assert words.endswith(": holds." if holds else ": does not hold.")


@pytest.mark.parametrize("seed", range(3))
def test_every_threshold_is_a_point_in_the_order_of_what_it_saves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [(at, float(saved)) for at in (0, 10) for saved in rng.uniform(0.1, 0.9, 5)]
    rows = [_stop(UNLIKELY, saved, at, saved=saved, lost=saved**2) for at, saved in drawn]
    (panel,) = _figure(_blocks("savings", {"stopping": rows}))["panels"]
    by_chance, *lines = panel["chart"]["lines"]
    assert [point["x"] for line in lines for point in line["points"]] == pytest.approx(
        sorted(saved for at, saved in drawn if at == 0)
        + sorted(saved for at, saved in drawn if at == 10)
    )
    assert by_chance["dashed"]
    assert (by_chance["points"][0]["x"], by_chance["points"][0]["y"]) == (0, 0)
    top = panel["chart"]["y_ticks"][-1]["at"]
    assert all(point["upper"] <= top + 1e-9 for line in lines for point in line["points"])


def test_who_knows_beforehand_is_shown_where_it_was_computed_and_not_where_not() -> None:
    known = [_stop(KNOWN[rule], 1.0, saved=0.8, lost=0.0) for rule in (UNLIKELY, SLOW)]
    for rows, is_known in ((_stops(), False), ([*_stops(), *known], True)):
        blocks = _blocks("savings", {"stopping": rows})
        found = _figure(blocks)
        assert ("Who knew beforehand would save 80\u202f%" in _words(blocks)) == is_known
        assert ("known beforehand" in json.dumps(found["legend"])) == is_known
        assert ("Known beforehand" in found["caption"]) == is_known
        assert [len(panel["chart"]["lines"]) for panel in found["panels"]] == [2 + is_known] * 2
        assert len(found["table"]["rows"]) == len(rows)


def test_landmarks_that_are_not_drawn_are_left_to_the_file() -> None:
    rows = [*_stops(), _stop(UNLIKELY, 0.1, 20), _stop("slower than the median sibling", 2.0)]
    assert len(_figure(_blocks("savings", {"stopping": rows}))["table"]["rows"]) == 2
    assert _blocks("savings", {"stopping": rows[2:]}) == []


def test_the_answer_on_choosing_is_before_training_and_against_chance_and_all() -> None:
    words = _words(_blocks("savings_choice", {"choosing": [_choice(gain=3.0)]}))
    assert "Choosing hyperparameters for a given initialisation before any training" in words
    assert "takes 1.20 (1.10 to 1.30) times the epochs of what is" in words
    assert "at random takes 3.6 (3.5 to 3.7) times those of the fastest" in words
    assert "training all of them 12 (11.9 to 12.1) times" in words


@pytest.mark.parametrize(("gain", "verdict"), [(1.05, "does not hold"), (1.2, "holds")])
@pytest.mark.parametrize("kind", [VARIED, FIXED])
def test_choosing_holds_only_if_the_interval_of_its_gain_lies_above_one(
    kind: str, gain: float, verdict: str
) -> None:
    rows = [_choice(kind, 5, gain=9.0), _choice(kind, 0, gain=gain)]
    words = _words(_blocks("savings_choice", {"choosing": rows}))
    assert f"{gain} ({gain - 0.1:.3g} to {gain + 0.1:.3g}) times fewer epochs" in words
    assert f"1 being no gain: {verdict}." in words
    assert "Not measured in this family" in words


def test_each_way_of_choosing_is_a_line_and_the_best_choice_is_the_foot() -> None:
    rows = [_choice(kind, at) for kind in (FIXED, VARIED) for at in (0, 2, 5)]
    panels = _figure(_blocks("savings_choice", {"choosing": rows}))["panels"]
    assert [panel["title"].split()[1] for panel in panels] == ["hyperparameters", "an"]
    for panel in panels:
        chart = panel["chart"]
        assert chart["y_ticks"][0] == {"at": 0.0, "label": "×1"}
        assert chart["y_ticks"][-1]["at"] >= np.log10(12)
        assert [line["dashed"] for line in chart["lines"]] == [False, False, True, True]
        assert all([point["x"] for point in line["points"]] == [0, 2, 5] for line in chart["lines"])


def test_choices_of_an_unknown_kind_are_told_without_a_picture() -> None:
    blocks = _blocks("savings_choice", {"choosing": [_choice("the colour")]})
    assert [block["kind"] for block in blocks] == ["text", "points"]
    assert "Choosing the colour before any training" in _words(blocks)


@pytest.mark.parametrize("name", ["savings", "savings_choice"])
@pytest.mark.parametrize("value", [None, 3, [], [None], [{}], [{"epochs_seen": 0, "rule": {}}]])
def test_broken_results_leave_the_section_out(name: str, value: object) -> None:
    assert _blocks(name, {"stopping": value, "choosing": value}) == []


@pytest.mark.parametrize("name", ["savings", "savings_choice"])
def test_absent_intervals_and_regrets_never_raise(name: str) -> None:
    saved = {"epochs_saved": {"estimate": 0.4}}
    rows = [{**row, "predictor": saved, "random": None} for row in _stops()]
    choices = [{"choice": VARIED, "ratio": {"estimate": 1.5}}]
    blocks = _blocks(name, {"stopping": rows, "choosing": choices})
    words = _words(blocks)
    assert "does not hold" in words
    assert "saves 40\u202f% of all epochs; – of the runs" in words or "takes 1.50 times" in words
    assert "none" not in words
    render({"title": "t", "sections": [_section(name, {"stopping": rows, "choosing": choices})]})


def _section(name: str, record: Mapping[str, Any]) -> Any:
    return summarise_section(SECTIONS[name], Results({"neuron/savings.json": dict(record)}))


@pytest.mark.parametrize("name", ["savings", "savings_choice"])
def test_malicious_names_stay_text_and_figures_have_words_and_data(name: str) -> None:
    bad = "<img src=x onerror=alert(1)>"
    record = {"stopping": [{**row, "n_stopped": bad} for row in _stops()], "choosing": [
        _choice(), _choice(bad)
    ]}  # fmt: skip
    page = render({"title": "t", "sections": [_section(name, record)]})
    assert bad not in page
    found = _figure(_blocks(name, record))
    assert found["table"]["rows"]
    assert all(panel["title"] and panel["description"] for panel in found["panels"])
