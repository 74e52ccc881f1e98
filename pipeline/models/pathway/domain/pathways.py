"""Pathways as flat arrays: what is drawn, encoded and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Pathways:
    """n pathways as flat events in order: owner [r] ascending in [0, n), token [r], day [r] since
    the patient's origin, attributes [r, A] with -1 for none. own [n]: a number of each patient's
    static columns (picked.py); None where nothing is picked.
    """

    n: int
    owner: np.ndarray
    token: np.ndarray
    day: np.ndarray
    attributes: np.ndarray
    own: np.ndarray | None = None


def positions(owner: np.ndarray) -> np.ndarray:
    """Position of each row among its owner's, from 0, int64 [r]. owner [r] ascending."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def types_before(p: Pathways, types: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """1 + the type of the event before each of these rows, 0 before the first event, int64.

    types [r]: of every event of `p`.
    """
    return np.where(positions(p.owner)[rows] > 0, 1 + types[rows - 1], 0).astype(np.int64)


def joined(parts: Sequence[Pathways]) -> Pathways:
    """Several lots of pathways as one, in order; without `own`."""
    first = np.cumsum([0, *(part.n for part in parts)])
    return Pathways(
        int(first[-1]),
        np.concatenate([part.owner + f for part, f in zip(parts, first, strict=False)]),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("token", "day", "attributes")
        ),
    )
