"""What every report section must obey, whatever the results look like."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from epochs_left.reporting.render import render
from epochs_left.reporting.results import Results
from epochs_left.reporting.sections import FAMILIES, SECTIONS
from epochs_left.reporting.summary import SectionSummary, summarise_section

HELPERS = Path(__file__).parents[1] / "reporting"
Audit = runpy.run_path(str(HELPERS / "html_audit.py"))["Audit"]
FULL = runpy.run_path(str(HELPERS / "fake_results.py"))["fake_results"](n_rows=300, n_plane=15)
EVIL = "</title></style><script>alert(1)</script>\"'&amp;$x_{\\1}$\x00\x1b\ud800\u202e<b>日本"
LOOKS_LIKE = "<script>alert(1)</script>"

Change = Callable[[Any], Any]


def _plain(path: str) -> str:
    return path.rpartition("/")[2]


PLAIN = set(map(_plain, FULL))


def _leaves(value: Any, change: Change) -> Any:
    """Apply a change to every leaf of JSON and to every value of a table."""
    if isinstance(value, dict):
        return {key: _leaves(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_leaves(item, change) for item in value]
    if isinstance(value, pa.Table):
        return pa.table({name: _column(value.column(name), change) for name in value.column_names})
    return change(value)


def _column(column: pa.ChunkedArray, change: Change) -> pa.Array:
    return pa.array([change(each) for each in column.to_pylist()], type=column.type)


def _first(value: Any) -> Any:
    if isinstance(value, pa.Table):
        return value.slice(0, 1)
    return value[:1] if isinstance(value, list) else value


def _empty(value: Any) -> Any:
    if isinstance(value, pa.Table):
        return value.slice(0, 0)
    return type(value)()


def _without(value: Any, name: str) -> Any:
    if isinstance(value, pa.Table):
        return value.drop_columns([name]) if name in value.column_names else value
    if isinstance(value, list):
        return [_without(item, name) for item in value]
    if isinstance(value, dict):
        return {key: _without(item, name) for key, item in value.items() if key != name}
    return value


def _names(value: Any) -> set[str]:
    if isinstance(value, pa.Table):
        return set(value.column_names)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = set(value) if isinstance(value, dict) else set()
    return own.union(*map(_names, items))


def _censored(name: str, value: Any) -> Any:
    """Return results of runs that never converge: no row to compare, no time to report."""
    name = name.rpartition("/")[2]
    if name == "predictions.parquet":
        return value.slice(0, 0)
    if name == "parameter_plane.parquet":
        return _without(_without(value, "epochs"), "predicted")
    ended = {"converged": 0, "stuck": 0, "diverged": 0}
    card = {"neuron": {"n_runs": 9, "outcomes": {**ended, "capped": 9}, "by": []}}
    return {"data_card.json": card, "closed_form.json": {"n_runs": 9, "n_converged": 0}}.get(
        name, _leaves(value, lambda leaf: None if isinstance(leaf, float) else leaf)
    )


def _evil_words(leaf: Any) -> Any:
    """Make names evil, but keep words that choose what is shown."""
    kept = {"oracle", "causal", "r2", "log", "run", "all", "by lineage", "row-wise", "locked test"}
    is_name = isinstance(leaf, str) and leaf not in kept
    return f"{leaf}{EVIL}" if is_name else leaf


def _evil_table(value: Any) -> Any:
    """Arrow holds no lone surrogate."""
    if isinstance(value, pa.Table):
        return _leaves(value, lambda leaf: _replaced(_evil_words(leaf)))
    return _leaves(value, _evil_words)


def _replaced(leaf: Any) -> Any:
    return leaf.replace("\ud800", "") if isinstance(leaf, str) else leaf


STATES: dict[str, dict[str, Any]] = {
    "complete": FULL,
    "missing": {},
    "empty": {name: _empty(value) for name, value in FULL.items()},
    "of one run": {name: _first(value) for name, value in FULL.items()},
    "of censored runs": {name: _censored(name, value) for name, value in FULL.items()},
    "null": {name: _leaves(value, lambda _: None) for name, value in FULL.items()},
    "of the wrong kind": {
        name: {"a": []} if isinstance(value, list | pa.Table) else [{"a": 1}, 2]
        for name, value in FULL.items()
    },
    "zero": {
        name: _leaves(value, lambda leaf: 0 if isinstance(leaf, int | float) else leaf)
        for name, value in FULL.items()
    },
    "evil": {name: _evil_table(value) for name, value in FULL.items()},
}


def _section(name: str, results: dict[str, Any]) -> SectionSummary:
    return summarise_section(SECTIONS[name], Results(results))


@pytest.mark.parametrize("name", list(SECTIONS))
def test_a_section_says_what_it_reads_and_how_that_is_made(name: str) -> None:
    spec = SECTIONS[name]
    assert spec.title
    assert spec.question.endswith((".", "?"))
    places = {file.rpartition("/")[0] for file in spec.files}
    assert places <= {"", "benchmarks", *FAMILIES}
    assert spec.command


#: Sections all of whose results are made up here; the others have results in tests of their own.
COVERED = [
    name for name, spec in SECTIONS.items() if {_plain(file) for file in spec.files} <= PLAIN
]


@pytest.mark.parametrize("name", COVERED)
def test_a_section_of_complete_results_has_content(name: str) -> None:
    assert _section(name, FULL)["blocks"]


@pytest.mark.parametrize("state", list(STATES))
@pytest.mark.parametrize("name", list(SECTIONS))
def test_a_section_renders_whatever_the_state_of_the_results(name: str, state: str) -> None:
    section = _section(name, STATES[state])
    json.dumps(section, allow_nan=False)
    audit = Audit(render({"title": "t", "sections": [section]}))
    assert audit.faults == []
    assert audit.dangling() == set()
    assert audit.duplicated() == set()
    assert audit.tags.count("script") == 1
    assert audit.tags.count("b") == 0


@pytest.mark.parametrize("name", list(SECTIONS))
def test_a_section_needs_no_single_field(name: str) -> None:
    own = {file: FULL[file] for file in SECTIONS[name].files if file in FULL}
    few = [s for s in FULL["neuron/scores.json"] if s["model"] in {"constant", "xgboost"}]
    own |= {file: few for file in own if _plain(file) == "scores.json"}
    for field in sorted(_names(own)):
        reduced = {file: _without(value, field) for file, value in own.items()}
        json.dumps(_section(name, reduced), allow_nan=False)


def test_evil_names_stay_text() -> None:
    names = ("leaderboard", "worst_runs", "importance", "error_by_epoch", "reproducibility")
    sections = [_section(name, STATES["evil"]) for name in names]
    audits = [Audit(render({"title": "t", "sections": [section]})) for section in sections]
    assert all(LOOKS_LIKE in audit.text for audit in audits)
    assert not any(sign in audit.text for audit in audits for sign in "\x00\x1b\ud800\u202e")


def test_a_section_names_the_files_that_are_missing() -> None:
    partial = {name: FULL[name] for name in ("neuron/scores.json", "neuron/importance.json")}
    nothing, some, all_there = (
        Audit(render({"title": "t", "sections": [section]})).text
        for section in (
            _section("importance", {}),
            _section("verdict", partial),
            _section("importance", partial),
        )
    )
    assert "Nothing to show yet:\nreports/results/neuron/importance.json, " in nothing
    assert "left out:\nreports/results/neuron/ceiling.json, " in some
    assert "are missing" in some
    assert "missing" not in all_there
