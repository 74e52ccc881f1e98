"""Patient-level tables that the pathways are calibrated to: which, and each patient's one cell in them.

A table is a stratum (or none) by a fact about the whole pathway. A patient stands in exactly one cell of each table, so that one table is
one block of counts with sensitivity 1 (privacy_rules.md 8). Which tables there are follows from the declaration alone.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.models.pathway.encode import Codec
from pipeline.models.pathway.state import Coding

LENGTH_EDGES = np.array([0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 45, 70])        # events
SURVIVAL_EDGES = np.array([0, 31, 91, 183, 274, 366, 548, 731, 1096, 1461, 1827])  # days from the anchor to the end
WAIT_EDGES = np.array([0, 1, 15, 29, 43, 63, 91, 183])                             # days from the anchor to the first treatment
REPEAT_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 22, 30, 45, 70])     # events of the type that repeats within another
MOST_TREATMENTS = 5
MOST_OTHERS = 6
MANY_CODES = 8


@dataclass(frozen=True)
class CalibrationTable:
    """`parts` name facts of `Facts`; the first may be `static:<column>`. `cells` is their product."""

    name: str
    parts: tuple[str, ...]
    cells: int


@dataclass(frozen=True)
class Pathways:
    """n pathways as flat events in order: owner [r] ascending in [0, n), token [r], day [r]."""

    n: int
    owner: np.ndarray
    token: np.ndarray
    day: np.ndarray


def treatments(coding: Coding) -> list[int]:
    """Types whose combination is calibrated: free-standing ones that may come more than once, the first five declared."""
    g = coding.grammar
    free = ~g.terminal & ~g.needs_open.any(1) & (g.at_most > 1)
    return [int(t) for t in np.flatnonzero(free)][:MOST_TREATMENTS]


def calibration_tables(coding: Coding, strata: Sequence[str]) -> tuple[CalibrationTable, ...]:
    """Per stratum: combination of treatments, survival by end, wait for the first treatment. Once: length, repeats, other types, first code."""
    sizes = fact_sizes(coding)
    by: list[str | None] = [f"static:{name}" for name in strata] or [None]
    wanted: list[tuple[str | None, tuple[str, ...]]] = [(s, ("combination",)) for s in by if treatments(coding)]
    wanted += [(s, ("survival", "end")) for s in by]
    wanted += [(s, ("wait",)) for s in by if treatments(coding)]
    wanted.append((by[-1], ("length",)))
    wanted += [(None, (fact,)) for fact in ("repeats", "others") if sizes[fact] > 1]
    if sizes["first_code"] > 1 + MANY_CODES:
        wanted.append((by[0], ("first_code",)))
    tables = []
    for stratum, facts in wanted:
        parts = (*((stratum,) if stratum else ()), *facts)
        tables.append(CalibrationTable(name="pathway/" + "/".join(part.removeprefix("static:") for part in parts), parts=parts,
                                       cells=math.prod(sizes[part] for part in parts)))
    return tuple(tables)


def fact_sizes(coding: Coding) -> dict[str, int]:
    """Number of values of each fact."""
    rich, others = _rich_type(coding), _other_types(coding)
    sizes = {"combination": 2 ** len(treatments(coding)), "length": len(LENGTH_EDGES), "survival": len(SURVIVAL_EDGES),
             "end": int(coding.grammar.terminal.sum()) + 1, "wait": len(WAIT_EDGES) + 1,
             "others": 2 ** len(others), "repeats": len(REPEAT_EDGES) if _repeating_type(coding) is not None else 1,
             "first_code": 1 + (len(_codes_of(coding, rich)) if rich is not None else 0)}
    return sizes | {f"static:{c.column.name}": c.size for c in coding.statics}


def table_cells(coding: Coding, tables: Sequence[CalibrationTable], statics: dict[str, np.ndarray], pathways: Pathways) -> list[np.ndarray]:
    """Each pathway's cell in each table, int64 [n] per table. statics: codes of the strata, [n] by name of the part."""
    facts, sizes = _facts(coding, pathways) | statics, fact_sizes(coding)
    cells = []
    for table in tables:
        cell = np.zeros(pathways.n, np.int64)
        for part in table.parts:
            cell = cell * sizes[part] + facts[part]
        cells.append(cell)
    return cells


