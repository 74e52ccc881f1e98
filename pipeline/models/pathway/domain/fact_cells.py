"""What the values of a fact about whole pathways stand for, in words or as ranges of days and
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pipeline.models.noisy_tables import Cell
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.encode import Codec
from pipeline.models.pathway.domain.fact_names import (
    GAPS,
    LAST,
    OF_PICKED,
    RANGE,
    RETURN,
    VALUE,
    parse_fact,
)
from pipeline.models.pathway.domain.facts import (
    COUNT_EDGES,
    LENGTH_EDGES,
    ORDERED,
    SURVIVAL_EDGES,
    WAIT_EDGES,
    other_types,
)
from pipeline.models.pathway.domain.value_ranges import (
    change_size,
    is_ordered,
    range_size,
    ranges,
)

NONE = "none"  # of a fact that a pathway does not have
_LONGEST = 36_525.0  # days: a hundred years, the end of an open range


def part_cells(coding: Coding, part: str) -> tuple[Cell, ...]:
    """Of each value of a static column or a fact, in the order of its codes."""
    if coding.is_static(part):
        return codec_cells(coding.static_codec(part))
    return _fact_cells(coding, part)


def codec_cells(codec: Codec) -> tuple[Cell, ...]:
    """Of each code: missing, then categories, or atoms and bins."""
    missing = Cell((None,))
    if not codec.is_numeric:
        return (missing, *(Cell((category,)) for category in codec.column.categories))
    grain = 10.0**-codec.column.decimals
    atoms = [Cell(low=atom, high=atom) for atom in codec.column.atoms]
    bins = [
        Cell(low=low, high=round(high - (grain if high < codec.edges[-1] else 0), 9))
        for low, high in pairwise(codec.edges)
    ]
    return (missing, *atoms, *bins)


def _fact_cells(coding: Coding, fact: str) -> tuple[Cell, ...]:
    g = coding.grammar
    names = g.type_names
    ends = [names[t] for t in np.flatnonzero(g.terminal)]
    treatments = [names[t] for t in coding.treatments]
    plain = {
        "combination": lambda: _subsets(treatments),
        "order": lambda: _orders(treatments),
        "length": lambda: _ranges(LENGTH_EDGES),
        "survival": lambda: _ranges(SURVIVAL_EDGES),
        "end": lambda: _named([NONE, *ends]),
        "wait": lambda: (*_ranges(WAIT_EDGES), Cell((NONE,))),
        "others": lambda: _subsets([names[t] for t in other_types(coding)]),
        "picked type": lambda: _named([NONE, *names]),
        "picked before": lambda: _named([NONE, *names]),
        "picked after": lambda: _named([NONE, *names]),
        "picked wait": lambda: _waits(coding),
    }
    if fact in plain:
        return plain[fact]()
    kind, name = parse_fact(fact, coding.grammar.type_names, coding.attribute_names)
    if kind == "count":
        return _ranges(COUNT_EDGES)
    if kind in ("before", "after"):
        return _named([NONE, *names])
    if kind in (*GAPS, RETURN):
        return _waits(coding)
    if kind in OF_PICKED:
        return _picked_cells(coding.attributes[coding.attribute_place(name)], kind)
    if kind == "holder":
        place = coding.attribute_place(name)
        return _named([NONE, *(_token(coding, token) for token in coding.holders(place))])
    if kind == "carrier":
        return _named([NONE, *names])
    if kind in ("value", "again"):
        cells = codec_cells(coding.attributes[coding.attribute_place(name)])
        return (Cell((NONE,)), *cells)
    tokens = coding.tokens_of(names.index(name))
    return _named([NONE, *(_token(coding, token) for token in tokens)])


def _waits(coding: Coding) -> tuple[Cell, ...]:
    edges = coding.gaps.edges
    return (Cell((NONE,)), *_ranges(np.array(edges), float(coding.gaps.longest)))


def _picked_cells(codec: Codec, kind: str) -> tuple[Cell, ...]:
    cells = codec_cells(codec)
    if kind == LAST:
        return (Cell((NONE,)), *cells[1:])
    if kind == VALUE:
        return (Cell((NONE,)), *cells)
    if kind == RANGE:
        groups = ranges(codec)
        bounds = [np.flatnonzero(groups == group)[[0, -1]] for group in range(range_size(codec))]
        return (
            Cell((NONE,)),
            *(
                cells[first] if first == last else Cell(low=cells[first].low, high=cells[last].high)
                for first, last in bounds
            ),
        )
    if not is_ordered(codec):
        return _named([NONE, "the same", "another"])
    most = change_size(codec) // 2
    return _named([NONE, *(f"{step:+d} steps" for step in range(-most, most + 1))])


def _token(coding: Coding, token: int) -> str:
    """A code, or the type of an event without codes."""
    kind = coding.grammar.type_names[coding.grammar.token_type[token]]
    code = coding.grammar.tokens[int(token)][1]
    return kind if code is None else code


def _named(names: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(Cell((name,)) for name in names)


def _subsets(names: Sequence[str]) -> tuple[Cell, ...]:
    """By the bits of the value."""
    subsets = [
        [name for bit, name in enumerate(names) if value >> bit & 1]
        for value in range(2 ** len(names))
    ]
    return _named([" + ".join(subset) or NONE for subset in subsets])


def _orders(names: Sequence[str]) -> tuple[Cell, ...]:
    """The first three, each a digit to the base of one more than there are names."""
    base = len(names) + 1
    texts = []
    for value in range(base**ORDERED):
        digits = [value // base**place % base for place in range(ORDERED)]
        texts.append(", ".join(names[d - 1] for d in digits if d) or NONE)
    return _named(texts)


def _ranges(edges: np.ndarray, last: float = _LONGEST) -> tuple[Cell, ...]:
    """From each edge to the one below the next."""
    highs = [*(float(edge) - 1 for edge in edges[1:]), max(last, float(edges[-1]))]
    return tuple(Cell(low=float(low), high=high) for low, high in zip(edges, highs, strict=True))
