"""Contribution caps: how much of one patient is kept, by that patient's own rows alone
(privacy_rules.md 7). The shares clipped change no cap.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.adapters.frames import ABOVE_AT_MOST, losses, within_caps
from pipeline.restricted.ingest.account import CAPPED, UNDER_CAPPED, Account
from pipeline.restricted.ingest.owners import ROW
from pipeline.schema.long_table import with_people
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema, Table

_WHY = "_why"


def cap_rows(
    schema: Schema, tables: Mapping[str, pl.DataFrame], lost: Account
) -> dict[str, pl.DataFrame]:
    """The first `max_rows` rows of each patient by date, then by key, then by content; rows that
    hang on a row cut off go with it.
    """
    tables = dict(tables)
    for name, table in schema.tables.items():
        if table.max_rows is None or name not in tables:
            continue
        before = tables[name]
        capped = (
            before.sort(ID, *_order(schema, table), nulls_last=True)
            .group_by(ID, maintain_order=True)
            .head(table.max_rows)
        )
        lost.leave_out(name, CAPPED, before.height - capped.height)
        if capped.height == before.height:
            continue
        tables[name] = before.join(
            capped.select(ID, ROW), on=[ID, ROW], how="semi", maintain_order="left"
        )
        cut = before.join(capped.select(ID, ROW), on=[ID, ROW], how="anti")
        _cut_below(schema, tables, name, cut, lost)
    return tables


def _order(schema: Schema, table: Table) -> list[str]:
    """By the time of the events that the rows are, or else by the first date."""
    log = with_people(schema).events
    rows = log.rows if log is not None else ()
    times = [source.time for source in rows if source.table == table.name and source.time]
    dates = [column.name for column in table.columns.values() if column.kind == "date"]
    return list(dict.fromkeys([*(times or dates)[:1], *table.key, *table.columns]))


def _cut_below(
    schema: Schema, tables: dict[str, pl.DataFrame], name: str, cut: pl.DataFrame, lost: Account
) -> None:
    """Cuts from every other table the patient's rows that carry the key of a row cut off."""
    table = schema.tables[name]
    key = [column for column in table.key if column != table.patient]
    if not key:
        return
    for other, rows in tables.items():
        if other == name or any(column not in rows.columns for column in key):
            continue
        gone = rows.join(cut.select(ID, *key).unique(), on=[ID, *key], how="semi")
        if gone.height:
            tables[other] = rows.join(
                gone.select(ID, ROW), on=[ID, ROW], how="anti", maintain_order="left"
            )
            lost.leave_out(other, UNDER_CAPPED, gone.height)
            _cut_below(schema, tables, other, gone, lost)


INSIDE = "inside of what at_most cut off"


def cap_events(log: EventLog, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first `at_most` events of each type, without what lies inside an opener cut off; then the
    first `max_events`, the end always kept. Beside the events what was cut (`frames.losses`).
    """
    kind = pl.col("type")
    most = {
        name: event_type.at_most
        for name, event_type in log.types.items()
        if event_type.at_most is not None and not event_type.terminal
    }
    nth = pl.int_range(1, pl.len() + 1).over(ID, "type")
    is_cut = (nth > kind.replace_strict(most, default=None, return_dtype=pl.Int64)).fill_null(False)
    is_inside = pl.lit(False)
    for opener in {
        event_type.inside for event_type in log.types.values() if event_type.inside
    } & set(most):
        inner = [name for name, event_type in log.types.items() if event_type.inside == opener]
        is_inside |= kind.is_in(inner) & ((kind == opener).cum_sum().over(ID) > most[opener])
    why = pl.when(is_cut).then(pl.lit(ABOVE_AT_MOST)).when(is_inside).then(pl.lit(INSIDE))
    marked = events.with_columns(why.alias(_WHY))
    remaining = marked.filter(pl.col(_WHY).is_null()).drop(_WHY)
    within, cut = within_caps(remaining, log)
    return within, pl.concat([losses(marked.filter(pl.col(_WHY).is_not_null()), pl.col(_WHY)), cut])
