"""The tables of a declaration, and how they hang together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipeline.schema.columns import ColumnReader
from pipeline.schema.document import Path_
from pipeline.schema.encodings import encoding_fault
from pipeline.schema.names import (
    SOURCE_ID,
    column_fault,
    file_fault,
    header_fault,
    short_fault,
    within,
)
from pipeline.schema.patient_log import ID
from pipeline.schema.source_formats import (
    TABLE_FORMATS,
    separator_fault,
    sheet_fault,
    with_formats,
)
from pipeline.schema.values import Column, Table, freeze


class TableReader(ColumnReader):
    """Reads tables. A column that the source calls `patient_id` is `SOURCE_ID` from here on, with
    that header.
    """

    def tables(self) -> dict[str, Table]:
        tables = {}
        for name in self.section(("tables",)):
            path = ("tables", name)
            if fault := short_fault(name):
                self.document.problem(path, fault)
            table = self._table(path, name)
            if table is not None:
                self._check_table(path, table)
                tables[name] = table
        if not tables:
            self.document.problem(("tables",), "names no table")
        self._check_files(tables)
        for name, table in tables.items():
            self._check_through(("tables", name, "through"), name, tables)
            self._check_shape(("tables", name), table)
        self._check_links(tables)
        return tables

    def _table(self, path: Path_, name: str) -> Table | None:
        values = dict(self.section(path))
        formats = {field: values.pop(field) for field in TABLE_FORMATS if field in values}
        columns = dict(self._columns((*path, "columns"), formats))
        for field in ("key", "ignore", "once"):
            if field in values:
                values[field] = self.distinct((*path, field), values[field])
        for header in values.get("ignore", ()):
            if header and (fault := header_fault(header)):  # "" is a column without a name
                self.document.problem((*path, "ignore"), fault)
        for field in {"key", "once"} & set(values):
            values[field] = tuple(within(column) for column in values[field])
        if isinstance(values.get("patient"), str):
            values["patient"] = within(values["patient"])
        if "through" in values:
            values["through"] = self._through((*path, "through"), values["through"])
        values["columns"] = freeze(columns)
        values.pop("name", None)
        table = self.build(Table, path, values, name=name)
        return table if isinstance(table, Table) else None

    def _columns(self, path: Path_, formats: Mapping[str, Any]) -> Iterator[tuple[str, Column]]:
        for name, value in self.section(path).items():
            if fault := column_fault(name):
                self.document.problem((*path, name), fault)
            column = self.column((*path, name), name, with_formats(value, formats))
            if column is None:
                continue
            if name == ID:
                column = replace(column, name=SOURCE_ID, header=column.header or ID)
            yield column.name, column

    def _through(self, path: Path_, value: Any) -> tuple[str, str] | None:
        names = self.strings(path, value)
        if len(names) != 2:
            self.document.problem(path, "must be [parent table, shared column]")
            return None
        return names[0], within(names[1])

    def _check_table(self, path: Path_, table: Table) -> None:
        if fault := file_fault(table.file):
            self.document.problem((*path, "file"), fault)
        if not table.columns:
            self.document.problem((*path, "columns"), "names no column")
        if table.max_rows is not None and table.max_rows < 1:
            self.document.problem((*path, "max_rows"), f"must be at least 1, is {table.max_rows}")
        for field, fault in (
            ("separator", separator_fault(table.separator)),
            ("encoding", encoding_fault(table.encoding)),
            ("sheet", None if table.sheet is None else sheet_fault(table.sheet)),
        ):
            if fault:
                self.document.problem((*path, field), fault)
        for one in table.columns.values():
            if one.decimal == table.separator and one.kind == "continuous":
                self.document.problem(
                    (*path, "separator"),
                    f"{table.separator!r} is the decimal mark of {one.name}, too",
                )
        for field, names in (
            ("key", table.key),
            ("once", table.once or ()),
            ("patient", (table.patient,) if table.patient else ()),
        ):
            for column in names:
                if column not in table.columns:
                    self.document.problem((*path, field), f"{column!r} is no column of this table")
        spellings = Counter(
            spelling
            for column in table.columns.values()
            for spelling in {
                name.casefold() for name in (column.header or column.name, *column.aliases)
            }
        )
        if twice := sorted(spelling for spelling, n in spellings.items() if n > 1):
            self.document.problem(
                (*path, "columns"),
                f"two columns would be read from one header: {', '.join(twice)} (upper and lower"
                " case count as one)",
            )
        if both := sorted(name for name in table.ignore if name.casefold() in spellings):
            self.document.problem(
                (*path, "ignore"), f"is a column of this table, too: {', '.join(both)}"
            )

    def _check_files(self, tables: Mapping[str, Table]) -> None:
        files = Counter(table.file.casefold() for table in tables.values())
        for name, table in tables.items():
            if files[table.file.casefold()] > 1:
                self.document.problem(
                    ("tables", name, "file"), f"two tables are read from {table.file!r}"
                )

    def _check_through(self, path: Path_, name: str, tables: Mapping[str, Table]) -> None:
        table = tables[name]
        if table.through is None:
            return
        parent, column = table.through
        if parent not in tables:
            self.document.problem(path, f"no table named {parent!r}")
            return
        if table.patient is not None:
            self.document.problem(path, "the table has a patient's id of its own: leave one out")
        for side in (name, parent):
            if column not in tables[side].columns:
                self.document.problem(path, f"{column!r} is no column of table {side}")
        chain = [name]
        while (step := tables[chain[-1]].through) is not None and step[0] in tables:
            if step[0] in chain:
                self.document.problem(path, f"goes in a circle: {' -> '.join([*chain, step[0]])}")
                return
            chain.append(step[0])

    def _check_links(self, tables: Mapping[str, Table]) -> None:
        """An id that is a number in one table and text in another leads to nobody."""
        links = [[(n, t.patient) for n, t in tables.items() if t.patient is not None]]
        links += [[(n, t.through[1]), t.through] for n, t in tables.items() if t.through]
        for link in links:
            ends = [(n, c) for n, c in link if n in tables and c in tables[n].columns]
            columns = [tables[name].columns[column] for name, column in ends]
            for (name, column), one in zip(ends, columns, strict=True):
                if (one.kind, one.integer) != (columns[0].kind, columns[0].integer):
                    self.document.problem(
                        ("tables", name, "columns", column),
                        f"must be declared as {'.'.join(ends[0])} is, kind and integer: the two are"
                        " one id",
                    )

    def _check_shape(self, path: Path_, table: Table) -> None:
        if table.patient is None and table.through is None and SOURCE_ID in table.columns:
            self.document.warn(
                path,
                f"has a column {ID}, but does not say `patient: {ID}`: each row counts as a person"
                " of its own",
            )
