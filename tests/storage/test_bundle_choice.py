"""Which bundle a name means, where a folder may have one for each kind of goal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from epochs_left.errors import ModelError
from epochs_left.storage import bundle_choice
from epochs_left.storage.bundle_choice import (
    GOALS,
    PLATEAU,
    THRESHOLD,
    bundle_folder,
    complete_model,
    default_model,
    goal_of,
    released_bundles,
)

OTHER = {THRESHOLD: PLATEAU, PLATEAU: THRESHOLD}


def make_bundle(folder: Path) -> None:
    """Make a folder with a manifest: what is in it is not looked at here."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder of two bundles and one bundle below ``models``."""
    for goal in GOALS:
        make_bundle(tmp_path / "models" / "both" / goal)
        make_bundle(tmp_path / "package" / goal)
    make_bundle(tmp_path / "models" / "one")
    monkeypatch.setattr(bundle_choice, "RELEASED", tmp_path / "package")
    monkeypatch.delenv("EPOCHS_LEFT_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_share_asks_for_a_plateau_and_no_share_for_a_threshold() -> None:
    assert [goal_of(share) for share in (None, 0.01, 0.5)] == [THRESHOLD, PLATEAU, PLATEAU]


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("name", ["both", "both/", "./models/both", "models/both/"])
def test_a_folder_of_both_gives_the_bundle_of_the_goal(name: str, goal: str) -> None:
    assert bundle_folder(name, goal) == Path("models/both") / goal


def test_an_absolute_folder_of_both_does_too(place: Path) -> None:
    for goal in GOALS:
        assert bundle_folder(str(place / "models/both"), goal) == place / "models/both" / goal


@pytest.mark.parametrize("goal", [None, *GOALS])
@pytest.mark.parametrize("name", ["one", "both/threshold", "both/plateau"])
def test_a_bundle_is_itself_whatever_is_asked(name: str, goal: str | None) -> None:
    """Whether it serves that goal is for those to say who have read its manifest."""
    assert bundle_folder(name, goal) == Path("models") / name


def test_a_bundle_with_others_below_it_is_itself(place: Path) -> None:
    make_bundle(place / "models" / "one" / PLATEAU)
    assert bundle_folder("one", PLATEAU) == Path("models/one")


@pytest.mark.parametrize("goal", GOALS)
def test_the_current_folder_comes_before_models_and_hides_none_of_them(
    place: Path, goal: str
) -> None:
    (place / "both").mkdir()
    assert bundle_folder("both", goal) == Path("models/both") / goal
    make_bundle(place / "both" / goal)
    assert bundle_folder("both", goal) == Path("both") / goal
    assert bundle_folder("both", OTHER[goal]) == Path("models/both") / OTHER[goal]


def test_without_a_goal_a_folder_of_both_is_no_bundle_and_names_them() -> None:
    named = "below it: models/both/plateau, models/both/threshold; pass one of them"
    with pytest.raises(ModelError, match=re.escape(named)):
        bundle_folder("both")


@pytest.mark.parametrize("goal", GOALS)
def test_a_folder_that_lacks_the_bundle_of_the_goal_names_the_other(place: Path, goal: str) -> None:
    make_bundle(place / "half" / OTHER[goal])
    with pytest.raises(ModelError, match=rf"no manifest.json; below it: half/{OTHER[goal]}; pass"):
        bundle_folder("half", goal)


@pytest.mark.parametrize("goal", GOALS)
def test_the_released_bundles_answer_by_their_names(place: Path, goal: str) -> None:
    for name in (None, "released", "released/"):
        assert bundle_folder(name, goal) == place / "package" / goal
    for name in (f"released/{goal}", f"released/{goal}/"):
        for asked in (None, *GOALS):
            assert bundle_folder(name, asked) == place / "package" / goal


def test_released_hides_no_folder_that_only_begins_like_it(place: Path) -> None:
    make_bundle(place / "released-mine")
    make_bundle(place / "models" / "released" / "deep" / "bundle")
    assert bundle_folder("released-mine", THRESHOLD) == Path("released-mine")
    assert bundle_folder("released/deep/bundle") == Path("models/released/deep/bundle")


def test_a_name_cannot_climb_out_of_the_package(place: Path) -> None:
    make_bundle(place / "secret")
    with pytest.raises(ModelError, match=r"no bundle at released/\.\./secret"):
        bundle_folder("released/../secret", THRESHOLD)


@pytest.mark.parametrize("goal", GOALS)
def test_the_variable_names_what_is_taken_when_nothing_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, goal: str
) -> None:
    assert default_model() == "released"
    monkeypatch.setenv("EPOCHS_LEFT_MODEL", str(place / "models" / "both"))
    assert default_model() == str(place / "models" / "both")
    assert bundle_folder(None, goal) == place / "models" / "both" / goal
    assert bundle_folder("released", goal) == place / "package" / goal


def test_names_are_completed_to_bundles_of_the_package_and_below_models() -> None:
    assert complete_model("") == [
        "released/threshold",
        "released/plateau",
        "both/plateau",
        "both/threshold",
        "one",
    ]
    assert complete_model("released/p") == ["released/plateau"]
    assert complete_model("x") == []


def test_a_package_with_one_bundle_names_that_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(place / "older" / THRESHOLD)
    monkeypatch.setattr(bundle_choice, "RELEASED", place / "older")
    assert released_bundles() == {"released/threshold": place / "older" / THRESHOLD}
    with pytest.raises(ModelError, match=r"no bundle in .*older.*threshold; pass one of them"):
        bundle_folder(None, PLATEAU)


@pytest.mark.parametrize("name", [None, "released", "released/plateau"])
def test_a_package_without_bundles_says_how_to_get_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setattr(bundle_choice, "RELEASED", place / "nowhere")
    assert released_bundles() == {}
    with pytest.raises(ModelError, match="has no released predictor; install a release"):
        bundle_folder(name, PLATEAU)
