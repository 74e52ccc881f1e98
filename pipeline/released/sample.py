"""Stage sample: draws synthetic patients from the released model and writes them as the extract.
Free: it reads no patient's row.
"""

from __future__ import annotations

import logging

from pipeline import files
from pipeline.catalog import Extract, Home, Patients, Workspace
from pipeline.draw_plan import plan_of
from pipeline.params import Params
from pipeline.released.charged_draw import check_draw, check_names
from pipeline.released.databases import write_database, write_sqlite
from pipeline.released.partitions import Draw, drawn_partitions
from pipeline.released.views import views
from pipeline.released.writers import ParquetPart, TableWriter
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Writes `released/synthetic` and `released/extract`, partition by partition. Raises Refusal
    for another model or seed than the charge binds, and for other names than it says.
    """
    released, n_synthetic, n_drawn = workspace.released, params.release.rows, 0
    check_names(Home.find(), params, schema)
    check_draw(Home.find(), params, released.model)
    draw = Draw(
        model=released.model,
        sha256=files.folder_sha256(released.model),
        schema=schema,
        n=n_synthetic,
        seed=params.sample.seed,
        partition_rows=params.sample.partition_rows,
        extract_date=params.release.extract_date,
    )
    with (
        files.replacing_folder(released.synthetic.root) as synthetic,
        files.replacing_folder(released.extract.root) as extract,
    ):
        out = Patients(synthetic)
        patient_part, event_part = ParquetPart(out.patients), ParquetPart(out.events)
        with TableWriter(schema, extract) as writer:
            for log, tables in drawn_partitions(draw, plan_of(params.drawn_plan, "draw.plan")):
                patient_part.write(log.patients)
                if log.events is not None:
                    event_part.write(log.events)
                writer.write(tables)
                n_drawn += len(log.patients)
                logger.info("sample: %d of %d synthetic patients", n_drawn, n_synthetic)
        patient_part.close()
        event_part.close()
        for write in (write_database, write_sqlite):
            write(schema, Extract(extract), views(schema))
