"""What a card says to a patient: the most that anybody could ever learn about him or her, from all
releases so far and from all there may ever be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ROUNDING = 1e-9  # of a count of people: far above that of floats, far below a person


def markdown(membership: Mapping[str, Any]) -> list[str]:
    """The section of the card."""
    return [
        "### What this means for one patient",
        "",
        *(line for sentence in membership["words"] for line in (sentence, "")),
    ]


def sentences(membership: Mapping[str, Any]) -> list[str]:
    """In words that a patient can follow, rounded against us. `membership`: its figures."""
    n_charges = sum(share["charges"] for share in membership["populations"])
    releases = (
        "the one release so far" if n_charges == 1 else f"all {n_charges} releases so far together"
    )
    first, *others = membership["so_far"]
    so_far = (
        "Suppose somebody suspects that you are among the patients from whose data this was made,"
        f" and tries to find out from {releases}, with everything else that he or she knows, and"
        f" wrongly suspects {_wrong(first)}. Of {_people(first):,} patients who are in the data he"
        f" or she then finds {_most(first)}. By guessing alone it would be 1."
    )
    more = "".join(
        f" Where only {_wrong(one)} is wrongly suspected, it is {_most(one)} of {_people(one):,}."
        for one in others
    )
    ever = "; ".join(
        f"{_most(one)} of {_people(one):,} where {_wrong(one)} is wrongly suspected"
        for one in membership["ceiling"]
    )
    return [
        so_far + more,
        "From all releases that there will ever be, if every budget is raised as far as it may be"
        f" and spent: {ever}. What this does not cover stands below.",
    ]


def _people(one: Mapping[str, float]) -> int:
    """How many people a sentence speaks of: so many that one of them is a false alarm."""
    return round(1 / one["false_alarm"])


def _wrong(one: Mapping[str, float]) -> str:
    return f"1 of {_people(one):,} people who are not in it"


def _most(one: Mapping[str, float]) -> str:
    return f"at most {math.ceil(_people(one) * one['found_at_most'] - ROUNDING):,}"
