"""Facts about whole pathways, one value per patient: what calibration tables are made of.

Names of facts, as a declaration's `events.counted` gives them: `length`, `survival`, `end`,
`combination` and `order` of treatments, `wait` for the first treatment, `others`; `count TYPE`;
`before TYPE` and `after TYPE` (types of the events next to the first such event); `first TYPE` and
`second TYPE` (codes of these events); `gap TYPE` and `later gap TYPE` (the first and the fifth wait
between such events next to each other, within the first context that they need); `value ATTRIBUTE`,
`holder ATTRIBUTE` and `carrier ATTRIBUTE` (value, token and type of the first event that carries
it), `again ATTRIBUTE` (value at the second). Facts that begin with `picked` are in
picked.py. Anything else names a static column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import (
    GAPS,
    LATER,
    OF_ATTRIBUTES,
    parse_fact,
)
from pipeline.models.pathway.domain.pathways import Pathways, positions, types_before

LENGTH_EDGES = np.array([0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 45, 70])  # events
# days from the anchor to the end; few, because noise adds up along a curve
SURVIVAL_EDGES = np.array([0, 31, 183, 366, 731, 1096, 1827])
# days from the anchor to the first treatment
WAIT_EDGES = np.array([-31, 0, 1, 8, 15, 22, 29, 36, 43, 50, 57, 64, 78, 92, 122, 183])
COUNT_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 22, 30, 45, 70])  # events of a type
MOST_OTHERS = 6
ORDERED = 3  # treatments whose order counts


def fact_size(coding: Coding, fact: str) -> int:
    """Number of its values. Raises Refusal for a name that is no fact."""
    g = coding.grammar
    plain = {
        "combination": 2 ** len(coding.treatments),
        "order": (len(coding.treatments) + 1) ** ORDERED,
        "length": len(LENGTH_EDGES),
        "survival": len(SURVIVAL_EDGES),
        "end": int(g.terminal.sum()) + 1,
        "wait": len(WAIT_EDGES) + 1,
        "others": 2 ** len(other_types(coding)),
    }
    if fact in plain:
        return plain[fact]
    kind, name = parse_fact(fact, coding.grammar.type_names, coding.attribute_names)
    if kind not in OF_ATTRIBUTES:
        codes = len(coding.tokens_of(g.type_names.index(name)))
        waits = dict.fromkeys(GAPS, 1 + len(coding.gaps.edges))
        return {
            **waits,
            "count": len(COUNT_EDGES),
            "before": 1 + g.n_types,
            "after": 1 + g.n_types,
        }.get(kind, 1 + codes)
    place = coding.attribute_place(name)
    return 1 + {"holder": len(coding.holders(place)), "carrier": g.n_types}.get(
        kind, coding.attributes[place].size
    )


def fact_values(coding: Coding, fact: str, pathways: Pathways) -> np.ndarray:
    """The fact of each pathway, int64 [n] in [0, fact_size). Raises Refusal for a name that is
    no fact.
    """
    g, p = coding.grammar, pathways
    kind = g.token_type[p.token]
    if fact in _PLAIN:
        return _PLAIN[fact](coding, p, kind)
    what, name = parse_fact(fact, coding.grammar.type_names, coding.attribute_names)
    if what not in OF_ATTRIBUTES:
        return _of_type(coding, what, g.type_names.index(name), p, kind)
    place = coding.attribute_place(name)
    carries = coding.carries()[kind, place]
    values = {"holder": np.searchsorted(coding.holders(place), p.token), "carrier": kind}.get(
        what, p.attributes[:, place]
    )
    return _of_first(p, carries, values, skip=int(what in LATER))


def _of_type(coding: Coding, what: str, t: int, p: Pathways, kind: np.ndarray) -> np.ndarray:
    of_type = kind == t
    if what == "count":
        return _bins(np.bincount(p.owner[of_type], minlength=p.n), COUNT_EDGES)
    if what == "before":
        # _of_first adds 1: an opening event has none
        values = types_before(p, kind, np.arange(len(kind))) - 1
    elif what == "after":
        values = np.append(np.where(p.owner[1:] == p.owner[:-1], kind[1:], -1), -1)[: len(kind)]
    elif what in GAPS:
        again = (
            of_type & np.append(False, of_type[:-1] & (p.owner[1:] == p.owner[:-1]))[: len(kind)]
        )
        for o in np.flatnonzero(coding.grammar.needs_open[t]):
            opened = np.cumsum(kind == coding.grammar.openers[o])
            # of the pathways before
            before = np.append(0, opened)[np.searchsorted(p.owner, p.owner)]
            again &= opened - before == 1
        return _of_first(
            p, again, coding.gaps.encode(np.diff(p.day, prepend=0).clip(0)), skip=GAPS[what] - 1
        )
    else:
        values = p.token - coding.tokens_of(t)[0]
    return _of_first(p, of_type, values, skip=int(what == "second"))


def repeating_type(coding: Coding) -> int | None:
    """The type that may come most often within another, as cycles do within a regimen."""
    g = coding.grammar
    within = [t for t in range(g.n_types) if g.needs_open[t].any() and not g.closes[t].any()]
    return max(within, key=lambda t: int(g.at_most[t]), default=None)


def _of_first(p: Pathways, mask: np.ndarray, values: np.ndarray, skip: int = 0) -> np.ndarray:
    """1 + the value at each pathway's first row in the mask [r], after `skip` of them, int64 [n]; 0
    where it has none. values [r].
    """
    rows = np.flatnonzero(mask)
    rows = rows[positions(p.owner[rows]) == skip]
    first = np.zeros(p.n, np.int64)
    first[p.owner[rows]] = 1 + values[rows].astype(np.int64)
    return first


def _type_bits(types: Sequence[int], p: Pathways, kind: np.ndarray) -> np.ndarray:
    """Which of these types each pathway has, as bits, [n]."""
    bits = np.zeros(p.n, np.int64)
    for bit, t in enumerate(types):
        bits |= (np.bincount(p.owner[kind == t], minlength=p.n) > 0).astype(np.int64) << bit
    return bits


def other_types(coding: Coding) -> list[int]:
    """The types that are no treatment, no end and not in every pathway, the first six declared."""
    g = coding.grammar
    return [
        t
        for t in range(g.n_types)
        if not g.terminal[t] and t != g.anchor and t not in coding.treatments
    ][:MOST_OTHERS]


def _first_day(coding: Coding, p: Pathways) -> np.ndarray:
    """[n] the anchor's day, which is 0, or that of the first event."""
    first = np.zeros(p.n, np.int64)
    if coding.grammar.anchor is None:
        opening = np.flatnonzero(positions(p.owner) == 0)
        first[p.owner[opening]] = p.day[opening]
    return first


