"""Clinical rules 55 and 56: synthetic rows beside the source's. Information for the custodian,
never a gate (privacy_rules.md 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import starmap
from pathlib import Path

import polars as pl

from pipeline.adapters.extract import scan_extract
from pipeline.catalog import Workspace
from pipeline.checks.rules.extract import MISSING_TOLERANCE, Tables, missing_shares
from pipeline.checks.rules.slices import SLICE_PATIENTS
from pipeline.evaluation import report
from pipeline.schema.patient_log import ID, PatientLog, concat, read_patient_log
from pipeline.schema.row_slices import in_slices
from pipeline.schema.values import Schema

PATHWAY = "_pathway"


def section(schema: Schema, workspace: Workspace) -> str:
    """HTML: the columns whose shares of missing values differ by more than 5 points, and whether
    any patient is a copy. No count of copies. All rows are looked at.
    """
    restricted, out = workspace.restricted, workspace.released.synthetic
    source = {
        name: pl.scan_parquet(path)
        for name in schema.tables
        if (path := _source(workspace, name)).exists()
    }
    apart = missing_apart(schema, source, scan_extract(schema, workspace.released.extract.parquet))
    real = concat(
        [
            read_patient_log(restricted.patients, restricted.events),
            read_patient_log(restricted.holdout_patients, restricted.holdout_events),
        ]
    )
    synthetic = read_patient_log(out.patients, out.events)
    rows = [[name, before, after] for name, (before, after) in apart.items()]
    table = (
        report.table(("column", "missing in the source", "synthetic"), rows)
        if rows
        else "<p>No modelled column is further apart.</p>"
    )
    answer = "There are" if has_copies(schema, real, synthetic) else "There are no"
    return (
        "<p>Clinical rule 55: columns whose shares of missing values differ by more than"
        f" {MISSING_TOLERANCE:.0%} of the rows.</p>{table}<p>Clinical rule 56: {answer} synthetic"
        " patients who equal a real one in all static columns and the whole pathway. No row is"
        " removed for it, and no release stopped: that would tell who is in the source. People"
        " whose few columns are common are equal by chance.</p>"
    )


def _source(workspace: Workspace, name: str) -> Path:
    return workspace.restricted.tables / f"{name}.parquet"


def missing_apart(
    schema: Schema, source: Tables, synthetic: Tables
) -> dict[str, tuple[float, float]]:
    """ "table.COLUMN" -> shares missing in source and extract, where they lie more than 5 points
    apart. Carried columns are empty by design.
    """
    modelled = {
        f"{table.name}.{column.name}"
        for table in schema.tables.values()
        for column in table.columns.values()
        if column.role != "carried"
    }
    before, after = missing_shares(source), missing_shares(synthetic)
    both = {
        name: (before[name], after[name])
        for name in sorted(modelled)
        if name in before and name in after
    }
    return {name: pair for name, pair in both.items() if abs(pair[0] - pair[1]) > MISSING_TOLERANCE}


def has_copies(schema: Schema, real: PatientLog, synthetic: PatientLog) -> bool:
    """Whether any synthetic patient equals a real one in every static column and every event."""
    columns = [*schema.patients, PATHWAY] if schema.events is not None else [*schema.patients]
    parts = list(_prints(schema, real, synthetic.patients.schema, columns))
    originals = pl.concat(parts).unique()
    return any(
        prints.join(originals, on=prints.columns, how="semi").height
        for prints in _prints(schema, synthetic, synthetic.patients.schema, columns)
    )


def _prints(
    schema: Schema, log: PatientLog, kinds: pl.Schema, columns: list[str]
) -> Iterator[pl.DataFrame]:
    """Some patients at a time, each as two hashes of 64 bits, which two different patients share
    with a chance of 1e-25 for 2 million of each side. kinds: of the static columns.
    """
    events = None if schema.events is None else log.events
    parts: Iterable[PatientLog] = [PatientLog(log.patients)]
    if events is not None:
        parts = starmap(PatientLog, in_slices(log.patients, events, SLICE_PATIENTS))
    for part in parts:
        rows = _whole(schema, part).select(
            pl.col(name).cast(kinds.get(name, pl.String()), strict=False) for name in columns
        )
        yield pl.DataFrame([rows.hash_rows(seed=n).alias(f"hash_{n}") for n in (1, 2)])


def _whole(schema: Schema, log: PatientLog) -> pl.DataFrame:
    """Patients with their events as one text, null for none."""
    if schema.events is None or log.events is None:
        return log.patients
    values = [
        pl.col(name).cast(pl.String).fill_null("")
        for name in ("day", "type", "code", *schema.events.attributes)
    ]
    pathways = (
        log.events.sort(ID, "seq")
        .group_by(ID)
        .agg(pl.concat_str(values, separator=",").str.join(";").alias(PATHWAY))
    )
    return log.patients.join(pathways, on=ID, how="left")
