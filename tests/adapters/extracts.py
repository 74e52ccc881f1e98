"""Tables for the tests: a clean simulated extract, and the tables of random legal pathways."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from random_pathways import random_events, random_patients

from pipeline.adapters import canonical, to_tables
from pipeline.adapters.frames import cast
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

ROOT = Path(__file__).resolve().parents[2]
EXTRACT = date(2022, 12, 31)
Tables = dict[str, pl.DataFrame]


@cache
def pathways() -> Schema:
    return read_schema(ROOT / "datasets" / "simulated_pathways.yaml")


def read(schema: Schema, folder: Path) -> Tables:
    """The CSV files of a clean extract in their declared types."""
    tables = {}
    for name, table in schema.tables.items():
        cells = pl.read_csv(folder / f"{table.file}.csv", infer_schema=False).with_columns(
            pl.all().replace("", None)
        )
        tables[name] = cells.select(
            pl.col(c).str.to_date("%Y-%m-%d").alias(c) if column.kind == "date" else cast(c, column)
            for c, column in table.columns.items()
        )
    return tables


@cache
def random_log(seed: int, n: int = 20) -> PatientLog:
    """What a model could draw, as drawn."""
    rng = np.random.default_rng(seed)
    patients = random_patients(pathways(), n, rng)
    return PatientLog(patients, random_events(pathways(), patients, rng))


def random_tables(seed: int, n: int = 20) -> Tables:
    """Tables rebuilt from a random log, and then made less regular: values of the tables' own wider
    lists, gaps, other dates of courses and tests.
    """
    log = canonical(pathways(), random_log(seed, n), extract_date=EXTRACT)
    return roughen(to_tables(pathways(), log, extract_date=EXTRACT), np.random.default_rng(seed))


def roughen(tables: Tables, rng: np.random.Generator) -> Tables:
    rough = {}
    for name, rows in tables.items():
        changed = []
        for column in pathways().tables[name].columns.values():
            hit = pl.Series(rng.random(rows.height) < 0.1, dtype=pl.Boolean)
            other: pl.Series | None = None
            if column.categories and column.name not in (
                "VITALSTATUS",
                "SITE_ICD10_O2_3CHAR",
                "MAPPED_REGIMEN",
                "GENE_DESC",
                "GENDER",
            ):
                other = pl.Series(
                    rng.choice(np.array(column.categories, dtype=object), rows.height).tolist(),
                    dtype=pl.String,
                )
            elif column.kind == "text" and column.role == "carried":
                other = pl.Series(
                    [f"note {i}" for i in rng.integers(0, 9, rows.height)], dtype=pl.String
                )
            elif column.name in (
                "APPTDATE",
                "MAX_DATE",
                "ADMINISTRATION_DATE",
                "DATE_OF_FINAL_TREATMENT",
                "CRTP_DATE",
                "START_DATE_OF_CYCLE",
            ):
                other = (
                    rows[column.name].cast(pl.Int32)
                    + pl.Series(rng.integers(0, 40, rows.height), dtype=pl.Int32)
                ).cast(pl.Date)
            if other is not None:
                nothing = (
                    pl.Series(rng.random(rows.height) < 0.3, dtype=pl.Boolean)
                    if column.nullable
                    else pl.repeat(False, rows.height, eager=True)
                )
                frame = pl.DataFrame(
                    {"old": rows[column.name], "new": other, "hit": hit, "gone": nothing}
                )
                changed.append(
                    frame.select(
                        pl.when("hit")
                        .then(pl.when(~pl.col("gone")).then("new"))
                        .otherwise("old")
                        .alias(column.name)
                    ).to_series()
                )
        rough[name] = rows.with_columns(changed)
    return rough
