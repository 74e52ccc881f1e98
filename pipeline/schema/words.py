"""What reports call columns, codes and events: titles from the declaration, labels from the public
code lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.schema.codes import lists
from pipeline.schema.values import Column, EventLog

MISSING = "Missing"


def column_title(column: Column) -> str:
    """ "Stage at diagnosis"; the name in words where the declaration has no title."""
    return column.title or in_words(column.name)


def event_title(log: EventLog, name: str) -> str:
    """ "Drug regimen" for SACT_REGIMEN."""
    kind = log.types.get(name)
    return (kind.title if kind is not None else None) or in_words(name)


def in_words(name: str) -> str:
    """A name as words: HEIGHT_AT_START becomes "Height at start"; mixed case stays."""
    words = name.replace("_", " ").strip()
    if words.isupper() and len(words) > 4:
        words = words.lower()
    return words[:1].upper() + words[1:]


def labels(column: Column) -> Mapping[str, str]:
    """{code: label} of every category, no label twice: where several codes share one, each has
    its code behind it.
    """
    names = lists.lookups().get(column.lookup or "", {})
    wording = {code: str(names.get(code, code)) for code in column.categories}
    times = Counter(wording.values())
    return {
        code: words if times[words] == 1 else f"{words} ({code})" for code, words in wording.items()
    }


def label(column: Column, code: str | None) -> str:
    """One value in words."""
    if code is None:
        return MISSING
    return labels(column).get(code, code)
