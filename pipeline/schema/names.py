"""Which names a declaration may give, and which it may not because frames use them already.

Names become folders, files, columns, SQL views, options of the command line and keys of a model's
arrays. A column's spelling in the source is no name: `header:` holds what a CSV header can hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pipeline.schema.patient_log import ID

_LONGEST = 100
_SHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WORDS = re.compile(r"[^\W_](?:[\w .()\[\]+&%<>-]*[\w)\]+%])?")
_FILE = re.compile(r"[^\W_](?:[\w .()+-]*[\w)+])?")
_LINE = re.compile(r"[^\0\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")

SHORT_RULE = "1 to 64 of A-Z, a-z, 0-9, _ and -, the first a letter or digit"
WORDS_RULE = (
    "letters, digits, single blanks and _ - . ( ) [ ] + & % < >, the first a letter or digit,"
    f" without two dots in a row, {_LONGEST} at most"
)
# how a column is called that the source calls patient_id, so that ours may stand beside it
SOURCE_ID = f"source:{ID}"
# columns of every event log
OF_EVENTS = ("seq", "day", "type", "code")
# what counted tables can say of a pathway (docs/declarations.md)
FACTS = ("combination", "order", "wait", "survival", "end", "length", "others")
_FACTS_OF_ONE = (
    "count", "before", "after", "first", "second", "gap", "later gap", "value", "holder",
    "carrier", "again", "picked",
)  # fmt: skip


def within(name: str) -> str:
    """The name in our frames of a table's column; `patient_id` is that of our own column."""
    return SOURCE_ID if name == ID else name


def short_fault(name: Any) -> str | None:
    """What is wrong with the name of a dataset, population, cohort or table; None: nothing."""
    if isinstance(name, str) and _SHORT.fullmatch(name):
        return None
    return f"{name!r} is no name here: {SHORT_RULE}"


def file_fault(name: Any) -> str | None:
    """Of a table's `file`."""
    if isinstance(name, str) and name.casefold().startswith("sqlite_"):
        return f"{name!r} is no name of a table: SQLite keeps names that begin with sqlite_"
    if isinstance(name, str) and _fits(_FILE, name):
        return None
    return (
        f"{name!r} is no name of a file here: its name without folder and ending; letters, digits,"
        f" blanks and _ - . ( ) +, the first a letter or digit, {_LONGEST} at most"
    )


def words_fault(name: Any) -> str | None:
    """Of a column, an attribute, or a type of event."""
    if isinstance(name, str) and _fits(_WORDS, name):
        return None
    return f"{name!r} is no name here: {WORDS_RULE}"


def header_fault(header: Any) -> str | None:
    """Of a column's spelling in the source."""
    if isinstance(header, str) and _LINE.fullmatch(header):
        return None
    return f"{header!r} cannot stand in one line of a file: no line break, no NUL"


def column_fault(name: Any) -> str | None:
    """Of a table's column. `patient_id` is a good one."""
    fault = words_fault(name)
    return fault and f"{fault}. Give it such a name, and the file's spelling as its `header:`"


def static_fault(name: str, *, has_events: bool) -> str | None:
    """Of a column that stands beside `patient_id`, and in a dataset with events beside those."""
    ours = (ID, *(OF_EVENTS if has_events else ()))
    if name in ours or (has_events and _is_fact(name)):
        return (
            f"{name!r} is a name of our own: {', '.join(ours)}"
            + (", and the facts of counted tables" if has_events else "")
            + f". Name it otherwise, such as {name.replace(' ', '_')}_in_source, with `header:"
            f" {name}`"
        )
    return None


def _is_fact(name: str) -> bool:
    return name in FACTS or name.startswith(tuple(f"{fact} " for fact in _FACTS_OF_ONE))


def _fits(pattern: re.Pattern[str], name: str) -> bool:
    return bool(
        len(name) <= _LONGEST and pattern.fullmatch(name) and ".." not in name and "  " not in name
    )


def path_faults(dataset: Any, tables: Iterable[tuple[Any, Any]]) -> list[str]:
    """What is wrong with those names of a declaration that become paths: the dataset's, and of each
    table its name and file.
    """
    faults = [short_fault(dataset)]
    for name, file in tables:
        faults += [short_fault(name), file_fault(file)]
    return [fault for fault in faults if fault]
