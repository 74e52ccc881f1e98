"""The ends of intervals that stand beside their starts in one row."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.frames import losses
from pipeline.adapters.row_slots import SOURCE, slot, stop_slot
from pipeline.adapters.row_times import ROW, read_stop
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

_OPENER, _START, _NEXT, _WHY = "_opener", "_start", "_next", "_why"
WITHOUT_START = "end of an interval whose start is left out"
STOP_BEFORE_START = "end of an interval before its start"
NO_ROOM = "end of an interval that the next one of its kind begins with"
MOVED = "end of an interval after the start of the next, moved to it"


def stops_of(
    schema: Schema, log: EventLog, tables: Mapping[str, pl.DataFrame], patients: pl.DataFrame
) -> pl.DataFrame:
    """The ends of all intervals, as `read_stop` gives them, with SOURCE and the type of their
    starts.
    """
    parts = [
        read_stop(source, tables[source.table], patients, log).with_columns(
            pl.lit(stop_slot(slot(place))).alias(SOURCE),
            pl.lit(source.constant).alias(_OPENER),
        )
        for place, source in enumerate(log.rows)
        if source.stop is not None
    ]
    nobody = patients.clear().select(
        ID,
        pl.lit(None, pl.Int64).alias("day"),
        *(pl.lit(None, pl.String).alias(name) for name in ("type", "code", SOURCE, _OPENER)),
        pl.lit(None, pl.UInt32).alias(ROW),
    )
    return pl.concat([nobody, *parts], how="diagonal_relaxed")


def without_loose_stops(
    log: EventLog, stops: pl.DataFrame, starts: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(left out with their reason, kept, moved as `losses`). Of two intervals of one kind that
    overlap, the first ends where the second begins: a context is open or not. `starts`: all that
    are kept.
    """
    rank = {name: place for place, name in enumerate(log.types)}
    # whether the end of one may stand on the day on which the next begins
    is_first = pl.col("type").replace_strict(rank, return_dtype=pl.Int32) < pl.col(
        _OPENER
    ).replace_strict(rank, return_dtype=pl.Int32)
    placed = stops.join(
        _with_next(starts), on=[ID, ROW, SOURCE], how="left", maintain_order="left"
    ).with_columns(
        _from=pl.col(_START) + is_first.cast(pl.Int64),
        _until=pl.col(_NEXT) - (~is_first).cast(pl.Int64),
    )
    is_late = (pl.col("day") > pl.col("_until")).fill_null(False)
    judged = placed.with_columns(
        pl.when(pl.col(_START).is_null())
        .then(pl.lit(WITHOUT_START))
        .when(pl.col("day") < pl.col("_from"))
        .then(pl.lit(STOP_BEFORE_START))
        .when(is_late & (pl.col("_until") < pl.col("_from")))
        .then(pl.lit(NO_ROOM))
        .alias(_WHY),
        _moved=is_late,
        day=pl.when(is_late).then("_until").otherwise("day"),
    )
    rest = judged.filter(pl.col(_WHY).is_null())
    moved = losses(rest.filter("_moved"), MOVED)
    return judged.filter(pl.col(_WHY).is_not_null()), rest.select(_columns(stops)), moved


def _columns(stops: pl.DataFrame) -> list[str]:
    return [name for name in stops.columns if name != _OPENER]


def _with_next(starts: pl.DataFrame) -> pl.DataFrame:
    """patient_id, ROW, SOURCE of the end that belongs to each start, its day, and the day of the
    next start of the same type, in the order of the log.
    """
    ordered = starts.sort(ID, "day", "code", maintain_order=True, nulls_last=True)
    return ordered.select(
        ID,
        ROW,
        pl.concat_str(SOURCE, pl.lit(stop_slot(""))),
        pl.col("day").alias(_START),
        pl.col("day").shift(-1).over(ID, "type").alias(_NEXT),
    )
