"""A dataset's tables <-> patients with their pathways, both ways. Pure functions without any
knowledge of patients: each looks at one patient alone.

Restricted and released code use it. What a layout means: docs/declarations.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import polars as pl

from pipeline.adapters import log, table
from pipeline.adapters.frames import Log
from pipeline.adapters.simulacrum import adapter as simulacrum
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

__all__ = ["Log", "canonical", "partition_tables", "to_log", "to_tables"]


def to_log(schema: Schema, tables: Mapping[str, pl.DataFrame]) -> Log:
    """`tables`: typed rows under the declaration's names, of any number of patients. A table
    without its own id has `patient_id`.

    The log holds declared and legal values only, within the contribution caps; what it loses is
    `carried`. Each patient is read alone.
    """
    if schema.layout == "table":
        return table.to_log(schema, tables)
    return (
        log.to_log(schema, tables) if schema.layout == "log" else simulacrum.to_log(schema, tables)
    )


def to_tables(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | None,
    *,
    extract_date: date | None,
    carried: Mapping[str, pl.DataFrame] | None = None,
) -> dict[str, pl.DataFrame]:
    """The tables of some patients. With `carried` they are the ones `to_log` was given; without it,
    rebuilt by public rules with fresh keys.

    `extract_date`: the public last day of observation, at which a pathway that is not over stands.
    Keys come from patient_id (a whole number for a registry), so partitions of patients never share
    one.
    """
    if schema.layout == "table":
        return table.to_tables(schema, patients, carried)
    if events is None:
        raise Refusal(f"{schema.dataset} has an event log: give `events` with `patients`.")
    if schema.layout == "log":
        return log.to_tables(schema, patients, events, carried=carried, extract_date=extract_date)
    return simulacrum.to_tables(
        schema, patients, events, extract_date=extract_date, carried=carried
    )


def canonical(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | None,
    *,
    extract_date: date | None,
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The same synthetic patients as their tables tell them. In a registry some things have no
    place (a course of radiotherapy that starts on a Sunday, an operation beside another on the same
    tumour, what lies after the extract date); here they are gone, so that the log read from the
    tables is this log (clinical rule 54). In a log of rows, what lies after the last date that the
    declaration knows is gone.
    """
    if schema.layout == "log" and events is not None:
        return patients, log.within_dates(schema, patients, events)
    if schema.layout != "registry":
        return patients, events
    told = to_log(schema, to_tables(schema, patients, events, extract_date=extract_date))
    return told.patients, told.events


def partition_tables(
    schema: Schema, partitions: Iterable[PatientLog], extract_date: date | None
) -> Iterator[tuple[PatientLog, dict[str, pl.DataFrame]]]:
    """Each partition of synthetic patients as its tables tell it, with these tables."""
    for part in partitions:
        patients, events = canonical(schema, part.patients, part.events, extract_date=extract_date)
        tables = to_tables(schema, patients, events, extract_date=extract_date)
        yield PatientLog(patients, events), tables
