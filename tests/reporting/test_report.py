from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.reporting import build_report, result_files, summarise
from epochs_left.reporting.palette import PALETTE, REGION_LEVELS
from epochs_left.reporting.sections import FAMILIES, SECTIONS

REPOSITORY = Path(__file__).parents[2]
LIMIT = 2_000_000  # bytes


def test_the_same_results_give_the_same_bytes(results: dict[str, Any], report: str) -> None:
    assert build_report(results) == report


def test_a_section_names_where_what_it_reads_lies(report: str) -> None:
    assert "<code>reports/results/FAMILY/scores.json</code>" in report
    assert "<code>reports/results/data_card.json</code>" in report
    assert "<code>benchmarks/results/real_logs.json</code>" in report


def test_neither_order_nor_suffix_of_the_names_matters(
    results: dict[str, Any], report: str
) -> None:
    shared = {"neuron/parameter_plane.json", "neuron/parameter_plane.parquet"}
    by_stem = {
        name if name in shared else name.rpartition(".")[0]: value
        for name, value in reversed(results.items())
    }
    assert build_report(by_stem) == report


def test_the_report_is_one_small_sound_document(report: str, audit: Any) -> None:
    read = audit(report)
    assert len(report.encode()) < LIMIT
    assert read.faults == []
    assert read.dangling() == set()
    assert read.duplicated() == set()


def test_the_report_stays_small_with_as_much_data_as_evaluate_may_write(
    results: dict[str, Any],
) -> None:
    models = [f"model_{i}" for i in range(16)]
    many = dict(results)
    for name in ("scores.json", "importance.json", "error_by_epoch.json"):
        for family in FAMILIES:
            many[f"{family}/{name}"] = _copies(results[f"mlp/{name}"], models)
    table = results["mlp/predictions.parquet"]
    for family in FAMILIES:
        many[f"{family}/predictions.parquet"] = pa.concat_tables(
            table.set_column(0, "model", pa.array([model] * table.num_rows)) for model in models
        )
    assert len(build_report(many).encode()) < LIMIT


def _copies(rows: list[dict[str, Any]], models: list[str]) -> list[dict[str, Any]]:
    own = [row for row in rows if row["model"] == "xgboost"]
    return [{**row, "model": model, "title": model} for model in models for row in own]


def test_the_policy_allows_the_style_and_the_script_of_the_page_alone(
    report: str, audit: Any
) -> None:
    read = audit(report)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', report)
    assert policy is not None
    directives = dict(
        part.strip().split(" ", 1) for part in policy[1].replace("&#39;", "'").split(";")
    )
    assert directives == {
        "default-src": "'none'",
        "style-src": f"'sha256-{_digest(read.inside('style'))}'",
        "script-src": f"'sha256-{_digest(read.inside('script'))}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_every_section_has_its_heading_link_files_and_command(report: str) -> None:
    for name, spec in SECTIONS.items():
        assert f'<section id="{name}" aria-labelledby="{name}-heading">' in report
        assert f'<a href="#{name}">{spec.title}</a>' in report
        assert all(f"/{file.rpartition('/')[2]}</code>" in report for file in spec.reads)
        assert f"made by <code>{spec.command}</code>" in report


def test_every_picture_has_a_name_a_description_and_data_behind_it(report: str) -> None:
    pictures = re.findall(
        r"<svg [^>]*role=\"img\"[^>]*>(<title [^>]*>.*?</title>)(<desc.*?</desc>)", report
    )
    assert len(pictures) == report.count("<svg ")
    assert all(re.sub("<[^>]+>", "", words) for pair in pictures for words in pair)
    figures = re.findall(r"<figure .*?</figure>", report, flags=re.DOTALL)
    assert figures
    assert all("<details>" in each and "<tbody>" in each for each in figures)


def test_pictures_have_no_colour_that_only_one_scheme_can_read(report: str) -> None:
    svgs = "".join(re.findall(r"<svg .*?</svg>", report, flags=re.DOTALL))
    rules = "".join(re.findall(r"^\.m\d+\{.*\}$", report, flags=re.MULTILINE))
    fixed = set(re.findall(r"#[0-9a-f]{6}\b", re.sub(r'(id|href)="[^"]*"', "", svgs) + rules))
    assert fixed == set()


def test_schemes_are_complete_and_their_text_is_readable() -> None:
    for scheme in ("light", "dark"):
        paper = getattr(PALETTE["paper"], scheme)
        assert _contrast(getattr(PALETTE["ink"], scheme), paper) > 12
        assert _contrast(getattr(PALETTE["muted"], scheme), paper) > 4.5
        assert _contrast(getattr(PALETTE["blue"], scheme), paper) > 4.5  # links
    shades = [shade.light for shade in PALETTE.values()]
    assert len(set(shades)) == len(shades)
    assert len(set(REGION_LEVELS)) == len(REGION_LEVELS)


def _contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2.2."""
    low, high = sorted(_luminance(code) for code in (first, second))
    return (high + 0.05) / (low + 0.05)


def _luminance(code: str) -> float:
    channels = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_summary_is_json_and_says_what_the_page_says(results: dict[str, Any]) -> None:
    summary = summarise(results)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["sections"][0]["name"] == "verdict"
    told = [section["name"] for section in summary["sections"] if not section["missing"]]
    assert {"data_card", "closed_form", "calibration", "residuals", "worst_runs"} <= set(told)


def test_families_stand_side_by_side_in_one_choice(results: dict[str, Any]) -> None:
    (section,) = (s for s in summarise(results)["sections"] if s["name"] == "error_by_epoch")
    (choice,) = section["blocks"]
    assert [option["name"] for option in choice["options"]] == ["neuron", "mlp"]
    assert choice["options"][0]["blocks"] == choice["options"][1]["blocks"]
    alone = {name: value for name, value in results.items() if not name.startswith("neuron/")}
    (section,) = (s for s in summarise(alone)["sections"] if s["name"] == "error_by_epoch")
    assert [option["name"] for option in section["blocks"][0]["options"]] == ["mlp"]
    assert section["missing"] == []


def test_the_limits_name_what_was_not_tried(results: dict[str, Any]) -> None:
    limits = json.dumps(summarise(results)["sections"][-1])
    assert "Fitted on neuron alone." in limits
    assert "Runs of mlp teach the pooled predictor at most." in limits
    assert "trained by momentum and sgd" in limits


def test_the_dictionary_of_results_names_every_file_and_field(results: dict[str, Any]) -> None:
    dictionary = (REPOSITORY / "reports" / "README.md").read_text(encoding="utf-8")
    assert {name.rpartition("/")[2] for name in results} <= _plain(result_files())
    for name in _plain(result_files()):
        assert f"`{name}`" in dictionary, name
    for name, value in results.items():
        assert all(f"`{field}`" in dictionary for field in _fields(value)), name


def _plain(paths: Iterable[str]) -> set[str]:
    return {path.rpartition("/")[2] for path in paths}


def _fields(value: Any) -> list[str]:
    if isinstance(value, pa.Table):
        return list(value.column_names)
    first = value[0] if isinstance(value, list) else value
    return list(first.get("neuron", first))
