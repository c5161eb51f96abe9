"""Sections on learning curves and on errors by epochs left, and the axes that they share."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log10
from typing import Any

import numpy as np
import pytest

from epochs_left.reporting.estimates import is_below, said, said_percent
from epochs_left.reporting.ladders import ROOM, count_ticks, factor_ticks
from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS
from epochs_left.reporting.summary import summarise_section

BAD = "<svg onload=alert(1)>"


def _size(n: int, r2: float, view: str = "causal", half: float = 0.04) -> dict[str, Any]:
    bounds = {"lower": r2 - half, "upper": r2 + half}
    counts = {"n_rows": 900, "n_runs": 90, "n_lineages": 30}
    return {"view": view, "n_training_lineages": n, "estimate": r2, **bounds, **counts}


def _error(decile: int | None, mae: float, **fields: Any) -> dict[str, Any]:
    low = 1 if decile is None else 2**decile - 1
    high = 2**11 if decile is None else 2 ** (decile + 1) - 2
    return {
        "model": "xgboost", "title": "Gradient boosting", "view": "causal", "baseline": False,
        "decile": decile, "from": low, "to": high, "scale": "log", "metric": "mae",
        "n_rows": 90, "n_runs": 45, "n_lineages": 15,
        "estimate": mae, "lower": mae - 0.02, "upper": mae + 0.02, **fields,
    }  # fmt: skip


def _errors(maes: list[float], **fields: Any) -> list[dict[str, Any]]:
    whole = _error(None, float(np.mean(maes)), **fields)
    return [whole, *(_error(i + 1, mae, **fields) for i, mae in enumerate(maes))]


def _rival(maes: list[float], name: str = "Last slope") -> list[dict[str, Any]]:
    return _errors(maes, model=name, title=name, baseline=True)


def _curves(rows: dict[str, Any]) -> list[dict[str, Any]]:
    results = Results({f"{family}/learning_curve.json": value for family, value in rows.items()})
    return [
        dict(block) for block in summarise_section(SECTIONS["learning_curve"], results)["blocks"]
    ]


def _deciles(rows: Any) -> list[dict[str, Any]]:
    results = Results({"mlp/metrics_by_decile.json": rows})
    found = summarise_section(SECTIONS["error_by_decile"], results)["blocks"]
    return [dict(block) for block in found[0]["options"][0]["blocks"]] if found else []  # type: ignore[typeddict-item]


def test_more_runs_help_where_the_last_step_leaves_the_interval() -> None:
    rising, flat = [_size(10, 0.5), _size(20, 0.7)], [_size(10, 0.7), _size(20, 0.72)]
    words = _curves({"mlp": rising, "resnet": flat})[0]["paragraphs"][0]
    assert "Yes for mlp: mlp from 0.50 with 10 lineages to 0.70 (0.66 to 0.74) with 20." in words
    assert "The gain is within the uncertainty for resnet: resnet from 0.70" in words
    swapped = _curves({"mlp": flat, "resnet": rising})[0]["paragraphs"][0]
    assert "Yes for resnet" in swapped
    assert "uncertainty for mlp" in swapped


def test_sizes_are_in_order_and_each_family_is_a_line_a_view() -> None:
    rows = [_size(40, 0.8), _size(10, 0.6), _size(20, -0.7), _size(20, 0.9, view="oracle")]
    words, found = _curves({"neuron": rows, "char_lm": [_size(5, 0.1)]})
    assert "neuron from −0.70 with 20 lineages to 0.80" in words["paragraphs"][0]
    known, past = (panel["chart"]["lines"] for panel in found["panels"])
    assert [len(line["points"]) for line in known] == [1]
    assert [[point["x"] for point in line["points"]] for line in past] == [
        [log10(10), log10(40)], [log10(5)]
    ]  # fmt: skip
    assert len(found["table"]["rows"]) == 5


@pytest.mark.parametrize("rows", [None, [], [3], [{}], [{"view": BAD, "estimate": 0.5}]])
def test_broken_curves_leave_the_section_out(rows: Any) -> None:
    assert _curves({"neuron": rows}) == []
    assert _deciles(rows) == []


def test_curves_without_intervals_or_steps_never_raise() -> None:
    bare = {"view": "causal", "n_training_lineages": 8, "estimate": 0.5}
    words, found = _curves({"mlp": [bare]})
    assert words["paragraphs"] == ["Too few lineages to say."]
    assert found["panels"][0]["chart"]["lines"][0]["points"][0]["lower"] is None
    words, _ = _curves({"mlp": [bare, {**bare, "n_training_lineages": 9, "estimate": 0.9}]})
    assert "within the uncertainty" in words["paragraphs"][0]


def test_the_trend_follows_the_errors_at_both_ends() -> None:
    near = _deciles(_errors([0.1, 0.2, 0.3]))[0]["paragraphs"][0]
    assert near.startswith("Better near the end: ")
    assert f"factor of {exp(0.1):.2f} ({exp(0.08):.2f} to {exp(0.12):.2f}) with 1 to 2" in near
    assert f"of {exp(0.3):.2f} ({exp(0.28):.2f} to {exp(0.32):.2f}) with 7 to 14" in near
    assert "It is" not in near
    far = _deciles(_errors([0.3, 0.05, 0.2]))[0]["paragraphs"][0]
    assert far.startswith("Better far from the end: ")
    assert f"It is best with 3 to 6 left: {exp(0.05):.2f}" in far
    alike = _deciles(_errors([0.2, 0.4, 0.21]))[0]["paragraphs"][0]
    assert alike.startswith("No clear difference between the two ends: ")
    assert f"It is worst with 3 to 6 left: {exp(0.4):.2f}" in alike


def test_the_best_baseline_is_compared_tenth_by_tenth() -> None:
    own = _errors([0.1, 0.2, 0.3])
    worse = _deciles([*own, *_rival([0.3, 0.4, 0.5]), *_rival([0.9, 0.1, 0.9], "Constant")])
    assert "The best baseline, Last slope, is worse in every tenth." in worse[0]["paragraphs"][0]
    better = _deciles([*own, *_rival([0.3, 0.15, 0.2])])
    assert "Last slope, is better with 3 to 6 and 7 to 14 left." in better[0]["paragraphs"][0]
    lines = worse[1]["panels"][0]["chart"]["lines"]
    assert [(line["label"], line["dashed"]) for line in lines] == [
        ("Past alone", False), ("Last slope", True)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_axes_enclose_every_point_with_its_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = _errors([float(mae) for mae in rng.uniform(0.05, 2, 10)])
    chart = _deciles(rows)[1]["panels"][0]["chart"]
    (line,) = chart["lines"]
    for axis, tops in (("x", ("x",)), ("y", ("y", "lower", "upper"))):
        ticks = [tick["at"] for tick in chart[f"{axis}_ticks"]]
        places = [point[top] for point in line["points"] for top in tops]
        assert min(ticks) <= min(places)
        assert max(ticks) >= max(places)
    assert [point["y"] for point in line["points"]] == pytest.approx(
        [log10(exp(row["estimate"])) for row in rows[1:]]
    )


def test_medians_stand_beside_the_factors_of_the_same_rows() -> None:
    medians = [
        {**row, "metric": "median_relative_error", "scale": "epochs", "estimate": i / 10}
        for i, row in enumerate(_errors([0.1, 0.2, 0.3]))
    ]
    table = _deciles([*_errors([0.1, 0.2, 0.3]), *medians])[1]["table"]
    assert [row[3] for row in table["rows"]] == [0.1, 0.2, 0.3]


def test_errors_without_intervals_or_causal_model_never_raise() -> None:
    bare = [{**row, "lower": None, "upper": None, "title": None} for row in _errors([0.1, 900.0])]
    words, found = _deciles(bare)
    assert "a factor of 1.11 with 1 to 2" in words["paragraphs"][0]
    render(
        {"title": "t", "sections": [_section("error_by_decile", "metrics_by_decile.json", bare)]}
    )
    oracle, _ = _deciles(_errors([0.1, 0.2], view="oracle"))
    assert oracle["paragraphs"] == ["No result for predictions from the past alone."]
    assert found["table"]["rows"]


def _section(name: str, file: str, rows: Any) -> Any:
    return summarise_section(SECTIONS[name], Results({f"mlp/{file}": rows}))


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        (
            "learning_curve",
            "learning_curve.json",
            [_size(5, 0.5), {**_size(9, 0.6), "n_runs": BAD}],
        ),
        (
            "error_by_decile",
            "metrics_by_decile.json",
            _rival([0.1, 0.2], BAD) + _errors([0.1, 0.2]),
        ),
    ],
)
def test_malicious_names_stay_text_and_figures_have_words_and_data(
    name: str, file: str, rows: Any
) -> None:
    section = _section(name, file, rows)
    assert BAD not in render({"title": "t", "sections": [section]})
    found = (_curves({"mlp": rows}) if name == "learning_curve" else _deciles(rows))[1]
    assert found["table"]["rows"]
    assert all(panel["title"] and panel["description"] for panel in found["panels"])


@pytest.mark.parametrize("seed", range(10))
def test_ticks_of_counts_enclose_and_stay_few(seed: int) -> None:
    low, high = np.sort(10 ** np.random.default_rng(seed).uniform(0, 6.5, 2))
    ticks = count_ticks(low, high)
    places = [tick["at"] for tick in ticks]
    assert places[0] <= log10(low)
    assert places[-1] >= log10(high)
    assert 2 <= len(places) <= 8
    assert all(tick["label"] == f"{round(10 ** tick['at']):,}" for tick in ticks)


@pytest.mark.parametrize("seed", range(10))
def test_ticks_of_factors_begin_at_one_enclose_and_leave_room(seed: int) -> None:
    top = float(10 ** np.random.default_rng(seed).uniform(0, 3))
    places = [tick["at"] for tick in factor_ticks(top)]
    assert places[0] == 0
    assert places[-1] >= log10(top)
    assert min(b - a for a, b in pairwise(places)) >= ROOM * places[-1] - 1e-12


def test_estimates_are_said_with_what_is_known_of_them() -> None:
    whole = {"value": 0.283, "lower": 0.2, "upper": 0.35}
    bare = {"value": 0.283, "lower": None, "upper": None}
    assert (said(whole), said(bare)) == ("0.28 (0.20 to 0.35)", "0.28")  # type: ignore[arg-type]
    assert said_percent(whole) == "28\u202f% (20 to 35\u202f%)"  # type: ignore[arg-type]
    assert said_percent(bare, 1) == "28.3\u202f%"  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_one_interval_is_below_another_only_if_they_do_not_meet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(50):
        (a, b, c), (d, e, f) = np.sort(rng.random((2, 3)), axis=1)
        first, second = ({"value": y, "lower": x, "upper": z} for x, y, z in ((a, b, c), (d, e, f)))
        assert is_below(first, second) == (c < d)  # type: ignore[arg-type]
        bare = {"value": b, "lower": None, "upper": None}
        assert is_below(bare, second) == (b < d)  # type: ignore[arg-type]
    assert not is_below({"value": None, "lower": None, "upper": None}, second)  # type: ignore[arg-type]
