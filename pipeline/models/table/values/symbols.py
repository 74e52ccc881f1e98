"""What a column can be drawn as, and the groups in which the model counts it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

Pair = tuple[str, str]  # two columns by name, in declared order
# (earlier, later) -> bool [symbols of earlier, symbols of later]: which may stand in one row
Relations = dict[Pair, np.ndarray]


@dataclass(frozen=True, eq=False)
class Symbols:
    """What a column can be drawn as. Symbol v belongs to `group[v]` and makes `share[v]` of it; a
    numeric one is a lattice range.

    `atom[v]` is the place of a declared atom, -1 otherwise; `missing[v]` marks null. For categories
    symbol v is category v.
    """

    group: np.ndarray  # int64 [symbols]
    share: np.ndarray  # float64 [symbols], sums to 1 within a group
    start: np.ndarray  # int64 [symbols], first lattice point; 0 where it has none
    stop: np.ndarray  # int64 [symbols], one past the last
    atom: np.ndarray  # int64 [symbols]
    missing: np.ndarray  # bool [symbols]

    @property
    def groups(self) -> int:
        return int(self.group.max()) + 1

    def take(self, places: np.ndarray) -> Symbols:
        """The symbols at these places, int64 [n]; their shares stay as they are."""
        return Symbols(**{name: getattr(self, name)[places] for name in SYMBOL_FIELDS})

    def normalised(self) -> Symbols:
        """The same with shares that sum to 1 within each group."""
        sums = np.bincount(self.group, self.share)
        return replace(self, share=self.share / sums[self.group])


SYMBOL_FIELDS = tuple(field.name for field in fields(Symbols))


@dataclass(frozen=True, eq=False)
class Grouping:
    """`of_cell[c]`: group of the public cell c, so that a row's cell becomes the model's group."""

    of_cell: np.ndarray  # int32 [cells]
    symbols: Symbols
    n_merged: int  # categories that share the group of the rare ones

    @property
    def groups(self) -> int:
        return self.symbols.groups