def static_parts(coding: Coding, tables: Sequence[CalibrationTable]) -> dict[str, Codec]:
    """Static columns that the tables use, by part."""
    used = {part for table in tables for part in table.parts}
    return {f"static:{c.column.name}": c for c in coding.statics if f"static:{c.column.name}" in used}


def _facts(coding: Coding, pathways: Pathways) -> dict[str, np.ndarray]:
    g, n, owner, day = coding.grammar, pathways.n, pathways.owner, pathways.day
    kind = g.token_type[pathways.token] if len(owner) else np.zeros(0, np.int64)
    length = np.bincount(owner, minlength=n)
    end, last_day, first_day = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    last = np.append(owner[1:] != owner[:-1], True) if len(owner) else np.zeros(0, bool)
    ends = np.cumsum(g.terminal) * g.terminal  # 1.. for terminal types, 0 else
    end[owner[last]] = ends[kind[last]]
    last_day[owner[last]] = day[last]
    if g.anchor is None:
        opening = np.append(True, owner[1:] != owner[:-1]) if len(owner) else last
        first_day[owner[opening]] = day[opening]
    treated = np.isin(kind, treatments(coding))
    who, where = np.unique(owner[treated], return_index=True)
    wait = np.full(n, len(WAIT_EDGES), np.int64)
    wait[who] = _binned(day[treated][where] - first_day[who], WAIT_EDGES)
    repeating = _repeating_type(coding)
    repeats = np.bincount(owner[kind == repeating], minlength=n) if repeating is not None else np.zeros(n, np.int64)
    return {"combination": _seen(treatments(coding), pathways, kind), "others": _seen(_other_types(coding), pathways, kind),
            "repeats": _binned(repeats, REPEAT_EDGES),
            "length": _binned(length, LENGTH_EDGES), "survival": _binned(last_day - first_day, SURVIVAL_EDGES), "end": end,
            "wait": wait, "first_code": _first_code(coding, pathways, kind)}


def _seen(types: Sequence[int], pathways: Pathways, kind: np.ndarray) -> np.ndarray:
    """Which of these types each pathway has, as bits, [n]."""
    bits = np.zeros(pathways.n, np.int64)
    for bit, t in enumerate(types):
        seen = np.zeros(pathways.n, bool)
        seen[pathways.owner[kind == t]] = True
        bits |= seen.astype(np.int64) << bit
    return bits


def _other_types(coding: Coding) -> list[int]:
    """The types that are no treatment, no end and not in every pathway, the first six declared."""
    g = coding.grammar
    return [t for t in range(g.n_types) if not g.terminal[t] and t != g.anchor and t not in treatments(coding)][:MOST_OTHERS]


def _repeating_type(coding: Coding) -> int | None:
    """The type that may come most often within another, as cycles do within a regimen."""
    g = coding.grammar
    within = [t for t in range(g.n_types) if g.needs_open[t].any() and not g.closes[t].any()]
    return max(within, key=lambda t: int(g.at_most[t]), default=None)


def _first_code(coding: Coding, pathways: Pathways, kind: np.ndarray) -> np.ndarray:
    """1 + the code of the first event of the type with the most codes, 0 for none, [n]."""
    code, rich = np.zeros(pathways.n, np.int64), _rich_type(coding)
    if rich is None:
        return code
    mine = kind == rich
    who, where = np.unique(pathways.owner[mine], return_index=True)
    code[who] = 1 + pathways.token[mine][where] - _codes_of(coding, rich)[0]
    return code


def _rich_type(coding: Coding) -> int | None:
    """The treatment with the most codes."""
    return max(treatments(coding), key=lambda t: len(_codes_of(coding, t)), default=None)


def _codes_of(coding: Coding, t: int) -> np.ndarray:
    return np.flatnonzero(coding.grammar.token_type == t)


def _binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return (np.searchsorted(edges, values, side="right") - 1).clip(0).astype(np.int64)
