"""JSON lines as a source: one object a line, read for itself (privacy_rules.md 7).

A number keeps its text (1.10 is not 1.1), true and false are those words, null and an absent key
are missing. A nested object is a group of columns: `header: address.city` reads
{"address": {"city": ...}}. There is no header, so whether keys are as declared is a matter of each
row: a row with another key is at fault, and absent keys are counted.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pipeline.restricted.ingest import csv_lines, text_bytes
from pipeline.restricted.ingest.blocks import BROKEN_SCHEMA, Block, Counts
from pipeline.restricted.ingest.casting import owner_column
from pipeline.restricted.ingest.csv_lines import FOREIGN_ROW, LONG_ROW, Header
from pipeline.restricted.ingest.repairs import UNREADABLE
from pipeline.restricted.ingest.source_header import Source, headers, is_ignored
from pipeline.restricted.ingest.text_bytes import NOT_TEXT, ByteFile
from pipeline.schema.values import Table

NOT_JSON = "row is no JSON object"
TWICE = "row has a key twice"
UNDECLARED = "row has a key that is not declared"
ABSENT_KEY = "key is absent"
MOST_NAMES = 1000  # of undeclared keys, kept of one block
DEEPEST = 50  # groups within groups; what lies deeper is no column
_MARK = "\ufeff"
Pairs = list[tuple[str, Any]]


class _Number(str):
    """A number's own text."""


@dataclass
class _Rows:
    """Rows whose columns stand under the same names."""

    cells: list[list[str | None]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def open_json(table: Table, file: ByteFile) -> Source:
    """There is no header to check; an empty file is a table without rows."""
    positions = {name: index for index, name in enumerate(table.columns)}

    def rows(max_cell_bytes: int) -> Iterator[Block]:
        header = Header(tuple(positions), None, longest=max(1 << 20, 4 * max_cell_bytes))
        reader, line = _Reader(table), 1
        with text_bytes.utf8(file, table.encoding) as stream:
            for block in csv_lines.blocks(stream, header):
                yield from reader.blocks(block, header, line)
                line += block.count(b"\n")

    return Source(table, file.name, positions, frozenset(), rows)


class _Reader:
    """Lines of one table to rows of cells."""

    def __init__(self, table: Table):
        self._table, self._owner = table, owner_column(table)
        self._names = list(table.columns)
        # a name in the file -> (place of its column, whether it is an older name)
        self._places = {
            spelling: (place, spelling != headers(column)[0])
            for place, column in enumerate(table.columns.values())
            for spelling in headers(column)
        }
        self._groups = {
            ".".join(parts[:end])
            for parts in (spelling.split(".") for spelling in self._places)
            for end in range(1, len(parts))
        }
        self._has_decimal_mark = {
            place: column.decimal
            for place, column in enumerate(table.columns.values())
            if column.kind == "continuous" and column.decimal != "."
        }

    def blocks(self, block: bytes, header: Header, first: int) -> Iterator[Block]:
        """The rows of whole lines: one block for each set of columns under older names, and one
        with the rows at fault.
        """
        rows: dict[frozenset[str], _Rows] = defaultdict(_Rows)
        absent, undeclared = Counter[str](), Counter[str]()
        broken: list[tuple[str | None, str]] = []
        places: list[int] = []
        for number, line in enumerate(block.split(b"\n")[:-1], first):
            if not line.strip():
                continue
            cells, aliases, fault = self._row(line, header, undeclared)
            if fault is None:
                rows[aliases].cells.append([cells.get(place) for place in range(len(self._names))])
                rows[aliases].lines.append(number)
                absent.update(name for place, name in enumerate(self._names) if place not in cells)
            else:
                places.append(number)
                broken.append((self._owner_of(cells), fault))
        for aliases, some in rows.items():
            yield Block(self._frame(some), _broken([]), lines=np.array(some.lines), aliases=aliases)
        repaired: Counts = Counter({(name, ABSENT_KEY): n for name, n in absent.items()})
        yield Block(
            self._frame(_Rows()),
            _broken(broken),
            repaired,
            np.array([], np.int64),
            np.array(places, np.int64),
            names=dict(undeclared.most_common(MOST_NAMES)),
        )

    def _frame(self, rows: _Rows) -> pl.DataFrame:
        return pl.DataFrame(rows.cells, dict.fromkeys(self._names, pl.String), orient="row")

    def _owner_of(self, cells: dict[int, str | None]) -> str | None:
        return None if self._owner is None else cells.get(self._names.index(self._owner))

    def _row(
        self, line: bytes, header: Header, undeclared: Counter[str]
    ) -> tuple[dict[int, str | None], frozenset[str], str | None]:
        """The cells by place (as far as they can be read), the columns under older names, and
        what is wrong with the row (None: nothing).
        """
        if len(line) >= header.longest:
            return {}, frozenset(), LONG_ROW
        is_text = csv_lines.is_utf8(line) and NOT_TEXT.encode() not in line
        pairs = _object(line.decode(errors="replace").lstrip(_MARK))
        if pairs is None:
            return {}, frozenset(), NOT_JSON if is_text else FOREIGN_ROW
        cells: dict[int, str | None] = {}
        aliases: set[str] = set()
        fault = None if is_text else FOREIGN_ROW
        twice: set[int] = set()
        for name, value in self._leaves(pairs, ()):
            place, is_alias = self._places.get(name.casefold(), (None, False))
            if place is None:
                if not is_ignored(name, self._table):
                    undeclared[name] += 1
                    fault = fault or UNDECLARED
                continue
            if place in cells:
                twice.add(place)
                fault = fault or TWICE
            cells[place] = self._cell(place, value)
            if is_alias:
                aliases.add(self._names[place])
        # of two values under one key nobody can tell which is meant
        single = {place: cell for place, cell in cells.items() if place not in twice}
        return single if fault else cells, frozenset(aliases), fault

    def _leaves(self, pairs: Pairs, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """(dotted name, value) of everything that is no object. Of a declared group that is null,
        nothing: its columns are missing.
        """
        for key, value in pairs:
            path = (*above, key)
            is_group = isinstance(value, _Object) and len(path) <= DEEPEST
            if is_group and ".".join(path).casefold() not in self._places:
                yield from self._leaves(value.pairs, path)
            elif value is not None or ".".join(path).casefold() not in self._groups:
                yield ".".join(path), value

    def _cell(self, place: int, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, _Number):
            return value.replace(".", self._has_decimal_mark.get(place, "."))
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str) and "\0" not in value and _is_text(value):
            return value
        return f"{UNREADABLE}{type(value).__name__.strip('_').lower()}"


@dataclass(frozen=True)
class _Object:
    """A nested object with its keys in order, one that stands twice included."""

    pairs: Pairs


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object, parse_float=_Number, parse_int=_Number, parse_constant=_Number
)


def _object(text: str) -> Pairs | None:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value.pairs if isinstance(value, _Object) else None


def _is_text(value: str) -> bool:
    """Whether no half of a surrogate pair stands alone in it, which JSON can write."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken(rows: list[tuple[str | None, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, BROKEN_SCHEMA, orient="row")
