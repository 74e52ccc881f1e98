"""Tables of Arrow, as Parquet files and DuckDB hold them, as a source. A group of columns (a
struct) is its members under `group.member`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import parquet_cells
from pipeline.restricted.ingest.blocks import LATIN1, Block, Counts, none_broken
from pipeline.restricted.ingest.source_header import Source, headers, places
from pipeline.restricted.ingest.text_bytes import ByteFile
from pipeline.schema.values import Column, Table

BATCH_ROWS = 50_000
Leaf = tuple[tuple[str, ...], pa.DataType]  # the names on the way to a column, and its type


def open_parquet(table: Table, file: ByteFile) -> Source:
    """Raises Refusal for a file whose columns or their types are not as declared."""
    with file.open("rb") as raw:
        if not raw.read(1):
            raise Refusal(f"{file.name} is empty. Every table needs at least its header.")
        leaves = list(leaves_of(pq.ParquetFile(raw).schema_arrow))
    positions, aliases = declared_places(table, file.name, "Parquet", leaves)

    def rows(max_cell_bytes: int) -> Iterator[Block]:
        chosen = sorted({leaves[index][0][0] for index in positions.values()})
        line = 1
        with file.open("rb") as raw:
            # a path is read by Arrow itself, by several threads at once
            parquet = pq.ParquetFile(file if isinstance(file, Path) else raw)
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=chosen):
                yield block_of(batch, table, leaves, positions, line)
                line += batch.num_rows

    return Source(table, file.name, positions, aliases, rows)


def leaves_of(fields: pa.Schema | pa.StructType, above: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every column that is no group, in order."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from leaves_of(field.type, (*above, field.name))
        else:
            yield (*above, field.name), field.type


def declared_places(
    table: Table, name: str, form: str, leaves: Sequence[Leaf]
) -> tuple[dict[str, int], frozenset[str]]:
    """`positions` and `aliases` of columns with types. Raises Refusal where names or types are not
    as declared.
    """
    by_name = {one: column for column in table.columns.values() for one in headers(column)}
    for path, kind in leaves:
        field = ".".join(path)
        column = by_name.get(field.casefold())
        if column is not None and not fits(kind_word(kind), column):
            raise type_refusal(name, field, f"{form} type {kind}", column)
    return places(table, name, [".".join(path) for path, _ in leaves])


def type_refusal(name: str, field: str, kind: str, column: Column) -> Refusal:
    return Refusal(
        f"{name}: column {field} has {kind}, which does not fit kind {column.kind}. Text, or the"
        " type of that kind, can be read."
    )


def block_of(
    batch: pa.RecordBatch,
    table: Table,
    leaves: Sequence[Leaf],
    positions: dict[str, int],
    first: int | None,
) -> Block:
    """The declared columns as text. `first`: the place of the batch's first row in the source."""
    texts: list[pl.Series] = []
    latin1: Counts = Counter()
    for name, index in positions.items():
        (top, *inner), _ = leaves[index]
        values = batch.column(top)
        if inner:
            values = pc.struct_field(values, inner)
        cells, n_latin1 = parquet_cells.texts(values, table.columns[name])
        texts.append(cells.alias(name))
        latin1[name, LATIN1] += n_latin1
    lines = None if first is None else np.arange(first, first + batch.num_rows)
    return Block(pl.DataFrame(texts), none_broken(), latin1, lines)


def kind_word(kind: pa.DataType) -> str:
    """What sort of value a type holds: text, number, date, boolean, time, other."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    ):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "time" if pa.types.is_time(kind) else "other"


def fits(word: str, column: Column) -> bool:
    """Whether values of this sort can be of the column's kind."""
    if column.kind == "date":
        return word in ("text", "date")
    if column.kind == "id":
        return word in ("text", "number")
    if column.kind == "continuous":
        return word in ("text", "number", "boolean")
    return word != "other"
