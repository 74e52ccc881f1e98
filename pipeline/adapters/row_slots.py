"""The places of events in the rows of a log's tables: which table a drawn event goes to, and which
two events are the start and the end of one interval.

A row of events has the place SEQ, and one more for the end of its interval. The patient's own row
has SEQ for the end of the pathway, and one or two for each source of events that it holds.
"""

from __future__ import annotations

import polars as pl

from pipeline.schema.event_days import people_table, writer
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema

SOURCE = "_source"  # of an event: its place in the row
SEQ, _STOP = "seq", ":stop"  # no declared name holds a colon (schema/names.py)
_TYPE = "_type"


def slot(place: int) -> str:
    """Where the event of the source `events.rows[place]` stands in its row."""
    return f"{SEQ}:{place}"


def stop_slot(start: str) -> str:
    """Where the end of the interval stands whose start has this place."""
    return start + _STOP


def slots(schema: Schema, table: str) -> list[str]:
    """The places of a table's rows."""
    log = schema.events
    assert log is not None
    places = [
        name
        for place, source in enumerate(log.rows)
        if source.table == table
        for name in (slot(place), *((stop_slot(slot(place)),) if source.stop else ()))
    ]
    has_ends = table == people_table(schema) or table in {end.table for end in log.ending}
    return [*([SEQ] if has_ends else []), *places]


def drawn_slots(
    schema: Schema, patients: pl.DataFrame, events: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """For each table the rows of drawn patients: patient_id, and by place the number of the event
    (null: none), as the adapters read them again.
    """
    log = schema.events
    assert log is not None
    people = people_table(schema)
    pairs = _pairs(schema, log, events)
    paired = pl.concat(
        [events.select(ID, SEQ).clear(), *(p.select(ID, seq="_stop") for p in pairs.values())]
    )
    starts = events.join(paired, on=[ID, "seq"], how="anti", maintain_order="left")
    rows: dict[str, list[pl.DataFrame]] = {name: [] for name in schema.tables}
    single = patients.select(ID)
    for place, source in enumerate(log.rows):
        name = slot(place)
        types = [one for one in log.types if _is_writer(schema, log, place, one)]
        chosen = starts.filter(pl.col("type").is_in(types)).select(ID, pl.col("seq").alias(name))
        if place in pairs:
            chosen = chosen.join(
                pairs[place].select(
                    ID, pl.col("_start").alias(name), pl.col("_stop").alias(stop_slot(name))
                ),
                on=[ID, name],
                how="left",
                maintain_order="left",
            )
        if source.table == people:
            first = chosen.unique(ID, keep="first", maintain_order=True)
            single = single.join(first, on=ID, how="left", maintain_order="left")
        else:
            rows[source.table].append(chosen)
    for name in schema.tables:
        ends = _ends(schema, log, events, name)
        if name == people:
            single = single.join(ends, on=ID, how="left", maintain_order="left")
        elif ends.height:
            rows[name].append(ends)
    return {
        name: single if name == people else _in_order(schema, name, parts, events)
        for name, parts in rows.items()
    }


def _is_writer(schema: Schema, log: EventLog, place: int, name: str) -> bool:
    return not log.types[name].terminal and writer(schema, log.rows, name) == place


def _pairs(schema: Schema, log: EventLog, events: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """By place of an interval's source: patient_id, _start and _stop, the numbers of two events
    with none of either type in between.
    """
    pairs = {}
    for place, source in enumerate(log.rows):
        if source.closes is None or not _is_writer(schema, log, place, source.constant or ""):
            continue
        both = events.filter(pl.col("type").is_in([source.constant, source.closes])).select(
            ID,
            pl.col("seq").alias("_stop"),
            "type",
            pl.col("seq").shift(1).over(ID).alias("_start"),
            pl.col("type").shift(1).over(ID).alias(_TYPE),
        )
        pairs[place] = both.filter(
            (pl.col("type") == source.closes) & (pl.col(_TYPE) == source.constant)
        )
    return pairs


def _ends(schema: Schema, log: EventLog, events: pl.DataFrame, table: str) -> pl.DataFrame:
    """patient_id and SEQ of the ends that this table holds."""
    if not log.ending:
        types = list(log.terminal) if table == people_table(schema) else []
    else:
        types = [
            name
            for name in log.terminal
            if (place := writer(schema, log.ending, name)) is not None
            and log.ending[place].table == table
        ]
    return events.filter(pl.col("type").is_in(types)).select(ID, SEQ)


def _in_order(
    schema: Schema, table: str, parts: list[pl.DataFrame], events: pl.DataFrame
) -> pl.DataFrame:
    """The rows of a table as their events follow each other."""
    empty = pl.DataFrame(
        schema={ID: events.schema[ID], **dict.fromkeys(slots(schema, table), pl.Int32)}
    )
    rows = pl.concat([empty, *parts], how="diagonal_relaxed")
    places = [name for name in slots(schema, table) if not name.endswith(_STOP)]
    return rows.sort(ID, pl.coalesce(places))
