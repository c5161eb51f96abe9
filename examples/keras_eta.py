"""Keras: a callback predicts, and its numbers are in the history."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported

import keras
import numpy as np

from epochs_left.live.adapters.keras import EtaCallback


def main() -> None:
    """Train; `History` and `CSVLogger` have the numbers beside the loss."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(256, 10))
    targets = inputs @ rng.normal(size=(10, 1))

    model = keras.Sequential([keras.layers.Input((10,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.02), loss="mse")
    eta = EtaCallback(target=0.05, stop_if="takes longer than 500 epochs at .95", on_eta=print)
    model.fit(inputs, targets, epochs=20, batch_size=32, callbacks=[eta], verbose=0)


if __name__ == "__main__":
    main()
