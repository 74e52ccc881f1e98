"""Stage ingest: the source's files to typed tables and to patients with their events, one patient
at a time, each repair and drop counted.

What this stage finds stays in the restricted zone (privacy_rules.md 3). Everything about a patient
follows from his or her own rows and the permanent key. The folder `restricted/data` appears whole
or not at all.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import (
    batches,
    cohorts,
    holdout,
    key_check,
    owners,
    reading,
    source_files,
)
from pipeline.restricted.ingest.casting import Counts, broken_rows, cast_rows
from pipeline.restricted.ingest.owners import ROW
from pipeline.runs import source_claims
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

TABLES, PATIENTS, EVENTS, CARRIED = "tables", "patients", "events", "carried"

logger = logging.getLogger(__name__)


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Reads `params.release.source` into `restricted/data`. Raises Refusal for a source whose
    structure is wrong, and then leaves nothing.
    """
    if params.release.source is None:
        raise Refusal(
            f"release.source is not set: say in params.yaml where the tables of {schema.dataset}"
            " lie."
        )
    source_claims.claim(
        Home.find(),
        params.release.source,
        population=schema.population.name,
        kind=schema.population.kind,
    )
    if unknown := sorted(set(params.release.cohorts) - set(schema.population.cohort_names)):
        raise Refusal(
            f"release.cohorts: population {schema.population.name} has no cohort"
            f" {', '.join(unknown)} (it has: {', '.join(schema.population.cohort_names) or 'none'})"
        )
    key = key_check.key_of(Home.find(), schema.population.name)
    sources = source_files.sources(schema, Path(params.release.source))
    register = cohorts.Register(Home.find(), schema) if schema.population.cohort_names else None
    with files.replacing_folder(workspace.restricted.data) as folder:
        _ingest(schema, params, sources, key, folder, register)


def _ingest(
    schema: Schema,
    params: Params,
    sources: dict[str, source_files.Source],
    key: bytes,
    folder: Path,
    register: cohorts.Register | None,
) -> None:
    work = folder / "work"
    report: dict[str, Any] = {"tables": {}}
    for name, source in sources.items():
        logger.info("ingest: table %s", name)
        report["tables"][name] = _type_rows(
            source, params.ingest.max_cell_bytes, work / "typed" / name
        )
    logger.info("ingest: rows to patients")
    findings, tally = owners.Findings(), batches.Tally()
    owned = owners.assign_owners(
        schema, {name: work / "typed" / name for name in sources}, work / "owned", key, findings
    )
    logger.info("ingest: patients to pathways")
    patients: Counter[str] = Counter()
    n_parts = 0
    for number in range(owned.n_buckets):
        for tables in owners.without_shared_keys(
            schema, owners.kept_tables(schema, owned, number, findings)
        ):
            prepared = batches.prepare(schema, tables, params.release.extract_date, tally)
            prepared = prepared.without(
                cohorts.enrol(schema, params.release.cohorts, register, prepared.log.patients)
            )
            held_out = _held_out(schema, prepared.log.patients, key, params.ingest.holdout_share)
            _write_part(work / "out", n_parts, prepared, held_out)
            patients.update(kept=prepared.log.patients.height, held_out=held_out.height)
            n_parts += 1
    _write_data(schema, work / "out", folder, list(sources), is_shared=findings.is_shared)
    shutil.rmtree(work)
    report["patients"] = dict(patients)
    report["cohorts"] = list(params.release.cohorts)
    files.write_json(folder / "ingest.json", _complete_report(report, findings, tally))


