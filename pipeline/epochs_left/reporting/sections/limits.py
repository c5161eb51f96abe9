"""What the figures do not say."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting.content import Block, points
from epochs_left.reporting.results import Results, Row, mapping, sequence, word
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import joined

DATA_CARD = "data_card.json"
LIMITS = (
    (
        "The oracle is for science.",
        "With the end point known the score answers whether remaining epochs follow from the "
        "geometry of parameter space. Nobody knows the end point of a run in progress: those "
        "scores say nothing about forecasts.",
    ),
    (
        "Row-wise scores are not evidence.",
        "They are printed to show how large the illusion is. Quote the scores by lineage or those "
        "of the locked test.",
    ),
    (
        "Time to convergence is scored on runs that converge.",
        "Runs that are stuck, capped or diverged have no such time. Whether a run converges at all "
        "is a prediction of its own, with its own score; read both.",
    ),
    (
        "Intervals hold for runs like those trained on.",
        "Their coverage was measured on unseen initialisations of the same sweep. With another "
        "family, optimizer or range of learning rates nothing is promised; epochs-left predict "
        "marks such runs as out_of_distribution.",
    ),
    (
        "One criterion.",
        "Converged means loss below epsilon on the training set. It does not mean that a model "
        "generalises, nor that longer training would not help.",
    ),
    (
        "Not for decisions about people or safety.",
        "A forecast of training time may save computing. It should not be the only ground on which "
        "a run that matters is stopped.",
    ),
)


@section(
    title="Limits",
    question="What may these scores not be used for?",
    order=120,
    reads=[DATA_CARD],
)
def limits(results: Results) -> Sequence[Block]:
    """Name what was tried, from the families in the data, and what does not follow."""
    cards = results.record(DATA_CARD)
    return [points(*([_scope(cards)] if cards else []), *LIMITS)]


def _scope(cards: Row) -> tuple[str, str]:
    fitted = sorted(str(name) for name, card in cards.items() if mapping(card).get("fitted"))
    others = sorted(set(map(str, cards)) - set(fitted))
    sweep = [mapping(row) for name in fitted for row in sequence(mapping(cards[name]).get("by"))]
    of_optimizers = [row for row in sweep if word(row.get("dimension")) == "optimizer"]
    optimizers = sorted({word(row.get("setting")) for row in of_optimizers} - {"unknown"})
    trained = f", trained by {joined(optimizers)}" if optimizers else ""
    recorded = f" Runs of {joined(others)} teach the pooled predictor at most."
    return (
        f"Fitted on {joined(fitted)} alone." if fitted else "Fitted on nothing.",
        f"The models have seen runs of {joined(fitted) or 'no family'}{trained}. Nothing here "
        "says how well the training time of anything else can be predicted."
        f"{recorded if others else ''}",
    )
