"""Hands out the rows of a source as text, block by block. A fault in a row never stops the run
(privacy_rules.md 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow.parquet as pq

from pipeline.restricted.ingest import csv_lines
from pipeline.restricted.ingest.casting import owner_column
from pipeline.restricted.ingest.source_files import Source, binary, header_line, structure

PARQUET_ROWS = 50_000
LATIN1 = "latin-1 line"


@dataclass(frozen=True)
class Block:
    """Rows as text under declared names, and the rows that do not parse."""

    cells: pl.DataFrame
    broken: pl.DataFrame
    n_latin1: int


BROKEN_SCHEMA = {"owner": pl.String, "reason": pl.String}


def blocks(source: Source, max_cell_bytes: int) -> Iterator[Block]:
    """The rows of a source. Memory is bounded by the block, whatever a line holds. Raises
    Refusal for a damaged file.
    """
    with structure(source.path):
        if source.is_parquet:
            yield from _parquet_blocks(source)
        else:
            yield from _csv_blocks(source, max_cell_bytes)


def empty_block(source: Source) -> Block:
    return Block(
        pl.DataFrame(schema=dict.fromkeys(source.positions, pl.String)),
        pl.DataFrame(schema=BROKEN_SCHEMA),
        0,
    )


def _csv_blocks(source: Source, max_cell_bytes: int) -> Iterator[Block]:
    owner = owner_column(source.table)
    header = csv_lines.Header(
        source.fields,
        None if owner is None else source.positions[owner],
        longest=max(1 << 20, 4 * max_cell_bytes),
    )
    chosen = [pl.col(f"c{index}").alias(name) for name, index in source.positions.items()]
    with binary(source.path) as stream:
        header_line(stream)
        for block in csv_lines.blocks(stream, header.longest):
            parsed = csv_lines.parse(block, header)
            yield Block(parsed.cells.select(chosen), parsed.broken, parsed.n_latin1)


def _parquet_blocks(source: Source) -> Iterator[Block]:
    none_broken = pl.DataFrame(schema=BROKEN_SCHEMA)
    columns = [source.fields[index] for index in source.positions.values()]
    for batch in pq.ParquetFile(source.path).iter_batches(batch_size=PARQUET_ROWS, columns=columns):
        rows = pl.DataFrame(pl.from_arrow(batch)).select(columns)
        texts = [
            _as_text(rows[source.fields[index]]).alias(name)
            for name, index in source.positions.items()
        ]
        yield Block(pl.DataFrame(texts), none_broken, 0)


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Datetime:
        return values.dt.to_string("%Y-%m-%d %H:%M:%S")
    return values.cast(pl.String)
