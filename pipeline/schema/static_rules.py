"""What a declaration demands of a patient's static columns together, as conditions that tell who
breaks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import polars as pl

from pipeline.schema import legality
from pipeline.schema.values import Schema


def breaches(schema: Schema) -> Iterator[tuple[str, pl.Expr]]:
    """Each rule in words, with whether a row of static columns breaks it: bool, never null."""
    for rule in schema.implications:
        yield f"{rule.then} does not fit {rule.given}", legality.breaches(rule)
    for low, high in ((a, b) for chain in schema.order for a, b in combinations(chain, 2)):
        yield f"{low} is above {high}", (pl.col(low) > pl.col(high)).fill_null(False)
    for first, *copies in schema.equal:
        for copy in copies:
            yield f"{copy} is not {first}", pl.col(copy).ne_missing(pl.col(first))


def order_pairs(chains: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Every pair (low, high) that the chains order, also through a column that two of them share:
    whoever stands before others comes first. The chains have no circle.
    """
    above: dict[str, set[str]] = {name: set() for chain in chains for name in chain}
    for low, high in ((a, b) for chain in chains for a, b in combinations(chain, 2)):
        above[low].add(high)
    for middle in above:
        for highs in above.values():
            if middle in highs:
                highs |= above[middle]
    ranked = sorted(above, key=lambda name: -len(above[name]))
    return tuple((low, high) for low in ranked for high in ranked if high in above[low])
