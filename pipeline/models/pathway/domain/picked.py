"""Facts about one event, and one pair of neighbouring events, of each pathway: how tables see what
comes after the first event.

A patient may stand in one cell of a table only (privacy_rules.md 8), so a public rule picks one
event of each pathway: first a type among those it has, then an event of that type, by a number that
the patient's own static columns, days and types give, and no attribute. All `picked` facts of a
pathway are about the same event, so that they can be counted together. Types come first, so that
rare ones are seen as often as common ones: tables then say what holds *given* the type.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import CHANGE, LAST, RANGE, RETURN, parse_fact
from pipeline.models.pathway.domain.pathways import Pathways, positions
from pipeline.models.pathway.domain.value_ranges import change_size, changes, range_size, ranges

WAIT = "picked wait"
_ODD, _FAR = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)  # Weyl's constant; a shift


def is_picked(part: str) -> bool:
    """Whether it is a fact of this module."""
    return part.startswith("picked ")


def picked_size(coding: Coding, fact: str) -> int:
    """Number of values of the fact. Raises Refusal for a name that is no fact."""
    if fact in _PLAIN:
        return 1 + (len(coding.gaps.edges) if fact == WAIT else coding.grammar.n_types)
    what, name = parse_fact(fact, coding.grammar.type_names, coding.attribute_names)
    if what == RETURN:
        return 1 + len(coding.gaps.edges)
    codec = coding.attributes[coding.attribute_place(name)]
    if what == RANGE:
        return 1 + range_size(codec)
    if what == CHANGE:
        return 1 + change_size(codec)
    return codec.size if what == LAST else 1 + codec.size


def picked_values(coding: Coding, fact: str, p: Pathways) -> np.ndarray:
    """The fact of each pathway, int64 [n]; 0 where its picked event does not carry the attribute.
    Raises Refusal for a name that is no fact.
    """
    if fact in _PLAIN:
        return _PLAIN[fact](coding, p, coding.grammar.token_type[p.token])
    what, name = parse_fact(fact, coding.grammar.type_names, coding.attribute_names)
    if what == RETURN:
        return returns(coding, coding.grammar.type_names.index(name), p)
    place, rows = coding.attribute_place(name), picked_rows(coding, p)
    codec, value = coding.attributes[place], p.attributes[rows, place].astype(np.int64)
    result = np.zeros(p.n, np.int64)
    if what == LAST:
        result[p.owner[rows]] = np.where(value >= 0, last_known(p, place)[rows], 0)
    elif what == CHANGE:
        cells = changes(codec)[last_known(p, place)[rows], value.clip(0)]
        result[p.owner[rows]] = np.where(value >= 0, cells, 0)
    else:
        places = ranges(codec)[value.clip(0)] if what == RANGE else value
        result[p.owner[rows]] = np.where(value >= 0, 1 + places, 0)
    return result


def last_known(p: Pathways, place: int) -> np.ndarray:
    """Before each event, the last code of the attribute at `place` that is not missing, int64 [r];
    0 for none.
    """
    rows = np.arange(len(p.owner))
    row = np.maximum.accumulate(np.where(p.attributes[:, place] > 0, rows, -1))
    before = np.append(-1, row)[: len(rows)]
    opening = rows - positions(p.owner)
    codes = p.attributes[before, place].astype(np.int64) if len(rows) else rows
    return np.where(before >= opening, codes, 0)


def picked_rows(coding: Coding, p: Pathways) -> np.ndarray:
    """The row of the picked event of each pathway that has one, int64 ascending: one of those that
    carry an attribute.
    """
    kind = coding.grammar.token_type[p.token]
    return _pick(p, kind, np.flatnonzero(coding.carries().any(1)[kind]))


def paired_rows(coding: Coding, p: Pathways) -> np.ndarray:
    """The row of the first event of the picked pair of each pathway with two events or more, int64
    ascending.
    """
    kind = coding.grammar.token_type[p.token]
    return _pick(p, kind, np.flatnonzero(p.owner[1:] == p.owner[:-1]))


def returns(coding: Coding, t: int, p: Pathways) -> np.ndarray:
    """1 + the bin of days from the event of type t before, or else from the pathway's first event,
    to a picked event of type t, int64 [n]; 0 where a pathway has none after its first event.
    """
    kind, place = coding.grammar.token_type[p.token], positions(p.owner)
    of_type = np.flatnonzero(kind == t)
    before = np.append(-1, of_type[:-1])[: len(of_type)]
    opening = of_type - place[of_type]
    start = np.where(before >= opening, before, opening)
    wait = np.zeros(len(kind), np.int64)
    wait[of_type] = p.day[of_type].astype(np.int64) - p.day[start]
    rows = _pick(p, kind, of_type[place[of_type] > 0])
    return _of_owners(p, rows, 1 + coding.gaps.encode(wait[rows].clip(0)))


def _pick(p: Pathways, kind: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """One of these rows per owner: its type among the owner's types, then itself among its type."""
    order = rows[np.lexsort((rows, kind[rows], p.owner[rows]))]
    owner, types = p.owner[order], kind[order]
    is_first = np.append(True, (owner[1:] != owner[:-1]) | (types[1:] != types[:-1]))[: len(order)]
    starts = np.flatnonzero(is_first)  # of each owner's events of one type
    lengths = np.diff(np.append(starts, len(order)))
    owners, first, n_types = np.unique(owner[starts], return_index=True, return_counts=True)
    number = own_numbers(p)[owners]
    group = first + (number % n_types.astype(np.uint64)).astype(np.int64)
    at = (number // n_types.astype(np.uint64)) % lengths[group].astype(np.uint64)
    return np.asarray(order[starts[group] + at.astype(np.int64)], np.int64)


def own_numbers(p: Pathways) -> np.ndarray:
    """A number of each pathway by the patient's own columns, days and tokens alone, uint64 [n],
    spread evenly.
    """
    sums = np.zeros(p.n, np.uint64) if p.own is None else p.own.copy()
    place = positions(p.owner).astype(np.uint64)
    event = p.day.astype(np.int64).astype(np.uint64) * np.uint64(1 << 20) + p.token.astype(
        np.uint64
    )
    np.add.at(sums, p.owner, _mixed(event + _mixed(place)))
    return _mixed(sums) >> np.uint64(8)


def static_numbers(coding: Coding, patients: pl.DataFrame) -> np.ndarray:
    """A number of each patient by the static columns, uint64 [patients]: on a fixed schedule days
    and types alone would pick the same event of everybody.
    """
    numbers = np.zeros(patients.height, np.uint64)
    for name in coding.grammar.schema.patients:
        if coding.is_static(name):
            codec = coding.static_codec(name)
            values = patients[name]
            if codec.is_numeric:
                days = (
                    values.cast(pl.Date).cast(pl.Int32) if codec.column.kind == "date" else values
                )
                own = days.cast(pl.Float64).fill_null(-1.5e9).to_numpy().view(np.uint64)
            else:
                own = codec.encode(values).astype(np.uint64)
            numbers = _mixed(numbers + own)
    return numbers


def _mixed(values: np.ndarray) -> np.ndarray:
    """Every bit of a number in all bits of the result (two rounds of multiply and shift, after
    Steele, Lea, Flood 2014); uint64, wraps around.
    """
    mixed = (values + np.uint64(1)) * _ODD
    mixed = (mixed ^ (mixed >> _FAR)) * _ODD
    return np.asarray(mixed ^ (mixed >> np.uint64(32)))


def _type_there(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    rows = picked_rows(coding, p)
    return _of_owners(p, rows, 1 + kind[rows])


def _type_before(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    rows = paired_rows(coding, p)
    return _of_owners(p, rows, 1 + kind[rows])


def _type_after(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    rows = paired_rows(coding, p)
    return _of_owners(p, rows, 1 + kind[rows + 1])


def _wait(coding: Coding, p: Pathways, kind: np.ndarray) -> np.ndarray:
    rows = paired_rows(coding, p)
    days = p.day[rows + 1].astype(np.int64) - p.day[rows]
    return _of_owners(p, rows, 1 + coding.gaps.encode(days.clip(0)))


def _of_owners(p: Pathways, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    result = np.zeros(p.n, np.int64)
    result[p.owner[rows]] = values
    return result


# facts without a name; kind [r]: the events' types
_PLAIN: dict[str, Callable[[Coding, Pathways, np.ndarray], np.ndarray]] = {
    "picked type": _type_there,
    "picked before": _type_before,
    "picked after": _type_after,
    WAIT: _wait,
}
