"""Trackers inside training frameworks: one module a framework, imported when it is used.

>>> from epochs_left.live.adapters.lightning import EtaCallback  # doctest: +SKIP
>>> from epochs_left.live.adapters.huggingface import EtaCallback  # doctest: +SKIP
>>> from epochs_left.live.adapters.keras import EtaCallback  # doctest: +SKIP
>>> from epochs_left.live.adapters.tqdm import EtaBar  # doctest: +SKIP
"""
