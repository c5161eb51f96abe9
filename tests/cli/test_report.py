"""The command `report`: the page and its content as data, from folders of results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCORE = {
    "model": "xgboost", "title": "Gradient boosting", "view": "causal", "baseline": False,
    "split": "by lineage", "scope": "all", "scale": "log", "weighting": "run", "metric": "r2",
    "estimate": 0.83, "lower": 0.8, "upper": 0.86, "n_runs": 90, "n_lineages": 30,
}  # fmt: skip


@pytest.fixture
def project(place: Path) -> Path:
    """The current folder, with results of one family."""
    folder = place / "reports" / "results" / "mlp"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps([SCORE]))
    return place


def test_the_page_is_written_where_it_is_looked_for(project: Path, cli: Callable[..., Any]) -> None:
    assert cli("report").code == 0
    page = (project / "reports" / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Gradient boosting" in page


def test_it_is_made_again_from_what_the_results_say_now(
    project: Path, cli: Callable[..., Any]
) -> None:
    cli("report")
    other = [{**SCORE, "title": "Another model"}]
    (project / "reports" / "results" / "mlp" / "scores.json").write_text(json.dumps(other))
    assert cli("report").code == 0
    assert "Another model" in (project / "reports" / "index.html").read_text()


@pytest.mark.usefixtures("project")
def test_json_has_every_section_and_writes_no_page(cli: Callable[..., Any]) -> None:
    found = cli("report", "--json")
    content = json.loads(found.out)
    assert content["sections"][0]["name"] == "verdict"
    assert "Gradient boosting" in found.out
    assert not Path("reports/index.html").exists()


@pytest.mark.usefixtures("project")
def test_another_file_is_replaced_only_when_that_is_asked_for(cli: Callable[..., Any]) -> None:
    Path("thesis.html").write_text("mine")
    found = cli("report", "-o", "thesis.html")
    assert (found.code, "--force" in found.error) == (5, True)
    assert Path("thesis.html").read_text() == "mine"
    assert cli("report", "-o", "thesis.html", "--force").code == 0
    assert Path("thesis.html").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--results", "nowhere"), "no folder of results nowhere"),
        (("-o", "no/such/page.html"), "name a file in a folder that is there"),
        (("-o", "reports"), "name a file in a folder that is there"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_cannot_be_read_or_written_is_said_in_one_line(
    cli: Callable[..., Any], arguments: tuple[str, ...], says: str
) -> None:
    found = cli("report", *arguments)
    assert (found.code, says in found.error) == (5, True)


def test_a_folder_without_results_is_an_error(place: Path, cli: Callable[..., Any]) -> None:
    (place / "empty").mkdir()
    found = cli("report", "--results", "empty")
    assert (found.code, "dvc repro" in found.error) == (5, True)


def test_a_damaged_result_is_named(project: Path, cli: Callable[..., Any]) -> None:
    (project / "reports" / "results" / "mlp" / "scores.json").write_text("[{")
    found = cli("report")
    assert found.code in {5, 6}
    assert "scores.json" in found.error
    assert not (project / "reports" / "index.html").exists()
