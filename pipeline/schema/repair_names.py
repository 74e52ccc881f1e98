"""The repairs that a declaration may name; what each does is in pipeline/restricted/ingest/."""

from __future__ import annotations

import re

OF_CELLS = (
    "sentinel_to_missing",
    "strip_m",
    "first_letter",
    "quintile_2015",
    "quintile_v1",
    "leading_zero",
    "yes_or_no",
    "unknown_to_missing",
    "out_of_bounds_to_missing",
    "trailing_dot",
)
WITH_ARGUMENT = ("fill", "replace")
OF_PATIENTS = ("align_to_origin", "not_before_origin", "end_after_rows")
CALL = re.compile(r"(\w+)\((.*)\)")


def repair_fault(name: str) -> str | None:
    """What is wrong with the name of a repair; None: nothing."""
    if name in OF_CELLS or name in OF_PATIENTS:
        return None
    call = CALL.fullmatch(name)
    if call is None or call[1] not in WITH_ARGUMENT:
        names = ", ".join([*OF_CELLS, *(f"{n}(...)" for n in WITH_ARGUMENT), *OF_PATIENTS])
        return f"there is no repair named {name!r}; known are {names}"
    if call[1] == "replace" and not call[2].partition("=")[0]:
        return f"{name!r}: write replace(old=new)"
    return None


def filled_value(name: str) -> str | None:
    """The value that `fill(value)` or `replace(old=value)` writes; None for other repairs."""
    call = CALL.fullmatch(name)
    if call is None or call[1] not in WITH_ARGUMENT:
        return None
    return call[2] if call[1] == "fill" else call[2].partition("=")[2]


def replaced_value(name: str) -> str | None:
    """The value that `replace(value=new)` takes away; None for other repairs."""
    call = CALL.fullmatch(name)
    return call[2].partition("=")[0] if call is not None and call[1] == "replace" else None
