"""Contribution caps: how much of one patient is kept, by that patient's own rows alone
(privacy_rules.md 7). The shares clipped change no cap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from pipeline.restricted.ingest.owners import ROW
from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog, Schema, Table


def cap_rows(
    schema: Schema, tables: Mapping[str, pl.DataFrame], clipped: Counter[str]
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
            before.sort(ID, *_order(table), nulls_last=True)
            .group_by(ID, maintain_order=True)
            .head(table.max_rows)
        )
        clipped[name] += before.height - capped.height
        if capped.height == before.height:
            continue
        tables[name] = before.join(
            capped.select(ID, ROW), on=[ID, ROW], how="semi", maintain_order="left"
        )
        cut = before.join(capped.select(ID, ROW), on=[ID, ROW], how="anti")
        _cut_below(schema, tables, name, cut)
    return tables


def _order(table: Table) -> list[str]:
    dates = [column.name for column in table.columns.values() if column.kind == "date"]
    return list(dict.fromkeys([*dates[:1], *table.key, *table.columns]))


def _cut_below(
    schema: Schema, tables: dict[str, pl.DataFrame], name: str, cut: pl.DataFrame
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
            _cut_below(schema, tables, other, gone)


def cap_events(log: EventLog, events: pl.DataFrame, clipped: Counter[str]) -> pl.DataFrame:
    """The first `at_most` events of each type, without what lies inside an opener cut off; then the
    first `max_events`, the end always kept.
    """
    kind = pl.col("type")
    is_end = kind.is_in(list(log.terminal))
    most = {
        name: event_type.at_most
        for name, event_type in log.types.items()
        if event_type.at_most is not None and not event_type.terminal
    }
    nth = pl.int_range(1, pl.len() + 1).over(ID, "type")
    is_cut = nth > kind.replace_strict(most, default=None, return_dtype=pl.Int64)
    for opener in {
        event_type.inside for event_type in log.types.values() if event_type.inside
    } & set(most):
        inner = [name for name, event_type in log.types.items() if event_type.inside == opener]
        is_cut = is_cut.fill_null(False) | (
            kind.is_in(inner) & ((kind == opener).cum_sum().over(ID) > most[opener])
        )
    remaining = events.filter(~is_cut.fill_null(False))
    clipped["events above at_most"] += events.height - remaining.height
    position = pl.int_range(pl.len()).over(ID)
    within = remaining.filter(is_end | (position < log.max_events - 1))
    clipped["events above max_events"] += remaining.height - within.height
    return within.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over(ID).alias("seq"))
