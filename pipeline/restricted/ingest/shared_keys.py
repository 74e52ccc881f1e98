"""Parts of a bucket in which no two patients share a key."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.restricted.ingest.owners import Tables
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema


def without_shared_keys(schema: Schema, tables: Tables) -> Iterator[dict[str, pl.DataFrame]]:
    """The bucket in parts in which no two patients share a key: what reads a part may join by keys
    alone.
    """
    colours = _colours(schema, tables)
    if not colours:
        yield dict(tables)
        return
    like = next(iter(tables.values())).schema[ID]
    frame = pl.DataFrame(
        {ID: list(colours), "_colour": list(colours.values())}, {ID: like, "_colour": pl.Int32}
    )
    colour = pl.col("_colour").fill_null(0)
    coloured = {
        name: rows.join(frame, on=ID, how="left", maintain_order="left").with_columns(colour)
        for name, rows in tables.items()
    }
    for number in range(max(colours.values()) + 1):
        yield {
            name: rows.filter(pl.col("_colour") == number).drop("_colour")
            for name, rows in coloured.items()
        }


def _colours(schema: Schema, tables: Tables) -> dict[object, int]:
    """A number for each patient who shares a key with another, different for patients who share
    one.
    """
    neighbours: dict[object, set[object]] = {}
    for name, rows in tables.items():
        key = [
            column for column in schema.tables[name].key if column != schema.tables[name].patient
        ]
        if not key:
            continue
        shared = (
            rows.select(ID, *key)
            .unique()
            .group_by(key)
            .agg(pl.col(ID))
            .filter(pl.col(ID).list.len() > 1)
        )
        for patients in shared[ID].to_list():
            for patient in patients:
                neighbours.setdefault(patient, set()).update(patients)
    colours: dict[object, int] = {}
    for patient in sorted(neighbours, key=str):
        colours_beside = {colours[other] for other in neighbours[patient] if other in colours}
        colours[patient] = next(
            number for number in range(len(colours_beside) + 1) if number not in colours_beside
        )
    return colours
