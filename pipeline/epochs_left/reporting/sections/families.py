"""How well each family can be predicted, and how near that is to what is possible."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.content import Block, Cell, Table, column, table, text
from epochs_left.reporting.results import Results, mapping, word
from epochs_left.reporting.scoring import Score
from epochs_left.reporting.sections import section

CEILING = "ceiling.json"


@section(
    title="Families",
    question="Does it work beyond the single neuron, and how much more could be had?",
    order=25,
    reads=[scoring.SCORES],
)
def families(results: Results) -> Sequence[Block]:
    """Table the best model of each family and view, row-wise beside by lineage."""
    rows = [
        row for name in scoring.FAMILIES for row in _rows(name, scoring.of_family(results, name))
    ]
    if not rows:
        return []
    return [
        text(
            "R² of log epochs, every run weighing the same, of the best model by lineage. The "
            "ceiling is what no predictor that sees only the past can exceed: the share of the "
            "variance that is not due to the order of the examples still to come. Row-wise folds "
            "predict some of the rows only; what is gained row-wise is the difference on the rows "
            "that both splits predict."
        ),
        _table(rows),
    ]


def _rows(name: str, results: Results) -> list[list[Cell]]:
    everything = scoring.read_scores(results)
    scores = scoring.primary(everything)
    ceiling = mapping(results.record(CEILING).get("ceiling"))
    rows = []
    for view, title in scoring.VIEWS:
        ranked = [
            score
            for score in scoring.known(scores, view=view, split=scoring.BY_LINEAGE)
            if not score.baseline
        ]
        if not ranked:
            continue
        best = max(ranked, key=lambda score: score.estimate["value"] or 0.0)
        row_wise, locked = (_same_model(scores, best, split) for split in _OTHER_SPLITS)
        figures = (best.estimate, row_wise, scoring.gap(everything, best), locked)
        top = scoring.estimate(ceiling, "estimate") if view == "causal" else None
        rows.append([word(name), title, best.title, *figures, top, best.n_runs])
    return rows


_OTHER_SPLITS = (scoring.ROW_WISE, scoring.LOCKED_TEST)


def _same_model(scores: Sequence[Score], best: Score, split: str) -> Cell:
    found = scoring.known(scores, view=best.view, split=split)
    return next((score.estimate for score in found if score.model == best.model), None)


def _table(rows: Sequence[Sequence[Cell]]) -> Table:
    columns = [
        column("family", start=""),
        column("view", start=""),
        column("best model"),
        column("by lineage", "decimal"),
        column("row-wise", "decimal"),
        column("gained row-wise, same rows", "decimal"),
        column("locked test", "decimal"),
        column("ceiling", "decimal"),
        column("runs", "integer"),
    ]
    return table("families", "R² of log epochs by family and view.", columns, map(list, rows))
