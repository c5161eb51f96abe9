"""What a reader of a framework's log did to it, where an answer cannot be read without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SHIFTED = "note: read as Keras CSVLogger: 1 was added to its epochs"
MERGED = "note: took 12 rows of 24 logged entries: one row an epoch, the mean of its entries"


@pytest.mark.parametrize("command", ["predict", "explain"])
@pytest.mark.parametrize(("name", "said"), [("keras.csv", SHIFTED), ("huggingface", MERGED)])
def test_it_is_said_once_without_verbose_and_never_with_quiet(
    cli: Any, example_logs: dict[str, Any], command: str, name: str, said: str
) -> None:
    source = example_logs["EXAMPLES"] / "frameworks" / name
    done = cli(command, "-i", source)
    assert done.code == 0
    assert done.err.count(f"epochs-left: {said}") == done.err.count(" note: ") == 1
    assert cli(command, "-i", source, "-v").err.count(said) == 1
    quiet = cli(command, "-i", source, "-q")
    assert (quiet.code, quiet.err, quiet.out) == (0, "", done.out)


def test_a_table_needs_no_word(cli: Any, place: Path) -> None:
    (place / "x.csv").write_text("run_id,epoch,loss\na,0,1\na,1,0.5\n")
    assert cli("predict", "-i", "x.csv").err == ""


def test_it_stands_in_the_report_of_validate(cli: Any, example_logs: dict[str, Any]) -> None:
    done = cli("validate", example_logs["EXAMPLES"] / "frameworks" / "huggingface")
    assert f"\n{MERGED}" in done.out


def test_an_error_stays_one_line(cli: Any, place: Path) -> None:
    (place / "keras.csv").write_text("epoch,loss,val_loss\n0,1,1\n1,oops,1\n")
    assert "column 'loss', data row 2" in cli("predict", "-i", "keras.csv").error
