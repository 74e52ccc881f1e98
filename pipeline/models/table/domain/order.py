"""Declared order between numbers (a at most b): which symbols may stand together, and where within
them the values lie. Free: symbols are public or noisy already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import Pair, Relations, Symbols

_LEAST = 1e-9  # relative, by which decimals in floats may be off


def with_order(
    matrices: Relations,
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    orders: Sequence[Pair],
) -> Relations:
    """The relations, and of each pair (low, high) which symbols leave room for low <= high; missing
    fits everything.
    """
    place = {name: index for index, name in enumerate(domains)}
    matrices = dict(matrices)
    for low, high in orders:
        lowest, highest = (
            _ends(domains[low], symbols[low])[0],
            _ends(domains[high], symbols[high])[1],
        )
        matrix = lowest[:, None] <= highest[None, :]
        matrix |= symbols[low].missing[:, None] | symbols[high].missing[None, :]
        key, matrix = ((low, high), matrix) if place[low] < place[high] else ((high, low), matrix.T)
        matrices[key] = matrices[key] & matrix if key in matrices else matrix
    return matrices


def ordered_positions(
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    rows: Mapping[str, np.ndarray],
    positions: Mapping[str, np.ndarray],
    orders: Sequence[Pair],
) -> dict[str, np.ndarray]:
    """Positions within the symbols under which low <= high in every row: each value lies where its
    old position says, of the part of its symbol that is left to it.

    rows: drawn symbols, int64 [n]; pairwise legal as `with_order` has it. positions: float64 [n] in
    [0, 1). orders: closed, whoever stands before others first (`order_pairs`).

    The lowest column comes first. It stays below the highest value of every column above it, so
    that each of those still has room when its turn comes.
    """
    names = list(dict.fromkeys([*(low for low, _ in orders), *(high for _, high in orders)]))
    n = len(next(iter(rows.values())))
    positions = dict(positions)
    values: dict[str, np.ndarray] = {}
    for name in names:
        floor, ceiling = np.full(n, -np.inf), np.full(n, np.inf)
        for low, high in orders:
            if high == name:
                floor = np.fmax(floor, values[low])
            if low == name:
                highest = _ends(domains[high], symbols[high])[1][rows[high]]
                ceiling = np.fmin(ceiling, highest)
        positions[name], values[name] = _placed(
            domains[name], symbols[name], rows[name], positions[name], floor, ceiling
        )
    return positions


def _placed(
    domain: Domain,
    symbols: Symbols,
    rows: np.ndarray,
    positions: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(positions, values) between floor and ceiling; NaN for missing. Where neither binds the
    position stays as it is.
    """
    column = domain.column
    assert column.lower is not None
    scale = 10.0**column.decimals
    start, stop = symbols.start[rows], symbols.stop[rows]
    first = np.maximum(start, _whole(np.ceil, (floor - column.lower) * scale, -1))
    last = np.minimum(stop - 1, _whole(np.floor, (ceiling - column.lower) * scale, 1))
    width = np.maximum(stop - start, 1)
    is_free = ((first == start) & (last == stop - 1)) | (stop <= start)  # an atom, or missing
    point = first + np.floor(positions * np.maximum(last - first + 1, 1)).astype(np.int64)
    positions = np.where(is_free, positions, (point - start + 0.5) / width)
    values = domain.values(start + np.floor(positions * width).astype(np.int64))
    if domain.atoms:
        atom = symbols.atom[rows]
        values = np.where(atom >= 0, np.array(domain.atoms)[atom], values)
    return positions, np.where(symbols.missing[rows], np.nan, values)


def _whole(rounding: np.ufunc, points: np.ndarray, slack: int) -> np.ndarray:
    """Lattice points, where a float may be off by a little; what is no bound lies beyond all."""
    bounded = np.clip(points, -(2.0**60), 2.0**60)
    return np.asarray(rounding(bounded + slack * _LEAST * np.maximum(1, abs(bounded)))).astype(
        np.int64
    )


def _ends(domain: Domain, symbols: Symbols) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest) value of each symbol, float64 [symbols]; of missing they say nothing."""
    low, high = domain.values(symbols.start), domain.values(np.maximum(symbols.stop - 1, 0))
    if domain.atoms:
        atoms = np.array(domain.atoms)[symbols.atom]
        low, high = (np.where(symbols.atom >= 0, atoms, end) for end in (low, high))
    return low, high
