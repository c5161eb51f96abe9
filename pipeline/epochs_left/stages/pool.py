"""Stage pool: predictors of any threshold and of any plateau, for every family at once."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from epochs_left.config import PoolSettings, parse_settings, root_seed_of
from epochs_left.parallel import Progress
from epochs_left.prediction.plateaus import fit_plateaus, plateau_examples
from epochs_left.prediction.pool import pooled_examples
from epochs_left.prediction.thresholds import SPEC, build_threshold_bundle, out_of_fold
from epochs_left.prediction.training import require_distinct_curves
from epochs_left.schema import TargetKind
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
        table = _examples(settings)
        _write(table, settings, root_seed, arguments.jobs, progress_of(arguments))


def _examples(settings: PoolSettings) -> pa.Table:
    tables = []
    for family in settings.families:
        table = read_table(FEATURES / family / "examples.parquet")
        require_distinct_curves(family, table)
        tables.append(table.filter(pc.invert(table["locked"])))
    return pa.concat_tables(tables)


def _write(
    table: pa.Table, settings: PoolSettings, root_seed: int, jobs: int, progress: Progress
) -> None:
    dictionary = read_json(FEATURES / settings.families[0] / "features.json")
    hashes = {name: RunStore(RUNS / name).manifest["data_sha256"] for name in settings.families}
    of_loss = table.filter(pc.not_equal(table["target_kind"], TargetKind.PLATEAU.value))
    pool = pooled_examples(of_loss, dictionary, settings.runs_per_family, SPEC)
    predictions = out_of_fold(pool, settings, root_seed, jobs=jobs, progress=progress)
    save_bundle(FOLDER / "threshold", *build_threshold_bundle(pool, predictions, hashes, root_seed))
    plateaus = plateau_examples(table, dictionary)
    of_plateaus, manifest, files = fit_plateaus(plateaus, settings, hashes, root_seed)
    save_bundle(FOLDER / "plateau", manifest, files)
    both = pa.concat_tables([predictions, of_plateaus], promote_options="default")
    write_table(FOLDER / "out_of_fold.parquet", [both])
