"""Nearest rows by Gower's distance.

Anonymeter 1.1.0 has such a search (`MixedTypeKNeighbors`), which does not hold up on registry
tables: a number that is missing on one side makes the whole distance NaN and the order of
neighbours arbitrary; two missing numbers count as different; a range with one outlier flattens all
others; among rows at the same distance it takes the first in the file, so that a table of few
categories gives another risk when its rows are reordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

BLOCK_CELLS = 400_000  # distances at once: a block stays in the processor's cache
TIE = 1e-4  # distances as close as this are equal: float32 sums


def distances(
    queries: np.ndarray, table: np.ndarray, is_category: Sequence[bool]
) -> Iterator[tuple[slice, np.ndarray]]:
    """(queries' slice, float32 [queries, table] sum over columns of min(|difference|, 1)), block
    after block. Both arrays as `rows.scaled` makes them.
    """
    columns = np.ascontiguousarray(table.T)
    size = max(1, BLOCK_CELLS // max(1, len(table)))
    for first in range(0, len(queries), size):
        block = slice(first, min(first + size, len(queries)))
        total = np.zeros((block.stop - block.start, len(table)), np.float32)
        gap = np.empty_like(total)
        for j, category in enumerate(is_category):
            query = queries[block, j, None]
            if category:
                total += query != columns[j]
                continue
            np.subtract(query, columns[j], out=gap)
            np.abs(gap, out=gap)
            np.minimum(gap, 1, out=gap)
            total += gap
        yield block, total


def nearest_distance(
    queries: np.ndarray,
    table: np.ndarray,
    is_category: Sequence[bool],
    own: np.ndarray | None = None,
) -> np.ndarray:
    """Distance of each query to its nearest row, as a share of all columns: 0 to 1. own[i]: the
    row of the table that is query i itself and does not count, -1 for none.
    """
    nearest = np.ones(len(queries), np.float32)
    if len(table) == 0:
        return nearest
    for block, total in distances(queries, table, is_category):
        if own is not None:
            inside = np.flatnonzero(own[block] >= 0)
            total[inside, own[block][inside]] = len(is_category)
        nearest[block] = total.min(axis=1) / max(1, len(is_category))
    return nearest


def nearest_rows(
    queries: np.ndarray,
    table: np.ndarray,
    is_category: Sequence[bool],
    n: int,
    order: np.ndarray,
) -> np.ndarray:
    """Indices [queries, n] of the nearest rows; `order`, a permutation of the table's rows, says
    which of those at one distance comes first.
    """
    n = min(n, len(table))
    rows = np.empty((len(queries), n), np.int64)
    ties = (TIE / max(1, len(order))) * np.argsort(order).astype(np.float32)
    for block, total in distances(queries, table, is_category):
        total += ties
        rows[block] = np.argpartition(total, n - 1, axis=1)[:, :n]
    return rows
