"""Facts about whole pathways, one value per patient: what calibration tables are made of.

Names of facts, as a declaration's `events.counted` gives them: `length`, `survival`, `end`,
`combination` and `order` of treatments, `wait` for the first treatment, `others`; `count TYPE`;
`before TYPE` and `after TYPE` (types of the events next to the first such event); `first TYPE` and
`second TYPE` (codes of these events); `gap TYPE` and `later gap TYPE` (the first and the fifth wait
between such events next to each other, within the first context that they need); `value ATTRIBUTE`,
`holder ATTRIBUTE` and `carrier ATTRIBUTE` (value, token and type of the first event that carries
it), `again ATTRIBUTE` (value at the second). Anything else names a static column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.models.pathway.domain.state import Coding
from pipeline.refusal import Refusal
from pipeline.schema.values import CountedTable

LENGTH_EDGES = np.array([0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 45, 70])  # events
# days from the anchor to the end; few, because noise adds up along a curve
SURVIVAL_EDGES = np.array([0, 31, 183, 366, 731, 1096, 1827])
# days from the anchor to the first treatment
WAIT_EDGES = np.array([-31, 0, 1, 8, 15, 22, 29, 36, 43, 50, 57, 64, 78, 92, 122, 183])
COUNT_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 22, 30, 45, 70])  # events of a type
MOST_TREATMENTS = 5
MOST_OTHERS = 6
ORDERED = 3  # treatments whose order is told
OF_A_NAME = re.compile(
    r"(count|gap|later gap|before|after|first|second|value|again|holder|carrier) (.+)"
)
OF_ATTRIBUTES = ("value", "again", "holder", "carrier")
CHOICES = ("first", "second", "value", "again")  # facts that a counted head chooses
LATER = ("second", "again")  # of these, those at a second event
# facts about rhythm: which of the waits between such events next to each other
GAPS = {"gap": 1, "later gap": 5}


@dataclass(frozen=True, eq=False)
class Pathways:
    """n pathways as flat events in order: owner [r] ascending in [0, n), token [r], day [r],
    attributes [r, A] with -1 for none.
    """

    n: int
    owner: np.ndarray
    token: np.ndarray
    day: np.ndarray
    attributes: np.ndarray


def treatments(coding: Coding) -> list[int]:
    """The types declared as treatments; else the free-standing ones that may come more than once,
    the first five.
    """
    g = coding.grammar
    if g.log.treatments:
        return [g.type_names.index(name) for name in g.log.treatments]
    free = ~g.terminal & ~g.needs_open.any(1) & (g.at_most > 1)
    return [int(t) for t in np.flatnonzero(free)][:MOST_TREATMENTS]


def fact_size(coding: Coding, fact: str) -> int:
    """Number of its values. Raises ValueError for a name that is no fact."""
    g = coding.grammar
    plain = {
        "combination": 2 ** len(treatments(coding)),
        "order": (len(treatments(coding)) + 1) ** ORDERED,
        "length": len(LENGTH_EDGES),
        "survival": len(SURVIVAL_EDGES),
        "end": int(g.terminal.sum()) + 1,
        "wait": len(WAIT_EDGES) + 1,
        "others": 2 ** len(_other_types(coding)),
    }
    if fact in plain:
        return plain[fact]
    kind, name = parsed(coding, fact)
    if kind not in OF_ATTRIBUTES:
        codes = len(codes_of(coding, g.type_names.index(name)))
        waits = dict.fromkeys(GAPS, 1 + len(coding.gaps.edges))
        return {
            **waits,
            "count": len(COUNT_EDGES),
            "before": 1 + g.n_types,
            "after": 1 + g.n_types,
        }.get(kind, 1 + codes)
    place = attribute_place(coding, name)
    return 1 + {"holder": len(holders(coding, place)), "carrier": g.n_types}.get(
        kind, coding.attributes[place].size
    )


def parsed(coding: Coding, fact: str) -> tuple[str, str]:
    """("first", its type) and the like. Raises ValueError where there is no such type or
    attribute.
    """
    found = OF_A_NAME.fullmatch(fact)
    g = coding.grammar
    known = (
        ([c.column.name for c in coding.attributes] if found[1] in OF_ATTRIBUTES else g.type_names)
        if found
        else []
    )
    if found is None or found[2] not in known:
        raise Refusal(
            f"events.counted: {fact!r} is neither a static column nor a fact about pathways (see"
            " docs/declarations.md)"
        )
    return found[1], found[2]


def fact_values(coding: Coding, fact: str, pathways: Pathways) -> np.ndarray:
    """int64 [n] in [0, fact_size)."""
    g, p = coding.grammar, pathways
    kind = g.token_type[p.token]
    if fact in _PLAIN:
        return _PLAIN[fact](coding, p, kind)
    what, name = parsed(coding, fact)
    if what not in OF_ATTRIBUTES:
        return _of_type(coding, what, g.type_names.index(name), p, kind)
    place = attribute_place(coding, name)
    carries = coding.carries()[kind, place]
    values = {"holder": np.searchsorted(holders(coding, place), p.token), "carrier": kind}.get(
        what, p.attributes[:, place]
    )
    return _of_first(p, carries, values, skip=int(what in LATER))


def counted_choices(tables: Iterable[CountedTable]) -> frozenset[str]:
    """Types and attributes whose codes or values a table counts: heads come from these counts, the
    network does not learn them.
    """
    found = (OF_A_NAME.fullmatch(table.parts[-1]) for table in tables)
    return frozenset(match[2] for match in found if match and match[1] in CHOICES)


def before_rows(p: Pathways, kind: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """1 + the type of the event before each of these rows, 0 before the first event."""
    return np.where(numbered(p.owner)[rows] > 0, 1 + kind[rows - 1], 0).astype(np.int64)


def _of_type(coding: Coding, what: str, t: int, p: Pathways, kind: np.ndarray) -> np.ndarray:
    mine = kind == t
    if what == "count":
        return _binned(np.bincount(p.owner[mine], minlength=p.n), COUNT_EDGES)
    if what == "before":
        # _of_first adds 1: an opening event has none
        values = before_rows(p, kind, np.arange(len(kind))) - 1
    elif what == "after":
        values = np.append(np.where(p.owner[1:] == p.owner[:-1], kind[1:], -1), -1)[: len(kind)]
    elif what in GAPS:
        again = mine & np.append(False, mine[:-1] & (p.owner[1:] == p.owner[:-1]))[: len(kind)]
        for o in np.flatnonzero(coding.grammar.needs_open[t]):
            opened = np.cumsum(kind == coding.grammar.openers[o])
            # of the pathways before
            before = np.append(0, opened)[np.searchsorted(p.owner, p.owner)]
            again &= opened - before == 1
        return _of_first(
            p, again, coding.gaps.encode(np.diff(p.day, prepend=0).clip(0)), skip=GAPS[what] - 1
        )
    else:
        values = p.token - codes_of(coding, t)[0]
    return _of_first(p, mine, values, skip=int(what == "second"))


def attribute_place(coding: Coding, name: str) -> int:
    return [c.column.name for c in coding.attributes].index(name)


def holders(coding: Coding, place: int) -> np.ndarray:
    """Tokens that carry the attribute, ascending."""
    return np.flatnonzero(coding.carries()[coding.grammar.token_type, place])


def codes_of(coding: Coding, t: int) -> np.ndarray:
    """Tokens of a type, ascending."""
    return np.flatnonzero(coding.grammar.token_type == t)


def repeating_type(coding: Coding) -> int | None:
    """The type that may come most often within another, as cycles do within a regimen."""
    g = coding.grammar
    within = [t for t in range(g.n_types) if g.needs_open[t].any() and not g.closes[t].any()]
    return max(within, key=lambda t: int(g.at_most[t]), default=None)


def numbered(owner: np.ndarray) -> np.ndarray:
    """Which one of its owner's each row is, from 0. owner [r] ascending."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def _of_first(p: Pathways, mine: np.ndarray, values: np.ndarray, skip: int = 0) -> np.ndarray:
    """1 + the value at each pathway's first (second, ...) row of `mine`, 0 where it has none."""
    rows = np.flatnonzero(mine)
    rows = rows[numbered(p.owner[rows]) == skip]
    found = np.zeros(p.n, np.int64)
    found[p.owner[rows]] = 1 + values[rows].astype(np.int64)
    return found


