"""The counted tables of a log that declares none: chosen from the declaration, the declared size
and the noise to be expected, before a row is read (privacy_rules.md 6, 10).

Candidates stand in the order of their worth. One is taken if a cell holds on average at least as
many patients as its noise is large; of what a pathway cannot do without, a tenth is enough. Each
table makes the noise of all others larger, so that few are taken where the budget is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.encode import Codec
from pipeline.models.pathway.domain.fact_names import (
    CHANGE,
    LAST,
    NAMED_FACT,
    PAIR_TYPES,
    PAIR_WAITS,
    RANGE,
    RETURN,
    VALUE,
)
from pipeline.models.pathway.domain.value_ranges import is_ordered
from pipeline.schema.values import CountedTable

SizeOf = Callable[[str], int]
MOST_TABLES = 120
MOST_STATICS = 8
NEEDED, WORTH = 0.1, 1.0  # patients in a cell on average, in standard deviations of its noise


@dataclass(frozen=True)
class _Candidate:
    parts: tuple[str, ...]
    weight: float
    needed: bool = False
    needs: str | None = None  # a choice that another table must teach


def own_tables(
    coding: Coding, size_of: SizeOf, repeating: int | None, nominal_size: int, noise: float
) -> tuple[CountedTable, ...]:
    """The tables.

    size_of: number of values of a part; repeating: the type that may come most often within
    another. noise: standard deviation in a cell if there were one table only.
    """
    chosen: dict[tuple[str, ...], CountedTable] = {}
    total = 0.0
    for candidate in _candidates(coding, size_of, repeating):
        needs = candidate.needs
        if candidate.parts in chosen or len(chosen) == MOST_TABLES:
            continue
        if needs is not None and all(parts[-1] != needs for parts in chosen):
            continue
        sigma = noise * math.sqrt((total + candidate.weight) / candidate.weight)
        least = sigma * (NEEDED if candidate.needed else WORTH)
        if nominal_size / likely_cells(coding, size_of, candidate.parts) < least:
            continue
        chosen[candidate.parts] = CountedTable(parts=candidate.parts, weight=candidate.weight)
        total += candidate.weight
    return tuple(chosen.values())


def likely_cells(coding: Coding, size_of: SizeOf, parts: tuple[str, ...]) -> int:
    """Cells that patients may be in: without those for a value that none can lack."""
    return math.prod(max(_likely_size(coding, size_of, part, parts[-1]), 1) for part in parts)


def _likely_size(coding: Coding, size_of: SizeOf, part: str, choice: str) -> int:
    size = size_of(part)
    if coding.is_static(part):
        return size - (not coding.grammar.schema.patients[part].nullable)
    match = NAMED_FACT.fullmatch(part)
    if match is not None and match[1] == VALUE:
        return int(coding.attributes[coding.attribute_place(match[2])].legal.sum())
    carried = NAMED_FACT.fullmatch(choice)
    if part == "picked type" and carried is not None and carried[1] == VALUE:
        return int(coding.carries()[:, coding.attribute_place(carried[2])].sum())
    return size - 1 if part.startswith("picked") else size


def _candidates(coding: Coding, size_of: SizeOf, repeating: int | None) -> Iterator[_Candidate]:
    counts = _repeated(coding, repeating)
    yield from _of_pathways(coding, size_of, counts)
    yield from _of_choices(coding)
    strata, others = _statics(coding)
    for column in strata:
        yield from _by_static(coding, counts, column, 1.0)
    for attribute in coding.attributes:
        yield from _later(attribute)
    for kind in _coded(coding, 2):
        yield _Candidate((f"first {kind}", f"second {kind}"), 1.0, needs=f"first {kind}")
    yield from _beside(coding)
    for column in others:
        yield from _by_static(coding, counts, column, 0.5)


def _of_pathways(coding: Coding, size_of: SizeOf, counts: list[str]) -> Iterator[_Candidate]:
    """How many events, which next to which, how far apart, how it ends."""
    yield _Candidate(("length",), 2.0, needed=True)
    yield _Candidate(PAIR_TYPES, 2.0, needed=True)
    yield _Candidate(PAIR_WAITS, 2.0, needed=True)
    yield _Candidate(("survival", "end"), 2.0, needed=True)
    for kind in counts:
        yield _Candidate((f"{RETURN} {kind}",), 2.0, needed=True)
        yield _Candidate((f"count {kind}",), 1.0, needed=True)
    if size_of("others") > 1:
        yield _Candidate(("others",), 1.0)


def _of_choices(coding: Coding) -> Iterator[_Candidate]:
    """Codes and values by the type of their event."""
    for kind in _coded(coding):
        yield _Candidate((f"first {kind}",), 1.0, needed=True)
    for name in coding.attribute_names:
        yield _Candidate(("picked type", f"{VALUE} {name}"), 2.0, needed=True)


def _by_static(
    coding: Coding, counts: list[str], column: str, weight: float
) -> Iterator[_Candidate]:
    yield _Candidate((column, "survival", "end"), weight)
    yield _Candidate((column, "length"), weight)
    if coding.treatments:
        yield _Candidate((column, "combination"), weight)
        yield _Candidate((column, "wait"), weight)
    for kind in counts:
        yield _Candidate((column, f"count {kind}"), weight)
    for kind in _coded(coding):
        yield _Candidate((column, f"first {kind}"), weight)
    for name in coding.attribute_names:
        yield _Candidate((column, f"{VALUE} {name}"), weight)


def _later(attribute: Codec) -> Iterator[_Candidate]:
    """A value by the last known one."""
    name = attribute.column.name
    if not is_ordered(attribute):
        yield _Candidate((f"{LAST} {name}", f"{VALUE} {name}"), 1.0)
    else:
        yield _Candidate((f"{CHANGE} {name}",), 1.0, needs=f"{VALUE} {name}")


def _beside(coding: Coding) -> Iterator[_Candidate]:
    """A value by another one of the same event; neighbours in the declaration first."""
    codecs, carries = coding.attributes, coding.carries()
    for apart in range(1, len(codecs)):
        for place in range(apart, len(codecs)):
            first, second = codecs[place - apart], codecs[place]
            if (carries[:, place - apart] & carries[:, place]).any():
                kind = RANGE if first.is_numeric else VALUE
                parts = (f"{kind} {first.column.name}", f"{VALUE} {second.column.name}")
                yield _Candidate(parts, 1.0)


def _repeated(coding: Coding, repeating: int | None) -> list[str]:
    """Types whose number is counted: the treatments that may come more than once, and what comes
    most often within another type.
    """
    g = coding.grammar
    kinds = [t for t in coding.treatments if g.at_most[t] > 1]
    if repeating is not None:
        kinds.append(repeating)
    return [g.type_names[t] for t in dict.fromkeys(kinds)]


def _coded(coding: Coding, least: int = 1) -> list[str]:
    """Types with several codes of which a patient may have so many events."""
    g = coding.grammar
    return [
        name
        for t, (name, kind) in enumerate(g.log.types.items())
        if len(kind.codes) > 1 and g.at_most[t] >= least
    ]


def _statics(coding: Coding) -> tuple[list[str], list[str]]:
    """The static columns that the declaration names first: strata; identifiers and targets."""
    schema = coding.grammar.schema
    named = dict.fromkeys([*schema.strata, *schema.quasi_identifiers, *schema.targets])
    columns = [name for name in named if coding.is_static(name)][:MOST_STATICS]
    strata = [name for name in columns if name in schema.strata]
    return strata, [name for name in columns if name not in strata]
