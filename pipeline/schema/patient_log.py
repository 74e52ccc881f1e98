"""Patients with their events, in the form that adapters give out and models read and draw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

ID = "patient_id"  # a patient's number in every frame, whatever the source calls it


@dataclass(frozen=True, eq=False)
class PatientLog:
    """Patients and their event log.

    patients: patient_id, then `schema.patients`, one row each. events: patient_id, seq, day, type,
        code, then the attributes; None for a dataset that is a table.
    """

    patients: pl.DataFrame
    events: pl.DataFrame | None = None

    @property
    def pathways(self) -> pl.DataFrame:
        """The events of a dataset that has them."""
        assert self.events is not None, "a dataset that is a table has no events"
        return self.events

    def of(self, patients: pl.DataFrame) -> PatientLog:
        """These patients (rows of `self.patients`) with their events, in the same order."""
        return PatientLog(
            patients,
            None
            if self.events is None
            else self.events.join(patients.select(ID), on=ID, how="semi", maintain_order="left"),
        )

    def without(self, patients: pl.DataFrame) -> PatientLog:
        """All but these patients (patient_id)."""
        return self.of(self.patients.join(patients, on=ID, how="anti", maintain_order="left"))


def read_patient_log(patients: Path, events: Path) -> PatientLog:
    """From two Parquet files; that of the events is absent for a dataset that is a table."""
    return PatientLog(
        pl.read_parquet(patients), pl.read_parquet(events) if events.is_file() else None
    )


def concat(logs: Iterable[PatientLog]) -> PatientLog:
    """The patients of all of them, in order. No patient is in two."""
    logs = list(logs)
    events = [log.events for log in logs if log.events is not None]
    return PatientLog(
        pl.concat([log.patients for log in logs], how="vertical_relaxed"),
        pl.concat(events, how="vertical_relaxed") if events else None,
    )