def _seen(types: Sequence[int], p: Pathways, kind: np.ndarray) -> np.ndarray:
    """Which of these types each pathway has, as bits, [n]."""
    bits = np.zeros(p.n, np.int64)
    for bit, t in enumerate(types):
        bits |= (np.bincount(p.owner[kind == t], minlength=p.n) > 0).astype(np.int64) << bit
    return bits


def _other_types(coding: Coding) -> list[int]:
    """The types that are no treatment, no end and not in every pathway, the first six declared."""
    g = coding.grammar
    return [
        t
        for t in range(g.n_types)
        if not g.terminal[t] and t != g.anchor and t not in treatments(coding)
    ][:MOST_OTHERS]


def _first_day(coding: Coding, p: Pathways) -> np.ndarray:
    """[n] the anchor's day, which is 0, or that of the first event."""
    found = np.zeros(p.n, np.int64)
    if coding.grammar.anchor is None:
        opening = np.flatnonzero(numbered(p.owner) == 0)
        found[p.owner[opening]] = p.day[opening]
    return found


def _last_rows(p: Pathways) -> np.ndarray:
    return np.flatnonzero(np.append(p.owner[1:] != p.owner[:-1], True)[: len(p.owner)])


def _survival(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    last = np.zeros(p.n, np.int64)
    rows = _last_rows(p)
    last[p.owner[rows]] = p.day[rows]
    return _binned(last - _first_day(coding, p), SURVIVAL_EDGES)


def _end(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    # 1.. for terminal types, 0 else
    number = np.cumsum(coding.grammar.terminal) * coding.grammar.terminal
    found = np.zeros(p.n, np.int64)
    rows = _last_rows(p)
    found[p.owner[rows]] = number[kind[rows]]
    return found


def _wait(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    who, where = np.unique(
        p.owner[(rows := np.flatnonzero(np.isin(kind, treatments(coding))))], return_index=True
    )
    found = np.full(p.n, len(WAIT_EDGES), np.int64)
    found[who] = _binned(p.day[rows[where]] - _first_day(coding, p)[who], WAIT_EDGES)
    return found


def _order(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    """The first three treatments in order, 0 for none."""
    types = treatments(coding)
    place = np.zeros(coding.grammar.n_types, np.int64)
    place[types] = np.arange(1, len(types) + 1)
    rows = np.flatnonzero(place[kind] > 0)
    number = numbered(p.owner[rows])
    found = np.zeros(p.n, np.int64)
    for i in range(ORDERED):
        mine = rows[number == i]
        found[p.owner[mine]] += place[kind[mine]] * (len(types) + 1) ** i
    return found


def _binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return (np.searchsorted(edges, values, side="right") - 1).clip(0).astype(np.int64)


_Fact = Callable[[Coding, Pathways, np.ndarray], np.ndarray]  # kind [r]: the events' types
_PLAIN: dict[str, _Fact] = {
    "combination": lambda coding, p, kind: _seen(treatments(coding), p, kind),
    "order": _order,
    "wait": _wait,
    "survival": _survival,
    "end": _end,
    "others": lambda coding, p, kind: _seen(_other_types(coding), p, kind),
    "length": lambda coding, p, kind: _binned(np.bincount(p.owner, minlength=p.n), LENGTH_EDGES),
}
