"""A decision tree as scikit-learn prints it, as questions and conditions in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from epochs_left.reporting.feature_words import feature_label, is_flag, natural
from epochs_left.reporting.wording import brief, decimal

_LINE = re.compile(r"^((?:\|   )*)\|--- (.*)$")
_LEAF = re.compile(r"^value: \[(-?[\d.]+)\]$")
_QUESTION = re.compile(r"^(.+?) (<=|>) +(-?[\d.]+)$")

#: Values of a feature that reach a leaf: above the first, up to the second.
Range = tuple[float, float]


@dataclass(frozen=True)
class Split:
    """A question: whether a feature is at most a threshold; what follows for yes and for no."""

    feature: str
    threshold: float
    yes: Rule
    no: Rule


#: A tree: a question, or the value of a leaf.
Rule = Split | float


def parsed(printed: str) -> Rule | None:
    """Return what `sklearn.tree.export_text` printed for one output; None for any other text."""
    lines = [_LINE.match(line) for line in printed.splitlines()]
    steps = [(len(line[1]) // 4, line[2]) for line in lines if line is not None]
    if not steps or len(steps) < len(lines):
        return None
    try:
        return _rule(iter(steps), 0)
    except (StopIteration, ValueError):
        return None


def _rule(steps: Iterator[tuple[int, str]], depth: int) -> Rule:
    """Read the rule at a depth; ValueError for a line that is neither question nor leaf."""
    at, words = next(steps)
    if at != depth:
        raise ValueError(f"expected a line at depth {depth}, got one at {at}")
    if leaf := _LEAF.match(words):
        return float(leaf[1])
    question = _question(words, "<=")
    yes = _rule(steps, depth + 1)
    again = _question(next(steps)[1], ">")
    if question != again:
        raise ValueError(f"expected the other side of {question}, got {again}")
    return Split(*question, yes, _rule(steps, depth + 1))


def _question(words: str, sign: str) -> tuple[str, float]:
    found = _QUESTION.match(words)
    if found is None or found[2] != sign:
        raise ValueError(f"expected a question, got {words!r}")
    return found[1], float(found[3])


def features(rule: Rule) -> list[str]:
    """Return the features that a tree asks for, in the order of its questions."""
    if not isinstance(rule, Split):
        return []
    return list(dict.fromkeys([rule.feature, *features(rule.yes), *features(rule.no)]))


def leaves(rule: Rule, path: Sequence[tuple[str, Range]] = ()) -> Iterator[tuple[list[str], float]]:
    """Yield the conditions and the value of each leaf, those of yes first.

    A condition names a feature in words and its range in the feature's own unit, not that of the
    logarithm; the conditions on one feature are joined. ``path`` has those above the tree.
    """
    if not isinstance(rule, Split):
        yield _conditions(path), rule
        return
    yield from leaves(rule.yes, [*path, (rule.feature, (-inf, rule.threshold))])
    yield from leaves(rule.no, [*path, (rule.feature, (rule.threshold, inf))])


def question(name: str, split: Split) -> str:
    """Return a question that is short enough for a branch, its feature called ``name``."""
    if is_flag(split.feature):
        return f"no {name}?"
    return f"{name} ≤ {_short(natural(split.feature)(split.threshold))}?"


def _short(value: float) -> str:
    """Return a threshold without a power of ten where five decimals show it."""
    return decimal(value, 5) if 1e-5 <= abs(value) < 1e-3 else brief(value)


def _conditions(path: Sequence[tuple[str, Range]]) -> list[str]:
    joined: dict[str, Range] = {}
    for name, (low, high) in path:
        before = joined.get(name, (-inf, inf))
        joined[name] = max(low, before[0]), min(high, before[1])
    return [_condition(name, bounds) for name, bounds in joined.items()]


def _condition(name: str, bounds: Range) -> str:
    words, value = feature_label(name), natural(name)
    low, high = bounds
    if is_flag(name):
        return f"{words}: {'yes' if low > -inf else 'no'}"
    if low == -inf:
        return f"{words} ≤ {brief(value(high))}"
    if high == inf:
        return f"{words} > {brief(value(low))}"
    return f"{words} from {brief(value(low))} to {brief(value(high))}"
