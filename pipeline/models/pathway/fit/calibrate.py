"""Calibration: weights per table cell, so that the pathways that are picked agree with the noisy
tables as far as these can be trusted.

Of M candidates for a static row, candidate m is picked with chance proportional to exp(sum over
tables of lambda[cell of m]). The lambdas maximise a Gaussian likelihood of the noisy counts under a
Gaussian prior, so that a cell moves only as far as its noise allows. All of it is post-processing.
Found once, on synthetic rows; sampling then needs no table, and partitions and prompts cannot
change it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.models.pathway.domain.state import Coding
from pipeline.models.pathway.domain.tables import CalibrationTable, believed, static_parts
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.pathway.fit.heads import choice_of

STEPS, RATE = 150, 0.15
PRIOR_DEVIATION = 1.0  # of a cell's log weight
# where two static columns and more make the rows: what their own tables leave to say
JOINT_DEVIATION = 0.5


@dataclass(frozen=True, eq=False)
class Target:
    """Noisy counts [cells] that the pathways are calibrated to, the variance of each cell's noise,
    the static rows that they make.
    """

    counts: np.ndarray
    variance: np.ndarray
    rows: int
    deviation: float  # of the prior of a cell's log weight

    def share_of(self, cell: np.ndarray, scale: float) -> np.ndarray:
        """How many patients one synthetic patient of each cell stands for, [cells], where its row
        has too few or too many of them.
        """
        each = len(self.counts) // self.rows
        drawn = np.bincount(cell // each, minlength=self.rows) * scale
        told, variance = (
            values.reshape(self.rows, each).sum(1) for values in (self.counts, self.variance)
        )
        return (
            np.repeat(believed(drawn, told, variance, scale) / np.maximum(drawn, 1e-9), each)
            * scale
        )


def calibrated_size(coding: Coding, table: CalibrationTable) -> int:
    """Cells of the table as the calibration sees it: a table that teaches a head says only who has
    such an event. 0: nothing is left to say.
    """
    choice = choice_of(coding, table)
    if choice is None:
        return table.cells
    return table.cells // table.sizes[-1] * 2 if choice in coding.grammar.type_names else 0


def tilt_cell(coding: Coding, table: CalibrationTable, cell: np.ndarray) -> np.ndarray:
    """Cells of the table as cells of the calibration."""
    if choice_of(coding, table) is None:
        return cell
    size = table.sizes[-1]
    return 2 * (cell // size) + (cell % size > 0)


def target_of(coding: Coding, table: CalibrationTable, noisy: np.ndarray, sigma: float) -> Target:
    place = tilt_cell(coding, table, np.arange(table.cells))
    size = calibrated_size(coding, table)
    columns = static_parts(coding, table)
    return Target(
        np.bincount(place, noisy, minlength=size),
        sigma**2 * np.bincount(place, minlength=size),
        math.prod(table.sizes[:columns]),
        PRIOR_DEVIATION if columns < 2 else JOINT_DEVIATION,
    )


def find_tilt(
    targets: Sequence[Target], cells: Sequence[np.ndarray], size: float
) -> tuple[np.ndarray, ...]:
    """Log weight of each cell of each target, float32 [cells]; nothing without targets.

    cells: of each candidate of each synthetic patient, [n, M]; size: patients.
    """
    if not targets:
        return ()
    places, scale = [torch.from_numpy(cell) for cell in cells], size / max(len(cells[0]), 1)
    shares = [
        torch.from_numpy(target.share_of(cell[:, 0], scale).astype(np.float32))
        for target, cell in zip(targets, cells, strict=True)
    ]
    observed = [torch.from_numpy(target.counts.astype(np.float32)) for target in targets]
    noise = [torch.from_numpy(target.variance.astype(np.float32)) for target in targets]
    tilt = [torch.zeros(len(counts), requires_grad=True) for counts in observed]

    def loss() -> Tensor:
        score = torch.stack([values[cell] for values, cell in zip(tilt, places, strict=True)]).sum(
            0
        )
        weight = torch.softmax(score, dim=1)
        total = torch.stack(
            [
                values.square().sum() / (2 * target.deviation**2)
                for values, target in zip(tilt, targets, strict=True)
            ]
        ).sum()
        for cell, counts, variance, share in zip(places, observed, noise, shares, strict=True):
            expected = (
                torch.zeros_like(counts).index_add(0, cell.flatten(), weight.flatten()) * share
            )
            # patients, and the synthetic ones drawn here
            sampled = expected.detach().clamp(min=1.0) * (1 + scale)
            total = total + ((counts - expected).square() / (2 * (variance + sampled))).sum()
        return total

    descend(tilt, loss, STEPS, RATE)
    return tuple(values.detach().numpy() for values in tilt)


def population(noisy: Sequence[np.ndarray], sigmas: Sequence[float]) -> float:
    """Patients, from the noisy tables: each table's total, weighted by the inverse of its variance
    (cells times sigma squared).
    """
    weights = np.array(
        [1 / (len(table) * sigma**2) for table, sigma in zip(noisy, sigmas, strict=True)]
    )
    return max(float(np.array([table.sum() for table in noisy]) @ weights / weights.sum()), 1.0)
