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
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import files, workers
from pipeline.catalog import Home, Workspace
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import (
    batches,
    cohorts,
    key_check,
    origin,
    owners,
    source_files,
    typed_parts,
)
from pipeline.restricted.ingest.account import Account
from pipeline.restricted.ingest.batches import CARRIED, EVENTS, PATIENTS, TABLES
from pipeline.restricted.ingest.examples import Examples
from pipeline.restricted.ingest.owners import ROW
from pipeline.restricted.ingest.source_header import Source
from pipeline.runs import source_claims
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

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
    typed_parts.type_rows(sources, params.ingest.max_cell_bytes, work / "typed", account, examples)
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
    plan = batches.BucketPlan(
        schema=schema,
        params=params,
        owned=owned,
        key=key,
        dropped=tuple(findings.dropped),
        out=work / "out",
        others=partial(cohorts.enrol, schema, params.release.cohorts, register),
    )
    tasks = ((plan, number) for number in range(owned.n_buckets))
    # whoever is new to a register of cohorts is entered one after the other
    for bucket in workers.in_order(batches.write_bucket, tasks, None if register is None else 1):
        account.add(bucket.account)
        findings.dropped += bucket.dropped
    _write_data(schema, work / "out", folder, list(sources), is_shared=findings.is_shared)
    shutil.rmtree(work)
    account.dropped += Counter(findings.all_dropped(pl.String())["reason"])
    report = account.to_json(
        {name: source.name for name, source in sources.items()}, _events_tables(schema)
    )
    marks = register.marks() if register is not None else ()
    note = origin.origin_of(schema, params.release, marks)
    files.write_json(folder / "ingest.json", report | origin.to_json(note))


def _events_tables(schema: Schema) -> str | None:
    """The tables whose rows are the events of a log."""
    rows = schema.events.rows if schema.events is not None else ()
    return ", ".join(dict.fromkeys(source.table for source in rows)) or None


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
