"""What data/README.md and the comments of params.yaml say: their examples run, figures agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from epochs_left.config import parse_settings
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.storage.params import load_params, merged
from epochs_left.storage.run_store import RunStore
from epochs_left.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
README = (ROOT / "data" / "README.md").read_text()
PARAMS_FILE = ROOT / "pipeline" / "params.yaml"
PARAMS = load_params(PARAMS_FILE)
#: As few runs as show every way in which parameters are stored.
FEW: dict[str, dict[str, Any]] = {
    "neuron": {"runs": 16},
    "mlp": {"runs": 8, "max_epochs": 2},
    "resnet": {"runs": 6, "max_epochs": 1, "widths": {"8": 1, "4": 1, "16": 0}},
    "char_lm": {"runs": 8, "max_epochs": 1, "architectures": {"1x16": 1, "2x32": 1}},
}
WIDE = {"resnet", "char_lm"}

Plan = Callable[[str], pa.Table]


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The runs of a family that params.yaml asks for, at most 2,000: more never change them."""

    def build(family: str) -> pa.Table:
        workload = WORKLOADS[family]
        settings = parse_settings(workload.settings_type, PARAMS[family], family)
        few = replace(settings, runs=min(settings.runs, 2_000))
        return workload.plan(few, PARAMS["root_seed"])

    return build


@pytest.fixture(scope="module", params=FEW)
def store(
    request: pytest.FixtureRequest,
    small_params: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> RunStore:
    """A store of a few runs of each family."""
    family, root = request.param, tmp_path_factory.mktemp("stores")
    values = merged(small_params[family], {**FEW[family], "runs_per_lineage": 1})
    simulate_family(
        family,
        parse_settings(WORKLOADS[family].settings_type, values, family),
        3,
        folder=root / family,
        work_root=root / "work",
        execution=Execution(),
    )
    return RunStore(root / family)


def examples() -> list[str]:
    """The Python blocks of the page."""
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(example: str, store: RunStore) -> dict[str, Any]:
    """Run an example on a store; return what it has made."""
    assert "data/runs/neuron" in example
    found: dict[str, Any] = {}
    exec(example.replace("data/runs/neuron", str(store.folder)), found)
    return found


def test_the_reading_example_reads_every_family(store: RunStore) -> None:
    found = run(examples()[0], store)
    n_tensors, length = len(found["tensors"]), int(found["length"])
    assert found["loss"].shape == (length,)
    family = store.manifest["family"]
    sizes = {run["n_params"] for run in found["runs"].values()}
    has_wide = any(size > 6_000 for size in sizes)
    assert has_wide == (family in WIDE)
    if has_wide:
        assert found["norm"].shape == (n_tensors, length)
        assert (found["from_start"][:, 0] == 0).all()
        assert (found["largest"] <= found["norm"] * (1 + 1e-6)).all()
        assert found["sketch"].shape == (length, 256)
    assert found["theta"].ndim == 2
    assert found["theta"].shape[1] in sizes


def test_the_pandas_example_joins_every_epoch_with_its_run(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    joined = run(examples()[1], store)["joined"]
    assert len(joined) == store.manifest["n_rows"]
    assert joined["run_id"].nunique() == store.manifest["n_runs"]
    assert joined["outcome"].notna().all()
    last = joined[joined["epoch"] == joined["outcome_epoch"]]
    np.testing.assert_array_equal(last["loss"], last["final_loss"].astype(np.float32))
    assert "optimizer" in capsys.readouterr().out


def test_tensors_of_the_manifest_cover_the_parameters(store: RunStore) -> None:
    for row in store.runs().to_pylist():
        tensors = store.manifest["tensors"][row["architecture"]]
        assert sum(int(np.prod(shape)) for _, shape in tensors) == row["n_params"]


@pytest.mark.parametrize("family", list(WORKLOADS))
def test_families_have_the_parameters_that_the_page_says(plan: Plan, family: str) -> None:
    (row,) = re.findall(rf"^\| {family} \|.*$", README, flags=re.MULTILINE)
    said = row.split(" | ")[-2]
    counts = plan(family)["n_params"].to_numpy()
    low, high = counts.min(), counts.max()
    assert said == (f"{low:,} to {high:,}" if high > low else f"{low:,}")
    tasks = set(plan(family)["task"].to_pylist())
    assert all(f"`{task}`" in row for task in tasks)


def test_rare_architectures_are_as_rare_as_the_page_says(plan: Plan) -> None:
    resnet, char_lm = (plan(name)["architecture"].to_pylist() for name in ("resnet", "char_lm"))
    widths = [sum(f"-w{width}-" in name for name in resnet) for width in (8, 16)]
    said = (
        f"of the {len(resnet)} runs of resnet {widths[0]} have width 8 and {widths[1]} have width "
        f"16; of the {len(char_lm)} runs of char_lm {char_lm.count('2x32')} are 2x32."
    )
    assert said in " ".join(README.split())


@pytest.mark.parametrize("family", ["resnet", "char_lm"])
def test_the_ready_block_for_data_of_ones_own_is_accepted(family: str) -> None:
    """Its lines stand as comments in params.yaml."""
    block = PARAMS_FILE.read_text().partition(f"\n{family}:")[2].partition("\n\n")[0]
    lines = re.findall(r"#   ([a-z_]+: \{.*\})$", block, flags=re.MULTILINE)
    own = YAML(typ="safe", pure=True).load("\n".join(lines))
    assert len(own) == 4
    values = {**PARAMS[family], **own}
    settings = parse_settings(WORKLOADS[family].settings_type, values, family)
    sources = WORKLOADS[family].sources(settings)
    assert len([source for source in sources.values() if source.path]) == len(own["tasks"]) - 1
    WORKLOADS[family].plan(settings, 1)


def test_every_entry_of_the_manifest_is_described(store: RunStore) -> None:
    table = README.partition("| manifest | meaning |")[2].partition("\n\n")[0]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name.strip() for cell in first for name in cell.split(",")}
    assert named == set(store.manifest)
