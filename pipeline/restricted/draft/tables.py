"""Whose rows a table holds: the id of a patient, unique in one table and repeated in others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from pipeline.refusal import Refusal
from pipeline.restricted.draft.cells import Cells, shared
from pipeline.restricted.draft.code_lists import list_notes
from pipeline.restricted.draft.guesses import ID_NAME, Guess, guess
from pipeline.restricted.draft.source_file import SourceFile, open_file
from pipeline.schema.names import column_fault, file_fault, header_fault, short_fault

_LEADS = 0.9  # share of a column's values that stand in another table's
_REPEATS = 1.2  # rows of a patient, on average, from which an id repeats
_LEAST_PEOPLE = 10
_MOST_ROWS = 1000  # of a patient, on average
_ID = re.compile(r"(^|[_ .])(id|uuid|key)$|[a-z](ID|Id)$")  # a number of something else is none
_ROW_NUMBER = re.compile(r"row[_. ]?(names?|no|number|id)?|index|unnamed: ?\d+|obs", re.IGNORECASE)
PERSON = re.compile(
    r"(^|[^a-z])(patient|participant|subject|person|subj|usubj|mrn|p(?=[_ .-]?id))"
    r"[_ .-]?(id|no|nr|num|number)?$|^id$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TableGuess:
    """One file. `columns`: by the names that they get here, in the order of the header; `cells` by
    the same names. `patient`: the column with the patient's id; `through`: (table, column) instead.
    `sample`: its first rows as text, by those names. `n_ragged`: rows of another width.
    """

    name: str
    source: SourceFile
    n_rows: int
    columns: Mapping[str, Guess]
    cells: Mapping[str, Cells]
    sample: pl.DataFrame
    ignore: tuple[str, ...] = ()
    patient: str | None = None
    through: tuple[str, str] | None = None
    n_ragged: int = 0

    @property
    def is_main(self) -> bool:
        """Whether it has one row per patient, under an id."""
        return self.patient is not None and self.cells[self.patient].is_unique

    @property
    def has_line_breaks(self) -> bool:
        return any(cells.has_line_breaks for cells in self.cells.values())

    def with_columns(self, **columns: Guess) -> TableGuess:
        return replace(self, columns={**self.columns, **columns})

    def linked_by(self, column: str) -> TableGuess:
        """With the patient's id in this column."""
        kind = replace(self.columns[column], kind="id", role="key", facts={}, form={}, notes=())
        return replace(self.with_columns(**{column: kind}), patient=column)


def read_table(source: SourceFile, name: str) -> TableGuess:
    """One pass over a file. Raises Refusal for a file without rows."""
    cells = [Cells() for _ in source.headers]
    sample, n_rows, n_ragged = pl.DataFrame(), 0, 0
    for block in source.blocks():
        sample = block if not n_rows else sample
        n_rows += block.height
        n_ragged += int(block["ragged"].sum())
        for place, column in enumerate(cells):
            column.add(block[f"c{place}"])
    if not n_rows:
        raise Refusal(f"{source.path.name} has a header and no rows: nothing can be guessed of it.")
    ignore = tuple(
        header
        for header, column in zip(source.headers, cells, strict=True)
        if header_fault(header) or not header or _is_row_number(header, column)
    )
    names = _names([header for header in source.headers if header not in ignore])
    places = {header: place for place, header in enumerate(source.headers)}
    return TableGuess(
        name=name,
        source=source,
        n_rows=n_rows,
        columns={new: _column(old, cells[places[old]]) for new, old in names.items()},
        cells={new: cells[places[old]] for new, old in names.items()},
        sample=sample.select(pl.col(f"c{places[old]}").alias(new) for new, old in names.items()),
        ignore=ignore,
        n_ragged=n_ragged,
    )


def _is_row_number(header: str, cells: Cells) -> bool:
    """The rows' numbers, as R and pandas write them: they are of the file, not of people."""
    return bool(_ROW_NUMBER.fullmatch(header.strip())) and cells.is_unique


def _column(header: str, cells: Cells) -> Guess:
    return guess(header, cells).noting(*list_notes(header, cells))


def _names(headers: Sequence[str]) -> dict[str, str]:
    """Names that a declaration may give, each with its header."""
    names: dict[str, str] = {}
    for header in headers:
        name = header
        if column_fault(name):
            name = re.sub(r"[^\w .()\[\]+&%<>-]|\.\.+", "_", header)
            name = (
                re.sub(r" {2,}", " ", name).strip(" _.-(<>&+[")[:80].rstrip(" .-<&(+[") or "column"
            )
        while name.casefold() in {other.casefold() for other in names}:
            name += "_2"
        names[name] = header
    return names


