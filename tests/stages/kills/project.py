"""The project that is tormented: a workspace, and the hashes of what the pipeline made in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from epochs_left.storage.params import PARAMS, merged, write_params
from epochs_left.storage.workspace import make_workspace

ROOT = Path(__file__).parents[3]
PRODUCTS = ("data/runs", "data/branches", "features", "models", "reports")
#: The family that models are fitted on.
FAMILY = "neuron"


class KillError(AssertionError):
    """Something that must not happen after a kill."""


@dataclass(frozen=True)
class Project:
    """A workspace with the pipeline of this checkout, and parameters of its own."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, params: Mapping[str, Any], *, lean: bool = False) -> Project:
        """Make the workspace; a lean one watches no source file, which is most of DVC's work."""
        with contextlib.chdir(ROOT):
            make_workspace(folder)
        write_params(folder / PARAMS, dict(params))
        if lean:
            _forget_sources(folder / "dvc.yaml")
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """This interpreter, this checkout's package, and nothing of DVC's outside the folder."""
        return {
            **{name: text for name, text in os.environ.items() if not name.startswith("DVC_")},
            "VIRTUAL_ENV": sys.prefix,
            "PYTHONPATH": str(ROOT / "pipeline"),
            "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc" / "site"),
            "DVC_NO_ANALYTICS": "1",
        }

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file that the pipeline made, hidden leftovers included."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for product in PRODUCTS
            for path in sorted((self.folder / product).rglob("*"))
            if path.is_file()
        }

    def data_hashes(self) -> dict[str, str]:
        """What the manifests of the run stores say of their rows."""
        manifests = sorted((self.folder / "data" / "runs").glob("*/manifest.json"))
        return {path.parent.name: json.loads(path.read_text())["data_sha256"] for path in manifests}

    def forget(self, *, keep_shards: bool = False) -> None:
        """Remove all that the pipeline made, and what DVC knows of it."""
        for name in (*PRODUCTS, ".dvc/cache", ".dvc/tmp", *([] if keep_shards else ["data"])):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "dvc.lock").unlink(missing_ok=True)


def _forget_sources(path: Path) -> None:
    yaml = YAML(typ="safe", pure=True)
    pipeline = yaml.load(path.read_text())
    for stage in pipeline["stages"].values():
        step = stage.get("do", stage)
        step["deps"] = [dep for dep in step["deps"] if not dep.startswith("pipeline/")]
    with path.open("w") as file:
        yaml.dump(pipeline, file)


def families() -> list[str]:
    """Return the workload families that dvc.yaml simulates."""
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    return list(stages["simulate"]["foreach"])


def few_runs(params: dict[str, Any], runs: Mapping[str, Any]) -> dict[str, Any]:
    """Give every family but that of the models a handful of short runs."""
    others = [name for name in families() if name != FAMILY]
    return merged(params, {name: _like(params[name], runs) for name in others})


def _like(family: Mapping[str, Any], runs: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as the family has them: a range where it draws from one."""
    return {
        name: [value, value + 1] if isinstance(family[name], list) else value
        for name, value in runs.items()
    }
