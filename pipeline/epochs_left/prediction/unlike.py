"""Which rows are unlike the training data, and why, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.statistics.novelty import Novelty
from epochs_left.storage.manifests import BundleManifest

#: Reasons that are spelled out in one row.
_SHOWN = 3
#: Range of a feature that was never seen.
_ANYTHING = (-np.inf, np.inf)
_WORD = np.dtype(np.uint64)  # patterns are compared 64 flags at a time


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """Rows that are unlike the training data.

    Parameters
    ----------
    found
        Which rows, shape ``(n,)``.
    reason
        Index into ``reasons`` of each row, 0 (nothing to say) where ``found`` is false.
    reasons
        Texts; the first is empty.
    """

    found: BoolArray
    reason: IntArray
    reasons: Sequence[str]


def unseen_names(
    labels: Mapping[str, IntArray], names: Sequence[str], manifest: BundleManifest, n_runs: int
) -> Mapping[str, BoolArray]:
    """Return the runs with a name that was not in training, shape ``(R,)``, by the reason.

    A name that the bundle wants stated and that is not stated counts too.
    """
    found: dict[str, BoolArray] = {}
    for kind, known in manifest.vocabulary.items():
        codes = labels.get(kind, np.full(n_runs, -1))
        for code in sorted(set(codes[codes >= 0].tolist())):
            if names[code] not in known:
                found[f"{kind} {names[code]!r} not in training"] = codes == code
        if kind in manifest.must_state and (codes < 0).any():
            found[f"{kind} not stated, trained on {_listed(known)} alone"] = codes < 0
    return found


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def training_ranges(manifest: BundleManifest) -> FloatArray:
    """Return the smallest and the largest value of each feature in training, shape ``(2, p)``.

    In float32, as features are; infinite for a feature that was never seen.
    """
    ends = [manifest.ranges.get(name, _ANYTHING) for name in manifest.features]
    return np.array(ends, dtype=np.float32).reshape(-1, 2).T


def outside_ranges(
    features: FloatArray, manifest: BundleManifest, ranges: FloatArray
) -> Mapping[str, BoolArray]:
    """Return the rows with a feature outside its training range, shape ``(n,)``, by the reason.

    Parameters
    ----------
    features
        Columns in the manifest's order, shape ``(n, p)``; a missing feature is not outside.
    ranges
        `training_ranges` of the manifest, which takes longer than to look at a row.
    """
    low, high = ranges
    lowest = np.fmin.reduce(features, axis=0, initial=np.inf)
    highest = np.fmax.reduce(features, axis=0, initial=-np.inf)
    found = {}
    for column in np.flatnonzero((lowest < low) | (highest > high)):
        name, values = manifest.features[column], features[:, column]
        bottom, top = manifest.ranges[name]
        if lowest[column] < low[column]:
            found[f"{name} below {bottom:.3g}"] = values < low[column]
        if highest[column] > high[column]:
            found[f"{name} above {top:.3g}"] = values > high[column]
    return found


def far_from_training(features: FloatArray, novelty: Novelty | None) -> Mapping[str, BoolArray]:
    """Return the rows farther out than almost all training rows are, by the reason."""
    if novelty is None:
        return {}
    return {"combination of features unlike training": novelty.distance(features) > 1}


def combined(flags: Mapping[str, BoolArray], n_rows: int) -> Unlike:
    """Put all reasons of each row into one text, the first three spelled out."""
    found = np.zeros(n_rows, dtype=np.bool_)
    for rows in flags.values():
        found |= rows
    reason = np.zeros(n_rows, dtype=np.int64)
    if not found.any():
        return Unlike(found=found, reason=reason, reasons=[""])
    table = np.stack([rows[found] for rows in flags.values()], axis=1)
    example, which = _distinct(table)
    reason[found] = which + 1
    texts = list(flags)
    return Unlike(
        found=found,
        reason=reason,
        reasons=["", *(_text([texts[i] for i in np.flatnonzero(table[row])]) for row in example)],
    )


def _distinct(table: BoolArray) -> tuple[IntArray, IntArray]:
    """Return a row of each pattern in a table, and the number of each row's pattern."""
    packed = np.packbits(table, axis=1)
    if (packed == packed[0]).all():  # as of a single row
        return np.zeros(1, dtype=np.int64), np.zeros(len(table), dtype=np.int64)
    spare = -packed.shape[1] % _WORD.itemsize
    words = np.pad(packed, ((0, 0), (0, spare))).view(_WORD)
    _, example, which = np.unique(words[:, 0], return_index=True, return_inverse=True)
    for word in words.T[1:]:
        _, of_word = np.unique(word, return_inverse=True)
        both = which * (of_word.max() + 1) + of_word
        _, example, which = np.unique(both, return_index=True, return_inverse=True)
    return example, which


def _text(reasons: Sequence[str]) -> str:
    shown = "; ".join(reasons[:_SHOWN])
    more = len(reasons) - _SHOWN
    return f"{shown}; {more} more" if more > 0 else shown
