"""Picking one of several by their chances."""

from __future__ import annotations

import numpy as np


def pick(chances: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """A place in each row, int64 [n], by its chances [n, places], which need not sum to 1; never
    one of chance 0. uniform: float [n] in [0, 1).
    """
    ladder = np.cumsum(chances, 1)
    found = (ladder <= (uniform * ladder[:, -1])[:, None]).sum(1)
    # rounding may point past the last possible one
    last = chances.shape[1] - 1 - np.argmax(chances[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum(found, last))
