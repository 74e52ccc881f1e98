"""Calibration: weights per table cell, so that the pathways that are picked agree with the noisy tables as far as these can be trusted.

Of M candidates for a static row, candidate m is picked with chance proportional to exp(sum over tables of lambda[cell of m]). The lambdas
maximise a Gaussian likelihood of the noisy counts under a Gaussian prior, so that a cell moves only as far as its noise allows. All of it
is post-processing. Found once, on synthetic rows; sampling then needs no table, and partitions and prompts cannot change it.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

if TYPE_CHECKING:
    from pipeline.models.pathway.model import PathwayModel

STEPS, RATE = 300, 0.1
PRIOR_DEVIATION = 2.0  # of a cell's log weight


def find_tilt(model: PathwayModel, noisy: list[np.ndarray], sigma: float, patients: pl.DataFrame,
              rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Log weight of each cell of each table, float32 [cells]. patients: synthetic static rows."""
    from pipeline.models.pathway.model import draw

    drawn = draw(model.coding, model.network, patients, model.settings.candidates, rng)
    cells = [torch.from_numpy(cell) for cell in model.candidate_cells(patients, drawn)]  # [n, M] each
    observed = [torch.from_numpy(table.astype(np.float32)) for table in noisy]
    population = _population(noisy)
    tilt = [torch.zeros(len(table), requires_grad=True) for table in observed]
    optimiser = torch.optim.Adam(tilt, lr=RATE)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        score = torch.stack([values[cell] for values, cell in zip(tilt, cells, strict=True)]).sum(0)
        weight = torch.softmax(score, dim=1) * (population / len(patients))
        loss = torch.stack([values.square().sum() for values in tilt]).sum() / (2 * PRIOR_DEVIATION**2)
        for cell, table in zip(cells, observed, strict=True):
            expected = torch.zeros_like(table).index_add(0, cell.flatten(), weight.flatten())
            variance = sigma**2 + expected.detach().clamp(min=1.0)
            loss = loss + ((table - expected).square() / (2 * variance)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return tuple(values.detach().numpy() for values in tilt)


def _population(noisy: list[np.ndarray]) -> float:
    """Patients, from the noisy tables: each table's total, weighted by the inverse of its variance (cells times sigma squared)."""
    weights = np.array([1 / len(table) for table in noisy])
    return max(float(np.array([table.sum() for table in noisy]) @ weights / weights.sum()), 1.0)
