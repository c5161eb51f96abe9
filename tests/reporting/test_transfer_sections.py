"""Sections on transfer: what they say follows the figures, and the matrix shows every pair."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from epochs_left.reporting.charts.matrix import STEPS, matrix_chart, step_of
from epochs_left.reporting.palette import PALETTE
from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS
from epochs_left.reporting.summary import summarise_section
from epochs_left.reporting.svg import StyleSheet, chart_svg

NAMES = ("neuron", "mlp", "resnet")
READABLE = 4.5  # contrast of text, WCAG 2.2 level AA


def _around(value: float, half: float = 0.05) -> dict[str, Any]:
    counts = {"n_rows": 900, "n_runs": 90, "n_lineages": 30}
    return {"estimate": value, "lower": value - half, "upper": value + half, **counts}


def _pair(trained: str, tested: str, r2: float) -> dict[str, Any]:
    return {"trained_on": trained, "tested_on": tested, "n_features": 83, **_around(r2)}


def _families(foreign: float = 0.3) -> list[dict[str, Any]]:
    return [
        _pair(trained, tested, 0.8 if trained == tested else foreign)
        for trained, tested in product((*NAMES, "all others"), NAMES)
    ]


def _families_but(trained: str, tested: str, r2: float) -> list[dict[str, Any]]:
    wanted = (trained, tested)
    kept = [row for row in _families() if (row["trained_on"], row["tested_on"]) != wanted]
    return [*kept, _pair(trained, tested, r2)]


def _group(dimension: str, name: str, left_out: float, seen: float = 0.8) -> dict[str, Any]:
    scores = {"held_out": _around(left_out), "by_lineage": _around(seen)}
    return {"dimension": dimension, "group": name, **scores}


def _blocks(name: str, results: dict[str, Any]) -> list[dict[str, Any]]:
    found = [dict(block) for block in summarise_section(SECTIONS[name], Results(results))["blocks"]]
    if found and found[0]["kind"] == "choice":
        return [dict(block) for block in found[0]["options"][0]["blocks"]]
    return found


def _between(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return _blocks("transfer", {"transfer_families.json": rows})


def _within(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return _blocks("transfer_within", {"mlp/transfer.json": rows})


def _words(blocks: list[dict[str, Any]]) -> str:
    lines = [line for block in blocks for line in block.get("paragraphs", [])]
    items = [item for block in blocks if block["kind"] == "points" for item in block["items"]]
    return " ".join([*lines, *(f"{item['lead']} {item['body']}" for item in items)])


def _figure(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (block for block in blocks if block["kind"] == "figure")
    return found


def test_the_verdict_on_families_follows_the_intervals() -> None:
    rows = _families()
    assert "No: in none of the 3 families" in _words(_between(rows))
    assert "R² 0.30 (0.25 to 0.35) against 0.80 (0.75 to 0.85)" in _words(_between(rows))
    words = _words(_between(_families_but("neuron", "mlp", 0.72)))
    assert "come near its own in mlp, and in no other family" in words
    assert "The smallest loss is that of neuron → mlp" in words


def test_pairs_that_fail_are_named_and_those_alone() -> None:
    words = _words(_between(_families_but("mlp", "neuron", -0.4)))
    assert "1 of the 6 pairs do no better than guessing the mean" in words
    assert "at or below 0: mlp → neuron (−0.40)." in words
    assert "Each of the 6 pairs does better" in _words(_between(_families()))


def test_the_claim_on_practical_networks_holds_only_near_their_own_models() -> None:
    assert "R² 0.30 (0.25 to 0.35): does not hold." in _words(_between(_families()))
    assert "holds for resnet." in _words(_between(_families(foreign=0.78)))
    only = [row for row in _families() if row["tested_on"] != "resnet"]
    assert "Seed 003" not in _words(_between(only))


def test_the_matrix_has_every_pair_in_its_place() -> None:
    rows = [row for row in _families_but("mlp", "resnet", -0.2) if row["tested_on"] != "mlp"]
    chart = _figure(_between([*rows, _pair("mlp", "mlp", 0.8)]))["panels"][0]["chart"]
    assert chart["columns"] == list(NAMES)
    assert chart["rows"] == [*NAMES, "all others"]
    for trained, tested in product(chart["rows"], chart["columns"]):
        cell = chart["cells"][chart["rows"].index(trained)][chart["columns"].index(tested)]
        if tested == "mlp" and trained != "mlp":
            assert cell is None
            continue
        assert cell["framed"] == (trained == tested)
        assert (cell["step"] is None) == ((trained, tested) == ("mlp", "resnet"))
        assert cell["tip"].startswith(f"{trained} → {tested}: {cell['words']}")


@pytest.mark.parametrize("seed", range(5))
def test_a_higher_share_never_has_a_lower_step(seed: int) -> None:
    shares = np.sort(np.random.default_rng(seed).uniform(-1, 1.2, 200))
    steps = [step_of(share) for share in shares]
    assert [step is None for step in steps] == list(shares <= 0)
    known = [step for step in steps if step is not None]
    assert known == sorted(known)
    assert set(known) <= set(range(len(STEPS)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_figures_in_cells_can_be_read(step: int, scheme: str) -> None:
    fill, ink = (_luminance(getattr(PALETTE[name], scheme)) for name in STEPS[step])
    assert (max(fill, ink) + 0.05) / (min(fill, ink) + 0.05) >= READABLE


def _luminance(code: str) -> float:
    parts = np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_a_matrix_needs_a_cell_a_column() -> None:
    with pytest.raises(ValueError, match="2 rows of 1 cells"):
        matrix_chart(["a", "b"], ["c"], [[None]], x_label="x", y_label="y")


def test_cells_are_written_and_hatched_where_there_is_no_step() -> None:
    cells = [
        [{"words": f"{value:.2f}", "step": step_of(value), "framed": False, "tip": f"at {value}"}]
        for value in (0.25, -0.5, 0.75)
    ]
    chart = matrix_chart(["a", "b", "c"], ["d"], cells, x_label="x", y_label="y")  # type: ignore[arg-type]
    svg = chart_svg(chart, name="n", title="T", description="D", sheet=StyleSheet())
    assert all(f">{words}<" in svg for words in ("0.25", "-0.50", "0.75"))
    assert svg.count("<pattern") == 1
    assert "<title>at 0.25</title>" in svg


def test_an_empty_matrix_is_an_empty_picture() -> None:
    chart = matrix_chart([], [], [], x_label="x", y_label="y")
    assert "<svg" in chart_svg(chart, name="n", title="T", description="D", sheet=StyleSheet())


def test_groups_that_fail_are_counted_and_the_worst_is_named() -> None:
    rows = [_group("optimizer", "adam", 0.79), _group("task", "digits", -0.4)]
    words = _words(_within(rows))
    assert "Not always: 1 of the 2 groups" in words
    assert "that of task digits: R² −0.40 (−0.45 to −0.35)" in words
    assert "For 1 the mean of the group would do as well or better." in words
    assert "Task. 0 of 1 groups are predicted as well unseen; not so digits" in words
    assert "Yes: none of the 1 groups" in _words(_within(rows[:1]))
    assert _words(_within(rows[1:])).startswith("No: 1 of the 1 groups")


@pytest.mark.parametrize(
    ("dimension", "left_out", "verdict"),
    [
        ("activation", 0.79, "unseen: holds."),
        ("activation", 0.2, ": does not hold."),
        ("architecture", 0.2, ": does not hold."),
        ("optimizer", 0.79, "unseen: does not hold."),
        ("optimizer", 0.2, ": holds."),
    ],
)
def test_claims_on_a_dimension_follow_its_groups(
    dimension: str, left_out: float, verdict: str
) -> None:
    words = _words(_within([_group(dimension, "one", left_out)]))
    assert words.endswith(verdict)
    assert "Seed 003 (8." in words


def test_the_picture_has_the_largest_losses_and_the_data_have_all() -> None:
    losses = np.random.default_rng(0).permutation(20) / 40
    rows = [_group("lr_bin", f"fifth {i}", 0.8 - loss) for i, loss in enumerate(losses)]
    found = _figure(_within(rows))
    drawn = [row["dots"][0]["estimate"]["value"] for row in found["panels"][0]["chart"]["rows"]]
    assert drawn == sorted(0.8 - loss for loss in losses)[: len(drawn)]
    assert len(found["table"]["rows"]) == len(rows)
    assert found["caption"].startswith(f"The {len(drawn)} groups that lose most of the 20")
    assert {row[0] for row in found["table"]["rows"]} == {"learning rate"}
    assert _figure(_within(rows[:3]))["caption"].startswith("All 3 groups")


@pytest.mark.parametrize("name", ["transfer", "transfer_within"])
def test_partial_results_never_raise(name: str) -> None:
    nothing = {"estimate": None, "lower": None, "upper": None}
    bare = {**nothing, "estimate": 0.5}
    for score in (nothing, bare, None, 3):
        rows = [{"trained_on": "a", "tested_on": at, "estimate": None} for at in "ab"]
        if isinstance(score, dict):
            rows = [{"trained_on": "a", "tested_on": at, **score} for at in "ab"]
        groups = [{"dimension": None, "group": 7, "held_out": score, "by_lineage": score}]
        blocks = _blocks(name, {"transfer_families.json": rows, "neuron/transfer.json": groups})
        assert bool(blocks) == (score is bare)
    assert _blocks(name, {}) == []


@pytest.mark.parametrize("name", ["transfer", "transfer_within"])
def test_malicious_names_stay_text_and_figures_have_words_and_data(name: str) -> None:
    bad = "<script>alert(1)</script>"
    results = {
        "transfer_families.json": [*_families(), _pair(bad, "mlp", 0.1)],
        "neuron/transfer.json": [_group(bad, bad, 0.1)],
    }
    section = summarise_section(SECTIONS[name], Results(results))
    page = render({"title": "t", "sections": [section]})
    assert bad not in page
    assert "&lt;script&gt;alert" in page
    found = _figure(_blocks(name, results))
    assert found["table"]["rows"]
    assert all(panel["title"] and panel["description"] for panel in found["panels"])
