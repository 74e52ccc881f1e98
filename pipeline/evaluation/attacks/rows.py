"""Patients as columns of numbers, the same way in all three tables: what every attack looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

MISSING = 1000.0  # of a scaled number: further than 1 from every other, 0 from another missing
MIN_PATIENTS = 2  # fewer in a table: there is nothing to attack, or nothing to compare with
LENGTH = "number of events"
# of a search for the nearest rows: patients of each table; synthetic rows
MAX_ATTACKS, MAX_SYNTHETIC = 2_000, 20_000


@dataclass(frozen=True, eq=False)
class Rows:
    """One table. columns[j]: float64 [n], codes of a category (missing is a code of its own), or a
    number or date in days, NaN where missing.
    """

    names: tuple[str, ...]
    is_category: tuple[bool, ...]
    columns: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def of(self, index: np.ndarray) -> Rows:
        """These rows, in this order."""
        return Rows(self.names, self.is_category, tuple(one[index] for one in self.columns))

    def only(self, names: Sequence[str]) -> Rows:
        """These columns, in this order."""
        places = [self.names.index(name) for name in names]
        return Rows(
            tuple(names),
            tuple(self.is_category[place] for place in places),
            tuple(self.columns[place] for place in places),
        )


@dataclass(frozen=True, eq=False)
class Tables:
    """What an attack is run on: three logs, and their patients as rows."""

    schema: Schema
    logs: tuple[PatientLog, PatientLog, PatientLog]  # training, holdout, synthetic
    train: Rows
    holdout: Rows
    synthetic: Rows

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Patients in training, holdout and synthetic table."""
        train, holdout, synthetic = (len(log.patients) for log in self.logs)
        return train, holdout, synthetic


def tables(schema: Schema, train: PatientLog, holdout: PatientLog, synthetic: PatientLog) -> Tables:
    """Static columns, then for each patient the day of the first event of each type and the number
    of events, so that an attack on rows sees the pathway, too.
    """
    logs = (train, holdout, synthetic)
    names, is_category, triples = [], [], []
    for name, column in schema.patients.items():
        if not (column.is_categorical or column.is_numeric):
            continue
        series = [log.patients[name] for log in logs]
        names.append(name)
        is_category.append(column.is_categorical)
        triples.append(_codes(series) if column.is_categorical else [_number(s) for s in series])
    if schema.events is not None and all(log.events is not None for log in logs):
        types = tuple(schema.events.types)
        pathways = [_pathway_columns(log, types) for log in logs]
        names += [*(f"first {kind}" for kind in types), LENGTH]
        is_category += [False] * (len(types) + 1)
        triples += [list(triple) for triple in zip(*pathways, strict=True)]
    parts = [tuple(triple[place] for triple in triples) for place in range(3)]
    return Tables(schema, logs, *(Rows(tuple(names), tuple(is_category), part) for part in parts))


def _codes(series: list[pl.Series]) -> list[np.ndarray]:
    """Codes of values as they occur, not as they are declared: a value that no declaration knows
    is one that an attacker may look for.
    """
    texts = [values.cast(pl.String) for values in series]
    present = pl.concat(texts).drop_nulls().unique().sort()
    index = pl.DataFrame({"text": present, "code": np.arange(len(present), dtype=float)})
    return [
        pl.DataFrame({"text": values})
        .join(index, on="text", how="left", maintain_order="left")["code"]
        .fill_null(float(len(present)))
        .to_numpy()
        for values in texts
    ]


def _number(values: pl.Series) -> np.ndarray:
    """Numbers, dates in days since 1970-01-01; NaN where missing."""
    numbers = values.cast(pl.Int32) if values.dtype == pl.Date else values
    return numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()


def _pathway_columns(log: PatientLog, types: Sequence[str]) -> list[np.ndarray]:
    per_patient = log.pathways.group_by(ID).agg(
        *(pl.col("day").filter(pl.col("type") == kind).min().alias(kind) for kind in types),
        pl.len().alias(LENGTH),
    )
    wide = log.patients.select(ID).join(per_patient, on=ID, how="left", maintain_order="left")
    return [*(_number(wide[kind]) for kind in types), _number(wide[LENGTH].fill_null(0))]


def scaled(tables_of_rows: Sequence[Rows], yardstick: Rows) -> list[np.ndarray]:
    """float32 [n, columns] of each table: codes as they are, numbers in units of the yardstick's
    range from its 1% to its 99% quantile, missing numbers as MISSING. min(|a - b|, 1) is then the
    distance of Gower (1971) in a column, with two missing values alike.
    """
    widths = [
        1.0 if category else _width(values)
        for values, category in zip(yardstick.columns, yardstick.is_category, strict=True)
    ]
    return [
        np.column_stack(
            [
                np.nan_to_num(values / width, nan=MISSING).astype(np.float32)
                for values, width in zip(rows.columns, widths, strict=True)
            ]
        )
        if rows.columns
        else np.zeros((len(rows), 0), np.float32)
        for rows in tables_of_rows
    ]


def _width(values: np.ndarray) -> float:
    """1 for a column that is constant or all missing: any other value is then a whole 1 away."""
    present = values[~np.isnan(values)]
    if len(present) == 0:
        return 1.0
    low, high = np.quantile(present, [0.01, 0.99])
    return float(high - low) or 1.0


def sample_of(tables: Tables, random: np.random.Generator) -> tuple[Rows, Rows, Rows]:
    """(training patients, holdout, synthetic rows): at most MAX_ATTACKS, MAX_ATTACKS and
    MAX_SYNTHETIC of them.
    """
    train, holdout, synthetic = (
        rows.of(subsample(len(rows), most, random))
        for rows, most in (
            (tables.train, MAX_ATTACKS),
            (tables.holdout, MAX_ATTACKS),
            (tables.synthetic, MAX_SYNTHETIC),
        )
    )
    return train, holdout, synthetic


def subsample(n: int, most: int, random: np.random.Generator) -> np.ndarray:
    """Indices of at most `most` of n rows, in a random order."""
    return random.permutation(n)[:most]
