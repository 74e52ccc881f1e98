"""Drawing one of several categories by inversion of their cumulative weights."""

from __future__ import annotations

import numpy as np


def draw_categorical(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """A category in each row, int64 [n], by its weight; never one of weight 0.

    weights: float [n, categories], at least 0; a row's need not sum to 1, but must not all be 0.
    uniform: float [n] in [0, 1), one number per row.
    """
    cumulative = np.cumsum(weights, 1)
    categories = (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(1)
    # rounding may point past the last possible one
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum(categories, last))
