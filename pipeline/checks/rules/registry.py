"""The registry's tables as the rules see them: under their lower-case names, dates as dates, each
row with its patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

PATIENT, TUMOUR, GENE = "sim_av_patient", "sim_av_tumour", "sim_av_gene"
REGIMEN, CYCLE, DRUG, OUTCOME = (
    "sim_sact_regimen",
    "sim_sact_cycle",
    "sim_sact_drug_detail",
    "sim_sact_outcome",
)
REGIMEN_ID, REGIMEN_START = "MERGED_REGIMEN_ID", "START_DATE_OF_REGIMEN"
SITE, SITE4 = "SITE_ICD10_O2_3CHAR", "SITE_ICD10_O2"
EPISODE, PRESCRIPTION, EXPOSURE, COMBINED = (
    "sim_rtds_episode",
    "sim_rtds_prescription",
    "sim_rtds_exposure",
    "sim_rtds_combined",
)
ROUTE, WAITING = "ext_route", "ext_cwt_pathway"
ELEVEN = (
    PATIENT,
    TUMOUR,
    GENE,
    REGIMEN,
    CYCLE,
    DRUG,
    OUTCOME,
    EPISODE,
    PRESCRIPTION,
    EXPOSURE,
    COMBINED,
)


@dataclass(frozen=True)
class Registry:
    """`tables`: typed rows, each with `patient_id` (null: an orphan row). `raw`: as they came,
    for the rules on form.
    """

    schema: Schema
    tables: Mapping[str, pl.DataFrame]
    raw: Mapping[str, pl.DataFrame]
    log: PatientLog | None = None

    def __getitem__(self, table: str) -> pl.DataFrame:
        return self.tables[table]

    def of(self, patients: pl.Series) -> Registry:
        """The same tables with the rows of these patients alone, `raw` row by row beside `tables`;
        without a log.
        """
        masks = {name: rows[ID].is_in(patients) for name, rows in self.tables.items()}
        return Registry(
            self.schema,
            {name: rows.filter(masks[name]) for name, rows in self.tables.items()},
            {name: rows.filter(masks[name]) for name, rows in self.raw.items()},
        )

    def has(self, table: str, columns: Sequence[str] = ()) -> bool:
        return table in self.tables and all(
            column in self.tables[table].columns for column in columns
        )

    def declared_name(self, table: str) -> str:
        """The name under which the declaration knows this table."""
        return next(
            name
            for name, value in self.schema.tables.items()
            if registry_name(name, value.file) == table
        )

    def key(self, table: str) -> tuple[str, ...]:
        return self.schema.tables[self.declared_name(table)].key


def registry_name(table: str, file: str = "") -> str:
    """`sim_av_patient` for every spelling of that table in a declaration."""
    for name in (table, file.split("/")[-1].split(".")[0]):
        if name.lower() in (*ELEVEN, ROUTE, WAITING):
            return name.lower()
    return table.lower()


def build(
    schema: Schema, tables: Mapping[str, pl.DataFrame], log: PatientLog | None = None
) -> Registry:
    """The view of `tables`, which stand under the declaration's names. A table that the declaration
    does not know is left out.
    """
    raw = {
        registry_name(name, schema.tables[name].file): rows
        for name, rows in tables.items()
        if name in schema.tables
    }
    typed: dict[str, pl.DataFrame] = {}
    declarations = {registry_name(name, table.file): table for name, table in schema.tables.items()}
    pending = [name for name in declarations if name in raw]
    while pending:  # a table that goes by its parent waits for it
        name = pending.pop(0)
        table, rows = declarations[name], _with_dates(raw[name])
        if ID not in rows.columns:
            parent = (
                registry_name(table.through[0], schema.tables[table.through[0]].file)
                if table.through
                else None
            )
            if parent in pending:
                pending.append(name)
                continue
            rows = _with_patient(
                rows, table.patient, table.through, typed.get(parent) if parent else None
            )
        typed[name] = rows
    return Registry(schema, MappingProxyType(_same_id_type(typed)), MappingProxyType(raw), log)


def _with_dates(rows: pl.DataFrame) -> pl.DataFrame:
    """Datetimes lose their time here, for comparisons; clinical rule 9 looks at the raw column."""
    return rows.with_columns(pl.col(pl.Datetime).dt.date())


def _with_patient(
    rows: pl.DataFrame,
    patient: str | None,
    through: tuple[str, str] | None,
    parent: pl.DataFrame | None,
) -> pl.DataFrame:
    if patient is not None and patient in rows.columns:
        return rows.with_columns(pl.col(patient).alias(ID))
    if (
        through is None
        or parent is None
        or through[1] not in rows.columns
        or through[1] not in parent.columns
    ):
        return rows.with_columns(pl.lit(None, dtype=pl.Int64).alias(ID))
    # a key of two patients adds no row
    owners = parent.select(through[1], ID).unique(through[1], keep="first", maintain_order=True)
    return rows.join(owners, on=through[1], how="left", maintain_order="left")


def _same_id_type(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """One type for all patient ids, so that they join: that of the patient table."""
    if PATIENT not in tables:
        return tables
    kind = tables[PATIENT].schema[ID]
    return {
        name: (
            rows
            if rows.schema[ID] == kind
            else rows.with_columns(pl.col(ID).cast(kind, strict=False))
        )
        for name, rows in tables.items()
    }


def number(column: str) -> pl.Expr:
    """A column as a number, whatever it was declared as; what is no number is null."""
    return pl.col(column).cast(pl.Float64, strict=False)


def text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def is_dead() -> pl.Expr:
    return text("VITALSTATUS").str.starts_with("D")


def date_columns(rows: pl.DataFrame) -> list[str]:
    return [name for name, kind in rows.schema.items() if kind == pl.Date]
