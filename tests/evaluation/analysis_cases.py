"""Logs for the tests of the analyses: simulated patients, and patients drawn from a declaration's
domains alone.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from bench.pathway_data import read_declaration, simulate_log
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, Schema

DATASETS = Path(__file__).resolve().parents[2] / "datasets"


@cache
def registry() -> Schema:
    return read_declaration()


@cache
def simulated(n: int, seed: int) -> PatientLog:
    return simulate_log(registry(), n, seed)


def declaration(name: str) -> Schema:
    return read_schema(DATASETS / f"{name}.yaml")


def random_log(schema: Schema, n: int, seed: int) -> PatientLog:
    """Columns independent and even over their domains; events of every type in order."""
    rng = np.random.default_rng(seed)
    patients = pl.DataFrame(
        {ID: np.arange(n)} | {name: _values(rng, c, n) for name, c in schema.patients.items()}
    )
    if schema.events is None:
        return PatientLog(patients)
    parts = []
    for seq, (name, kind) in enumerate(schema.events.types.items()):
        codes = list(kind.codes) or [None]
        frame = pl.DataFrame(
            {
                ID: np.arange(n),
                "seq": np.full(n, seq),
                "day": 40 * seq + rng.integers(0, 40, n),
                "type": [name] * n,
                "code": pl.Series([codes[i % len(codes)] for i in range(n)], dtype=pl.String),
            }
        )
        parts.append(frame)
    return PatientLog(patients, pl.concat(parts).sort(ID, "seq"))


def _values(rng: np.random.Generator, column: Column, n: int) -> pl.Series:
    if column.is_categorical:
        return pl.Series(rng.choice(list(column.categories), n), dtype=pl.String)
    low, high = float(column.lower or 0), float(column.upper or 1)
    numbers = rng.uniform(low, high, n)
    if column.kind == "date":
        return pl.Series([date(1970, 1, 1) + timedelta(days=int(one)) for one in numbers])
    return pl.Series(numbers)
