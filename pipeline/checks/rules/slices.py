"""Tables in slices of patients: memory holds the rows of some patients at a time, and all of each.

A row goes with its patient, a row of a table without the patient's id with its parent; what leads
to nobody lies in the first slice. The order of rows within a table stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from pipeline.checks.rules.registry import PATIENT, registry_name
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.row_slices import row_slices
from pipeline.schema.values import Schema

SLICE_PATIENTS = 50_000
_SLICE = "_slice"

Scans = Mapping[str, pl.LazyFrame]


@dataclass(frozen=True, eq=False)
class Slices:
    """The tables (under declared names) and the log beside them, `size` patients at a time. One
    slice, which is all of it, where there are no more.
    """

    schema: Schema
    tables: Scans
    log: PatientLog | None = None
    size: int = SLICE_PATIENTS

    def __len__(self) -> int:
        return max(1, -(-self._everybody.len() // self.size))

    def __iter__(self) -> Iterator[tuple[dict[str, pl.DataFrame], PatientLog | None]]:
        if len(self) == 1:
            yield {name: rows.collect() for name, rows in self.tables.items()}, self.log
            return
        numbers = self._numbers()
        tables = {name: row_slices(rows, numbers[name]) for name, rows in self.tables.items()}
        log = self._log_slices()
        for number in range(len(self)):
            yield {name: rows[number] for name, rows in tables.items()}, log(number)

    def _log_slices(self) -> Callable[[int], PatientLog | None]:
        if self.log is None:
            return lambda number: None
        patients, events = (
            row_slices(rows.lazy(), self._number(rows[ID])) if rows is not None else None
            for rows in (self.log.patients, self.log.events)
        )
        assert patients is not None
        return lambda number: PatientLog(
            patients[number], events[number] if events is not None else None
        )

    @cached_property
    def _everybody(self) -> pl.Series:
        """The ids that any table or the log names, sorted; all of one type."""
        ids = [
            rows.select(pl.col(column).cast(self._kind, strict=False).alias(ID)).collect()[ID]
            for name, rows in self.tables.items()
            if (column := self._own(name)) is not None
        ]
        if self.log is not None:
            ids.append(self.log.patients[ID].cast(self._kind, strict=False))
        everybody = pl.concat(ids) if ids else pl.Series(ID, [], pl.Int64)
        return everybody.drop_nulls().unique().sort()

    @cached_property
    def _kind(self) -> pl.DataType:
        """That of the patient table, to which the rules cast all ids."""
        kinds = {
            registry_name(name, self.schema.tables[name].file): rows.collect_schema()[column]
            for name, rows in self.tables.items()
            if (column := self._own(name)) is not None
        }
        return kinds.get(PATIENT, next(iter(kinds.values()), pl.Int64()))

    def _own(self, name: str) -> str | None:
        """The column that holds the patient's id."""
        columns, patient = self.tables[name].collect_schema(), self.schema.tables[name].patient
        return next((column for column in (ID, patient) if column in columns), None)

    def _numbers(self) -> dict[str, pl.Series]:
        """The slice of each row, by table."""
        numbers: dict[str, pl.Series] = {}
        pending = list(self.tables)
        while pending:
            name = pending.pop(0)
            rows, through = self.tables[name], self.schema.tables[name].through
            column = self._own(name)
            if column is not None:
                numbers[name] = self._number(rows.select(column).collect()[column])
            elif through is not None and through[0] in pending:
                pending.append(name)
            else:
                numbers[name] = self._number_by_parent(rows, through, numbers)
        return numbers

    def _number(self, ids: pl.Series) -> pl.Series:
        own = ids.cast(self._kind, strict=False).alias(ID).to_frame()
        everybody = pl.DataFrame({ID: self._everybody}).with_columns(
            (pl.int_range(pl.len()) // self.size).cast(pl.Int32).alias(_SLICE)
        )
        joined = own.join(everybody, on=ID, how="left", maintain_order="left")
        return joined[_SLICE].fill_null(0)

    def _number_by_parent(
        self, rows: pl.LazyFrame, through: tuple[str, str] | None, numbers: Mapping[str, pl.Series]
    ) -> pl.Series:
        nobody = pl.repeat(0, rows.select(pl.len()).collect().item(), dtype=pl.Int32, eager=True)
        if through is None or through[0] not in numbers:
            return nobody
        parent, key = through
        parents = self.tables[parent]
        if any(key not in frame.collect_schema() for frame in (rows, parents)):
            return nobody
        # of two patients with one key the first, as the rules have it
        of_key = (
            parents.select(key)
            .collect()
            .with_columns(numbers[parent].alias(_SLICE))
            .unique(key, keep="first", maintain_order=True)
        )
        joined = rows.select(key).collect().join(of_key, on=key, how="left", maintain_order="left")
        return joined[_SLICE].fill_null(0)