def table_name(source: SourceFile, others: Sequence[str]) -> str:
    """A name for the file's table. Raises Refusal for a file that a declaration cannot name."""
    if fault := file_fault(source.stem):
        raise Refusal(f"{source.path.name}: {fault}. Rename the file.")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", source.stem).strip("_-")[:60] or "rows"
    if short_fault(name):
        name = "rows"
    if name in others:
        raise Refusal(f"{source.path.name}: two files of this name: rename one of them.")
    return name


def linked(paths: Sequence[SourceFile]) -> list[TableGuess]:
    """Every file's table, with whose rows they are; tables of patients first."""
    tables: list[TableGuess] = []
    for source in paths:
        tables.append(read_table(source, table_name(source, [table.name for table in tables])))
    if len(tables) == 1:
        return [_by_itself(tables[0])]
    main = max(_mains(tables), key=lambda one: one[0], default=None)
    if main is None:
        raise Refusal(
            "no column names a patient: one table needs an id that is unique in it, and the others"
            " need the same id. Draft tables of different people one by one."
        )
    return _with_links(tables, *main[1])


def _by_itself(table: TableGuess) -> TableGuess:
    """A single table: its unique id, or one that repeats, or none."""
    ids = [name for name, column in table.columns.items() if column.kind == "id"]
    if ids:
        best = next((name for name in ids if PERSON.search(name)), ids[0])
        table = table.linked_by(best)
    else:
        repeats = [name for name in table.columns if _repeats(table, name)]
        if repeats:
            best = next((name for name in repeats if PERSON.search(name)), repeats[0])
            table = table.linked_by(best)
    return _other_ids_carried(table)


def _repeats(table: TableGuess, name: str) -> bool:
    cells, column = table.cells[name], table.columns[name]
    is_name = bool(PERSON.search(name) or _ID.search(name))
    is_whole = column.kind != "continuous" or column.facts.get("decimals") == 0
    is_full = cells.n_full == cells.n and column.kind != "date"
    return (
        is_name
        and is_whole
        and is_full
        and cells.repetition >= _REPEATS
        and len(cells.times) >= max(_LEAST_PEOPLE, cells.n / _MOST_ROWS)
    )


def _other_ids_carried(table: TableGuess) -> TableGuess:
    for name, column in table.columns.items():
        if column.kind == "id" and name != table.patient:
            table = table.with_columns(**{name: replace(column, role="carried")})
    return table


def _mains(tables: Sequence[TableGuess]) -> Iterator[tuple[tuple[bool, int, int], tuple[str, str]]]:
    """(how good it is, (table, column)) for each unique column to which other tables lead."""
    for table in tables:
        for name, cells in table.cells.items():
            if not cells.is_unique or table.columns[name].kind == "date":
                continue
            children = sum(
                _leads(other, table, name) is not None for other in tables if other is not table
            )
            if children:
                yield (bool(PERSON.search(name)), children, table.n_rows), (table.name, name)


def _leads(child: TableGuess, parent: TableGuess, key: str) -> str | None:
    """The column of the child whose values are the parent's key; None: it has none."""
    same_name = [name for name in child.columns if name.casefold() == key.casefold()]
    ids = [name for name in child.columns if ID_NAME.search(child.columns[name].header)]
    if not ID_NAME.search(parent.columns[key].header):
        ids = []
    for name in dict.fromkeys([*same_name, *ids]):
        if shared(child.cells[name], parent.cells[key]) >= _LEADS:
            return name
    return None


def _with_links(tables: Sequence[TableGuess], main: str, key: str) -> list[TableGuess]:
    by_name = {table.name: table for table in tables}
    by_name[main] = by_name[main].linked_by(key)
    for table in tables:
        column = _leads(table, by_name[main], key) if table.name != main else None
        if column is not None:
            by_name[table.name] = table.linked_by(column)
    for table in tables:
        if by_name[table.name].patient is None:
            by_name[table.name] = _through(table, by_name)
    ready = [_other_ids_carried(table) for table in by_name.values()]
    return sorted(ready, key=lambda table: not table.is_main)


def _through(table: TableGuess, tables: Mapping[str, TableGuess]) -> TableGuess:
    """By the key of another table that leads to patients; as it is where there is none."""
    for parent in tables.values():
        if parent.patient is None or parent.name == table.name:
            continue
        for name, cells in parent.cells.items():
            same = next((one for one in table.columns if one == name), None)
            if same and cells.is_unique and shared(table.cells[same], cells) >= _LEADS:
                changed = replace(table.columns[same], kind="id", role="key", facts={}, notes=())
                return replace(table.with_columns(**{same: changed}), through=(parent.name, same))
    return table


def open_files(paths: Sequence[str]) -> list[SourceFile]:
    from pathlib import Path

    return [open_file(Path(path)) for path in paths]
