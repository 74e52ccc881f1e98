"""Two estimates of one count as one: from synthetic patients and from a noisy table."""

from __future__ import annotations

import numpy as np

ROW_TRUST = 0.2  # relative error that the synthetic patients of a row are allowed


def weighted_counts(
    patients: np.ndarray, noisy: np.ndarray, variance: np.ndarray | float, scale: float
) -> np.ndarray:
    """How many patients some rows have, [rows], at least 0: the mean of what synthetic patients say
    and of noisy counts, weighted by the inverse of their variances.

    patients [rows]: synthetic patients, each standing for `scale`, times `scale`; they may be
        ROW_TRUST off. noisy [rows]: noisy counts, of noise of this variance.
    """
    precision = 1 / ((ROW_TRUST * patients) ** 2 + patients * scale + 1)
    noisy_precision = 1 / (variance + noisy.clip(1))
    mean = (patients * precision + noisy * noisy_precision) / (precision + noisy_precision)
    return np.asarray(mean.clip(0))
