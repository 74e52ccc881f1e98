"""The public vocabulary of one dataset's pathways as numbers: tokens, waiting times, attributes,
static columns and features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from pipeline.models.grammar.rules import Grammar
from pipeline.models.pathway.domain.encode import Codec, Gaps, codec

STATIC_BINS = 10  # of a continuous column in a counted table
MOST_TREATMENTS = 5
COUNT_EDGES = np.array([0, 1, 2, 3, 5, 9])  # 0, 1, 2, 3-4, 5-8, 9 and more
NTH_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 19, 22, 25, 31])
SEQ_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 40, 60, 90])
# days from the origin
_NEAR_DAYS = (-60, -30, -14, 0, 1, 8, 15, 29, 43, 61, 91, 121, 181, 271, 366)
DAY_EDGES = np.array([*_NEAR_DAYS, 548, 731, 1096, 1461, 1826, 2556, 3651])
# days to the end of observation
REMAINING_EDGES = np.array([0, 1, 31, 61, 91, 183, 274, 366, 548, 731, 1096, 1461, 1827, 2191])


@dataclass(frozen=True)
class Rhythm:
    """A counted table of waiting times between events of type `kind` in a row, by the code of the
    context `opener` (see rhythm.py).

    It holds once `repeats` events of any type stand in the context; its rows in the network begin
    at `first_row`, one per code.
    """

    parts: tuple[str, ...]  # of the table
    kind: int
    opener: int
    repeats: int
    first_row: int
    rows: int


@dataclass(frozen=True, eq=False)
class Steps:
    """The largest step of the ordinal attribute at `place` among the attributes: `near` [v, v] says
    which of its codes may follow which known one (row 0: none yet). `opens` [T]: types that begin
    its context anew.
    """

    place: int
    near: np.ndarray
    opens: np.ndarray


@dataclass(frozen=True)
class Coding:
    """The public vocabulary of one dataset: tokens, waiting times, attributes and static columns as
    numbers.
    """

    grammar: Grammar
    gaps: Gaps
    attributes: tuple[Codec, ...]
    statics: tuple[Codec, ...]
    rich: bool  # past attributes and contexts that never close are features too
    observed_until: date | None = None  # public last day of observation
    end_offsets: bool = True  # see network.py
    # types and attributes whose codes or values come from counted heads, not from the network
    counted_choices: frozenset[str] = frozenset()
    rhythms: tuple[Rhythm, ...] = ()
    # waits are counted by the type of the event that they end with
    counts_pairs: bool = False
    returns: tuple[int, ...] = ()  # types whose returns are counted
    # size of each feature by name, in the order of `features`
    layout: dict[str, int] = field(init=False)
    steps: tuple[Steps, ...] = field(init=False)  # of attributes with a largest step

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", _layout(self))
        object.__setattr__(self, "steps", tuple(_steps(self)))

    @property
    def contexts(self) -> tuple[int, ...]:
        """Positions among the grammar's openers whose code and age are features."""
        return tuple(
            o
            for o in range(len(self.grammar.openers))
            if self.rich or self.grammar.closes[:, o].any()
        )

    @property
    def ranges(self) -> tuple[int, ...]:
        """Size of each feature, in the order of `features`."""
        return tuple(self.layout.values())

    @property
    def offsets(self) -> np.ndarray:
        """The first row of each feature in the event embedding table, int32 [features]."""
        return np.cumsum([0, *self.ranges[:-1]]).astype(np.int32)

    def static_codes(self, patients: pl.DataFrame) -> np.ndarray:
        """Rows of the static embedding table, int64 [n, columns]."""
        offsets = np.cumsum([0, *(c.size for c in self.statics)])
        columns = [
            c.encode(patients[c.column.name]).astype(np.int64) + offsets[i]
            for i, c in enumerate(self.statics)
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((patients.height, 0), np.int64)

    @property
    def learned_tokens(self) -> np.ndarray:
        """Tokens that the network chooses between, ascending: of types with several codes and no
        counted head.
        """
        g = self.grammar
        several = np.bincount(g.token_type, minlength=g.n_types) > 1
        learned = several & np.array([name not in self.counted_choices for name in g.type_names])
        return np.flatnonzero(learned[g.token_type])

    @property
    def learned_attributes(self) -> tuple[int, ...]:
        """Positions of the attributes without a counted head."""
        return tuple(
            a for a, c in enumerate(self.attributes) if c.column.name not in self.counted_choices
        )

    @property
    def treatments(self) -> list[int]:
        """The types declared as treatments; else the free-standing ones that may come more than
        once, the first five.
        """
        g = self.grammar
        if g.log.treatments:
            return [g.type_names.index(name) for name in g.log.treatments]
        free = ~g.terminal & ~g.needs_open.any(1) & (g.at_most > 1)
        return [int(t) for t in np.flatnonzero(free)][:MOST_TREATMENTS]

    def tokens_of(self, t: int) -> np.ndarray:
        """Tokens of a type, ascending."""
        return np.flatnonzero(self.grammar.token_type == t)

    @property
    def attribute_names(self) -> list[str]:
        return [codec.column.name for codec in self.attributes]

    def attribute_place(self, name: str) -> int:
        """Position of the attribute in `attributes`."""
        return self.attribute_names.index(name)

    def holders(self, place: int) -> np.ndarray:
        """Tokens that carry the attribute at `place`, ascending."""
        return np.flatnonzero(self.carries()[self.grammar.token_type, place])

    def is_static(self, part: str) -> bool:
        """Whether the part is a modelled static column; it hides a fact of the same name."""
        columns = self.grammar.schema.patients
        return part in columns and columns[part].is_modelled

    def static_codec(self, name: str) -> Codec:
        """The cells of a static column in a counted table."""
        return codec(self.grammar.schema.patients[name], STATIC_BINS)

    def static_values(self, name: str, patients: pl.DataFrame) -> np.ndarray:
        """Codes of a static column as counted tables bin it, int64 [rows of patients]."""
        return self.static_codec(name).encode(patients[name]).astype(np.int64)

    @property
    def rhythm_kinds(self) -> list[int]:
        """The types whose waiting times have a rhythm, ascending."""
        if self.counts_pairs:
            return list(range(self.grammar.n_types))
        return sorted({rhythm.kind for rhythm in self.rhythms})

    @property
    def pair_row(self) -> int | None:
        """Of the waiting times that the network is given, the first by the type of the event at
        their end. None: they are not counted.
        """
        return 1 + sum(rhythm.rows for rhythm in self.rhythms) if self.counts_pairs else None

    @property
    def n_rhythm_rows(self) -> int:
        """Rows of waiting times that the network is given, with row 0 for none."""
        pairs = self.grammar.n_types if self.counts_pairs else 0
        return 1 + sum(rhythm.rows for rhythm in self.rhythms) + pairs

    def legal_values(self, place: int, level: np.ndarray) -> np.ndarray:
        """Which values the attribute at `place` may take, bool [n, its size]. level [n, steps]: the
        last known values of the attributes with a largest step.
        """
        legal = np.tile(self.attributes[place].legal, (len(level), 1))
        for number, steps in enumerate(self.steps):
            if steps.place == place:
                legal &= steps.near[level[:, number]]
        return legal

    def carries(self) -> np.ndarray:
        """[T, A] bool: which attributes each event type has."""
        return np.array(
            [
                [c.column.name in kind.attributes for c in self.attributes]
                for kind in self.grammar.log.types.values()
            ],
            bool,
        ).reshape(self.grammar.n_types, len(self.attributes))


def _steps(coding: Coding) -> Iterator[Steps]:
    g = coding.grammar
    for name, most in (g.log.largest_steps or {}).items():
        place = coding.attribute_place(name)
        codes = np.arange(coding.attributes[place].size)
        near = np.abs(codes[:, None] - codes) <= most
        near[0], near[:, 0] = True, True  # missing is code 0, and no step
        contexts = {kind.inside for kind in g.log.types.values() if name in kind.attributes}
        yield Steps(place, near, np.array([kind in contexts for kind in g.type_names]))


def _layout(coding: Coding) -> dict[str, int]:
    g = coding.grammar
    names = {o: g.type_names[g.openers[o]] for o in coding.contexts}
    sizes = {
        "last": g.n_tokens + 1,
        "before": g.n_types + 1,
        "before_that": g.n_types + 1,
        "gap": len(coding.gaps.edges) + 1,
    }
    sizes |= (
        {f"value:{c.column.name}": c.size + 1 for c in coding.attributes} if coding.rich else {}
    )
    sizes |= {
        f"open:{name}": 2 + int((g.token_type == g.openers[o]).sum()) for o, name in names.items()
    }
    sizes |= {f"since:{name}": len(COUNT_EDGES) for name in names.values()}
    sizes |= {f"count:{name}": len(COUNT_EDGES) for name in g.type_names}
    sizes |= {"nth": len(NTH_EDGES), "events": len(SEQ_EDGES), "day": len(DAY_EDGES) + 1}
    return sizes | (
        {"remaining": len(REMAINING_EDGES)} if coding.observed_until is not None else {}
    )
