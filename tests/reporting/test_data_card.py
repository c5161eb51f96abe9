"""The data card: one table of all families, and pictures whose figures can be read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from epochs_left.reporting.charts.histogram import histogram_chart
from epochs_left.reporting.charts.shares import share_chart
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections.data_card import data_card
from epochs_left.reporting.svg import StyleSheet, chart_svg
from epochs_left.reporting.ticks import whole_ticks
from epochs_left.schema import OUTCOMES


def card(n_runs: int = 10, converged: int = 4, **others: Any) -> dict[str, Any]:
    outcomes = dict.fromkeys(map(str, OUTCOMES), 0)
    outcomes |= {"converged": converged, "capped": n_runs - converged}
    return {
        "n_runs": n_runs, "n_lineages": 1, "n_rows": 300, "bytes": 12_000, "outcomes": outcomes,
        "epochs_to_convergence": {"0.05": 2, "0.5": 7, "0.95": 20} if converged else {},
        "by": [], "histogram": {}, **others,
    }  # fmt: skip


def blocks_of(cards: dict[str, Any]) -> list[Any]:
    return list(data_card(Results({"data_card.json": cards})))


def settings(n_runs: list[int]) -> list[dict[str, Any]]:
    """Settings of one dimension in the order of their names."""
    ends = {"stuck": 0, "capped": 0, "diverged": 0}
    return [
        {
            "dimension": "task",
            "setting": f"s{i:02d}",
            "n_runs": n,
            "outcomes": {"converged": n, **ends},
        }
        for i, n in enumerate(n_runs)
    ]


def test_all_families_stand_in_one_table_in_the_order_of_the_results() -> None:
    cards = {"zeta": card(), "alpha": card(4, 0), "mlp": card(8, 8)}
    table, *_ = blocks_of(cards)
    assert table["kind"] == "table"
    labels = [each["label"] for each in table["columns"]]
    rows = [dict(zip(labels, row, strict=True)) for row in table["rows"]]
    assert [row["family"] for row in rows] == list(cards)
    assert rows[0] == {
        "family": "zeta", "runs": 10, "lineages": 1, "recorded epochs": 300, "on disk": "12 kB",
        "converged": 0.4, "stuck": 0, "capped": 0.6, "diverged": 0,
        "median epochs to convergence": 7,
    }  # fmt: skip
    assert rows[1]["median epochs to convergence"] is None


def test_outcomes_are_defined_once_and_each_family_says_what_it_keeps() -> None:
    cards = {name: card() for name in ("neuron", "mlp", "resnet", "char_lm", "another")}
    texts = [words for each in blocks_of(cards) for words in each.get("paragraphs", [])]
    assert sum("A run converges when" in words for words in texts) == 1
    kept = {name: [w for w in texts if f"Each epoch of a {name} run keeps" in w] for name in cards}
    assert {name: len(found) for name, found in kept.items()} == dict.fromkeys(cards, 1) | {
        "another": 0
    }
    for name, found in kept.items():
        assert ("sketch" in "".join(found)) == (name in {"resnet", "char_lm"})
    assert not any("1 lineages" in words for words in texts)


@pytest.mark.parametrize("n_settings", [1, 8, 9, 20])
def test_bars_keep_the_order_of_the_results_and_leave_the_rarest_out(n_settings: int) -> None:
    runs = [(7 * i) % n_settings + 1 for i in range(n_settings)]
    figure = next(each for each in blocks_of({"mlp": card(by=settings(runs))}) if "panels" in each)
    bars = figure["panels"][0]["chart"]["rows"][1:]
    names = [bar["label"] for bar in bars]
    assert names == sorted(names)
    assert len(bars) == min(8, n_settings)
    left_out = [n for i, n in enumerate(runs) if f"s{i:02d}" not in names]
    assert max(left_out, default=0) <= min(bar["n"] for bar in bars)
    assert len(figure["table"]["rows"]) == n_settings


def svg(chart: Any) -> str:
    return chart_svg(chart, name="n", title="T", description="D", sheet=StyleSheet())


@pytest.mark.parametrize("n", [1, 37, 1_234])
def test_a_bar_says_of_how_many_its_share_is(n: int) -> None:
    rows = [{"label": "sgd", "shares": [0.5, 0.5], "n": n}]
    drawn = svg(share_chart("share", ["a", "b"], ["blue", "orange"], rows))
    assert f"50\u202f% of {n:,}" in drawn


@pytest.mark.parametrize("most", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("last", [2, 3, 15, 60, 1_000])
def test_ticks_of_a_histogram_are_different_whole_numbers(most: int, last: int) -> None:
    layer = {"label": "converged", "colour": "blue", "counts": [float(most), 1.0]}
    drawn = svg(histogram_chart("epoch", "runs", [0.5, 1.0, float(last)], [layer]))
    # words are those of the ticks and of the axes
    found = [words.replace(",", "") for words in re.findall(r">([^<>]+)</text>", drawn)]
    ticks = [words for words in found if words not in {"epoch", "runs"}]
    assert ticks
    assert all(words.isdecimal() for words in ticks), ticks
    on_x = [str(tick["label"]).replace(",", "") for tick in whole_ticks(0.5, last)]
    assert ticks[: len(on_x)] == on_x
    on_y = ticks[len(on_x) :]
    assert len(set(on_y)) == len(on_y) > 1


@pytest.mark.parametrize("high", [1, 2, 3, 9, 10, 99, 100, 1_000, 12_345])
def test_whole_ticks_lie_on_the_axis_and_are_few(high: float) -> None:
    at = [tick["at"] for tick in whole_ticks(0.5, high)]
    assert at == sorted(set(at))
    assert at[0] == 1
    assert at[-1] <= high
    assert len(at) <= 6
    assert len(at) >= min(2, high)
