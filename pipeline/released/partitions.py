"""The partitions of an extract with their tables, several drawn at a time where there are many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import polars as pl

from pipeline import workers
from pipeline.adapters import numbered_on, partition_tables
from pipeline.draw_plan import DrawPlan
from pipeline.models.synthesizer.draw import BLOCK
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

Partition = tuple[PatientLog, dict[str, pl.DataFrame]]


@dataclass(frozen=True)
class Draw:
    """What an extract is drawn from and by. sha256: of the model's folder."""

    model: Path
    sha256: str
    schema: Schema
    n: int
    seed: int
    partition_rows: int
    extract_date: date | None


def drawn_partitions(draw: Draw, plan: DrawPlan) -> Iterator[Partition]:
    """The same patients and tables as one partition after the other. Those of a plan, whose
    patients are drawn in waves, and partitions that are no whole blocks are not drawn apart.
    """
    schema, model = draw.schema, _model(draw.model, draw.sha256)
    if plan or draw.partition_rows % BLOCK:
        partitions = model.sample(
            draw.n, seed=draw.seed, partition_rows=draw.partition_rows, plan=plan
        )
        yield from partition_tables(schema, partitions, draw.extract_date)
        return
    tasks = ((draw, number) for number in range(max(1, -(-draw.n // draw.partition_rows))))
    n_before = 0
    for log, tables in workers.in_order(_partition, tasks):
        tables, n_before = numbered_on(schema, tables, n_before)
        yield log, tables


def _partition(task: tuple[Draw, int]) -> Partition:
    draw, number = task
    model = _model(draw.model, draw.sha256)
    log = model.partition(draw.n, draw.seed, draw.partition_rows, number)
    return next(partition_tables(draw.schema, [log], draw.extract_date))


@cache
def _model(folder: Path, sha256: str) -> Synthesizer:
    """Loaded once in each process, whatever lies there later."""
    return Synthesizer.load(folder)
