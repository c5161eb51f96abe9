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
    """Return the blocks of the section, those of each family in the place of the choice."""
    found: list[Any] = []
    for block in data_card(Results({"data_card.json": cards})):
        found += [each for option in block.get("options", []) for each in option["blocks"]]
        found += [] if "options" in block else [block]
    return found


def pictures_of(card: dict[str, Any]) -> dict[str, Any]:
    return {each["id"]: each for each in blocks_of({"mlp": card}) if "panels" in each}


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
    (table,) = (each for each in blocks_of(cards) if each["kind"] == "table")
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
    kept = {name: [w for w in texts if f"Each epoch of {name} keeps" in w] for name in cards}
    assert {name: len(found) for name, found in kept.items()} == dict.fromkeys(cards, 1) | {
        "another": 0
    }
    for name, found in kept.items():
        assert ("sketch" in "".join(found)) == (name in {"resnet", "char_lm"})
    assert not any("1 lineages" in words for words in texts)


@pytest.mark.parametrize("n_settings", [2, 4, 5, 20])
def test_bars_keep_the_order_of_the_results_and_leave_the_rarest_out(n_settings: int) -> None:
    runs = [(7 * i) % n_settings + 1 for i in range(n_settings)]
    figure = pictures_of(card(by=settings(runs)))["outcomes"]
    bars = figure["panels"][0]["chart"]["rows"][1:]
    names = [bar["label"] for bar in bars]
    assert names == sorted(names)
    assert len(bars) == min(4, n_settings)
    left_out = [n for i, n in enumerate(runs) if f"s{i:02d}" not in names]
    assert max(left_out, default=0) <= min(bar["n"] for bar in bars)
    assert [row[0] for row in figure["table"]["rows"]] == [f"task: {name}" for name in names]


def test_a_dimension_that_does_not_vary_has_no_bar() -> None:
    assert "outcomes" not in pictures_of(card(by=settings([10])))


@pytest.mark.parametrize(("converged", "is_drawn"), [(4, True), (0, False)])
def test_a_family_in_which_no_run_converged_has_no_picture(converged: int, is_drawn: bool) -> None:
    histogram = {"edges": [1, 2, 4], "converged": [1, 2], "capped": [0, 7]}
    found = pictures_of(card(10, converged, by=settings([3, 7]), histogram=histogram))
    assert set(found) == ({"outcomes", "epochs"} if is_drawn else set())


@pytest.mark.parametrize("n_bins", [1, 5, 16, 17, 26, 33, 70])
def test_bins_put_together_keep_their_ends_and_every_run(n_bins: int) -> None:
    edges = [float(i + 1) for i in range(n_bins + 1)]
    counts = [i % 5 for i in range(n_bins)]
    histogram = {"edges": edges, "converged": counts, "capped": [1] * n_bins}
    found = pictures_of(card(histogram=histogram))["epochs"]
    chart = found["panels"][0]["chart"]
    assert len(chart["edges"]) - 1 <= 16
    assert chart["edges"] == sorted(set(chart["edges"]) & set(edges))
    assert [chart["edges"][at] for at in (0, -1)] == [edges[at] for at in (0, -1)]
    layers = {layer["label"]: layer["counts"] for layer in chart["layers"]}
    assert sum(layers.get("converged", [0.0])) == sum(counts)
    assert sum(layers["capped"]) == n_bins
    assert "stuck" not in layers
    assert found["table"]["rows"][0][0].startswith("1 to ")


def test_the_first_words_count_the_runs_that_models_are_fitted_on() -> None:
    cards = {
        "neuron": card(100, 60, fitted=True),
        "mlp": card(300, 180, fitted=True),
        "curve_prior": card(5000, 0, fitted=False),
    }
    first = blocks_of(cards)[0]["paragraphs"][0]
    assert first.startswith("400 runs of neuron and mlp in 2 lineages")
    assert "of which 60\u202f% converged" in first
    assert first.endswith("Beside them: curve_prior.")


def test_a_family_of_any_name_is_an_option_that_an_id_can_name() -> None:
    cards = {"mlp": card(), "<b> x": card(), "y y": card()}
    choice = data_card(Results({"data_card.json": cards}))[-1]
    names = {option["name"]: option["title"] for option in choice["options"]}  # type: ignore[typeddict-item]
    assert names == {"mlp": "mlp", "other-1": "<b> x", "other-2": "y y"}


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
