"""Names of facts that take a type's or an attribute's name, such as `first TYPE` (facts.py explains
each), and groups of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.schema.values import CountedTable

NAMED_FACT = re.compile(
    r"(count|gap|later gap|before|after|first|second|value|again|holder|carrier) (.+)"
)
OF_ATTRIBUTES = ("value", "again", "holder", "carrier")
CHOICES = ("first", "second", "value", "again")  # facts that a counted head chooses
LATER = ("second", "again")  # of these, those at a second event
# facts about rhythm: which of the waits between such events next to each other
GAPS = {"gap": 1, "later gap": 5}


def counted_choices(tables: Iterable[CountedTable]) -> frozenset[str]:
    """Types and attributes whose codes or values a table counts: heads come from these counts, the
    network does not learn them.
    """
    matches = (NAMED_FACT.fullmatch(table.parts[-1]) for table in tables)
    return frozenset(match[2] for match in matches if match and match[1] in CHOICES)
