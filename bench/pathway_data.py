"""Simulated pathways for the benchmark, as ingest would hand them to training: no dirt, any number
of patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl

from pipeline.adapters import to_log
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.simulator.latent import draw_lifetimes
from pipeline.simulator.simulate import registry_tables
from pipeline.simulator.view import view

ROOT = Path(__file__).resolve().parent.parent
EXTRACT = date(2022, 12, 31)
CHUNK = 100_000  # patients simulated at once: bounds memory


def read_declaration() -> Schema:
    return read_schema(ROOT / "datasets" / "simulated_pathways.yaml")


def simulate_log(schema: Schema, n: int, seed: int) -> PatientLog:
    """n registered patients; another seed is a fresh sample of the same population. Chunks of one
    seed are fresh samples too.
    """
    parts = list(_parts(schema, n, seed))
    return PatientLog(
        pl.concat(part.patients for part in parts), pl.concat(part.pathways for part in parts)
    )


def simulate_to_files(
    schema: Schema, n: int, seed: int, folder: Path
) -> tuple[pl.DataFrame, pl.LazyFrame]:
    """The same patients with their events in Parquet files, as the stage that trains finds them."""
    for number, part in enumerate(_parts(schema, n, seed)):
        part.patients.write_parquet(folder / f"patients-{number:03}.parquet")
        part.pathways.write_parquet(folder / f"events-{number:03}.parquet")
    return pl.read_parquet(folder / "patients-*.parquet"), pl.scan_parquet(
        folder / "events-*.parquet"
    )


def _parts(schema: Schema, n: int, seed: int) -> Iterator[PatientLog]:
    for number, first in enumerate(range(0, n, CHUNK)):
        stream = seed * 1000 + number
        log = to_log(
            schema,
            registry_tables(
                view(draw_lifetimes(min(CHUNK, n - first), stream, lambda text: None), EXTRACT),
                stream,
            ),
        ).log
        offset = pl.col(ID) + number * 10**12
        yield PatientLog(log.patients.with_columns(offset), log.pathways.with_columns(offset))
