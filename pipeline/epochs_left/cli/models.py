"""The commands `models list` and `models show`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epochs_left.cli import options
from epochs_left.cli.messages import printable, say, write_stdout
from epochs_left.storage.bundle_choice import (
    MODELS_FOLDER,
    bundle_folder,
    complete_model,
    default_model,
    released_bundles,
)

if TYPE_CHECKING:
    from epochs_left.storage.manifests import BundleManifest

app = typer.Typer(help="The bundles that predictions come from.", no_args_is_help=True)

_EXAMPLES = "[bold]Examples[/bold]\n\n{}"
_SHOWN_LEVELS = (0.5, 0.8, 0.9)
#: Beyond it e^x is no float.
_LARGEST_EXPONENT = 700.0


@app.command("list", epilog=_EXAMPLES.format("epochs-left models list --json"))
def list_models(as_json: options.AsJson = False) -> None:
    """List the released bundle and those below ./models."""
    from epochs_left.errors import EpochsLeftError  # noqa: PLC0415
    from epochs_left.storage.bundles import known_bundles, load_bundle  # noqa: PLC0415

    manifests = []
    below = {name: MODELS_FOLDER / name for name in known_bundles(MODELS_FOLDER)}
    folders = {**released_bundles(), **below}
    for name, folder in folders.items():
        try:
            manifests.append(load_bundle(folder).manifest)
        except EpochsLeftError as error:
            say("warning", f"left out {name}: {error}")
    if as_json:
        write_stdout(json.dumps([_summary(manifest) for manifest in manifests], indent=2) + "\n")
    elif manifests:
        write_stdout(_aligned([_for_people(manifest) for manifest in manifests]))
    else:
        say("note", f"no bundles in ./{MODELS_FOLDER}; `make reproduce` makes them")


@app.command("show", epilog=_EXAMPLES.format("epochs-left models show released/plateau"))
def show_model(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder of a bundle, or an id below ./models.", autocompletion=complete_model
        ),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Show what a bundle is, what it was trained on, and what it needs."""
    from epochs_left.storage.bundles import load_bundle  # noqa: PLC0415

    manifest = load_bundle(bundle_folder(model)).manifest
    write_stdout(manifest.to_json() if as_json else _card(manifest))


def _summary(manifest: BundleManifest) -> dict[str, Any]:
    return {
        "id": manifest.bundle_id,
        "default": default_model() in {manifest.bundle_id, manifest.bundle_id.partition("/")[0]},
        "view": manifest.view,
        "title": manifest.title,
        "target": manifest.target,
        "features": len(manifest.features),
        "runs": manifest.training.get("n_runs"),
    }


def _for_people(manifest: BundleManifest) -> dict[str, Any]:
    goal = "a plateau" if manifest.of_plateaus else "any loss"
    return _summary(manifest) | ({} if manifest.target is not None else {"target": goal})


def _aligned(rows: list[dict[str, Any]]) -> str:
    """Return rows as columns of even width under their names."""
    cells = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _card(manifest: BundleManifest) -> str:
    """Return the manifest for people."""
    facts = {
        **_for_people(manifest),
        "scale": manifest.scale,
        "trained on": _text(manifest.training),
        **{f"{kind}s seen": ", ".join(names) for kind, names in manifest.vocabulary.items()},
        **_interval_facts(manifest),
        "scores": _text(manifest.scores),
        "made with": _text(manifest.versions),
        "files": ", ".join(f"{name} {digest[:12]}" for name, digest in manifest.files.items()),
    }
    width = max(map(len, facts))
    head = "".join(f"{printable(name):<{width}}  {_text(value)}\n" for name, value in facts.items())
    return f"{head}\n{_feature_lines(manifest)}"


def _interval_facts(manifest: BundleManifest) -> dict[str, str]:
    """Return what intervals put around a prediction, by availability of the inputs."""
    facts = {}
    for availability, quantiles in manifest.residual_quantiles.items():
        offsets = zip(quantiles.levels, quantiles.lower, quantiles.upper, strict=True)
        shown = [
            f"{level:.0%}: {_offsets(lower, upper, in_half_widths=manifest.adaptive)}"
            for level, lower, upper in offsets
            if level in _SHOWN_LEVELS
        ]
        facts[f"interval, {availability}"] = "; ".join(shown)
    return facts


def _offsets(lower: float, upper: float, *, in_half_widths: bool) -> str:
    if in_half_widths:
        return f"{lower:+.2f} to {upper:+.2f} of the row's own half width"
    low, high = (math.exp(min(offset, _LARGEST_EXPONENT)) for offset in (lower, upper))
    return f"R + 1 times {low:.2f} to {high:.2f}"


def _feature_lines(manifest: BundleManifest) -> str:
    rows = [
        {"feature": name, "lowest": f"{low:.4g}", "highest": f"{high:.4g}"}
        for name, (low, high) in manifest.ranges.items()
        if name in manifest.features
    ]
    return _aligned(rows) if rows else ""


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return "/".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "unknown" if value is None else printable(str(value))
