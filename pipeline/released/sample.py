"""Stage sample: draws synthetic patients from the released model and writes them as the extract.
Free: it reads no patient's row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date

import polars as pl

from pipeline import files
from pipeline.adapters import canonical, to_tables
from pipeline.catalog import Extract, Patients, Workspace
from pipeline.models.synthesizer import Synthesizer
from pipeline.params import Params
from pipeline.released.views import views
from pipeline.released.writers import ParquetPart, TableWriter, write_database
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


def draw(
    schema: Schema,
    synthesizer: Synthesizer,
    n_synthetic: int,
    seed: int,
    partition_rows: int,
    extract_date: date | None,
) -> Iterator[tuple[PatientLog, dict[str, pl.DataFrame]]]:
    """The log and the tables of each partition, the log as its tables show it. The same arguments
    give the same rows.
    """
    for patients, events in synthesizer.sample(
        n_synthetic, seed=seed, partition_rows=partition_rows
    ):
        log = canonical(schema, PatientLog(patients, events), extract_date=extract_date)
        yield log, to_tables(schema, log, extract_date=extract_date)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `released/synthetic` and `released/extract`, partition by partition."""
    released, n_synthetic, n_drawn = workspace.released, params.release.rows, 0
    synthesizer = Synthesizer.load(released.model)
    with (
        files.replacing_folder(released.synthetic.root) as synthetic,
        files.replacing_folder(released.extract.root) as extract,
    ):
        out = Patients(synthetic)
        patient_part, event_part = ParquetPart(out.patients), ParquetPart(out.events)
        with TableWriter(schema, extract) as writer:
            for log, tables in draw(
                schema,
                synthesizer,
                n_synthetic,
                params.sample.seed,
                params.sample.partition_rows,
                params.release.extract_date,
            ):
                patient_part.write(log.patients)
                if log.events is not None:
                    event_part.write(log.events)
                writer.write(tables)
                n_drawn += len(log.patients)
                logger.info("sample: %d of %d synthetic patients", n_drawn, n_synthetic)
        patient_part.close()
        event_part.close()
        write_database(schema, Extract(extract), views(schema))
