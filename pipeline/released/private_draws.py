"""A draw for oneself from a finished model, free: the command `draw` and the model in MLflow. It
passes no gate and is no release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import polars as pl

from pipeline.adapters import to_tables
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.table.draw.prompts import parse_conditions

PARTITION_ROWS = 20_000


def drawn_tables(
    model: Synthesizer,
    n: int,
    *,
    seed: int,
    where: Sequence[str] = (),
    begins: Sequence[str] = (),
    extract_date: date | None = None,
) -> Iterator[dict[str, pl.DataFrame]]:
    """The tables of n synthetic patients, partition by partition.

    where: conditions as `parse_conditions` reads them; begins: as `pathway_start` does;
    extract_date: the model's own, where none is given. Raises Refusal for a prompt that cannot be
    met.
    """
    last_day = extract_date or model.extract_date
    for log in model.sample(
        n,
        seed=seed,
        partition_rows=PARTITION_ROWS,
        where=parse_conditions(where) or None,
        begins=begins,
    ):
        yield to_tables(model.schema, log, extract_date=last_day)
