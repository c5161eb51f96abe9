"""Sections on what matters: their sentences follow the figures (about 3 s)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import SECTIONS
from epochs_left.reporting.summary import summarise_section

MINE = (
    "importance", "coefficients", "distance_alone", "simple_rule", "gradient_alignment", "paths",
    "at_initialisation",
)  # fmt: skip
EVIL = "<script>alert(1)</script>"
TREE = """\
|--- log_elapsed <= 2.398
|   |--- value: [1.000]
|--- log_elapsed >  2.398
|   |--- value: [3.000]
"""


def around(value: float, half: float | None = 0.05) -> dict[str, Any]:
    bounds = (None, None) if half is None else (value - half, value + half)
    return {"estimate": value, "lower": bounds[0], "upper": bounds[1]}


def score(value: float, half: float | None = 0.05, **others: Any) -> dict[str, Any]:
    return {**around(value, half), "n_rows": 900, "n_runs": 90, "n_lineages": 30, **others}


def importance(group: str, drop: float, view: str = "causal") -> dict[str, Any]:
    found = around(drop, 0.01)
    return {
        "model": "xgboost", "view": view, "feature": f"log_{group}, other", "unit": "1",
        "group": group, "importance": found["estimate"], **found,
    }  # fmt: skip


def coefficient(feature: str, value: float, error: float | None = 0.1) -> dict[str, Any]:
    bounds = around(value, None if error is None else 2 * error)
    return {
        "view": "causal",
        "feature": feature,
        "group": "batch",
        "standard_error": error,
        **bounds,
    }


def group_test(group: str, *, counts: bool, ratio: float = 4.0) -> dict[str, Any]:
    return {
        "view": "causal", "group": group, "n_columns": 2, "counts": counts, "note": None,
        "p_holm": 0.001 if counts else 0.6,
        "wald": {"statistic": 5.0, "df": 2, "p_value": 0.001 if counts else 0.3},
        "lr": {"statistic": 10.0 * ratio, "df": 2, "p_value": 1e-9},
    }  # fmt: skip


def rank(feature: str, seen: int, rho: float) -> dict[str, Any]:
    return {"feature": feature, "epochs_seen": seen, "n_runs": 50, "spearman": around(rho)}


def pairs(end: str, settings: str, share: float, ratio: float = 4.0) -> dict[str, Any]:
    return {
        "end": end, "settings": settings, "n_pairs": 60, "n_lineages": 30,
        "median_ratio_of_epochs": ratio,
        "told_apart": [
            {"epochs_seen": seen, "n_pairs": 60, "accuracy": around(share)} for seen in (0, 2, 5)
        ],
    }  # fmt: skip


def alignment(gain: float = 0.1, rho: float = 0.7, share: float = 0.9) -> dict[str, Any]:
    ranks = [rank("log_grad_alignment", seen, rho) for seen in (0, 10, 50)]
    return {
        "ranks": [*ranks, rank("grad_alignment_cosine", 10, 0.01)],
        "prediction": {
            "distance": score(0.4), "alignment": score(0.3), "both": score(0.4 + gain),
            "gain": around(gain),
        },
        "paths": {"near": 0.25, "pairs": [pairs("one solution", "other", share)]},
        "initialisation": [
            {
                "runs": "hyperparameters fixed, log epochs", "n_runs": 90, "n_lineages": 30,
                "share_between_lineages": around(0.8), "share_of_that_between_schemes": 0.1,
                "schemes": [
                    {"init_scheme": name, "n_lineages": 15, "factor": 1.2} for name in "ab"
                ],
            }
        ],
    }  # fmt: skip


def rule(tree: float = 0.6, best: float = 0.8) -> dict[str, Any]:
    terms = {"intercept": 0.5, "log_elapsed": 0.25, "share_of_rises": -1.0, "log_lr": -0.5}
    return {
        "best": score(best),
        "tree": score(tree, text=TREE),
        "formula": score(
            0.4, terms=[{"term": name, "coefficient": value} for name, value in terms.items()]
        ),
    }


def alone(end: float, curve: float = 0.7, start: float = 0.5) -> list[dict[str, Any]]:
    return [
        score(value, cohort=cohort, features=features, n_features=4)
        for cohort, shift in (("hyperparameters fixed", 0.0), ("hyperparameters varied", -0.4))
        for features, value in (
            ("distance to the end", end + shift),
            ("distance from the start", start + shift),
            ("loss curve", curve + shift),
            ("everything causal", 0.9 + shift),
        )
    ]


def at_zero(causal: float = 0.7, settings: float = 0.5) -> list[dict[str, Any]]:
    values = {
        "CAPE": 0.4, "hyperparameters": settings, "causal": causal,
        "causal and measured at the state": causal,
    }  # fmt: skip
    return [
        score(value, features=name, regressor="random_forest", names=["log_lr", "log_ntk_trace"])
        for name, value in values.items()
    ]


def theory(value: float, scope: str) -> dict[str, Any]:
    return {
        "model": "theory", "title": "Closed-form rate", "view": "causal", "baseline": True,
        "split": "by lineage", "scope": scope, "scale": "log", "weighting": "run", "metric": "r2",
        "level": None, **score(value),
    }  # fmt: skip


def everything() -> dict[str, Any]:
    """Results of two families, by path."""
    results: dict[str, Any] = {}
    for family in ("neuron", "mlp"):
        results |= {
            f"{family}/importance.json": [
                importance("loss_slopes", 0.4), importance("motion", 0.1),
                importance("oracle_distances", 0.3, "oracle"),
                importance("oracle_interactions", 0.02, "oracle"),
            ],
            f"{family}/inference.json": {
                "coefficients": [coefficient("log_steps", 0.7), coefficient("batch_share", -0.2)],
                "tests": [group_test("batch", counts=True), group_test("motion", counts=False)],
            },
            f"{family}/distance_alone.json": alone(0.95),
            f"{family}/simple_rule.json": rule(),
            f"{family}/alignment.json": alignment(),
            f"{family}/initialisation.json": at_zero(),
            f"{family}/scores.json": [
                theory(1.0, "abs, full batch, no momentum"), theory(0.6, "all"),
            ],
        }  # fmt: skip
    return results


def blocks_of(name: str, results: dict[str, Any]) -> list[Any]:
    return list(summarise_section(SECTIONS[name], Results(results))["blocks"])


def said(name: str, results: dict[str, Any]) -> str:
    """All that a section says, without its figures' data."""
    lines: list[str] = []

    def read(blocks: list[Any]) -> None:
        for block in blocks:
            lines.extend(block.get("paragraphs", []))
            if block["kind"] == "points":
                lines.extend(f"{each['lead']} {each['body']}" for each in block["items"])
            for option in block.get("options", []):
                read(option["blocks"])

    read(blocks_of(name, results))
    return " ".join(lines).replace("\u202f", " ")


