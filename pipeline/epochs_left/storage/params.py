"""Reads params.yaml: strict YAML 1.2, in which 1e-6 is a number and a duplicate key an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from epochs_left.errors import InputOutputError, UsageError

PARAMS = Path("pipeline/params.yaml")


def load_params(path: Path = PARAMS) -> dict[str, Any]:
    """Return the parameters as plain Python values.

    Raises
    ------
    InputOutputError
        If the file cannot be read.
    UsageError
        If it is not UTF-8 or not YAML, holds a key twice, or is no mapping.
    """
    try:
        params = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputOutputError(
            f"cannot read {path}: {error.strerror}; expected a file of parameters, run this in "
            "the checkout, where dvc.yaml is"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: expected UTF-8 text, got byte {error.object[error.start]:#04x} at "
            f"{error.start:,}; save the file as UTF-8"
        ) from error
    except YAMLError as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{path}: not valid YAML: {problem}") from error
    if not isinstance(params, dict):
        raise UsageError(f"{path}: expected a mapping of parameters, got {params!r}")
    return params


def merged(params: dict[str, Any], overrides: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Return ``params`` with the entries of ``overrides``, which must exist already.

    An override of None (``null`` in YAML) takes the entry out.

    Raises
    ------
    UsageError
        For an override of a parameter that is not there.
    """
    result = dict(params)
    for key, value in overrides.items():
        if key not in params:
            raise UsageError(
                f"override of unknown parameter {where + key!r}; known: {list(params)}"
            )
        if value is None:
            del result[key]
            continue
        both = isinstance(value, dict) and isinstance(params[key], dict)
        result[key] = merged(params[key], value, f"{where}{key}.") if both else value
    return result


def write_params(path: Path, params: dict[str, Any]) -> None:
    """Write parameters as YAML."""
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(params, file)
