"""A multilayer perceptron: trained by torch, kept and asked as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from epochs_left.arrays import FloatArray, Labels
from epochs_left.regressors._sampling import row_keys
from epochs_left.regressors._tuning import folds_of_groups

#: One group in so many is held out to say when to stop.
HELD_OUT_FOLDS = 8
#: Steps between looks at the held-out rows.
CHECK_EVERY = 20
#: Few rows are split into so many batches, but into none that is smaller.
BATCHES = 8
SMALLEST_BATCH = 32


class MultilayerPerceptron(RegressorMixin, BaseEstimator):
    """Fully connected layers of rectified linear units, for standardised inputs.

    AdamW (Loshchilov & Hutter 2019) on the weighted squared error, with a one-cycle learning rate
    (Smith & Topin 2019). The weights of the epoch with the smallest error on held-out groups are
    kept. It trains on one thread, so that the bytes do not depend on how many there are, and on the
    rows in the order given, which `OnSample` makes the same for the same rows.

    Parameters
    ----------
    depth, width
        Number of hidden layers, and units of each.
    steps, batch_size
        Steps of the optimizer, and the most rows of each.
    learning_rate, weight_decay
        Peak of the cycle, and AdamW's decay.
    random_state
        Seed of the initial weights and of the order of the rows.

    Attributes
    ----------
    weights_, biases_
        Of each layer, shapes ``(inputs, outputs)`` and ``(outputs,)``; float64.
    """

    def __init__(
        self,
        depth: int = 2,
        width: int = 64,
        steps: int = 240,
        batch_size: int = 512,
        learning_rate: float = 2e-2,
        weight_decay: float = 0.5,
        random_state: int = 0,
    ) -> None:
        self.depth = depth
        self.width = width
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: Labels | None = None,
    ) -> Self:
        """Train on ``X``, shape ``(n, p)``, and ``y``, shape ``(n,)``; weights and groups alike.

        Without groups only equal rows belong together.
        """
        values, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = np.asarray(_check_sample_weight(sample_weight, values, dtype=np.float64))
        labels = row_keys(values, target) if groups is None else np.asarray(groups)
        mean = weight @ target / weight.sum()
        spread = np.sqrt(weight @ (target - mean) ** 2 / weight.sum()) or 1.0
        folds = folds_of_groups(labels, HELD_OUT_FOLDS)
        train, test = folds[0] if folds else (np.arange(target.size),) * 2
        layers = self._trained(values, (target - mean) / spread, weight, (train, test))
        self.weights_ = [np.float64(w) for w, _ in layers]
        self.biases_ = [np.float64(b) for _, b in layers]
        self.weights_[-1] = self.weights_[-1] * spread
        self.biases_[-1] = self.biases_[-1] * spread + mean
        return self

    def _trained(
        self, X: FloatArray, y: FloatArray, weight: FloatArray, split: tuple[Any, Any]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Return weights and biases of the layers, trained on one part and chosen on the other."""
        import torch  # noqa: PLC0415  - a stored model needs none

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            parts = [
                tuple(torch.from_numpy(np.float32(a[rows])) for a in (X, y, weight))
                for rows in split
            ]
            return self._best_epoch(torch, *parts)
        finally:
            torch.set_num_threads(threads)

    def _best_epoch(
        self, torch: Any, train: tuple[Any, ...], test: tuple[Any, ...]
    ) -> list[tuple[FloatArray, FloatArray]]:
        random = torch.Generator().manual_seed(self.random_state)
        layers = self._initial(torch, train[0].shape[1], random)
        parameters = [p.requires_grad_() for layer in layers for p in layer]
        optimizer = torch.optim.AdamW(
            parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=self.steps
        )
        best, kept = np.inf, layers
        batches = self._batches(torch, len(train[0]), random)
        for step, batch in zip(range(1, self.steps + 1), batches, strict=False):
            optimizer.zero_grad()
            _loss(torch, layers, *(part[batch] for part in train)).backward()
            optimizer.step()
            schedule.step()
            if step % CHECK_EVERY == 0 or step == self.steps:
                with torch.no_grad():
                    error = float(_loss(torch, layers, *test))
                if error < best:
                    best = error
                    kept = [tuple(p.detach().clone() for p in layer) for layer in layers]
        return [(w.detach().numpy(), b.detach().numpy()) for w, b in kept]

    def _batches(self, torch: Any, n: int, random: Any) -> Iterator[Any]:
        """Yield rows without end, every row once before any comes again."""
        size = min(self.batch_size, max(n // BATCHES, SMALLEST_BATCH))
        while True:
            yield from torch.randperm(n, generator=random).split(size)

    def _initial(self, torch: Any, n_inputs: int, random: Any) -> list[tuple[Any, Any]]:
        """Return layers of He et al. 2015 (arXiv:1502.01852), the last one smaller."""
        sizes = [n_inputs, *[self.width] * self.depth, 1]
        scales = [(2.0 / n) ** 0.5 for n in sizes[:-2]] + [(1.0 / sizes[-2]) ** 0.5]
        return [
            (torch.randn(a, b, generator=random) * scale, torch.zeros(b))
            for a, b, scale in zip(sizes[:-1], sizes[1:], scales, strict=True)
        ]

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs, shape ``(n,)``."""
        check_is_fitted(self)
        hidden = validate_data(self, X, dtype=np.float64, reset=False)
        for weights, biases in zip(self.weights_[:-1], self.biases_[:-1], strict=True):
            hidden = np.maximum(hidden @ weights + biases, 0.0)
        return np.asarray((hidden @ self.weights_[-1] + self.biases_[-1])[:, 0])


def _loss(torch: Any, layers: list[tuple[Any, Any]], X: Any, y: Any, weight: Any) -> Any:
    hidden = X
    for weights, biases in layers[:-1]:
        hidden = torch.relu(torch.addmm(biases, hidden, weights))
    weights, biases = layers[-1]
    output = torch.addmm(biases, hidden, weights)[:, 0]
    return (weight * (output - y) ** 2).sum() / weight.sum()
