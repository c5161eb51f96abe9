"""What must never be in the code: readers that run what they read.

What else the design asks for is tested where it happens; `ELSEWHERE` says where.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "pipeline" / "epochs_left"
SOURCES = sorted(PACKAGE.rglob("*.py"))

BANNED_CALLS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "cPickle.loads",
    "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "marshal.loads",
    "shelve.open", "joblib.load", "pandas.read_pickle", "pd.read_pickle",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system",
}  # fmt: skip
#: Results of our own worker processes, in a folder that only this user can write to.
ALLOWED = {("parallel.py", "pickle.loads")}

ELSEWHERE = {
    "bundle bytes are verified before they are parsed": (
        "storage/test_bundles.py",
        "test_a_pickle_in_the_manifest_stays_bytes",
    ),
    "other formats of estimators are refused unread": (
        "storage/test_estimators.py",
        "test_other_formats_are_refused_unread",
    ),
    "arrays that need pickle are refused": (
        "storage/test_estimators.py",
        "test_an_array_that_would_need_pickle_is_a_model_error",
    ),
    "CSV text that starts with = + - @ is prefixed": (
        "cli/test_predict.py",
        "test_formulas_are_disarmed_in_csv_alone",
    ),
    "no path outside the folder of a bundle": (
        "storage/test_bundles.py",
        "test_no_file_outside_the_bundle_is_written_or_read",
    ),
    "nothing that a file is called reaches the terminal raw": (
        "cli/test_predict.py",
        "test_names_of_files_cannot_write_to_the_terminal",
    ),
    "YAML runs nothing": ("storage/test_params.py", "!!python/object/apply"),
    "names in HTML are escaped": ("contract/test_sections.py", "<script>"),
}


def dotted(node: ast.expr) -> str:
    """Return the dotted name of an expression, empty where it has none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def full_names(tree: ast.AST) -> dict[str, str]:
    """Return what imported names stand for: ``from pickle import loads as l`` makes l one."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
    return found


def dangerous_calls(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = full_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = dotted(node.func).partition(".")
        name = ".".join(filter(None, (names.get(first, first), rest)))
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name in BANNED_CALLS:
            yield name
        if name == "torch.load" and options.get("weights_only") != "True":
            yield "torch.load without weights_only"
        if name in {"numpy.load", "np.load"} and options.get("allow_pickle", "False") != "False":
            yield "numpy.load with pickle"
        if options.get("shell") == "True":
            yield f"{name} through a shell"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_nothing_that_is_read_can_run(path: Path) -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), call) for call in dangerous_calls(path.read_text())
    }
    assert found <= ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "import pickle as p\np.load(f)",
        "from pickle import loads as read\nread(b'')",
        "from joblib import load\nload('x')",
        "import joblib\njoblib.load('x')",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import yaml\nyaml.load(text)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "eval('1')",
    ],
)
def test_the_ban_sees_every_way_of_writing_it(source: str) -> None:
    assert list(dangerous_calls(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x', weights_only=True)",
        "import numpy as np\nnp.load('x')",
        "import json\njson.loads('1')",
        "model.eval()",
        "YAML(typ='safe').load(text)",
    ],
)
def test_the_ban_leaves_the_rest_alone(source: str) -> None:
    assert not list(dangerous_calls(source))


def test_every_exception_is_still_needed() -> None:
    found = {
        (name, call)
        for name, _ in ALLOWED
        for call in dangerous_calls((PACKAGE / name).read_text())
    }
    assert found == ALLOWED


@pytest.mark.parametrize("promise", ELSEWHERE)
def test_what_else_is_promised_has_a_test(promise: str) -> None:
    file, words = ELSEWHERE[promise]
    assert words in (TESTS / file).read_text()
