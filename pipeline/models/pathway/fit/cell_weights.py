"""Calibration: weights per table cell, so that the pathways that are picked agree with the noisy
tables as far as these can be trusted.

Of M candidates for a static row, candidate m is picked with chance proportional to exp(sum over
tables of lambda[cell of m]). The log weights lambda maximise a Gaussian likelihood of the noisy
counts under a Gaussian prior, so that a cell moves only as far as its noise allows. All of it is
post-processing. They are fitted once, on synthetic rows; sampling then needs no table, and
partitions and prompts cannot change them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.domain.choices import calibration_cell, calibration_size
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.tables import static_parts
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.pathway.fit.estimate import weighted_counts

STEPS, RATE = 150, 0.15
PRIOR_DEVIATION = 1.0  # of a cell's log weight
# where two static columns and more make the rows: what their own tables leave to say
JOINT_DEVIATION = 0.5


@dataclass(frozen=True, eq=False)
class NoisyMargin:
    """Noisy counts [cells] that the pathways are calibrated to, the variance of each cell's noise,
    the number of static rows that the cells make.
    """

    counts: np.ndarray
    variance: np.ndarray
    rows: int
    deviation: float  # of the prior of a cell's log weight

    def patients_per_draw(self, cell: np.ndarray, scale: float) -> np.ndarray:
        """How many patients one synthetic patient of each cell stands for, [cells]: another number
        than `scale` where the cell's row has too few or too many synthetic patients. cell: of each
        synthetic patient, int64 [n].
        """
        each = len(self.counts) // self.rows
        patients = np.bincount(cell // each, minlength=self.rows) * scale
        noisy, variance = (
            values.reshape(self.rows, each).sum(1) for values in (self.counts, self.variance)
        )
        estimate = weighted_counts(patients, noisy, variance, scale)
        return np.repeat(estimate / np.maximum(patients, 1e-9), each) * scale


def noisy_margin(
    coding: Coding, table: CalibrationTable, noisy: np.ndarray, sigma: float
) -> NoisyMargin:
    """The margin that the calibration sees of a table with these noisy counts [cells]."""
    place = calibration_cell(coding, table, np.arange(table.cells))
    size = calibration_size(coding, table)
    columns = static_parts(coding, table)
    return NoisyMargin(
        np.bincount(place, noisy, minlength=size),
        sigma**2 * np.bincount(place, minlength=size),
        math.prod(table.sizes[:columns]),
        PRIOR_DEVIATION if columns < 2 else JOINT_DEVIATION,
    )


def fit_log_weights(
    margins: Sequence[NoisyMargin], cells: Sequence[np.ndarray], size: float
) -> tuple[np.ndarray, ...]:
    """Log weight of each cell of each margin, float32 [cells]; nothing without margins.

    cells: of each candidate of each synthetic patient, [n, M]; size: patients.
    """
    if not margins:
        return ()
    places, scale = [torch.from_numpy(cell) for cell in cells], size / max(len(cells[0]), 1)
    shares = [
        torch.from_numpy(margin.patients_per_draw(cell[:, 0], scale).astype(np.float32))
        for margin, cell in zip(margins, cells, strict=True)
    ]
    noisy = [torch.from_numpy(margin.counts.astype(np.float32)) for margin in margins]
    noise = [torch.from_numpy(margin.variance.astype(np.float32)) for margin in margins]
    log_weights = [torch.zeros(len(counts), requires_grad=True) for counts in noisy]

    def loss() -> Tensor:
        score = torch.stack(
            [values[cell] for values, cell in zip(log_weights, places, strict=True)]
        ).sum(0)
        weight = torch.softmax(score, dim=1)
        total = torch.stack(
            [
                values.square().sum() / (2 * margin.deviation**2)
                for values, margin in zip(log_weights, margins, strict=True)
            ]
        ).sum()
        for cell, counts, variance, share in zip(places, noisy, noise, shares, strict=True):
            expected = (
                torch.zeros_like(counts).index_add(0, cell.flatten(), weight.flatten()) * share
            )
            # patients, and the synthetic ones drawn here
            sampled = expected.detach().clamp(min=1.0) * (1 + scale)
            total = total + ((counts - expected).square() / (2 * (variance + sampled))).sum()
        return total

    descend(log_weights, loss, STEPS, RATE)
    return tuple(values.detach().numpy() for values in log_weights)


def population(noisy: Sequence[np.ndarray], sigmas: Sequence[float]) -> float:
    """Number of patients, from the noisy tables: each table's total, weighted by the inverse of its
    variance (cells times sigma squared). At least 1.
    """
    weights = np.array(
        [1 / (len(table) * sigma**2) for table, sigma in zip(noisy, sigmas, strict=True)]
    )
    return max(float(np.array([table.sum() for table in noisy]) @ weights / weights.sum()), 1.0)