def mlp(**files: Any) -> dict[str, Any]:
    return {f"mlp/{name}.json": value for name, value in files.items()}


def page(results: dict[str, Any]) -> str:
    sections = [summarise_section(SECTIONS[name], Results(results)) for name in MINE]
    return render({"title": "Title", "sections": sections})


def test_every_section_says_something_and_its_figures_are_complete() -> None:
    results = everything()
    for name in MINE:
        blocks = blocks_of(name, results)
        first = blocks[0]["options"][0]["blocks"][0] if blocks[0]["kind"] == "choice" else blocks[0]
        assert first["kind"] == "text"
        figures = _figures(blocks)
        assert figures, name
        for each in figures:
            assert each["title"]
            assert each["caption"]
            assert each["table"]["rows"]
            assert all(panel["title"] and panel["description"] for panel in each["panels"])


def _figures(blocks: list[Any]) -> list[Any]:
    inner = [
        each for block in blocks for option in block.get("options", []) for each in option["blocks"]
    ]
    return [block for block in [*blocks, *inner] if block["kind"] == "figure"]


def test_sections_without_their_files_are_left_out() -> None:
    for name in MINE:
        assert blocks_of(name, {}) == []
        assert blocks_of(name, {"neuron/scores.json": []}) == []


@pytest.mark.parametrize("name", MINE)
def test_no_file_that_is_missing_or_odd_stops_a_section(name: str) -> None:
    whole = everything()
    for path in whole:
        for odd in (None, [], {}, [1, "a", None], {"pairs": 3}, [{}]):
            results = {key: value for key, value in whole.items() if key != path}
            blocks_of(name, results if odd is None else {**results, path: odd})


