"""A source of one table with its header understood: which declared column stands where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import csv_header
from pipeline.restricted.ingest.blocks import Block
from pipeline.schema.values import Column, Table


@dataclass(frozen=True)
class Source:
    """One table of a source. `name`: as messages and the account call it. `positions`: declared
    column -> field. `aliases`: columns found under an older name. `rows`: hands out the rows; its
    argument is the longest cell in bytes.
    """

    table: Table
    name: str
    positions: dict[str, int]
    aliases: frozenset[str]
    rows: Callable[[int], Iterator[Block]]


def places(table: Table, name: str, fields: Sequence[str]) -> tuple[dict[str, int], frozenset[str]]:
    """`positions` and `aliases` of a header. Raises Refusal for one that is not as declared."""
    index_of = {field.casefold(): index for index, field in reversed(list(enumerate(fields)))}
    if len(index_of) < len(fields):
        _refuse_twice(table, name, fields)
    positions, aliases, missing = {}, set(), []
    for column in table.columns.values():
        names = headers(column)
        place = next((one for one in names if one in index_of), None)
        if place is None:
            missing.append(column.header or column.name)
            continue
        positions[column.name] = index_of[place]
        if place != names[0]:
            aliases.add(column.name)
    used = set(positions.values())
    extra = [
        field
        for index, field in enumerate(fields)
        if index not in used and not is_ignored(field, table)
    ]
    _refuse_other_columns(table, name, fields, missing, extra)
    return positions, frozenset(aliases)


def headers(column: Column) -> list[str]:
    """The names under which a source may have a column, its own first; case does not count."""
    return [name.casefold() for name in (column.header or column.name, *column.aliases)]


def is_ignored(field: str, table: Table) -> bool:
    """Whether a field, or a group that it lies in (`address` of `address.city`), is not read."""
    parts = field.casefold().split(".")
    groups = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return any(name.casefold() in groups for name in table.ignore)


def _refuse_twice(table: Table, name: str, fields: Sequence[str]) -> None:
    """Names declared columns only: the first line of a file without a header is a patient's row."""
    times = Counter(field.casefold() for field in fields)
    declared_names = {one for column in table.columns.values() for one in headers(column)}
    twice = ", ".join(
        sorted(
            {
                field
                for field in fields
                if times[field.casefold()] > 1 and field.casefold() in declared_names
            }
        )
    )
    raise Refusal(
        f"{name}: column(s) {twice or 'that are not declared'} stand twice in the header."
    )


def _refuse_other_columns(
    table: Table, name: str, fields: Sequence[str], missing: list[str], extra: list[str]
) -> None:
    if missing:
        hint = csv_header.separator_hint(fields, table)
        raise Refusal(
            f"{name}: missing column(s) {', '.join(missing)} of table {table.name}.{hint}"
            " Older names go under `aliases:`."
        )
    if extra:
        raise Refusal(
            f"{name}: undeclared column(s) {', '.join(extra)} in table {table.name}. Declare"
            " them, or list them under `ignore:`."
        )
