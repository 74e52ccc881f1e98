"""What became of every row and patient that ingest read: for the custodian, never outside the
restricted zone.

Each filter says what it leaves out and why. For each table, and for the events of a log, what was
read equals what was kept and what was left out: the account says so, or says that it does not
balance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import polars as pl

from pipeline.schema.patient_log import ID

ORPHANS = "rows of nobody (no id that can be read, or a key that leads to no patient)"
EQUAL = "equal rows, counted once"
FAULT = "rows at fault, where a row is a person"
OF_DROPPED = "rows of patients who are dropped"
TOO_MANY = "rows of a patient with more of them than ingest.max_patient_rows"
CAPPED = "above the cap max_rows of the table"
UNDER_CAPPED = "under a row above a cap"
OTHER_COHORT = "rows of patients of other cohorts"
# what a declaration asks for: no fault of the rows
INTENDED = frozenset({EQUAL, CAPPED, UNDER_CAPPED, OTHER_COHORT})


@dataclass
class Account:
    """Counts, added to as the rows go through ingest."""

    rows_read: Counter[str] = field(default_factory=Counter)  # table -> rows
    rows_kept: Counter[str] = field(default_factory=Counter)
    # rows of two patients, counted for both
    rows_twice: Counter[str] = field(default_factory=Counter)
    rows_left_out: Counter[tuple[str, str]] = field(default_factory=Counter)  # (table, reason)
    # of the tables whose rows are events
    events_found: int = 0
    events_kept: int = 0
    events_left_out: Counter[str] = field(default_factory=Counter)
    ends_moved: Counter[str] = field(default_factory=Counter)
    patients: Counter[str] = field(default_factory=Counter)  # read, kept, held_out, other_cohorts
    # reason -> patients; a patient may have several
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # table, column, how
    faults: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # table, column, what
    cells_read: Counter[str] = field(default_factory=Counter)  # table -> cells

    def leave_out(self, table: str, reason: str, n: int) -> None:
        """Notes `n` rows of a table."""
        if n:
            self.rows_left_out[table, reason] += n

    def compare(
        self, before: Mapping[str, pl.DataFrame], after: Mapping[str, pl.DataFrame], reason: str
    ) -> None:
        """Notes the rows of `before` that are not in `after`, table by table."""
        for name, rows in before.items():
            self.leave_out(name, reason, rows.height - after[name].height)

    def add(self, other: Account) -> None:
        """Notes what another account holds."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def lose_events(self, left_out: pl.DataFrame, moved: pl.DataFrame, of: pl.DataFrame) -> None:
        """Notes the losses (patient_id, reason, n) of the patients in `of`."""
        for counter, losses in ((self.events_left_out, left_out), (self.ends_moved, moved)):
            theirs = losses.join(of.select(ID), on=ID, how="semi")
            for reason, n in theirs.group_by("reason").agg(pl.col("n").sum()).iter_rows():
                counter[reason] += n

    def out_of_balance(self, events_tables: str | None) -> list[str]:
        """The tables whose rows are not all accounted for; none, unless ingest has a defect."""
        tables = [
            name
            for name in self.rows_read
            if self.rows_read[name] + self.rows_twice[name]
            != self.rows_kept[name] + sum(self.reasons(name).values())
        ]
        if events_tables is not None:
            lost = sum(self.events_left_out.values())
            if self.events_found != self.events_kept + lost:
                tables.append(f"{events_tables} (events)")
        return tables

    def reasons(self, table: str) -> dict[str, int]:
        """Why rows of a table were left out, and how many."""
        return {
            reason: n for (name, reason), n in sorted(self.rows_left_out.items()) if name == table
        }

    def to_json(self, files: Mapping[str, str], events_tables: str | None) -> dict[str, Any]:
        """For ingest.json. `files`: table -> name of its file; `events_tables`: the names of those
        whose rows are events.
        """
        return {
            "tables": {
                name: {
                    "file": file,
                    "rows": self.rows_read[name],
                    "cells": self.cells_read[name],
                    "kept": self.rows_kept[name],
                    "counted_twice": self.rows_twice[name],
                    "left_out": self.reasons(name),
                    "repaired": _by_column(name, self.repaired.items()),
                    "faults": _by_column(name, self.faults.items()),
                }
                for name, file in files.items()
            },
            "patients": {
                name: self.patients[name] for name in ("read", "kept", "held_out", "other_cohorts")
            },
            "dropped_patients_by_reason": dict(sorted(self.dropped.items())),
            "events": {
                "table": events_tables,
                "found": self.events_found,
                "kept": self.events_kept,
                "left_out": dict(sorted(self.events_left_out.items())),
                "ends_moved": dict(sorted(self.ends_moved.items())),
            },
            "out_of_balance": self.out_of_balance(events_tables),
        }


def _by_column(
    table: str, counts: Iterable[tuple[tuple[str, str, str], int]]
) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, column, what), n in sorted(counts):
        if name == table and n:
            nested.setdefault(column, {})[what] = n
    return nested
