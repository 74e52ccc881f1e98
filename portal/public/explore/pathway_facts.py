"""What the dashboard asks of a pathway, once per patient: when it ended and how, when each kind of
treatment began, which treatments came first.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.schema.patient_log import ID
from pipeline.schema.values import EventLog

STEPS = 3  # treatments of a patient that the flow shows
MOST_KINDS = 6  # of treatments
NEVER = 2**31 - 1  # the day of what did not happen


def treatments(log: EventLog) -> tuple[str, ...]:
    """The kinds of events whose order and waiting times are shown: those that the declaration
    names, else whatever may be repeated outside of something else.
    """
    repeatable = tuple(
        name
        for name, kind in log.types.items()
        if not kind.terminal and kind.at_most != 1 and kind.inside is None
    )
    return (log.treatments or repeatable)[:MOST_KINDS]


def is_survival(log: EventLog) -> bool:
    """Whether some ends of a pathway are what survival waits for."""
    return bool(log.terminal) and bool(censoring(log))


def censoring(log: EventLog) -> tuple[str, ...]:
    """Types and codes that only end the observation: the declared ones, else every terminal type
    but the first.
    """
    return tuple(log.censoring or log.terminal[1:])


def awaited(log: EventLog) -> str:
    """What survival waits for, in words."""
    types = [log.types[name] for name in log.terminal if name not in censoring(log)]
    codes = [code for kind in types for code in kind.codes if code not in censoring(log)]
    if log.censoring and 0 < len(codes) <= 2:
        return " or ".join(codes).lower()
    return " or ".join((kind.title or kind.name).lower() for kind in types)


def facts_of(log: EventLog, patients: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """A row per patient in the order of `patients`: `end_day` (at least 0), `died`, `flow`
    (`flow_code`), `first_0`, ... (day of the first treatment of each kind; NEVER).
    """
    kinds = treatments(log)
    ends = events.filter(pl.col("type").is_in(log.terminal)).select(
        ID, end_day=pl.col("day").clip(lower_bound=0), died=~_is_censored(log)
    )
    some = events.filter(pl.col("type").is_in(kinds)).select(
        ID, "day", kind=pl.col("type").replace_strict(_places(kinds), return_dtype=pl.Int32)
    )
    some = some.with_columns(step=pl.int_range(pl.len()).over(ID))
    firsts = some.group_by(ID).agg(
        pl.col("day").filter(pl.col("kind") == place + 1).min().alias(f"first_{place}")
        for place in range(len(kinds))
    )
    base = len(kinds) + 1
    flows = (
        some.filter(pl.col("step") < STEPS)
        .group_by(ID)
        .agg(flow=(pl.col("kind") * pl.lit(base).pow(STEPS - 1 - pl.col("step"))).sum())
    )
    facts = patients.select(ID)
    for more in (ends.unique(ID), firsts, flows):
        facts = facts.join(more, on=ID, how="left", maintain_order="left")
    return facts.select(
        pl.col("end_day").fill_null(0).cast(pl.Int32),
        pl.col("died").fill_null(False),
        pl.col("flow").fill_null(0).cast(pl.Int32),
        *(pl.col(f"first_{place}").fill_null(NEVER).cast(pl.Int32) for place in range(len(kinds))),
    )


def steps_of(flow: int, n_kinds: int) -> list[int]:
    """The places of the treatments that a flow code stands for, from 1."""
    base, steps = n_kinds + 1, []
    for place in reversed(range(STEPS)):
        step = flow // base**place % base
        if step:
            steps.append(step)
    return steps


def _is_censored(log: EventLog) -> pl.Expr:
    some = list(censoring(log))
    return pl.col("type").is_in(some) | pl.col("code").is_in(some).fill_null(False)


def _places(names: tuple[str, ...]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names, 1)}
