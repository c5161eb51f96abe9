"""Data sets to train on: bundled with scikit-learn and Python, or in local files as published."""

from epochs_left.storage.datasets.catalogue import DATASETS, load_dataset
from epochs_left.storage.datasets.dataset import Dataset
from epochs_left.storage.datasets.text import load_text

__all__ = ["DATASETS", "Dataset", "load_dataset", "load_text"]
