"""The model card of the released predictors: what they are, what they are worth, not for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from epochs_left.reporting.markdown import table

Entry = Mapping[str, Any]

_KINDS = {
    "epsilon": "the run's own threshold",
    "threshold": "another threshold",
    "plateau": "plateau",
}
_INPUTS = {
    "all": "everything",
    "rates": "loss and learning rates so far",
    "loss_only": "the loss alone",
}
_KEYS = ("family", "target_kind", "availability")

_USE = """
It answers, for a training run in progress, how many epochs remain until its loss reaches a
threshold or its plateau, with an interval, and how probable it is that this happens by the horizon.
It sees epochs 0 to now of that run and nothing else, takes any loss that falls, and works from the
loss alone. The schedule of the learning rate narrows the answer on plateaus; learning rate,
schedule, optimizer, batch size, horizon and gradient norms narrow that on thresholds.
"""

_BRACKETS = (
    " In brackets what the predictor of the default pipeline (`make reproduce`), of the same make "
    "on fewer runs, scores on its own locked set."
)

_NOT_FOR = """
- Runs far from what it was trained on. Large language models, diffusion models, reinforcement
  learning and losses that do not fall were not among its training runs. Such rows are marked
  `out_of_distribution` and get wider intervals; the table of families held out says what they are
  worth.
- Decisions that cost much if they are wrong: it is an estimate for planning.
- Anything but time. It says nothing of how good the model will be once trained.
- Guarantees. Coverage is measured on runs like those of the training families; nothing is promised
  for others.
"""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the card says beside the manifest.

    Attributes
    ----------
    command, hours
        What made the predictor, and how long that took, None where it was not measured.
    results, default_results
        By name, ``pooled_locked`` and ``held_out_families``: of that run, and of the default
        pipeline, empty where they are the same.
    """

    command: str
    hours: float | None
    results: Mapping[str, Sequence[Entry]]
    default_results: Mapping[str, Sequence[Entry]]


def model_card(manifests: Mapping[str, Entry], facts: CardFacts) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    manifests
        Fields of the manifests (`storage.manifests.BundleManifest`) by goal, ``"threshold"`` and
        ``"plateau"``.
    facts
        What else is known.
    """
    sections = {
        "What it is for": _USE,
        "What it is not for": _NOT_FOR,
        "Training data": _training(manifests),
        "Splits": _splits(),
        "Scores on the locked test set": _scores(facts),
        "Families held out": _held_out(facts.results["held_out_families"]),
        "How they were made": _making(manifests, facts),
    }
    parts = [f"## {title}\n\n{text.strip()}\n" for title, text in sections.items()]
    return "\n".join(["# Model card: the released predictors\n", *parts])


def _training(manifests: Mapping[str, Entry]) -> str:
    of_loss, of_plateaus = (manifests[goal]["training"] for goal in ("threshold", "plateau"))
    rows = (
        [
            name,
            f"{of_loss['runs'].get(name, 0):,}",
            f"{of_plateaus['runs'].get(name, 0):,}",
            f"`{digest[:16]}`",
        ]
        for name, digest in of_loss["data_sha256"].items()
    )
    header = ["family", "runs, thresholds", "runs, plateaus", "SHA-256 of the data, first 16"]
    return (
        "Simulated runs. The predictor of thresholds learns from all families: each run is asked "
        f"for its own threshold, and many for another one, {of_loss['n_rows']:,} rows in all. "
        f"Optimizers: {', '.join(manifests['threshold']['vocabulary']['optimizer'])}. The "
        "predictor of plateaus learns from the curve prior alone, synthetic loss curves; runs of "
        f"the other families make its intervals ({of_plateaus['n_rows']:,} rows with them).\n\n"
        + table(header, rows)
    )


def _splits() -> str:
    return """
A lineage is a set of runs that share task, architecture and initialisation. A fifth of the
lineages, chosen by a hash of their key, is locked: nothing was fitted, tuned or calibrated on it.
Intervals come from residuals on real runs of unseen lineages (conformalised quantile regression by
lineage, in which every run counts the same): out of fold for thresholds; plateaus of real runs are
all unseen.
"""


def _scores(facts: CardFacts) -> str:
    others = facts.default_results.get("pooled_locked", [])
    default = {_key(entry): entry for entry in others}
    header = ["family", "target", "known", "runs", "lineages"]
    measures = ["R^2 of log(1 + R)", "median error", "AUC", "coverage", "typical factor"]
    rows = (
        [
            entry["family"],
            _KINDS[entry["target_kind"]],
            _INPUTS[entry["availability"]],
            f"{entry['n_runs']:,}",
            f"{entry['n_lineages']:,}",
            *_beside(_measures(entry), default.get(_key(entry))),
        ]
        for entry in facts.results["pooled_locked"]
    )
    return (
        "Every run weighs the same. R^2 and the median relative error are of the runs that reach "
        "their target; AUC is of reaching it, over the runs unresolved at epoch 10; coverage is of "
        "90 % intervals, with its 95 % interval over lineages; the typical factor is the geometric "
        f"mean of (upper + 1) / (lower + 1).{_BRACKETS if default else ''}\n\n"
        f"{table([*header, *measures], rows)}"
    )


def _key(entry: Entry) -> tuple[str, ...]:
    return tuple(entry[name] for name in _KEYS)


def _measures(entry: Entry) -> list[str]:
    coverage, width = entry["coverage"], entry["log_width"]["estimate"]
    return [
        _number(entry["r2"]["estimate"], ".3f"),
        _number(entry["median_relative_error"], ".1%"),
        _number(entry["auc"]["estimate"], ".3f"),
        _with_interval(coverage),
        "-" if width is None else f"x {exp(width):.2f}",
    ]


def _beside(measures: Sequence[str], default: Entry | None) -> Iterable[str]:
    if default is None:
        return measures
    short = [text.partition(" (")[0] for text in _measures(default)]
    return [f"{text} [{other}]" for text, other in zip(measures, short, strict=True)]


def _held_out(entries: Sequence[Entry]) -> str:
    rows = (
        [
            entry["family"],
            f"{entry['n_runs']:,}",
            _number(entry["r2"], ".3f"),
            _number(entry["median_relative_error"], ".1%"),
            _number(entry["coverage"], ".3f"),
            _number(entry["share_unlike"], ".1%"),
        ]
        for entry in entries
    )
    header = ["family left out", "runs", "R^2 of log(1 + R)", "median error", "coverage of 90 %"]
    return (
        "What a predictor of thresholds that has seen nothing of a family says of it, answered "
        "from the loss alone with intervals twice as wide, as rows out of distribution are. It is "
        "fitted on at most 250 runs of each other family:\n\n"
        + table([*header, "rows called out of distribution"], rows)
    )


def _making(manifests: Mapping[str, Entry], facts: CardFacts) -> str:
    first = manifests["threshold"]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    took = "" if facts.hours is None else f" in {facts.hours:.1f} hours"
    counts = " and ".join(str(len(manifest["features"])) for manifest in manifests.values())
    return (
        f"`{facts.command}` simulated, fitted and scored them{took}; it resumes where it stopped, "
        "and gives the same bytes on the same libraries and kind of processor. "
        f"Root seed {first['training']['root_seed']}. Made with {versions}. They are gradient "
        f"boosting on {counts} features; `epochs-left models show` lists them "
        "with their training ranges, the offsets of the intervals and the hash of each file."
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _with_interval(found: Entry) -> str:
    if found["lower"] is None:
        return _number(found["estimate"], ".3f")
    return f"{found['estimate']:.3f} ({found['lower']:.3f}-{found['upper']:.3f})"
