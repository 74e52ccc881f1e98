"""Patients with their events, in the form that adapters give out and models read and draw."""

from __future__ import annotations

from dataclasses import dataclass

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
