"""Row attributes beside the log: for every source row its place in the log, its keys, and each
value that the log does not hold.

A column that the log holds is kept only where it differs, with a mark. So the round trip runs
through patients and events, and what they lose (a code made coarser, an event beyond a cap) is seen
as a difference. Restricted: nothing here reaches a model or an extract.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.schema.patient_log import ID

DIFFERS = ":differs"  # no declared name holds a colon (schema/names.py)
LogValues = Mapping[str, pl.Expr]  # table column -> its value by patients and events


def beside(
    rows: pl.DataFrame, context: pl.DataFrame, values: LogValues, links: list[str]
) -> pl.DataFrame:
    """`rows` without what the log holds. `context` holds, row by row in the same order, patient_id,
    the `links` and what `values` reads.
    """
    expected = context.select(
        value.alias(name) for name, value in values.items() if name in rows.columns
    )
    both = rows.hstack(
        [
            expected[name].cast(rows.schema[name], strict=False).alias(f"_{name}")
            for name in expected.columns
        ]
    )
    same = {name: pl.col(name).eq_missing(pl.col(f"_{name}")) for name in expected.columns}
    remainder = both.select(
        *(
            pl.when(~same[name]).then(pl.col(name)).alias(name) if name in same else pl.col(name)
            for name in rows.columns
        ),
        *((~expression).alias(name + DIFFERS) for name, expression in same.items()),
    )
    return context.select(ID, *links).hstack(remainder)


def restore(
    carried: pl.DataFrame, context: pl.DataFrame, values: LogValues, links: list[str]
) -> pl.DataFrame:
    """The source rows again. `context` is the log joined to `carried` by its links, row by row in
    the same order.
    """
    marks = [name for name in carried.columns if name.endswith(DIFFERS)]
    rows = carried.drop(ID, *links, *marks)
    expected = context.select(
        values[mark.removesuffix(DIFFERS)].alias(mark.removesuffix(DIFFERS)) for mark in marks
    )
    both = rows.hstack(
        [
            expected[name].cast(rows.schema[name], strict=False).alias(f"_{name}")
            for name in expected.columns
        ]
    ).hstack(carried.select(marks))
    return both.select(
        (
            pl.when(pl.col(name + DIFFERS))
            .then(pl.col(name))
            .otherwise(pl.col(f"_{name}"))
            .alias(name)
            if name + DIFFERS in marks
            else pl.col(name)
        )
        for name in rows.columns
    )
