"""Whose each row is, and which patients are dropped whole. Keys are scoped by patient: two patients
with one key keep their own rows each.

A table without the patient's id goes by its parent's key. If two patients of the source share that
key, its rows are rows of both: nothing in the file tells them apart (privacy_rules.md 16: shared
ids weaken the unit).

Rows are spread over buckets by a hash of the patient's id, so that all of one patient lies in one
bucket and memory holds one bucket at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import account
from pipeline.restricted.ingest.account import Account
from pipeline.restricted.ingest.casting import OWNER, REASON, SOURCE
from pipeline.restricted.ingest.holdout import row_digests
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema, Table

ROW, BUCKET = "_row", "_bucket"
DUPLICATE_KEY, NOT_IN_PATIENT_TABLE = "key used twice", "patient not in the patient table"
TOO_MANY_ROWS = "more rows than ingest.max_patient_rows"
BUCKET_PATIENTS = 20_000
PARTS_AT_ONCE = 8  # of a table: every bucket looks into every file that comes of them
Tables = Mapping[str, pl.DataFrame]  # rows with patient_id and ROW, by table


@dataclass
class Findings:
    """What was found about patients and rows. Restricted. `dropped`: patient_id and reason, a row
    per fault.
    """

    dropped: list[pl.DataFrame] = field(default_factory=list)
    account: Account = field(default_factory=Account)
    is_shared: bool = False  # some rows are rows of two patients

    def drop(self, patients: pl.DataFrame, reason: str) -> None:
        """Notes the patients in the first column of `patients`."""
        if patients.height:
            self.dropped.append(
                patients.select(
                    pl.col(patients.columns[0]).alias(ID), pl.lit(reason).alias("reason")
                ).unique()
            )

    def all_dropped(self, like: pl.DataType) -> pl.DataFrame:
        empty = pl.DataFrame(schema={ID: like, "reason": pl.String})
        return pl.concat(
            [empty, *(frame.with_columns(pl.col(ID).cast(like)) for frame in self.dropped)]
        ).unique()


@dataclass(frozen=True)
class Owned:
    """Attributed rows on disk: `folder/<table>/*.parquet` with patient_id, ROW, REASON and
    BUCKET.
    """

    folder: Path
    tables: tuple[str, ...]
    n_buckets: int
    # table -> patient_id of those with too many rows in it, which no bucket holds
    excessive: dict[str, pl.DataFrame] = field(default_factory=dict)

    def bucket(self, name: str, number: int) -> pl.DataFrame:
        rows = self.rows(name).filter(pl.col(BUCKET) == number).drop(BUCKET)
        if (excessive := self.excessive.get(name)) is not None:
            rows = rows.filter(~pl.col(ID).is_in(excessive[ID].implode()))
        return rows.collect()

    def rows(self, name: str) -> pl.LazyFrame:
        return pl.scan_parquet(self.folder / name / "*.parquet")


def patient_table(schema: Schema) -> str:
    """The table with one row per patient: the one whose key is the patient's id."""
    if len(schema.tables) == 1:
        return next(iter(schema.tables))
    for name, table in schema.tables.items():
        if table.patient is not None and table.key == (table.patient,):
            return name
    raise Refusal(
        f"{schema.dataset}: no table has the patient's id as its key. Give one `key: [id]` and"
        " `patient: id`."
    )


