"""Hands out the rows of a source as text, block by block, the same whatever form the source has. A
fault in a row never stops the run (privacy_rules.md 2).
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.restricted.ingest.blocks import Block, none_broken
from pipeline.restricted.ingest.file_faults import structure
from pipeline.restricted.ingest.source_header import Source


def blocks(source: Source, max_cell_bytes: int) -> Iterator[Block]:
    """The rows of a source. Memory is bounded by the block, whatever a row holds. Raises
    Refusal for a damaged file.
    """
    with structure(source.name):
        yield from source.rows(max_cell_bytes)


def empty_block(source: Source) -> Block:
    return Block(pl.DataFrame(schema=dict.fromkeys(source.positions, pl.String)), none_broken())
