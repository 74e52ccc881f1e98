"""The explore table of a release: DuckDB with a row per patient (small whole numbers), a row per
event, and a note of what the numbers stand for. Post-processing of a published extract.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from pipeline import files
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog, Schema
from portal.public.explore.bins import cells_of, edges_of
from portal.public.explore.dimensions import Dimension, explored
from portal.public.explore.pathway_facts import facts_of


def write(schema: Schema, logs: Iterable[PatientLog], out: Path) -> None:
    """Tables `patients` (n, id, cell_0.., value_.. of numbers; `pathway_facts`), `events` (n, day,
    kind, code: places in the declaration's lists from 1, 0 for none) and `note`, at `out`, whole or
    not at all. logs: all patients, some at a time; the first ones decide where bars begin.
    """
    files.private_folder(out.parent)
    dimensions: list[Dimension] = []
    with files.replacing(out) as temporary, duckdb.connect(str(temporary)) as database:
        n_patients = 0
        for log in logs:
            dimensions = dimensions or _dimensions(schema, log.patients)
            rows = _patients(schema, dimensions, log, n_patients)
            _append(database, "patients", rows)
            if schema.events is not None and log.events is not None:
                _append(database, "events", _events(schema.events, log, n_patients))
            n_patients += log.patients.height
        note = {"patients": n_patients, "edges": {d.name: d.edges for d in dimensions if d.edges}}
        database.execute("CREATE TABLE note AS SELECT ? AS text", [json.dumps(note)])


def _append(database: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    database.register("new_rows", rows.to_arrow())
    database.execute(f"CREATE TABLE IF NOT EXISTS {table} AS FROM new_rows LIMIT 0")
    database.execute(f"INSERT INTO {table} FROM new_rows")
    database.unregister("new_rows")


def _dimensions(schema: Schema, patients: pl.DataFrame) -> list[Dimension]:
    return [
        Dimension(column, edges_of(column, _present(patients[name])) if column.is_numeric else ())
        for name, column in explored(schema).items()
    ]


def _patients(
    schema: Schema, dimensions: list[Dimension], log: PatientLog, first: int
) -> pl.DataFrame:
    columns: dict[str, pl.Series | np.ndarray] = {
        "n": np.arange(first, first + log.patients.height, dtype=np.int32),
        "id": log.patients[ID],
    }
    for place, one in enumerate(dimensions):
        values = log.patients[one.name]
        small = np.uint8 if one.cells < 256 else np.uint16
        if one.is_range:
            numbers = _numbers(values)
            columns[f"cell_{place}"] = cells_of(one.edges, numbers).astype(small)
            columns[f"value_{place}"] = numbers
        else:
            columns[f"cell_{place}"] = _codes(one, values).astype(small)
    frame = pl.DataFrame(columns)
    if schema.events is None or log.events is None:
        return frame
    return frame.hstack(facts_of(schema.events, log.patients, log.events))


def _events(events_log: EventLog, log: PatientLog, first: int) -> pl.DataFrame:
    """In the order of the patients and of each one's pathway."""
    assert log.events is not None
    numbers = log.patients.select(ID).with_row_index("n", offset=first)
    kinds = {name: place for place, name in enumerate(events_log.types, 1)}
    codes = pl.DataFrame(
        [
            (name, code, place)
            for name, kind in events_log.types.items()
            for place, code in enumerate(kind.codes, 1)
        ],
        schema={"type": pl.String, "code": pl.String, "place": pl.UInt16},
        orient="row",
    )
    return (
        log.events.select(ID, "seq", "day", "type", "code")
        .join(numbers, on=ID)
        .join(codes, on=["type", "code"], how="left")
        .sort("n", "seq")
        .select(
            pl.col("n").cast(pl.Int32),
            pl.col("day").cast(pl.Int32),
            pl.col("type").replace_strict(kinds, return_dtype=pl.UInt8).alias("kind"),
            pl.col("place").fill_null(0).alias("code"),
        )
    )


def _codes(one: Dimension, values: pl.Series) -> np.ndarray:
    places = {code: place for place, code in enumerate(one.codes, 1)}
    cells = values.cast(pl.String).replace_strict(places, default=0, return_dtype=pl.UInt16)
    return cells.fill_null(0).to_numpy()


def _numbers(values: pl.Series) -> np.ndarray:
    """Dates as days since 1970-01-01; NaN for missing."""
    whole = values.cast(pl.Int32) if values.dtype == pl.Date else values
    return whole.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _present(values: pl.Series) -> np.ndarray:
    return _numbers(values.drop_nulls())
