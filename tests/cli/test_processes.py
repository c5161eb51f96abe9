"""The program as a process: streams, signals, help."""

from __future__ import annotations

import ast
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE_ROOT = Path(__file__).parents[2] / "pipeline"

Start = Callable[..., "subprocess.Popen[bytes]"]
HEADER = "run_id,epoch,loss\n"
GOOD = HEADER + "".join(f"a,{t},{0.9**t}\n" for t in range(20))

#: Predicts where nothing but the core dependencies can be imported.
WITHOUT_PIPELINE = """
import sys

class Absent:
    names = {"torch", "numba", "pandas", "statsmodels", "matplotlib", "jinja2", "dvc", "ruamel"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from epochs_left.cli import main
sys.exit(main(["predict", "-i", "x.csv", "-o", "out.csv"]))
"""

#: Is interrupted while it imports the module that its first argument names.
INTERRUPTED_IMPORT = """
import sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise KeyboardInterrupt

module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupts())
from epochs_left.cli import script
script()
"""


def test_data_go_to_stdout_and_messages_to_stderr(start: Start) -> None:
    process = start("predict", "-i", "-", "--at", "last", "-v")
    log = GOOD.replace("loss\n", "loss,note\n").replace("\n", ",x\n").replace("note,x", "note")
    out, err = process.communicate(log.encode())
    assert process.returncode == 0
    assert out.decode().splitlines()[0].startswith("run_id,epoch,epochs_remaining")
    assert len(out.splitlines()) == 2
    assert b"warning: ignored columns 'note'" in err
    assert b"note: 1 runs, 20 rows" in err


def test_a_missing_column_in_a_pipe_exits_3(start: Start) -> None:
    process = start("predict", "-i", "-")
    out, err = process.communicate(GOOD.replace("loss", "los").encode())
    assert process.returncode == 3
    assert out == b""
    assert err.decode() == (
        "epochs-left: error: stdin: missing columns ['loss'], found ['los']; "
        "rename it or pass --metric los\n"
    )


def test_a_reader_that_leaves_early_is_no_error(start: Start, place: Path) -> None:
    rows = "".join(f"run{i // 10},{i % 10},{0.9 ** (i % 10)}\n" for i in range(20_000))
    (place / "x.csv").write_text(HEADER + rows)
    with start("predict", "-i", "x.csv", stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def hear_interrupts() -> None:
    """Undo what a shell does to a command in the background: it starts deaf to interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_exits_130_and_leaves_nothing(start: Start, place: Path) -> None:
    process = start("predict", "-i", "-", "-o", "out.csv", preexec_fn=hear_interrupts)
    assert process.stdin is not None
    # A pipe holds less than this: when all is written, the program has begun to read.
    process.stdin.write(GOOD.encode() + b"\n" * 500_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == b"epochs-left: error: interrupted; nothing was written\n"
    assert [path.name for path in place.iterdir()] == ["models"]


@pytest.mark.parametrize("old", [False, True], ids=["new output", "old output"])
def test_an_interrupt_while_it_writes_leaves_what_was_there(
    start: Start, place: Path, old: bool
) -> None:
    rows = "".join(f"run{i // 50},{i % 50},{0.9 ** (i % 50)}\n" for i in range(200_000))
    (place / "x.csv").write_text(HEADER + rows)
    if old:
        (place / "out.parquet").write_bytes(b"old")
    before = {path.name for path in place.iterdir()}
    process = start(
        "predict", "-i", "x.csv", "-o", "out.parquet", "--force", preexec_fn=hear_interrupts
    )
    while {path.name for path in place.iterdir()} == before:  # until there is a temporary file
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert err == b"epochs-left: error: interrupted; nothing was written\n"
    assert {path.name for path in place.iterdir()} == before
    assert not old or (place / "out.parquet").read_bytes() == b"old"


@pytest.mark.parametrize(
    "module", ["epochs_left.cli.program", "typer", "epochs_left.cli.options", "numpy", "xgboost"]
)
def test_an_interrupt_while_the_program_loads_exits_130_in_one_line(
    place: Path, module: str
) -> None:
    """Before `script` is called Python itself answers; that is 0.05 s, in which nothing is ours."""
    (place / "x.csv").write_text(GOOD)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, module, "predict", "-i", "x.csv", "-o", "o.csv"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 130
    assert done.stderr == b"epochs-left: error: interrupted; nothing was written\n"
    assert not (place / "o.csv").exists()


def test_importing_the_entry_point_loads_nothing_else() -> None:
    script = "import sys; old = {*sys.modules}; import epochs_left.cli; print({*sys.modules} - old)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ast.literal_eval(done.stdout) == {"epochs_left", "epochs_left.cli"}


def test_a_full_device_exits_5(start: Start, place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (place / "x.csv").write_text(GOOD)
    with Path("/dev/full").open("wb") as full:
        process = start("predict", "-i", "x.csv", stdout=full)
        _, err = process.communicate()
    assert process.returncode == 5
    assert err.startswith(b"epochs-left: error: cannot write to standard output: No space left")


def test_help_takes_less_than_a_second_of_computing(start: Start) -> None:
    """Time on the clock would count what other processes do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = start("predict", "--help")
    out, err = process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0
    assert err == b""
    for word in (b"--on-bad", b"--at", b"Examples", b"Exit codes"):
        assert word in out
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_version_and_bare_call(start: Start) -> None:
    version = start("--version")
    assert version.communicate()[0].startswith(b"epochs-left 0.")
    assert version.returncode == 0
    bare = start()
    out, err = bare.communicate()
    assert bare.returncode == 2
    assert b"predict" in out + err
    assert b"error" not in err


def test_an_unknown_command_names_the_nearest(start: Start) -> None:
    process = start("predct")
    _, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith(b"epochs-left: error: No such command 'predct'")


def test_predict_needs_the_core_dependencies_alone(place: Path) -> None:
    """A training environment has no use for the pipeline's libraries."""
    (place / "x.csv").write_text(GOOD)
    (place / "program.py").write_text(WITHOUT_PIPELINE)
    done = subprocess.run(
        [sys.executable, "program.py"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)},
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (place / "out.csv").exists()


def test_every_kind_of_estimator_is_loaded_without_torch(place: Path) -> None:
    """In a process of its own: here something has imported torch already."""
    script = (
        "import sys\n"
        "from epochs_left.storage.bundles import load_bundle\n"
        "from epochs_left.prediction.predictor import predictor_of\n"
        "from pathlib import Path\n"
        "for name in ('linear-causal', 'loss-causal'):\n"
        "    predictor_of(load_bundle(Path('models', name)), level=0.9, jobs=1)\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
