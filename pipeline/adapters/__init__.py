"""A dataset's tables <-> patients with their pathways, both ways. Pure functions without any
knowledge of patients: each looks at one patient alone.

Restricted and released code use it. What a layout means: docs/declarations.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import polars as pl

from pipeline.adapters import long_table, table
from pipeline.adapters.frames import SourceLog
from pipeline.adapters.sayable import sayable
from pipeline.adapters.simulacrum import registry
from pipeline.refusal import Refusal
from pipeline.schema.long_table import with_people
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

__all__ = [
    "SourceLog",
    "canonical",
    "extract_tables",
    "numbered_on",
    "partition_tables",
    "to_log",
    "to_tables",
]


def to_log(schema: Schema, tables: Mapping[str, pl.DataFrame]) -> SourceLog:
    """`tables`: typed rows under the declaration's names, of any number of patients. A table
    without its own id has `patient_id`.

    The log holds declared and legal values only, within the contribution caps; what it loses is
    `carried`. Each patient is read alone.
    """
    if schema.layout == "table":
        return table.to_log(schema, tables)
    adapter = long_table if schema.layout == "log" else registry
    return adapter.to_log(schema, tables)


def to_tables(
    schema: Schema,
    log: PatientLog,
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
        return table.to_tables(schema, log.patients, carried)
    if log.events is None:
        raise Refusal(f"{schema.dataset} has an event log: give `events` with `patients`.")
    adapter = long_table if schema.layout == "log" else registry
    return adapter.to_tables(schema, log, carried=carried, extract_date=extract_date)


def canonical(schema: Schema, log: PatientLog, *, extract_date: date | None) -> PatientLog:
    """The same synthetic patients as their tables show them. In a registry some things have no
    place (a course of radiotherapy that starts on a Sunday, an operation beside another on the same
    tumour, what lies after the extract date); here they are gone, so that the log read from the
    tables is this log (clinical rule 54). In a log of rows, days move to those that the columns can
    say, and what lies after the last date that the declaration knows is gone.
    """
    if schema.layout == "log" and log.events is not None:
        return sayable(with_people(schema), log)
    if schema.layout != "registry":
        return log
    source = to_log(schema, to_tables(schema, log, extract_date=extract_date))
    changed = pl.concat([source.left_out, source.moved]).select(ID).unique()
    if not changed.height:
        return source.log
    # what was left out or moved may have decided other cells of the tables: those once more
    others = source.log.without(changed)
    rest = source.log.without(others.patients.select(ID))
    mended = to_log(schema, to_tables(schema, rest, extract_date=extract_date)).log
    return PatientLog(
        pl.concat([others.patients, mended.patients]).sort(ID),
        pl.concat([others.pathways, mended.pathways]).sort(ID, "seq"),
    )


def partition_tables(
    schema: Schema, partitions: Iterable[PatientLog], extract_date: date | None
) -> Iterator[tuple[PatientLog, dict[str, pl.DataFrame]]]:
    """Each partition of synthetic patients 1 to n as its tables show it, with these tables; in a
    registry under the registry's own numbers. All partitions of an extract in order: keys go on
    from one to the next.
    """
    n_drugs = 0
    for partition in partitions:
        if schema.layout == "registry":
            partition = registry.as_registry_numbers(partition)
        log = canonical(schema, partition, extract_date=extract_date)
        tables, n_drugs = extract_tables(schema, log, extract_date, n_drugs)
        yield log, tables


def extract_tables(
    schema: Schema, log: PatientLog, extract_date: date | None, n_drugs: int = 0
) -> tuple[dict[str, pl.DataFrame], int]:
    """The tables of a canonical log as an extract shows them, after `n_drugs` rows of drugs of
    earlier partitions, and how many those are then.
    """
    return numbered_on(schema, to_tables(schema, log, extract_date=extract_date), n_drugs)


def numbered_on(
    schema: Schema, tables: dict[str, pl.DataFrame], n_drugs: int
) -> tuple[dict[str, pl.DataFrame], int]:
    """The tables of a partition with numbers that go on after `n_drugs` rows of drugs of earlier
    partitions, and how many those are then.
    """
    if schema.layout != "registry":
        return tables, n_drugs
    return registry.with_drug_numbers(tables, n_drugs)
