"""Stage ingest: the source's files to typed tables and to patients with their events, one patient
at a time, each repair and drop counted.

What this stage finds stays in the restricted zone (privacy_rules.md 3). Everything about a patient
follows from his or her own rows and the permanent key. The folder `restricted/data` appears whole
or not at all.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import files
from pipeline.adapters.long_table import in_two
from pipeline.adapters.row_events import n_found
from pipeline.catalog import Home, Workspace
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import (
    batches,
    cohorts,
    holdout,
    key_check,
    origin,
    owners,
    reading,
    shared_keys,
    source_files,
)
from pipeline.restricted.ingest.account import OTHER_COHORT, Account
from pipeline.restricted.ingest.blocks import Block
from pipeline.restricted.ingest.casting import broken_rows, cast_rows
from pipeline.restricted.ingest.examples import Examples
from pipeline.restricted.ingest.owners import ROW
from pipeline.restricted.ingest.source_header import Source
from pipeline.runs import source_claims
from pipeline.schema.event_days import ends_are_rows
from pipeline.schema.long_table import with_people
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

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
    claim = partial(
        source_claims.claim,
        Home.find(),
        params.release.source,
        population=schema.population.name,
        kind=schema.population.kind,
    )
    claim(for_good=False)
    if unknown := sorted(set(params.release.cohorts) - set(schema.population.cohort_names)):
        raise Refusal(
            f"release.cohorts: population {schema.population.name} has no cohort"
            f" {', '.join(unknown)} (it has: {', '.join(schema.population.cohort_names) or 'none'})"
        )
    if params.release.extract_date and schema.events is not None and schema.events.origin is None:
        logger.warning(
            "ingest: the log has no dates, for events.origin is null: the extract date is written"
            " on the card, and nothing is cut there"
        )
    key = key_check.key_of(Home.find(), schema.population.name)
    register = cohorts.Register(Home.find(), schema) if schema.population.cohort_names else None
    with (
        source_files.sources(schema, params.release.source) as sources,
        files.replacing_folder(workspace.restricted.data) as folder,
    ):
        claim()  # its structure is as declared; no row was read yet
        ingest(schema, params, sources, key, folder, register)


def rehearse(schema: Schema, params: Params, source: str | Path) -> tuple[dict[str, Any], Examples]:
    """A dry run: the account of what ingest would keep, and the texts of cells at fault. It charges
    nothing, opens no population, claims no source, makes no key and leaves no file.

    Raises Refusal for a source whose structure is wrong.
    """
    examples = Examples()
    scratch = Home.find().state / "restricted"
    files.private_folder(scratch)
    with (
        tempfile.TemporaryDirectory(dir=scratch, prefix="check-") as folder,
        source_files.sources(schema, source) as sources,
    ):
        ingest(schema, params, sources, os.urandom(32), Path(folder), examples=examples)
        account = files.read_json(Path(folder) / "ingest.json")
    return account, examples


def ingest(
    schema: Schema,
    params: Params,
    sources: dict[str, Source],
    key: bytes,
    folder: Path,
    register: cohorts.Register | None = None,
    examples: Examples | None = None,
) -> None:
    """Reads the sources into `folder`, in parts and then whole, with the account of it in
    `ingest.json`.
    """
    work, account = folder / "work", Account()
    for name, source in sources.items():
        logger.info("ingest: table %s", name)
        _type_rows(source, params.ingest.max_cell_bytes, work / "typed" / name, account, examples)
    logger.info("ingest: rows to patients")
    findings = owners.Findings(account=account)
    owned = owners.assign_owners(
        schema,
        {name: work / "typed" / name for name in sources},
        work / "owned",
        key,
        findings,
        params.ingest.max_patient_rows,
    )
    logger.info("ingest: patients to pathways")
    n_parts = 0
    for number in range(owned.n_buckets):
        for tables in shared_keys.without_shared_keys(
            schema, owners.kept_tables(schema, owned, number, findings)
        ):
            for prepared in batches.prepare(schema, tables, params.release.extract_date, account):
                chosen = _of_cohorts(schema, params, prepared, register, account)
                held_out = _held_out(schema, chosen.log.patients, key, params.ingest.holdout_share)
                _write_part(work / "out", n_parts, chosen, held_out)
                account.patients.update(kept=chosen.log.patients.height, held_out=held_out.height)
                _account_for(schema, chosen, account)
                n_parts += 1
    _write_data(schema, work / "out", folder, list(sources), is_shared=findings.is_shared)
    shutil.rmtree(work)
    account.dropped += Counter(findings.all_dropped(pl.String())["reason"])
    report = account.to_json(
        {name: source.name for name, source in sources.items()}, _events_tables(schema)
    )
    marks = register.marks() if register is not None else ()
    note = origin.origin_of(schema, params.release, marks)
    files.write_json(folder / "ingest.json", report | origin.to_json(note))


def _of_cohorts(
    schema: Schema,
    params: Params,
    prepared: batches.Prepared,
    register: cohorts.Register | None,
    account: Account,
) -> batches.Prepared:
    """The patients of the cohorts that the release opens."""
    others = cohorts.enrol(schema, params.release.cohorts, register, prepared.log.patients)
    chosen = prepared.without(others)
    account.patients["other_cohorts"] += others.height
    account.compare(prepared.tables, chosen.tables, OTHER_COHORT)
    return chosen


def _account_for(schema: Schema, chosen: batches.Prepared, account: Account) -> None:
    """Notes what is kept: rows by table, and the rows of a log that are events."""
    for name, rows in chosen.tables.items():
        account.rows_kept[name] += rows.height
    log_schema = with_people(schema)
    if log_schema.events is None or chosen.log.events is None:
        return
    account.lose_events(chosen.left_out, chosen.moved, chosen.log.patients)
    account.events_kept += _n_row_events(log_schema, log_schema.events, chosen.log.pathways)
    if log_schema.events.rows:
        account.events_found += n_found(log_schema, in_two(schema, chosen.tables))


def _n_row_events(schema: Schema, log: EventLog, events: pl.DataFrame) -> int:
    """How many events are rows: all, but for the ends that are none."""
    if not log.rows or ends_are_rows(schema, log):
        return events.height
    return events.filter(~pl.col("type").is_in(log.terminal)).height


def _events_tables(schema: Schema) -> str | None:
    """The tables whose rows are the events of a log."""
    rows = schema.events.rows if schema.events is not None else ()
    return ", ".join(dict.fromkeys(source.table for source in rows)) or None


def _type_rows(
    source: Source,
    max_cell_bytes: int,
    folder: Path,
    account: Account,
    examples: Examples | None,
) -> None:
    """Writes the typed parts of one table and counts what was repaired and what fails, by
    column.
    """
    folder.mkdir(parents=True)
    table = source.table
    blocks = reading.blocks(source, max_cell_bytes)
    for index, block in enumerate(_at_least_one(blocks, reading.empty_block(source))):
        typed = cast_rows(block, table, source.aliases, max_cell_bytes, examples)
        broken = broken_rows(block, table, typed.rows, examples)
        rows = pl.concat([typed.rows, broken.rows]) if broken.rows.height else typed.rows
        rows.write_parquet(folder / f"{index:06}.parquet")
        for (column, how), n in (typed.repaired + block.repaired).items():
            account.repaired[table.name, column, how] += n
        for (column, what), n in (typed.faults + broken.faults).items():
            account.faults[table.name, column, what] += n
        account.rows_read[table.name] += rows.height
        account.cells_read[table.name] += rows.height * len(table.columns)


def _at_least_one(blocks: Iterator[Block], empty: Block) -> Iterator[Block]:
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
