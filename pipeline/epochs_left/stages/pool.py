"""Stage pool: one predictor for any loss, plateau or outcome, learnt from every family at once."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from epochs_left.config import PoolSettings, parse_settings, root_seed_of
from epochs_left.parallel import Progress
from epochs_left.prediction.pooling import (
    PoolExamples,
    build_pooled_bundle,
    out_of_fold,
    pooled_examples,
)
from epochs_left.prediction.training import require_distinct_curves
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import FEATURES, MODELS, RUNS
from epochs_left.storage.bundles import save_bundle
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, read_table, write_table

FOLDER = MODELS / "pooled"


def main() -> None:
    """Read the examples of all families, fit with and without the curve prior, write."""
    arguments = stage_parser(__doc__).parse_args()
    params = load_params()
    settings = parse_settings(PoolSettings, params.get("pool"), f"{PARAMS}: pool")
    root_seed = root_seed_of(params, str(PARAMS))
    with (
        sole_writer("pool", FOLDER / "*"),
        threadpool_limits(limits=1, user_api="blas"),
    ):
        examples = _examples(settings)
        _write(examples, settings, root_seed, arguments.jobs, progress_of(arguments))


def _examples(settings: PoolSettings) -> PoolExamples:
    tables = []
    for family in settings.families:
        table = read_table(FEATURES / family / "examples.parquet")
        require_distinct_curves(family, table)
        tables.append(table.filter(pc.invert(table["locked"])))
    dictionary = read_json(FEATURES / settings.families[0] / "features.json")
    return pooled_examples(pa.concat_tables(tables), dictionary, settings.runs_per_family)


def _write(
    examples: PoolExamples, settings: PoolSettings, root_seed: int, jobs: int, progress: Progress
) -> None:
    predictions = out_of_fold(examples, settings, root_seed, jobs=jobs, progress=progress)
    hashes = {name: RunStore(RUNS / name).manifest["data_sha256"] for name in settings.families}
    manifest, files = build_pooled_bundle(examples, predictions, hashes, root_seed)
    save_bundle(FOLDER / "causal", manifest, files)
    write_table(FOLDER / "out_of_fold.parquet", [predictions])
