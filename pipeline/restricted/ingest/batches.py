"""One batch of patients from typed tables to the form of the models: patient repairs, F rules,
caps, adapter, last guard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from pipeline import adapters
from pipeline.checks import rules
from pipeline.restricted.ingest import caps, model_form, patient_repairs
from pipeline.restricted.ingest.owners import ROW
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

NOT_IN_LOG = "no pathway can be made of the tables"


@dataclass
class Tally:
    """Counts for the custodian's report. Restricted."""

    # (table, column, repair) -> cells
    repaired: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    clipped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # reason -> patients


@dataclass(frozen=True)
class Prepared:
    """The surviving patients of a batch: their tables (with patient_id and ROW), their log, and
    what is carried beside it.
    """

    tables: Mapping[str, pl.DataFrame]
    log: PatientLog
    carried: Mapping[str, pl.DataFrame]

    def without(self, gone: pl.DataFrame) -> Prepared:
        """All but the patients of `gone` (patient_id)."""
        if not gone.height:
            return self
        return Prepared(
            _without(self.tables, gone), self.log.without(gone), _without(self.carried, gone)
        )


def prepare(
    schema: Schema, tables: Mapping[str, pl.DataFrame], extract_date: date | None, tally: Tally
) -> Prepared:
    """`tables`: the typed rows of one batch, each with patient_id and ROW. No two patients of it
    share a key, so joins by key stay within one.
    """
    everybody = pl.concat([rows.select(ID) for rows in tables.values()]).unique()
    tables = patient_repairs.apply(schema, tables, tally.repaired)
    context = rules.RuleContext(extract_date=extract_date, is_synthetic=False)
    failing = rules.failing_patients(
        schema, {name: rows.drop(ROW) for name, rows in tables.items()}, context
    )
    tables = _without(
        tables,
        _tallied(failing.select(ID, ("rule " + pl.col("rule")).alias("reason")), everybody, tally),
    )
    tables = caps.cap_rows(schema, tables, tally.clipped)
    source = adapters.to_log(
        schema, {name: _plain(schema, rows, name) for name, rows in tables.items()}
    )
    log = source.log
    if schema.events is not None and log.events is not None:
        log = PatientLog(log.patients, caps.cap_events(schema.events, log.events, tally.clipped))
    left = pl.concat([rows.select(ID) for rows in tables.values()]).unique()
    lost = left.join(log.patients, on=ID, how="anti").with_columns(
        pl.lit(NOT_IN_LOG).alias("reason")
    )
    broken = pl.concat([lost, model_form.faults(schema, log)], how="vertical_relaxed")
    gone = _tallied(broken, everybody, tally)
    return Prepared(tables, log, source.carried).without(gone)


def _plain(schema: Schema, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """The declared columns; patient_id stays where the table has no id of its own."""
    table = schema.tables[name]
    has_own_id = table.patient is not None or table.through is not None
    return rows.select([*([] if has_own_id else [ID]), *table.columns])


def _tallied(faults: pl.DataFrame, everybody: pl.DataFrame, tally: Tally) -> pl.DataFrame:
    """Counts the reasons of `faults` (patient_id, reason); gives back the patients."""
    if not faults.height:
        return everybody.clear()
    faults = faults.with_columns(pl.col(ID).cast(everybody.schema[ID])).unique()
    tally.reasons.update(dict(faults["reason"].value_counts().iter_rows()))
    return faults.select(ID).unique()


def _without(tables: Mapping[str, pl.DataFrame], gone: pl.DataFrame) -> dict[str, pl.DataFrame]:
    if not gone.height:
        return dict(tables)
    return {
        name: rows.join(gone, on=ID, how="anti", maintain_order="left")
        for name, rows in tables.items()
    }
