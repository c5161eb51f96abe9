"""The first screen and the families: what is said follows the figures."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import FAMILIES, SECTIONS
from epochs_left.reporting.standings import axis_floor, standings
from epochs_left.reporting.summary import summarise_section

HERE = Path(__file__).parent
small = runpy.run_path(str(HERE / "small_results.py"))
audit = runpy.run_path(str(HERE / "html_audit.py"))["Audit"]
EVIL = "<script>alert(1)</script>"
SPACE = "\u202f"

#: R² by family and view.
LEVELS = {"neuron": (0.99, 0.98), "mlp": (0.93, 0.88), "resnet": (0.92, 0.77)}
UNSEEN = {"neuron": 0.5, "mlp": 0.4, "resnet": 0.3}


def make(levels: dict[str, tuple[float, float]], **changes: Any) -> dict[str, Any]:
    """Return results of families with these R²; ``changes`` replace files of all of them."""
    results: dict[str, Any] = {}
    for name, (oracle, causal) in levels.items():
        own = {
            "scores.json": small["scores"](
                {"oracle": {"best": oracle}, "causal": {"best": causal}}
            ),
            "ceiling.json": {"ceiling": small["figure"](0.996, 0.003)},
            "error_by_epoch.json": [
                {"model": "best", "view": "causal", "epochs_seen": at,
                 "median_relative_error": error, "n_runs": 9}
                for at, error in ((0, 0.31), (10, 0.12))
            ],
            "importance.json": [
                {"view": "causal", "feature": "a, b", "group": "loss_level",
                 "importance": 0.4, "lower": 0.3, "upper": 0.5},
                {"view": "causal", "feature": "log_lr", "group": "rate",
                 "importance": 0.1, "lower": 0.05, "upper": 0.2},
            ],
            "convergence.json": {"auc": 0.97, "auc_lower": 0.95, "auc_upper": 0.98, "at_epoch": 10},
            "calibration.json": {"intervals": [
                {"scope": "all", "level": 0.9, "coverage": small["figure"](0.92),
                 "median_ratio": 2.06},
            ]},
            "beats_baselines.json": {"baselines": [{"title": "A rule", "beaten": True}]},
        }  # fmt: skip
        results |= {f"{name}/{file}": value for file, value in {**own, **changes}.items()}
    return results


def unseen(levels: dict[str, float]) -> dict[str, Any]:
    rows = [
        {"trained_on": trained, "tested_on": name, **small["figure"](value, 0.05)}
        for name, value in levels.items()
        for trained in ("all others", "neuron")
    ]
    return {"transfer_families.json": rows}


def section(name: str, results: dict[str, Any]) -> dict[str, Any]:
    return dict(summarise_section(SECTIONS[name], Results(results)))


def blocks(name: str, results: dict[str, Any], kind: str) -> list[Any]:
    return [block for block in section(name, results)["blocks"] if block["kind"] == kind]


def sentence(results: dict[str, Any]) -> str:
    (headline,) = blocks("verdict", results, "headline")
    return str(headline["sentence"])


def facts(results: dict[str, Any]) -> dict[str, tuple[str, str]]:
    (found,) = blocks("verdict", results, "facts")
    return {fact["label"]: (fact["value"], fact["detail"]) for fact in found["items"]}


def answer(results: dict[str, Any], start: str) -> tuple[str, str]:
    (found,) = (each for label, each in facts(results).items() if label.startswith(start))
    return found


@pytest.mark.parametrize(
    ("causal", "starts"), [((0.5, 0.9), "Yes"), ((0.3, 0.9), "In part"), ((0.1, 0.19), "No")]
)
def test_the_headline_answers_by_the_weakest_and_the_strongest_family(
    causal: tuple[float, float], starts: str
) -> None:
    levels = {name: (0.95, value) for name, value in zip(("neuron", "mlp"), causal, strict=True)}
    said = sentence(make(levels))
    assert said.startswith(f"{starts}, within families seen in training")
    assert f"explain 95{SPACE}% knowing the end and " in said
    low, high = (f"{100 * value:.0f}" for value in causal)
    assert f"{low} to {high}{SPACE}% from the past alone." in said


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (UNSEEN, f"In families never seen, only 30 to 50{SPACE}%."),
        ({"neuron": 0.9, "mlp": 0.95}, f"In families never seen, 90 to 95{SPACE}%."),
        ({}, "from the past alone."),
    ],
)
def test_the_headline_says_what_is_left_in_families_never_seen(
    levels: dict[str, float], words: str
) -> None:
    assert sentence({**make(LEVELS), **unseen(levels)}).endswith(words)


def test_a_headline_of_one_view_names_it_alone() -> None:
    results = make({"mlp": (0.9, 0.6)})
    rows = [row for row in results["mlp/scores.json"] if row["view"] == "oracle"]
    said = sentence({"mlp/scores.json": rows})
    assert "knowing the end" in said
    assert "past" not in said


def test_every_question_is_answered_with_figures_and_intervals() -> None:
    results = {**make(LEVELS), **unseen(UNSEEN)}
    asked = facts(results)
    known, detail = answer(results, "And when the end is unknown")
    assert known == f"77 to 98{SPACE}%"
    assert f"mlp 88.0{SPACE}% (87.0 to 89.0{SPACE}%)" in detail
    assert f"resnet 77.3{SPACE}% (77.1 to 77.5{SPACE}%)" in detail  # 0.77 of 0.993 to 0.999
    assert answer(results, "Can it be predicted")[0] == f"92 to 99{SPACE}%"
    assert answer(results, "What drives it")[0] == "loss level"
    assert "neuron: loss level, 0.40 (0.30 to 0.50)" in answer(results, "What drives it")[1]
    assert answer(results, "Where does it fail")[0] == f"30 to 50{SPACE}%"
    assert f"neuron 50{SPACE}% (45 to 55{SPACE}%)" in answer(results, "Where does it fail")[1]
    assert answer(results, "Will it converge") == (
        "0.97",
        "AUC after 10 epochs, of runs whose end is open: neuron 0.97 (0.95 to 0.98), "
        "mlp 0.97 (0.95 to 0.98), resnet 0.97 (0.95 to 0.98).",
    )
    held, detail = answer(results, "How sure")
    assert held == f"92{SPACE}%"
    assert "2.06 (resnet) times the lower." in detail
    assert len(asked) == 7  # no part of a family was scored


def test_the_weakest_part_is_one_of_enough_lineages() -> None:
    part = {"split": "locked test"}
    rows = [
        *small["scores"]({"causal": {"best": 0.8}}),
        small["score"]("best", 0.6, scope="weak", n_lineages=12, **part),
        small["score"]("best", 0.2, scope="tiny", n_lineages=9, **part),
        small["score"]("other", 0.1, scope="another model", n_lineages=50, **part),
    ]
    results = make({"mlp": (0.9, 0.8)}, **{"scores.json": rows})
    value, detail = answer(results, "And where within")
    assert value == f"60{SPACE}%"
    assert f"mlp, weak, 60{SPACE}% (59 to 61{SPACE}%)" in detail
    assert f"at epoch 0 and 10 is 31{SPACE}% and 12{SPACE}% (mlp)." in detail


@pytest.mark.parametrize("n_left", [0, 1, 3])
def test_families_whose_simple_rules_are_not_all_beaten_are_named(n_left: int) -> None:
    results = make(LEVELS)
    for name in list(LEVELS)[:n_left]:
        results[f"{name}/beats_baselines.json"] = {
            "baselines": [{"title": "Beaten", "beaten": True}, {"title": "Rule", "beaten": False}]
        }
    value, detail = answer(results, "Is it better")
    assert value == f"in {3 - n_left} of 3 families"
    assert ("Not beaten" in detail) == (n_left > 0)
    assert all((f"in {name}, Rule" in detail) == (i < n_left) for i, name in enumerate(LEVELS))
    assert ", Beaten" not in detail


def test_families_without_an_interval_are_named_and_left_out_of_the_range() -> None:
    results = make(LEVELS)
    results["resnet/convergence.json"] = {"auc": 0.33, "auc_lower": None, "at_epoch": 10}
    value, detail = answer(results, "Will it converge")
    assert value == "0.97"
    assert detail.endswith("Too few lineages to say: resnet.")
    assert "0.33" not in detail


def test_intervals_in_families_never_seen_are_told_with_their_price() -> None:
    held = [{"coverage": 0.9, "log_width": 3.0}, {"coverage": 1.0, "log_width": 4.0}, {}]
    _, detail = answer({**make(LEVELS), "held_out_families.json": held}, "How sure")
    assert (
        f"In families never seen 90 to 100{SPACE}% hold, at the price of 20 to 55 times." in detail
    )


@pytest.mark.parametrize(
    ("file", "question"),
    [
        ("importance.json", "What drives it"),
        ("convergence.json", "Will it converge"),
        ("calibration.json", "How sure"),
        ("beats_baselines.json", "Is it better"),
    ],
)
def test_a_missing_file_leaves_its_question_out_and_is_named(file: str, question: str) -> None:
    results = {name: each for name, each in make(LEVELS).items() if not name.endswith(file)}
    found = section("verdict", results)
    assert not [label for label in facts(results) if label.startswith(question)]
    assert [label for label in facts(make(LEVELS)) if label.startswith(question)]
    assert [name for name in found["missing"] if name.endswith(f"mlp/{file}")]


def test_without_scores_there_is_no_verdict() -> None:
    results = {name: each for name, each in make(LEVELS).items() if "scores" not in name}
    assert section("verdict", results)["blocks"] == []
    assert section("families", results)["blocks"] == []


def test_the_row_wise_figure_stands_beside_the_grouped_one() -> None:
    (words,) = blocks("verdict", make(LEVELS), "text")
    assert "0.020 higher on the same rows" in words["paragraphs"][0]
    for name in ("verdict", "families"):
        table = blocks(name, make(LEVELS), "figure")[0]["table"]
        labels = [column["label"] for column in table["columns"]]
        row = dict(zip(labels, table["rows"][1], strict=True))
        assert row["row-wise"]["value"] == pytest.approx(0.02 + row["by lineage"]["value"])


def marks(name: str, results: dict[str, Any], row: int = 0, at: int = -1) -> list[float]:
    panel = blocks(name, results, "figure")[0]["panels"][at]
    dots = panel["chart"]["rows"][row]["dots"]
    return [dot["estimate"]["value"] for dot in dots]


def test_the_picture_has_a_mark_for_each_figure_of_a_family() -> None:
    results = {**make({"mlp": (0.9, 0.8)}), **unseen({"mlp": 0.3})}
    assert marks("verdict", results) == pytest.approx([0.8, 0.805, 0.3, 0.996])
    assert marks("families", results) == pytest.approx([0.82, 0.8, 0.805, 0.996])
    assert marks("families", results, at=0)[:3] == pytest.approx([0.92, 0.9, 0.905])
    assert marks("families", results, at=0)[3] is None  # no ceiling where the end is known


def test_a_locked_test_of_too_few_lineages_stands_in_the_data_alone() -> None:
    results = make({"mlp": (0.9, 0.8)})
    for row in results["mlp/scores.json"]:
        if row["split"] == "locked test":
            row["lower"] = row["upper"] = None
    assert marks("families", results)[1:] == [0.8, None, 0.996]
    figure = blocks("families", results, "figure")[0]
    assert 0.805 in [cell["value"] for cell in figure["table"]["rows"][1] if isinstance(cell, dict)]


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.97, 0.01, "holds"), (0.955, 0.01, "is undecided"), (0.93, 0.01, "does not hold"),
        (0.945, 0.01, "is undecided"), (0.96, None, "holds"), (0.94, None, "does not hold"),
    ],
)  # fmt: skip
def test_the_claim_holds_where_its_whole_interval_does(
    value: float, half: float | None, verdict: str
) -> None:
    results = {"mlp/scores.json": small["scores"]({"causal": {"m": value}}, half=half)}
    (claim,) = blocks("families", results, "points")[0]["items"]
    assert "seed 003" in claim["lead"]
    assert claim["body"].endswith(f" {verdict}.")
    assert f"mlp {value:.3f}" in claim["body"]


@pytest.mark.parametrize("worst", ["mlp", "resnet"])
def test_families_names_where_least_is_reached_and_most_is_left(worst: str) -> None:
    levels = {"neuron": (0.9, 0.95), "mlp": (0.9, 0.8), "resnet": (0.9, 0.8)}
    levels[worst] = (0.9, 0.4)
    (words,) = blocks("families", make(levels), "text")
    said = words["paragraphs"][0]
    assert f"is from 0.40 (0.39 to 0.41) in {worst} to 0.95 (0.94 to 0.96) in neuron" in said
    assert f"Most is left in {worst}, where 1.00 (0.99 to 1.00) is possible" in said
    assert said.endswith("0.60 more.")


def test_the_champion_of_a_family_is_chosen_by_lineage_and_the_ceiling_binds_the_past() -> None:
    rows = small["scores"]({"oracle": {"a": 0.9}, "causal": {"a": 0.7, "b": 0.8}})
    rows.append(small["score"]("a", 0.99, split="locked test"))
    results = {"mlp/scores.json": rows, "mlp/ceiling.json": {"ceiling": small["figure"](0.8)}}
    oracle, causal = standings(Results(results))
    assert (oracle.best.model, causal.best.model) == ("a", "b")
    assert oracle.share is None
    assert causal.share is not None
    assert causal.share["value"] == pytest.approx(1.0)
    assert causal.share["lower"] == pytest.approx(0.8 / 0.81)
    assert axis_floor([oracle, causal]) == pytest.approx(0.7)


def test_families_that_are_not_there_are_not_spoken_of() -> None:
    results = {**make({"mlp": (0.9, 0.8)}), **unseen({"mlp": 0.3})}
    said = json.dumps(section("verdict", results)["blocks"]) + json.dumps(
        section("families", results)["blocks"]
    )
    assert "mlp" in said
    assert not any(name in said for name in FAMILIES if name != "mlp")


@pytest.mark.parametrize("name", ["verdict", "families"])
def test_malicious_names_stay_text(name: str) -> None:
    results = {**make(LEVELS), **unseen({**UNSEEN, EVIL: 0.2})}
    for row in results["mlp/scores.json"]:
        row["title"] = EVIL
    results["mlp/beats_baselines.json"] = {"baselines": [{"title": EVIL, "beaten": False}]}
    results["mlp/importance.json"] = [{"view": "causal", "feature": EVIL, "importance": 1.0}]
    read = audit(render({"title": "t", "sections": [section(name, results)]}))  # type: ignore[typeddict-item]
    assert read.faults == []
    assert EVIL in read.text
    assert read.tags.count("script") == 1


@pytest.mark.parametrize("name", ["verdict", "families"])
def test_figures_have_words_and_data(name: str) -> None:
    for figure in blocks(name, make(LEVELS), "figure"):
        assert figure["title"]
        assert figure["caption"]
        assert figure["table"]["rows"]
        assert all(panel["title"] and panel["description"] for panel in figure["panels"])
