"""The released predictors: packed with a card that says what their results say."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from epochs_left.errors import DataError, InputOutputError, ModelError
from epochs_left.prediction.predictor import predictor_of
from epochs_left.stages import release
from epochs_left.storage.bundle_choice import GOALS, PLATEAU
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.released import RELEASED_ID

RunStage = Callable[..., None]


@pytest.fixture
def project(pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose full profile has run, and where the package would be."""
    full = tmp_path / "build" / "full"
    for folder in (tmp_path, full):
        shutil.copytree(pipeline_folder / "reports", folder / "reports")
    shutil.copytree(pipeline_folder / "models" / "pooled", full / "models" / "pooled")
    (full / "elapsed.json").write_text(json.dumps({"seconds": 5400.0}))
    (tmp_path / "released").mkdir()
    monkeypatch.setattr(release, "RELEASED", tmp_path / "released" / "predictor")
    monkeypatch.setattr(release, "CARD", tmp_path / "released" / "MODEL_CARD.md")
    return tmp_path


def run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.argv", ["release"])
    release.main()


@pytest.mark.parametrize("goal", GOALS)
def test_each_bundle_is_packed_under_its_own_name_and_says_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch, goal: str
) -> None:
    run(project, monkeypatch)
    packed = load_bundle(project / "released" / "predictor" / goal)
    source = load_bundle(project / "build" / "full" / "models" / "pooled" / goal)
    assert packed.manifest == replace(source.manifest, bundle_id=f"{RELEASED_ID}/{goal}")
    assert packed.files == source.files
    assert predictor_of(packed, level=0.9, jobs=1).manifest.of_plateaus == (goal == PLATEAU)


def test_the_card_has_the_hours_the_command_and_the_hash_of_the_data(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, monkeypatch)
    card = (project / "released" / "MODEL_CARD.md").read_text()
    assert "`make full`" in card
    assert "1.5 hours" in card
    for goal in GOALS:
        manifest = load_bundle(project / "released" / "predictor" / goal).manifest
        assert f"{manifest.training['n_rows']:,} rows" in card
        for digest in manifest.training["data_sha256"].values():
            assert digest[:16] in card


def test_the_package_brings_what_is_released(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that no pattern of pyproject.toml names are in no wheel."""
    run(project, monkeypatch)
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    patterns = tomllib.loads(text)["tool"]["setuptools"]["package-data"]["epochs_left"]
    packed = {path for pattern in patterns for path in project.glob(pattern)}
    written = {path for path in (project / "released").rglob("*") if path.is_file()}
    assert written - packed == set()


def test_nothing_is_released_that_is_too_large_for_the_package(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="expected bundles of at most 1,000 bytes"):
        run(project, monkeypatch)
    assert not list((project / "released").iterdir())


@pytest.mark.parametrize("goal", GOALS)
def test_two_bundles_may_be_too_large_together(
    project: Path, monkeypatch: pytest.MonkeyPatch, goal: str
) -> None:
    files = load_bundle(project / "build" / "full" / "models" / "pooled" / goal).files
    monkeypatch.setattr(release, "MAX_BYTES", sum(map(len, files.values())))
    with pytest.raises(DataError, match="together"):
        run(project, monkeypatch)


@pytest.mark.parametrize("goal", GOALS)
def test_one_predictor_is_not_released_without_the_other(
    project: Path, monkeypatch: pytest.MonkeyPatch, goal: str
) -> None:
    shutil.rmtree(project / "build" / "full" / "models" / "pooled" / goal)
    with pytest.raises(ModelError, match=goal):
        run(project, monkeypatch)
    assert not list((project / "released").iterdir())


def test_without_scores_nothing_is_released(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "build" / "full" / "reports" / "results" / "pooled_locked.json").unlink()
    with pytest.raises(InputOutputError, match=r"pooled_locked\.json"):
        run(project, monkeypatch)
    assert not list((project / "released").iterdir())


def test_this_checkouts_own_run_is_released_without_hours(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project / "build" / "full" / "models", project / "models")
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.argv", ["release", "default"])
    release.main()
    card = (project / "released" / "MODEL_CARD.md").read_text()
    assert "`make reproduce`" in card
    assert "hours" not in card