def _last_rows(p: Pathways) -> np.ndarray:
    return np.flatnonzero(np.append(p.owner[1:] != p.owner[:-1], True)[: len(p.owner)])


def _survival(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    last = np.zeros(p.n, np.int64)
    rows = _last_rows(p)
    last[p.owner[rows]] = p.day[rows]
    return _bins(last - _first_day(coding, p), SURVIVAL_EDGES)


def _end(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    # 1.. for terminal types, 0 else
    number = np.cumsum(coding.grammar.terminal) * coding.grammar.terminal
    end = np.zeros(p.n, np.int64)
    rows = _last_rows(p)
    end[p.owner[rows]] = number[kind[rows]]
    return end


def _wait(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(np.isin(kind, coding.treatments))
    patients, first = np.unique(p.owner[rows], return_index=True)
    wait = np.full(p.n, len(WAIT_EDGES), np.int64)
    wait[patients] = _bins(p.day[rows[first]] - _first_day(coding, p)[patients], WAIT_EDGES)
    return wait


def _order(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    """The first three treatments in order, 0 for none."""
    types = coding.treatments
    place = np.zeros(coding.grammar.n_types, np.int64)
    place[types] = np.arange(1, len(types) + 1)
    rows = np.flatnonzero(place[kind] > 0)
    number = positions(p.owner[rows])
    order = np.zeros(p.n, np.int64)
    for i in range(ORDERED):
        nth = rows[number == i]
        order[p.owner[nth]] += place[kind[nth]] * (len(types) + 1) ** i
    return order


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return (np.searchsorted(edges, values, side="right") - 1).clip(0).astype(np.int64)


_Fact = Callable[[Coding, Pathways, np.ndarray], np.ndarray]  # kind [r]: the events' types
_PLAIN: dict[str, _Fact] = {
    "combination": lambda coding, p, kind: _type_bits(coding.treatments, p, kind),
    "order": _order,
    "wait": _wait,
    "survival": _survival,
    "end": _end,
    "others": lambda coding, p, kind: _type_bits(other_types(coding), p, kind),
    "length": lambda coding, p, kind: _bins(np.bincount(p.owner, minlength=p.n), LENGTH_EDGES),
}
