"""Logits of waiting times from counted rhythms. Reads noisy counts only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.domain.coding import Coding

# standard deviations of noise above which a cell, and a cell of all rows together, counts
CERTAIN, CERTAIN_OF_ALL = 3.0, 2.0
SPREAD = 2.0  # standard deviations of noise: patients with everybody's rhythm that join each row
# patients of all rows together that each wait is given beside those that it seems to have
UNSEEN = 20.0
LEAST = 1e-4  # chance of a wait that nobody seems to have had


def rhythm_logits(
    coding: Coding,
    tables: Sequence[CalibrationTable],
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
) -> np.ndarray:
    """Log chances of each wait by row of the rhythms, float32 [rows, G]; row 0 says nothing.

    noisy, sigmas: noisy counts [cells] of each table and the standard deviation of their noise.
    """
    logits = [np.zeros((1, len(coding.gaps.edges)))]
    by_parts = {
        table.parts: (table, counts, sigma)
        for table, counts, sigma in zip(tables, noisy, sigmas, strict=True)
    }
    for rhythm in coding.rhythms:
        table, counts, sigma = by_parts[rhythm.parts]
        # of those who have the context, and the wait
        waits = counts.reshape(table.sizes)[1:, 1:].astype(float)
        total = waits.sum(0)
        everybody = (
            np.where(total > CERTAIN_OF_ALL * sigma * np.sqrt(len(waits)), total, 0.0) + UNSEEN
        )
        estimate = (
            np.where(waits > CERTAIN * sigma, waits, 0.0)
            + SPREAD * sigma * everybody / everybody.sum()
        )
        logits.append(np.log((estimate / estimate.sum(1, keepdims=True)).clip(LEAST)))
    return np.concatenate(logits).astype(np.float32)
