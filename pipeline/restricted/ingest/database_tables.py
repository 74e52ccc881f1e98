"""Which table of a database is which declared table: the one with the name of its `file`."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.refusal import Refusal
from pipeline.schema.values import Schema, Table

Place = tuple[str, str]  # a database's schema, and a table in it


def chosen_tables(
    schema: Schema, name: str, in_database: Iterable[Place], first: str | None
) -> dict[str, Place]:
    """The place of each declared table in the database `name`. Upper and lower case do not count
    where nothing else has the name. A `file` with a point is `schema.table`; a plain one is looked
    for in the database's schema `first`, then in all.

    Raises Refusal naming every table that is missing, or one that could be two.
    """
    places = list(in_database)
    place_of = {key: _place(table, name, places, first) for key, table in schema.tables.items()}
    missing = [
        schema.tables[key].file
        for key, place in place_of.items()
        if place is None and schema.tables[key].required
    ]
    if missing:
        raise Refusal(
            f"{name}: missing table(s) {', '.join(missing)}: the database has none of that name"
            " that this account may read. Correct `file:` in the declaration."
        )
    return {key: place for key, place in place_of.items() if place is not None}


def _place(table: Table, name: str, places: list[Place], first: str | None) -> Place | None:
    file = table.file
    dotted = {f"{folder}.{inside}": (folder, inside) for folder, inside in places}
    if file in dotted:
        return dotted[file]
    plain = [place for place in places if place[1].casefold() == file.casefold()]
    plain = plain or [dotted[one] for one in dotted if one.casefold() == file.casefold()]
    nearest = (
        [place for place in plain if place == (first, file)],
        [place for place in plain if place[0] == first],
        [place for place in plain if place[1] == file],
        plain,
    )
    matches = next((some for some in nearest if some), [])
    if len(matches) > 1:
        raise Refusal(
            f"table {table.name}: {name} has more than one for it:"
            f" {', '.join('.'.join(place) for place in matches)}. Declare `file: SCHEMA.TABLE`."
        )
    return matches[0] if matches else None
