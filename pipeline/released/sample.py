"""Stage sample: draws synthetic patients from the released model and writes them as the extract.
Free: it reads no patient's row.
"""

from __future__ import annotations

import logging
import shutil

from pipeline import files
from pipeline.adapters import partition_tables
from pipeline.catalog import Workspace
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.params import Params
from pipeline.released.views import views
from pipeline.released.writers import ParquetPart, TableWriter, write_database
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `released/synthetic` and `released/extract`, partition by partition, each to a
    temporary name first.
    """
    released = workspace.released
    synthetic, extract = (
        released.synthetic.with_suffix(".tmp"),
        released.extract.with_suffix(".tmp"),
    )
    for folder in (synthetic, extract):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    synthesizer = Synthesizer.load(released.model)
    n_synthetic, done = params.release.rows, 0
    patient_part, event_part = (
        ParquetPart(synthetic / "patients.parquet"),
        ParquetPart(synthetic / "events.parquet"),
    )
    with TableWriter(schema, extract) as writer:
        partitions = synthesizer.sample(
            n_synthetic, seed=params.sample.seed, partition_rows=params.sample.partition_rows
        )
        for log, tables in partition_tables(schema, partitions, params.release.extract_date):
            patient_part.write(log.patients)
            if log.events is not None:
                event_part.write(log.events)
            writer.write(tables)
            done += len(log.patients)
            logger.info("sample: %d of %d synthetic patients", done, n_synthetic)
    patient_part.close()
    event_part.close()
    write_database(schema, extract / "parquet", extract / "extract.duckdb", views(schema))
    files.replace_folder(synthetic, released.synthetic)
    files.replace_folder(extract, released.extract)
