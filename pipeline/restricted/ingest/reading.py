"""Hands out the rows of a source as text, block by block, the same from CSV, gzip and Parquet. A
fault in a row never stops the run (privacy_rules.md 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow.parquet as pq

from pipeline.restricted.ingest import csv_header, csv_lines, parquet_cells, quoted_rows
from pipeline.restricted.ingest.casting import Counts, owner_column
from pipeline.restricted.ingest.source_files import Source, binary, structure

PARQUET_ROWS = 50_000
LATIN1 = "latin-1 text"


@dataclass(frozen=True)
class Block:
    """Rows as text under declared names, the rows that do not parse, and what was read as latin-1
    (whole lines under the column "(row)").
    """

    cells: pl.DataFrame
    broken: pl.DataFrame
    repaired: Counts = field(default_factory=Counter)


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
    )


def _csv_blocks(source: Source, max_cell_bytes: int) -> Iterator[Block]:
    owner, table = owner_column(source.table), source.table
    header = csv_lines.Header(
        source.fields,
        None if owner is None else source.positions[owner],
        longest=max(1 << 20, 4 * max_cell_bytes),
        separator=table.separator,
        line_end=source.line_end,
    )
    chosen = [pl.col(f"c{index}").alias(name) for name, index in source.positions.items()]
    with binary(source.path) as stream:
        csv_header.read(stream, source.path.name, table.separator)
        parsed_blocks = (
            quoted_rows.parsed_blocks(stream, header, source.path.name)
            if table.line_breaks
            else (csv_lines.parse(block, header) for block in csv_lines.blocks(stream, header))
        )
        for parsed in parsed_blocks:
            repaired = Counter({("(row)", LATIN1): parsed.n_latin1})
            yield Block(parsed.cells.select(chosen), parsed.broken, repaired)


def _parquet_blocks(source: Source) -> Iterator[Block]:
    none_broken = pl.DataFrame(schema=BROKEN_SCHEMA)
    columns = [source.fields[index] for index in source.positions.values()]
    for batch in pq.ParquetFile(source.path).iter_batches(batch_size=PARQUET_ROWS, columns=columns):
        texts: list[pl.Series] = []
        latin1: Counts = Counter()
        for name, index in source.positions.items():
            cells, n_latin1 = parquet_cells.texts(
                batch.column(source.fields[index]), source.table.columns[name]
            )
            texts.append(cells.alias(name))
            latin1[name, LATIN1] += n_latin1
        yield Block(pl.DataFrame(texts), none_broken, latin1)