@pytest.mark.parametrize("name", MINE)
def test_figures_without_intervals_are_said_without(name: str) -> None:
    bare = json.loads(json.dumps(everything()), object_hook=_without_bounds)
    words = said(name, bare)
    assert words
    assert " to –" not in words
    assert "None" not in words


def _without_bounds(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if key in {"lower", "upper"} else value for key, value in row.items()}


def test_names_from_data_stay_text(audit: Callable[[str], Any]) -> None:
    names = ("loss_slopes", "log_steps", "distance to the end", "log_elapsed", "Closed-form rate")
    text = json.dumps(everything())
    for name in (*names, "batch_share", "random_forest", "causal and measured at the state"):
        text = text.replace(json.dumps(name), json.dumps(EVIL))
        text = text.replace(f" {name} ", f" {EVIL} ")  # in the text of a tree
    read = audit(page(json.loads(text)))
    assert read.faults == []
    assert read.duplicated() == set()
    assert EVIL in read.text
    assert read.tags.count("script") == 1


def test_importance_names_the_group_that_costs_most() -> None:
    rows = [importance("loss_slopes", 0.4), importance("motion", 0.1)]
    words = said("importance", mlp(importance=rows))
    assert "rest most on the slope of the loss; shuffling it between runs costs 0.400" in words
    assert "Next come the motion of the parameters with 0.100 (0.090 to 0.110)" in words
    changed = said("importance", mlp(importance=[rows[0], importance("motion", 0.9)]))
    assert "rest most on the motion of the parameters" in changed
    assert "interactions matter" not in changed


def test_features_of_one_group_keep_their_own_names() -> None:
    rows = [{**importance("loss_slopes", drop), "feature": name} for name, drop in (
        ("log_loss_slope_1", 0.4), ("log_loss_slope_4", 0.2))]  # fmt: skip
    words = said("importance", mlp(importance=rows))
    assert "rest most on the slope of log loss over the last epoch" in words


def test_coefficients_quote_the_surest_and_count_the_groups_that_count() -> None:
    record = everything()["mlp/inference.json"]
    words = said("coefficients", mlp(inference=record))
    assert "1 of 2 groups of features count" in words
    assert "motion of the parameters cannot be told from nothing" in words
    assert "would keep 2: its statistic a column is 4 times as large" in words
    assert "belongs to the steps an epoch" in words
    assert "multiplies the epochs left by 2.01 (1.65 to 2.46)" in words
    record["coefficients"][1] = coefficient("batch_share", -0.69, 0.01)
    changed = said("coefficients", mlp(inference=record))
    assert "belongs to the share of the examples in a batch" in changed
    assert "multiplies the epochs left by 0.50" in changed


def test_groups_that_were_not_tested_are_said_with_the_reason() -> None:
    note = {"view": "causal", "group": "batch", "wald": None, "lr": None, "note": "9 are too few"}
    words = said("coefficients", mlp(inference={"coefficients": [], "tests": [note, note]}))
    assert words == "Past alone, not tested: 9 are too few."


@pytest.mark.parametrize(
    ("end", "answer", "verdict"),
    [
        (0.95, "At fixed hyperparameters it is:", "80 % or more: holds for mlp."),
        (0.6, "At fixed hyperparameters it is not:", "80 % or more: does not hold for mlp."),
        (0.82, "At fixed hyperparameters this is open:", "80 % or more: is undecided for mlp."),
    ],
)
def test_the_claim_on_distances_holds_or_does_not(end: float, answer: str, verdict: str) -> None:
    words = said("distance_alone", mlp(distance_alone=alone(end)))
    assert answer in words
    assert f"{end:.2f} ({end - 0.05:.2f} to {end + 0.05:.2f}) on mlp" in words
    assert verdict in words
    assert "Once they vary it is not" in words


def test_families_that_differ_on_distances_are_named_apart() -> None:
    results = {**mlp(distance_alone=alone(0.95)), "resnet/distance_alone.json": alone(0.5)}
    words = said("distance_alone", results)
    assert "At fixed hyperparameters it is in some families" in words
    assert "80 % or more: holds for mlp; does not hold for resnet." in words


