"""One batch of patients from typed tables to the form of the models: patient repairs, F rules,
caps, adapter, last guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from pipeline import adapters
from pipeline.checks import rules
from pipeline.restricted.ingest import caps, model_form, patient_repairs
from pipeline.restricted.ingest.account import OF_DROPPED, Account
from pipeline.restricted.ingest.owners import ROW
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

NOT_IN_LOG = "no pathway can be made of the tables"
CANNOT_HANDLE = "rows that the program cannot handle"
Tables = Mapping[str, pl.DataFrame]  # typed rows with patient_id and ROW, by table


@dataclass(frozen=True)
class Prepared:
    """The surviving patients of a batch: their tables (with patient_id and ROW), their log, and
    what is carried beside it.
    """

    tables: Mapping[str, pl.DataFrame]
    log: PatientLog
    carried: Mapping[str, pl.DataFrame]
    # patient_id, reason, n: events that the log has no place for; ends on another day
    left_out: pl.DataFrame
    moved: pl.DataFrame

    def without(self, gone: pl.DataFrame) -> Prepared:
        """All but the patients of `gone` (patient_id)."""
        if not gone.height:
            return self
        return replace(
            self,
            tables=_without(self.tables, gone),
            log=self.log.without(gone),
            carried=_without(self.carried, gone),
        )


def prepare(
    schema: Schema, tables: Tables, extract_date: date | None, account: Account
) -> list[Prepared]:
    """`tables`: the typed rows of one batch, each with patient_id and ROW. No two patients of it
    share a key, so joins by key stay within one. Several parts where some patients' rows raised an
    exception.
    """
    try:
        trial = Account()
        prepared = _prepare(schema, tables, extract_date, trial)
        account.add(trial)
        return [prepared]
    except (Exception, pl.exceptions.PanicException) as error:
        return _halves(schema, tables, extract_date, account, type(error).__name__)


def _halves(
    schema: Schema, tables: Tables, extract_date: date | None, account: Account, error: str
) -> list[Prepared]:
    """The patients in halves until the one whose rows raise is alone, and is dropped: one patient's
    rows cost neither the run nor another (privacy_rules.md 2).
    """
    everybody = pl.concat([rows.select(ID) for rows in tables.values()]).unique().sort(ID)
    if everybody.height <= 1:
        account.dropped[f"{CANNOT_HANDLE} ({error})"] += everybody.height
        account.compare(tables, {name: rows.clear() for name, rows in tables.items()}, OF_DROPPED)
        return []
    middle = everybody.height // 2
    return [
        part
        for half in (everybody[:middle], everybody[middle:])
        for part in prepare(
            schema,
            {
                name: rows.join(half, on=ID, how="semi", maintain_order="left")
                for name, rows in tables.items()
            },
            extract_date,
            account,
        )
    ]


def _prepare(
    schema: Schema, tables: Tables, extract_date: date | None, account: Account
) -> Prepared:
    read = tables
    everybody = pl.concat([rows.select(ID) for rows in tables.values()]).unique()
    tables = patient_repairs.apply(schema, tables, account.repaired)
    context = rules.RuleContext(extract_date=extract_date, is_synthetic=False)
    failing = rules.failing_patients(
        schema, {name: rows.drop(ROW) for name, rows in tables.items()}, context
    )
    reasons = failing.select(ID, ("rule " + pl.col("rule")).alias("reason"))
    tables = _without(tables, _tallied(reasons, everybody, account))
    account.compare(read, tables, OF_DROPPED)
    tables = caps.cap_rows(schema, tables, account)
    source = adapters.to_log(
        schema, {name: _plain(schema, rows, name) for name, rows in tables.items()}
    )
    log, left_out = source.log, source.left_out
    if schema.events is not None and log.events is not None:
        events, cut = caps.cap_events(schema.events, log.events)
        log, left_out = PatientLog(log.patients, events), pl.concat([left_out, cut])
    left = pl.concat([rows.select(ID) for rows in tables.values()]).unique()
    lost = left.join(log.patients, on=ID, how="anti").with_columns(
        pl.lit(NOT_IN_LOG).alias("reason")
    )
    broken = pl.concat([lost, model_form.faults(schema, log)], how="vertical_relaxed")
    whole = Prepared(tables, log, source.carried, left_out, source.moved)
    survivors = whole.without(_tallied(broken, everybody, account))
    account.compare(whole.tables, survivors.tables, OF_DROPPED)
    return survivors


def _plain(schema: Schema, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """The declared columns; patient_id stays where the table has no id of its own."""
    table = schema.tables[name]
    has_own_id = table.patient is not None or table.through is not None
    return rows.select([*([] if has_own_id else [ID]), *table.columns])


def _tallied(faults: pl.DataFrame, everybody: pl.DataFrame, account: Account) -> pl.DataFrame:
    """Counts the reasons of `faults` (patient_id, reason); gives back the patients."""
    if not faults.height:
        return everybody.clear()
    faults = faults.with_columns(pl.col(ID).cast(everybody.schema[ID])).unique()
    account.dropped.update(dict(faults["reason"].value_counts().iter_rows()))
    return faults.select(ID).unique()


def _without(tables: Mapping[str, pl.DataFrame], gone: pl.DataFrame) -> dict[str, pl.DataFrame]:
    if not gone.height:
        return dict(tables)
    return {
        name: rows.join(gone, on=ID, how="anti", maintain_order="left")
        for name, rows in tables.items()
    }
