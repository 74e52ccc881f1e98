"""Coarse views of an attribute's codes: ranges of values, and how far a value lies from the last
known one. Both follow from the declared column alone.
"""

from __future__ import annotations

import numpy as np

from pipeline.models.pathway.domain.encode import Codec

RANGES = 6  # of a number's bins
MOST_STEPS = 8  # a value further off counts as so far


def ranges(codec: Codec) -> np.ndarray:
    """The range of each code, int64 [size]: missing, atoms and categories stand alone, bins of
    numbers in groups.
    """
    codes = np.arange(codec.size)
    if not codec.is_numeric:
        return codes
    alone = 1 + len(codec.column.atoms)
    bins = codec.size - alone
    grouped = alone + (codes - alone) * min(RANGES, bins) // bins
    return np.where(codes < alone, codes, grouped).astype(np.int64)


def range_size(codec: Codec) -> int:
    """Number of ranges."""
    return int(ranges(codec).max()) + 1


def is_ordered(codec: Codec) -> bool:
    """Whether values can be near each other."""
    return codec.is_numeric or codec.column.kind == "ordinal"


def ranks(codec: Codec) -> np.ndarray:
    """Place of each code among the values in ascending order, int64 [size]; 0 for missing."""
    if not codec.is_numeric:
        return np.arange(codec.size)
    lows = np.array([*codec.column.atoms, *codec.edges[:-1]], float)
    # an atom at a bin's lower edge lies below the rest of the bin
    order = np.lexsort((np.arange(len(lows)) >= len(codec.column.atoms), lows))
    places = np.zeros(codec.size, np.int64)
    places[1 + order] = np.arange(1, codec.size)
    return places


def changes(codec: Codec) -> np.ndarray:
    """Cell of a change by the last known code and the code, int64 [size, size]; 0 where one of them
    is missing. Ordered values: steps between them, at most MOST_STEPS either way; others: the same,
    or another.
    """
    place = ranks(codec)
    if is_ordered(codec):
        most = min(MOST_STEPS, max(codec.size - 2, 1))
        cells = 1 + most + np.clip(place - place[:, None], -most, most)
    else:
        cells = np.where(place == place[:, None], 1, 2)
    cells[0], cells[:, 0] = 0, 0
    return np.asarray(cells, np.int64)


def change_size(codec: Codec) -> int:
    """Number of changes that can be told."""
    return 1 + 2 * min(MOST_STEPS, max(codec.size - 2, 1)) if is_ordered(codec) else 2
