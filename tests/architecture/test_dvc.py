"""dvc.yaml against the code: a stage depends on what it imports, no less and no more."""

import re
from pathlib import Path
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from epochs_left.registry import module_names
from epochs_left.regressors import REGRESSORS
from epochs_left.simulation.planning import SOURCES
from epochs_left.storage.params import load_params, merged
from epochs_left.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
PACKAGE = "pipeline/epochs_left/"

# Packages whose modules are found by scanning: reaching the package reaches them all.
SCANNED = ("evaluation", "features", "regressors", "reporting", "simulation", "workloads")

# The regressors that one fit reads: those of its kind and the shared files, so that an edit of one
# kind does not fit the others again.
FIT_READS = "regressors/${key}"


def stages() -> dict[str, Any]:
    document = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
    return {name: stage.get("do", stage) for name, stage in document["stages"].items()}


STAGES = stages()


def module_of(stage: str) -> str:
    """The module that a stage runs."""
    (name,) = re.findall(r"epochs_left\.stages (\w+)", STAGES[stage]["cmd"])
    return str(name)


def imported_modules(stage: str) -> set[str]:
    graph = grimp.build_graph("epochs_left")
    found: set[str] = set()
    to_visit = [f"epochs_left.stages.{module_of(stage)}", "epochs_left.stages.__main__"]
    while to_visit:
        module = to_visit.pop()
        if module in found:
            continue
        found.add(module)
        to_visit += graph.find_modules_directly_imported_by(module)
        if module.removeprefix("epochs_left.") in SCANNED:
            to_visit += graph.find_descendants(module)
        if "." in module:
            to_visit.append(module.rpartition(".")[0])
    return found


def as_dependency(module: str) -> str | None:
    """The path that dvc.yaml names for a module: a scanned package as a whole, else the file."""
    parts = module.split(".")[1:]
    if not parts:
        return None
    if parts[0] in SCANNED:
        return parts[0]
    path = "/".join(parts)
    return f"{path}.py" if (ROOT / PACKAGE / f"{path}.py").is_file() else None


def code_dependencies(stage: str) -> set[str]:
    deps = {dep for dep in STAGES[stage]["deps"] if dep.startswith(PACKAGE)}
    names = {dep.removeprefix(PACKAGE) for dep in deps}
    # The version in __init__.py is read by what writes it down; it is no unit of its own.
    return {"regressors" if name.startswith("regressors/") else name for name in names} - {
        "__init__.py"
    }


def test_shards_are_named_by_exactly_the_mathematics_that_makes_them() -> None:
    wanted = {as_dependency(module) for module in imported_modules("simulate")} - {None}
    mathematics = {path for path in wanted if path and path.startswith("dynamics/")}
    assert {path for path in SOURCES if path.startswith("dynamics")} == mathematics


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_stage_depends_on_exactly_what_it_imports(stage: str) -> None:
    wanted = {as_dependency(module) for module in imported_modules(stage)} - {None}
    assert code_dependencies(stage) == wanted


def test_fit_depends_on_its_own_regressors_and_the_shared_files() -> None:
    deps = {dep.removeprefix(PACKAGE) for dep in STAGES["fit"]["deps"]}
    shared = {
        f"regressors/{name}.py"
        for name in module_names("epochs_left.regressors")
        if name.startswith("_")
    }
    assert {dep for dep in deps if dep.startswith("regressors")} == shared | {
        FIT_READS,
        "regressors/__init__.py",
    }


def test_every_output_is_a_child_of_a_products_folder() -> None:
    for stage in STAGES.values():
        for out in stage["outs"]:
            path = out if isinstance(out, str) else next(iter(out))
            folder, _, child = path.partition("/")
            assert folder in {"data", "features", "models", "reports"}
            assert child


def test_params_name_every_registered_regressor() -> None:
    """What is in no list would never be fitted."""
    fit = load_params(ROOT / "pipeline/params.yaml")["fit"]
    named = [(kind, name) for kind, names in fit["regressors"].items() for name in names]
    assert sorted(named) == sorted((spec.kind, name) for name, spec in REGRESSORS.items())


def test_every_workload_has_its_parameters() -> None:
    params = load_params(ROOT / "pipeline/params.yaml")
    assert set(WORKLOADS) <= set(params)


def test_profiles_override_known_parameters_alone() -> None:
    params = load_params(ROOT / "pipeline/params.yaml")
    for profile in (ROOT / "pipeline/profiles").glob("*.yaml"):
        assert merged(params, load_params(profile)) != params
