"""A breach of a rule, and the edits of tables that make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import polars as pl

Tables = dict[str, pl.DataFrame]
Edit = Callable[[Tables, int, date], Tables]

PATIENT, TUMOUR, GENE = "sim_av_patient", "sim_av_tumour", "sim_av_gene"
REGIMEN, CYCLE = "sim_sact_regimen", "sim_sact_cycle"
DRUG, OUTCOME = "sim_sact_drug_detail", "sim_sact_outcome"
EPISODE, PRESCRIPTION = "sim_rtds_episode", "sim_rtds_prescription"
EXPOSURE, COMBINED = "sim_rtds_exposure", "sim_rtds_combined"
# helper columns: whose row it is, and which of hers in this table
OWNER, NUMBER = "_owner", "_number"


@dataclass(frozen=True, kw_only=True)
class Breach:
    rule: str
    what: str
    table: str  # the patient must have a row here ...
    where: pl.Expr  # ... of which this holds
    edit: Edit


def put(*names: str, rows: pl.Expr | None = None, **values: str | pl.Expr) -> Edit:
    """Overwrites columns of the patient's first row (or of `rows`) in each named table that has
    them.
    """

    def edit(tables: Tables, patient: int, extract_date: date) -> Tables:
        own_rows = (pl.col(OWNER) == patient) & (pl.col(NUMBER) == 0 if rows is None else rows)
        changed = dict(tables)
        for name in names:
            columns = {
                c: v if isinstance(v, pl.Expr) else pl.lit(v)
                for c, v in values.items()
                if c in changed[name].columns
            }
            changed[name] = changed[name].with_columns(
                **{c: pl.when(own_rows).then(v).otherwise(pl.col(c)) for c, v in columns.items()}
            )
        return changed

    return edit


def twice(name: str) -> Edit:
    """Repeats the patient's first row."""

    def edit(tables: Tables, patient: int, extract_date: date) -> Tables:
        again = tables[name].filter((pl.col(OWNER) == patient) & (pl.col(NUMBER) == 0))
        return {**tables, name: pl.concat([tables[name], again])}

    return edit


def without(*names: str) -> Edit:
    """Removes the patient's rows."""

    def edit(tables: Tables, patient: int, extract_date: date) -> Tables:
        return {**tables, **{name: tables[name].filter(pl.col(OWNER) != patient) for name in names}}

    return edit


def days(column: str, shift: int) -> pl.Expr:
    """The date text of a column, shifted."""
    return pl.col(column).str.to_date().dt.offset_by(f"{shift}d").dt.to_string("%Y-%m-%d")
