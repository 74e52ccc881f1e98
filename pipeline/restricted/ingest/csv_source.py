"""CSV and its kin (.csv, .tsv, .txt, packed or not) as a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import polars as pl

from pipeline.restricted.ingest import csv_header, csv_lines, quoted_rows, text_bytes
from pipeline.restricted.ingest.blocks import LATIN1, ROW_ITSELF, Block
from pipeline.restricted.ingest.casting import owner_column
from pipeline.restricted.ingest.csv_lines import Header, Parsed
from pipeline.restricted.ingest.source_header import Source, places
from pipeline.restricted.ingest.text_bytes import ByteFile, ByteStream
from pipeline.schema.values import Table


def open_csv(table: Table, file: ByteFile) -> Source:
    """Raises Refusal for a file whose first line is not the declared header."""
    separator = separator_of(table, file.name)
    with text_bytes.utf8(file, table.encoding) as stream:
        fields, line_end = csv_header.read(stream, file.name, separator)
    positions, aliases = places(table, file.name, fields)

    def rows(max_cell_bytes: int) -> Iterator[Block]:
        header = header_of(table, fields, positions, max_cell_bytes, separator, line_end)
        with text_bytes.utf8(file, table.encoding) as stream:
            csv_header.read(stream, file.name, separator)
            for parsed in _parsed(stream, header, table, file.name):
                yield block_of(parsed, positions)

    return Source(table, file.name, positions, aliases, rows)


def separator_of(table: Table, name: str) -> str:
    """The declared one; in a `.tsv` a tab, unless another than the comma is declared."""
    is_tsv = name.lower().endswith(".tsv") and table.separator == ","
    return "\t" if is_tsv else table.separator


def header_of(
    table: Table,
    fields: list[str],
    positions: dict[str, int],
    max_cell_bytes: int,
    separator: str = ",",
    line_end: bytes = b"\n",
) -> Header:
    owner = owner_column(table)
    return Header(
        tuple(fields),
        None if owner is None else positions[owner],
        longest=max(1 << 20, 4 * max_cell_bytes),
        separator=separator,
        line_end=line_end,
    )


def block_of(parsed: Parsed, positions: dict[str, int]) -> Block:
    """The declared columns of parsed rows, under their names."""
    chosen = [pl.col(f"c{index}").alias(name) for name, index in positions.items()]
    return Block(
        parsed.cells.select(chosen),
        parsed.broken,
        Counter({(ROW_ITSELF, LATIN1): parsed.n_latin1}),
        parsed.lines,
        parsed.broken_lines,
    )


def _parsed(stream: ByteStream, header: Header, table: Table, name: str) -> Iterator[Parsed]:
    if table.line_breaks:
        yield from quoted_rows.parsed_blocks(stream, header, name)
        return
    line = 2
    for block in csv_lines.blocks(stream, header):
        yield csv_lines.parse(block, header, line)
        line += block.count(b"\n")