def test_the_rule_is_spelled_out_in_words() -> None:
    words = said("simple_rule", mlp(simple_rule=rule()))
    assert "reach an R² of 0.60 (0.55 to 0.65) on mlp; a model of every feature" in words
    assert "A: epochs so far" in words
    assert "1.65  (1 + x)^0.25, x the epochs so far" in words
    assert "e^(−1.00 · x), x the share of the last 16 epochs in which the loss rose" in words
    assert "x^−0.50, x the learning rate" in words
    data = _figures(blocks_of("simple_rule", mlp(simple_rule=rule())))[1]["table"]["rows"]
    assert [row[0] for row in data] == ["epochs so far ≤ 10", "epochs so far > 10"]
    assert [row[1] for row in data] == pytest.approx([1.718, 19.086], abs=1e-3)


def test_a_tree_that_cannot_be_read_leaves_its_score() -> None:
    odd = rule()
    odd["tree"]["text"] = "nothing"
    blocks = blocks_of("simple_rule", mlp(simple_rule=odd))
    assert [each["id"] for each in _figures(blocks)] == ["accuracy"]
    assert "0.60 (0.55 to 0.65) on mlp" in said("simple_rule", mlp(simple_rule=odd))


def test_the_neurons_rule_stands_beside_the_closed_form() -> None:
    words = said("simple_rule", everything())
    assert "closed-form rate 1.00 (0.95 to 1.05) on abs, full batch, no momentum" in words
    assert "closed-form rate 0.60 (0.55 to 0.65) on all; the tree 0.60" in words
    assert "asks first for the epochs so far" in words
    assert "closed form" not in said("simple_rule", mlp(simple_rule=rule()))


def test_alignment_helps_only_where_its_gain_is_sure() -> None:
    assert "it adds 0.10 (0.05 to 0.15) on mlp" in said(
        "gradient_alignment", mlp(alignment=alignment(gain=0.1))
    )
    assert "adds nothing sure: its gain of 0.01 (−0.04 to 0.06) on mlp may be none" in said(
        "gradient_alignment", mlp(alignment=alignment(gain=0.01))
    )


def test_alignment_answers_the_seed_by_the_interval_of_the_correlation() -> None:
    words = said("gradient_alignment", mlp(alignment=alignment(rho=0.7)))
    assert "its size 0.70 (0.65 to 0.75) on mlp; its cosine 0.01" in words
    assert "Verdict: its size does on mlp." in words
    none = said("gradient_alignment", mlp(alignment=alignment(rho=0.02)))
    assert "Verdict: In no family for sure." in none


def test_paths_are_told_apart_only_above_a_coin() -> None:
    sure = said("paths", mlp(alignment=alignment(share=0.9)))
    assert "is named in 90 % (85 to 95 %) on mlp if learning rate or optimizer differ." in sure
    assert "the slower takes 4.0 times" in sure
    assert "Verdict: yes for mlp under other settings." in sure
    coin = said("paths", mlp(alignment=alignment(share=0.52)))
    assert "Verdict: no better than a coin for mlp under other settings." in coin


def test_pairs_with_one_solution_speak_for_their_family() -> None:
    record = alignment(share=0.9)
    record["paths"]["pairs"].insert(0, pairs("other solutions", "other", 0.6))
    assert "in 90 % (85 to 95 %) on mlp" in said("paths", mlp(alignment=record))
    record["paths"]["pairs"].pop()
    assert "in 60 % (55 to 65 %) on mlp" in said("paths", mlp(alignment=record))


def test_few_lineages_stand_in_the_data_alone() -> None:
    few = json.loads(json.dumps(everything()).replace('"n_lineages": 30', '"n_lineages": 9'))
    for name, figures in (("paths", []), ("gradient_alignment", ["ranks"]), ("distance_alone", [])):
        assert [each["id"] for each in _figures(blocks_of(name, few))] == figures


def test_the_start_counts_only_beyond_the_hyperparameters() -> None:
    files = {"initialisation": at_zero(0.7, 0.5), "alignment": alignment()}
    words = said("at_initialisation", mlp(**files))
    assert "all that is known has an R² of 0.70 (0.65 to 0.75) on mlp" in words
    assert "CAPE's features (learning rate and trace of the neural tangent kernel)" in words
    assert "at fixed hyperparameters, 80 % (75 to 85 %) on mlp lies between" in words
    assert "Verdict: beyond the hyperparameters for sure on mlp." in words
    overlapping = said("at_initialisation", mlp(**{**files, "initialisation": at_zero(0.55, 0.5)}))
    assert "Verdict: undecided on mlp, where intervals overlap." in overlapping
