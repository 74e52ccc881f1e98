"""Whether a column is one of the project's public code lists, by name and values."""

from __future__ import annotations

import re

from pipeline.restricted.draft.cells import Cells
from pipeline.schema import code_relations
from pipeline.schema.codes import lists


def public_list(header: str, cells: Cells) -> str | None:
    """A code list of the project that is called after the column and has all of its values."""
    word = re.sub(r"[^a-z0-9]|codes?$", "", header.casefold())
    for name in lists.lookups():
        if name.replace("_", "") == word and not cells.has_more:
            return name if set(cells.texts) <= set(code_relations.categories(name)) else None
    return None


def list_notes(header: str, cells: Cells) -> tuple[str, ...]:
    """The name of the code list that the column is, for a person to look up."""
    listing = public_list(header, cells)
    if listing is None:
        return ()
    return (
        f"every value is in the public list `{listing}` of datasets/codes: with `kind: categorical`"
        f" and `categories_from: {listing}` nothing is left to replace",
    )
