"""Names of facts that take a type's or an attribute's name, such as `first TYPE` (facts.py explains
each), and groups of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline.refusal import Refusal

# of attributes, at the picked event (picked.py): its value, the range of that, the last known value
# before it, how far it is from that
VALUE, RANGE, LAST, CHANGE = "picked value", "picked range", "picked last", "picked change"
NAMED_FACT = re.compile(
    r"(count|gap|later gap|before|after|first|second|value|again|holder|carrier"
    r"|picked return|picked value|picked range|picked last|picked change) (.+)"
)
# tables that the network is given (given.py): pairs of events next to each other, returns of a type
PAIR_TYPES = ("picked before", "picked after")
PAIR_WAITS = ("picked after", "picked wait")
RETURN = "picked return"
OF_PICKED = (VALUE, RANGE, LAST, CHANGE)
OF_ATTRIBUTES = ("value", "again", "holder", "carrier", *OF_PICKED)
# facts that a counted head chooses
CHOICES = ("first", "second", "value", "again", VALUE, CHANGE)
LATER = ("second", "again")  # of these, those at a second event
# facts about rhythm: which of the waits between such events next to each other
GAPS = {"gap": 1, "later gap": 5}


def counted_choices(tables: Iterable[Sequence[str]]) -> frozenset[str]:
    """Types and attributes whose codes or values a counted table, by its parts, counts: heads come
    from these counts, the network does not learn them.
    """
    matches = (NAMED_FACT.fullmatch(parts[-1]) for parts in tables)
    return frozenset(match[2] for match in matches if match and match[1] in CHOICES)


def returning(tables: Iterable[Sequence[str]], types: Sequence[str]) -> tuple[int, ...]:
    """The types whose returns a table counts alone, ascending."""
    matches = (NAMED_FACT.fullmatch(parts[0]) for parts in tables if len(parts) == 1)
    names = {match[2] for match in matches if match and match[1] == RETURN}
    return tuple(t for t, name in enumerate(types) if name in names)


def parse_fact(fact: str, types: Sequence[str], attributes: Sequence[str]) -> tuple[str, str]:
    """("first", its type) and the like. Raises Refusal where there is no such type or
    attribute.
    """
    match = NAMED_FACT.fullmatch(fact)
    names: Sequence[str] = ()
    if match:
        names = attributes if match[1] in OF_ATTRIBUTES else types
    if match is None or match[2] not in names:
        raise Refusal(
            f"events.counted: {fact!r} is neither a static column nor a fact about pathways (see"
            " docs/declarations.md)"
        )
    return match[1], match[2]
