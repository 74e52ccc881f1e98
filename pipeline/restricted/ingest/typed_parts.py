"""The blocks of a source as typed parts on disk, several at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline import workers
from pipeline.restricted.ingest import reading
from pipeline.restricted.ingest.account import Account
from pipeline.restricted.ingest.blocks import Block, Counts
from pipeline.restricted.ingest.casting import broken_rows, cast_rows
from pipeline.restricted.ingest.examples import Examples
from pipeline.restricted.ingest.source_header import Source
from pipeline.schema.values import Table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """One block, and where its typed rows go. `examples`: as in `cast_rows`."""

    block: Block
    table: Table
    aliases: frozenset[str]
    max_cell_bytes: int
    path: Path
    examples: Examples | None = None


@dataclass(frozen=True)
class _Typed:
    table: str
    n_rows: int
    n_columns: int
    repaired: Counts
    faults: Counts


def type_rows(
    sources: Mapping[str, Source],
    max_cell_bytes: int,
    folder: Path,
    account: Account,
    examples: Examples | None,
) -> None:
    """Writes the typed parts of every table into a folder of its name and counts what was repaired
    and what fails, by column.
    """
    tasks = _tasks(sources, max_cell_bytes, folder, examples)
    # examples are gathered in this process
    for typed in workers.in_order(_type_block, tasks, None if examples is None else 1):
        name = typed.table
        for (column, how), n in typed.repaired.items():
            account.repaired[name, column, how] += n
        for (column, what), n in typed.faults.items():
            account.faults[name, column, what] += n
        account.rows_read[name] += typed.n_rows
        account.cells_read[name] += typed.n_rows * typed.n_columns


def _tasks(
    sources: Mapping[str, Source], max_cell_bytes: int, folder: Path, examples: Examples | None
) -> Iterator[_Task]:
    for name, source in sources.items():
        logger.info("ingest: table %s", name)
        (folder / name).mkdir(parents=True)
        blocks = reading.blocks(source, max_cell_bytes)
        for index, block in enumerate(_at_least_one(blocks, reading.empty_block(source))):
            path = folder / name / f"{index:06}.parquet"
            yield _Task(block, source.table, source.aliases, max_cell_bytes, path, examples)


def _type_block(task: _Task) -> _Typed:
    block, table = task.block, task.table
    typed = cast_rows(block, table, task.aliases, task.max_cell_bytes, task.examples)
    broken = broken_rows(block, table, typed.rows, task.examples)
    rows = pl.concat([typed.rows, broken.rows]) if broken.rows.height else typed.rows
    rows.write_parquet(task.path)
    counts = (rows.height, len(table.columns))
    return _Typed(
        table.name, *counts, typed.repaired + block.repaired, typed.faults + broken.faults
    )


def _at_least_one(blocks: Iterator[Block], empty: Block) -> Iterator[Block]:
    yield empty  # so that the parts of a table without rows have its columns
    yield from blocks
