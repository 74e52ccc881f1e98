"""Borders that no patient sees: blocks of a file, batches of rows, buckets of patients and chunks
of the log are sizes of the program, and nothing depends on them (privacy_rules.md 7).

With the sizes that ship, a small source has no border at all, and a patient who stands on one is
never tried. So here the sizes are a handful, and borders fall everywhere: within lines, between the
rows of one patient, between equal rows. What ingest writes must be the same as without borders, and
one more patient, who moves all borders, must change nobody else's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl

from audit import layouts, people
from audit.decomposable import Parts, ingest
from audit.findings import Check, Finding
from pipeline.models.pathway.draw.model import new_model
from pipeline.models.pathway.fit import encoded_log
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.restricted.ingest import (
    arrow_source,
    csv_lines,
    duckdb_source,
    owners,
    quoted_rows,
    sheet_source,
    text_bytes,
)
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

NEWCOMER = "7"  # of audit/layouts.py: its rows move every border behind it
SIZES: Mapping[str, tuple[tuple[Any, str], ...]] = {
    "bytes of a block": (
        (csv_lines, "BLOCK_BYTES"),
        (quoted_rows, "BLOCK_BYTES"),
        (text_bytes, "CHUNK_BYTES"),
    ),
    "rows of a batch": (
        (arrow_source, "BATCH_ROWS"),
        (duckdb_source, "BATCH_ROWS"),
        (sheet_source, "BATCH_ROWS"),
    ),
    "patients of a bucket": ((owners, "BUCKET_PATIENTS"),),
    "patients of a chunk": ((encoded_log, "CHUNK"),),
}
SMALL = {
    "bytes of a block": 397,
    "rows of a batch": 5,
    "patients of a bucket": 5,
    "patients of a chunk": 3,
}
SMALLEST = {
    "bytes of a block": 11,
    "rows of a batch": 1,
    "patients of a bucket": 1,
    "patients of a chunk": 1,
}

# of a table with many rows of each patient
LONG_TABLE = {"patients of a bucket": 20}

QUICK = ("csv", "csv with line breaks", "json lines", "parquet", "the log that training reads")


@contextmanager
def small_sizes(sizes: Mapping[str, int]) -> Iterator[None]:
    """Sizes of the program in the place of those that ship."""
    with ExitStack() as patches:
        for what, size in sizes.items():
            for module, name in SIZES[what]:
                patches.enter_context(patch.object(module, name, size))
        yield


def _changed(schema: Schema, encoding: str, *, line_breaks: bool) -> Schema:
    """The declaration for the same tables in another encoding, or with line breaks in cells."""
    tables = {
        name: _replaced(table, encoding=encoding, line_breaks=line_breaks)
        for name, table in schema.tables.items()
    }
    return _replaced(schema, tables=tables)


def _replaced(value: Any, **changes: Any) -> Any:
    return type(value)(**{f.name: getattr(value, f.name) for f in fields(value)} | changes)


def _of_source(
    layout: str,
    form: str,
    sizes: Mapping[str, int],
    folder: Path,
    *,
    encoding: str = "utf-8",
    line_breaks: bool = False,
) -> Finding:
    schema = _changed(
        layouts.schema_of(layout, folder / "declared"), encoding, line_breaks=line_breaks
    )
    rows = layouts.rows_of(schema)
    others = layouts.of_patients(rows, [one for one in layouts.MOODS if one != NEWCOMER])

    def write_rows(name: str, some: layouts.Rows) -> Path:
        return layouts.write(schema, some, form, folder / name)

    source = write_rows("all", rows)
    plain = ingest(schema, source, folder / "plain")
    with small_sizes(sizes):
        small = ingest(schema, source, folder / "small")
        fewer = ingest(schema, write_rows("others", others), folder / "fewer")
    accounts = {(folder / name / "ingest.json").read_bytes() for name in ("plain", "small")}
    return _judge(
        f"{layout}, {form}",
        [
            *_moved(plain, small, lambda rows: rows),
            *(["the account"] if len(accounts) > 1 else []),
        ],
        _moved(fewer, small, partial(_without, schema)),
        sum(rows.height for rows in plain.values()),
    )


def _without(schema: Schema, rows: pl.DataFrame) -> pl.DataFrame:
    names = (ID, *(table.patient for table in schema.tables.values() if table.patient))
    column = next(name for name in names if name in rows.columns)
    return rows.filter(pl.col(column).cast(pl.String) != NEWCOMER)


def _moved(before: Parts, after: Parts, of: Callable[[pl.DataFrame], pl.DataFrame]) -> list[str]:
    """The files that differ; of(rows): those of the second that the first should have."""
    if set(before) != set(after):
        return ["other files were written"]
    return [name for name, rows in before.items() if not _same(rows, of(after[name]), name)]


def _same(one: pl.DataFrame, other: pl.DataFrame, name: str) -> bool:
    if "/" in name:  # tables, carried: their order is of no consequence
        one, other = (rows.sort(rows.columns, nulls_last=True) for rows in (one, other))
    return one.equals(other)


def _judge(what: str, by_size: list[str], by_newcomer: list[str], n_rows: int) -> Finding:
    if by_size:
        message = f"{what}: with small sizes the rows differ, in {', '.join(by_size[:4])}"
    elif by_newcomer:
        message = (
            f"{what}: with small sizes one more patient moves others, in"
            f" {', '.join(by_newcomer[:4])}"
        )
    else:
        message = (
            f"{what}: {n_rows} rows or patients are the same whatever the sizes of the program"
        )
    return Finding(
        holds=not by_size and not by_newcomer and n_rows > 0,
        message=message,
        figures={"rows": n_rows},
    )


def _training(sizes: Mapping[str, int], folder: Path) -> Finding:
    """What training reads of the log, encoded in chunks."""
    schema = people.schema_in(folder / "declared")
    source = sum(people.odd_patients(901).values(), people.extract(20, 5)).write(folder / "source")
    parts = ingest(schema, source, folder / "ingested")
    patients, events = parts["patients"], parts["events"]
    settings = PathwaySettings(steps=1, width=8, calibration_share=0.0)
    coding = new_model(schema, plan_pathways(schema, settings, 1000)).coding
    plain = _encoded(encoded_log.encode_log(coding, patients, events))
    with small_sizes(sizes):
        small = _encoded(encoded_log.encode_log(coding, patients, events.lazy()))
        fewer = _encoded(encoded_log.encode_log(coding, patients[1:], events.lazy()))
    return _judge(
        "the log that training reads",
        [] if plain == small else ["events"],
        [] if plain[1:] == fewer else ["events"],
        len(plain),
    )


_OF_PATIENTS = ("starts", "lengths", "statics", "legal_set", "legal_sets")


def _encoded(log: encoded_log.EncodedLog) -> list[list[Any]]:
    """By patient what is known of the patient, and of each of his or her events."""
    by_event = [getattr(log, field.name) for field in fields(log) if field.name not in _OF_PATIENTS]
    people = []
    for patient, (start, length) in enumerate(zip(log.starts, log.lengths, strict=True)):
        events = slice(start, start + length)
        own = [log.statics[patient], log.legal_sets[log.legal_set[patient]]]
        people.append([values.tolist() for values in (*own, *(v[events] for v in by_event))])
    return people


def _check(name: str, run: Callable[[Path], Finding], *, is_long: bool) -> Check:
    return Check(
        name=f"borders: {name}{', smallest sizes' * is_long}",
        family="stability",
        run=run,
        asks=(
            f"{name}: the rows are the same wherever blocks, batches, buckets and chunks end, and"
            " one more patient changes only that patient's"
        ),
        long=is_long,
    )


def _checks(sizes: dict[str, int], *, is_long: bool) -> Iterator[Check]:
    sources: dict[str, Callable[[Path], Finding]] = {
        "csv": partial(_of_source, "tables of events", "csv", sizes),
        "csv in utf-16": partial(_of_source, "one table", "csv", sizes, encoding="utf-16"),
        "csv with line breaks": partial(_of_source, "one table", "csv", sizes, line_breaks=True),
        "json lines": partial(_of_source, "one table", "json", sizes),
        "parquet": partial(_of_source, "a long table", "parquet", sizes | LONG_TABLE),
        "duckdb": partial(_of_source, "one table", "duckdb", sizes),
        "xlsx": partial(_of_source, "one table", "xlsx", sizes),
        "the log that training reads": partial(_training, sizes),
    }
    for name, run in sources.items():
        if is_long or name in QUICK:
            yield _check(name, run, is_long=is_long)


CHECKS: tuple[Check, ...] = (*_checks(SMALL, is_long=False), *_checks(SMALLEST, is_long=True))