def assign_owners(
    schema: Schema,
    parts: Mapping[str, Path],
    folder: Path,
    key: bytes,
    findings: Findings,
    max_patient_rows: int,
) -> Owned:
    """Gives each row its patient, table by table, part by part, and spreads the rows over buckets.
    Orphan rows are left out and counted.

    `parts`: folders of typed parts by table (casting.py). An empty patient table stops nothing:
    to stop would tell an empty source from one with a single patient.
    """
    main = patient_table(schema)
    owned = Owned(folder, tuple(parts), n_buckets=1 + _n_rows(parts[main]) // BUCKET_PATIENTS)
    for name in _parents_first(schema, parts):
        table = schema.tables[name]
        (folder / name).mkdir(parents=True)
        owners = _owners_by_key(table, owned, findings)
        offset = 0
        paths = sorted(parts[name].glob("*.parquet"))
        for index, first in enumerate(range(0, len(paths), PARTS_AT_ONCE)):
            some = paths[first : first + PARTS_AT_ONCE]
            typed = pl.concat(map(pl.read_parquet, some)).with_row_index(ROW, offset)
            offset += typed.height
            rows = _with_patient(typed, table, owners, key)
            findings.account.leave_out(name, account.ORPHANS, rows[ID].null_count())
            findings.account.rows_twice[name] += rows.height - typed.height
            rows = rows.filter(pl.col(ID).is_not_null())
            for (reason,), group in (
                rows.filter(pl.col(REASON).is_not_null()).select(ID, REASON).group_by(REASON)
            ):
                findings.drop(group, f"{name}.{reason}")
            rows = rows.with_columns(
                (pl.col(ID).hash(0) % owned.n_buckets).cast(pl.Int32).alias(BUCKET)
            ).sort(BUCKET)
            rows.write_parquet(
                folder / name / f"{index:06}.parquet",
                row_group_size=max(1000, rows.height // owned.n_buckets),
            )
        if table.patient is not None or table.through is not None:
            _exclude_excessive(owned, name, main, findings, max_patient_rows)
    return owned


def _exclude_excessive(
    owned: Owned, name: str, main: str, findings: Findings, max_patient_rows: int
) -> None:
    """Who has more rows in a table than any patient has is dropped before the rows are read
    together: nobody's rows exhaust the memory of the run.
    """
    counts = owned.rows(name).group_by(ID).len("n").filter(pl.col("n") > max_patient_rows).collect()
    if not counts.height:
        return
    owned.excessive[name] = counts.select(ID)
    findings.account.leave_out(name, account.TOO_MANY, int(counts["n"].sum()))
    findings.account.patients["read"] += counts.height if name == main else 0
    findings.drop(counts, f"{name}: {TOO_MANY_ROWS}")


def _n_rows(parts: Path) -> int:
    return int(pl.scan_parquet(parts / "*.parquet").select(pl.len()).collect().item())


def _parents_first(schema: Schema, parts: Mapping[str, Path]) -> list[str]:
    order: list[str] = []
    pending = list(parts)
    while pending:
        ready = [
            n
            for n in pending
            if (through := schema.tables[n].through) is None
            or through[0] in order
            or through[0] not in parts
        ]
        if not ready:
            raise Refusal(f"{schema.dataset}: `through` of {', '.join(pending)} goes in a circle.")
        order += ready
        pending = [name for name in pending if name not in ready]
    return order


def _owners_by_key(table: Table, owned: Owned, findings: Findings) -> pl.DataFrame | None:
    """For a table that goes by its parent: OWNER (the parent's key) and patient_id, in every pair
    that the parent has.
    """
    if table.patient is not None or table.through is None:
        return None
    parent, column = table.through
    if parent not in owned.tables:
        return pl.DataFrame(schema={OWNER: pl.Int64, ID: pl.Int64})
    pairs = (
        pl.scan_parquet(owned.folder / parent / "*.parquet")
        .select(pl.col(column).alias(OWNER), ID)
        .drop_nulls()
        .unique()
        .collect()
    )
    findings.is_shared |= pairs[OWNER].n_unique() < pairs.height
    return pairs


def _with_patient(
    rows: pl.DataFrame, table: Table, owners: pl.DataFrame | None, key: bytes
) -> pl.DataFrame:
    if owners is not None:
        return rows.join(
            owners.with_columns(pl.col(OWNER).cast(rows.schema[OWNER])), on=OWNER, how="left"
        ).drop(OWNER)
    if table.patient is not None:
        return rows.rename({OWNER: ID})
    return rows.with_columns(row_digests(rows[SOURCE], key).alias(ID)).drop(SOURCE)


def kept_tables(
    schema: Schema, owned: Owned, number: int, findings: Findings
) -> dict[str, pl.DataFrame]:
    """One bucket: the rows of the patients that no finding drops, sorted by content. Adds to
    `findings` who is dropped here and why.
    """
    main = patient_table(schema)
    tables = {
        name: _scope_keys(owned.bucket(name, number), name, schema.tables[name], findings)
        for name in owned.tables
    }
    # a row is a person: equal rows are different people, and a row at fault is out
    if schema.tables[main].patient is None:
        whole = tables[main].filter(pl.col(REASON).is_null())
        findings.account.leave_out(main, account.FAULT, tables[main].height - whole.height)
        findings.account.patients["read"] += tables[main].height - whole.height
        nth = pl.int_range(pl.len()).over(ID)
        tables[main] = whole.with_columns(pl.format("{}-{}", ID, nth).alias(ID))
    everybody = tables[main].select(ID).unique()
    findings.account.patients["read"] += everybody.height
    for name, rows in tables.items():
        if name != main:
            findings.drop(
                rows.select(pl.col(ID).cast(everybody.schema[ID]))
                .unique()
                .join(everybody, on=ID, how="anti"),
                f"{name}: {NOT_IN_PATIENT_TABLE}",
            )
    owners = everybody.join(findings.all_dropped(everybody.schema[ID]), on=ID, how="anti")
    survivors = {
        name: (
            rows.drop(REASON)
            .with_columns(pl.col(ID).cast(everybody.schema[ID]))
            .join(owners, on=ID, how="semi", maintain_order="left")
        )
        for name, rows in tables.items()
    }
    findings.account.compare(tables, survivors, account.OF_DROPPED)
    return survivors


def _scope_keys(rows: pl.DataFrame, name: str, table: Table, findings: Findings) -> pl.DataFrame:
    """A patient's equal rows are one row; unequal ones with one key drop the patient. In a table
    without the patient's id a row is a person, and equal rows are different people.
    """
    content = [ID, *table.key, *(column for column in table.columns if column not in table.key)]
    if table.patient is None and table.through is None:
        return rows.sort(content)
    # its cells are empty: it says nothing about keys, and its patient is dropped already
    is_broken = pl.col(REASON).is_not_null()
    whole = rows.filter(~is_broken)
    once = whole.unique(content, keep="any")
    findings.account.leave_out(name, account.EQUAL, whole.height - once.height)
    scope = list(dict.fromkeys([ID, *table.key]))
    if table.key:
        findings.drop(
            once.filter(pl.struct(scope).is_duplicated()).select(ID),
            f"{name}.{', '.join(table.key)}: {DUPLICATE_KEY}",
        )
    return pl.concat([once, rows.filter(is_broken)]).sort(scope if table.key else content)
