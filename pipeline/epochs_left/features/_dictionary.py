"""The feature dictionary as Markdown, from the registry."""

from __future__ import annotations

from collections.abc import Iterable

from epochs_left.features import FeatureGroup
from epochs_left.schema import View

_HEAD = """\
# Features

What `featurize` writes: `features/<family>/examples.parquet`, a row an example (run, epoch and
target), and `features/<family>/features.json`, which says of each feature column what stands below.
This page is generated from the registry: `python -m epochs_left.stages dictionary` rewrites it.

An example is a run at an epoch t before its target. A causal feature at t is computed from epochs
0..t alone; an oracle feature may look at the final parameters. Each run has examples towards its
own criterion, some towards a further target besides (params.yaml: `featurize.extra_share`); those
have no oracle features. NaN means that an input is not known there; every other value is finite.

## Columns that are no features
| column | unit | meaning |
|---|---|---|
| run_id, lineage_id, family, cohort, task, architecture, activation, init_scheme, optimizer, lr, \
momentum, weight_decay, batch_size, n_examples, n_params, lr_schedule, max_epochs, outcome \
| see data/README.md | of the run |
| curve_id | text | the same for equal loss curves alone; null if the loss never moves. Lineages \
that share a curve stop `fit` |
| target_kind | text | what is asked for: `epsilon`, the run's own criterion; `threshold`, another \
loss; `plateau`, that of its curve |
| target | loss | loss to fall below; NaN for a plateau |
| plateau | 1 | share of the initial excess over the lowest loss; NaN for a loss |
| epoch | epochs | t, passes done |
| remaining | epochs | R, epochs from t to the target; null if it was not reached |
| observed | epochs | epochs from t to the target or to the cap; null if it diverged or got stuck |
| converged | bool | the run reached the target |
| locked | bool | the lineage belongs to the locked test set, which `evaluate` alone opens |
| sampled | bool | the row belongs to the even draw of epochs, which scores are computed on |
| landmark | bool | the row is at one of the landmark epochs of params.yaml |
"""

_TITLES = {
    View.CAUSAL: "Causal features: epochs 0..t alone",
    View.ORACLE: "Oracle features: the final parameters too",
}


def feature_dictionary(groups: Iterable[FeatureGroup]) -> str:
    """Return the text of features/README.md."""
    by_view: dict[View, list[FeatureGroup]] = {view: [] for view in _TITLES}
    for group in groups:
        by_view[group.view].append(group)
    sections = [
        f"\n## {_TITLES[view]}\n" + "\n".join(map(_group, members))
        for view, members in by_view.items()
    ]
    return _HEAD + "".join(sections)


def _group(group: FeatureGroup) -> str:
    note = " For baselines alone." if group.baseline else ""
    rows = "".join(f"| {name} | {_cell(unit)} |\n" for name, unit in sorted(group.units.items()))
    return (
        f"\n### {group.name}\n{group.summary}{note}\n"
        f"Needs: {', '.join(group.requires)}.\n\n| feature | unit |\n|---|---|\n{rows}"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