def _type_rows(source: source_files.Source, max_cell_bytes: int, folder: Path) -> dict[str, Any]:
    """Writes the typed parts of one table and counts what was repaired and what fails, by
    column.
    """
    folder.mkdir(parents=True)
    repaired: Counts = Counter()
    faults: Counts = Counter()
    n_rows = 0
    blocks = reading.blocks(source, max_cell_bytes)
    for index, block in enumerate(_at_least_one(blocks, reading.empty_block(source))):
        typed = cast_rows(block.cells, source.table, source.aliases, max_cell_bytes)
        broken = broken_rows(block.broken, source.table, typed.rows)
        rows = pl.concat([typed.rows, broken.rows]) if broken.rows.height else typed.rows
        rows.write_parquet(folder / f"{index:06}.parquet")
        repaired += typed.repaired
        faults += typed.faults + broken.faults
        repaired["(row)", reading.LATIN1] += block.n_latin1
        n_rows += rows.height
    return {
        "file": source.path.name,
        "rows": n_rows,
        "repaired": _nested(+repaired),
        "faults": _nested(faults),
    }


def _at_least_one(blocks: Iterator[reading.Block], empty: reading.Block) -> Iterator[reading.Block]:
    yield empty  # so that the parts of a table without rows have its columns
    yield from blocks


def _held_out(schema: Schema, patients: pl.DataFrame, key: bytes, share: float) -> pl.DataFrame:
    main = schema.tables[owners.patient_table(schema)]
    coins = holdout.is_held_out(
        holdout.identity(patients[ID], is_row_hash=main.patient is None), key, share
    )
    return patients.select(ID).filter(coins)


def _write_part(out: Path, index: int, prepared: batches.Prepared, held_out: pl.DataFrame) -> None:
    frames: dict[str, pl.DataFrame] = {
        f"{TABLES}/{name}": rows for name, rows in prepared.tables.items()
    }
    frames |= {f"{CARRIED}/{name}": rows for name, rows in prepared.carried.items()}
    for name, rows in ((PATIENTS, prepared.log.patients), (EVENTS, prepared.log.events)):
        if rows is not None:
            frames[name] = rows.join(held_out, on=ID, how="anti", maintain_order="left")
            frames[f"holdout_{name}"] = rows.join(
                held_out, on=ID, how="semi", maintain_order="left"
            )
    for name, rows in frames.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        rows.write_parquet(out / name / f"{index:06}.parquet")


def _write_data(
    schema: Schema, out: Path, folder: Path, tables: list[str], *, is_shared: bool
) -> None:
    """Puts the parts together, by patient."""
    for name in tables:
        path = folder / TABLES / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        rows = pl.scan_parquet(out / TABLES / name / "*.parquet")
        if is_shared:  # a row of two patients is in the parts of both
            rows = rows.unique(ROW, keep="any")
        table = schema.tables[name]
        rows.sort(ID, *(table.key or table.columns)).select(list(table.columns)).sink_parquet(path)
    for part in sorted((out / CARRIED).glob("*")):
        (folder / CARRIED).mkdir(exist_ok=True)
        pl.scan_parquet(part / "*.parquet").sink_parquet(folder / CARRIED / f"{part.name}.parquet")
    for name in (PATIENTS, EVENTS, f"holdout_{PATIENTS}", f"holdout_{EVENTS}"):
        if (out / name).is_dir():
            by = [ID, "seq"] if name.endswith(EVENTS) else [ID]
            pl.scan_parquet(out / name / "*.parquet").sort(by).sink_parquet(
                folder / f"{name}.parquet"
            )


def _complete_report(
    report: dict[str, Any], findings: owners.Findings, tally: batches.Tally
) -> dict[str, Any]:
    for name, counts in report["tables"].items():
        counts["orphan_rows"] = findings.orphans[name]
        counts["equal_rows_left_out"] = findings.repeated[name]
    for (table, column, repair), n in (+tally.repaired).items():
        report["tables"][table]["repaired"].setdefault(column, {})[repair] = n
    early = Counter(reason for frame in findings.dropped for reason in frame["reason"])
    report["dropped_patients_by_reason"] = dict(sorted((early + tally.reasons).items()))
    report["clipped"] = dict(+tally.clipped)
    return report


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (column, what), n in sorted(counts.items()):
        nested.setdefault(column, {})[what] = n
    return nested
