"""What one counted table says about the chances of a head: noisy counts beside what chances would
make of synthetic choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.models.pathway.domain.calibration_table import CalibrationTable, joint_cell
from pipeline.models.pathway.fit.estimate import weighted_counts


@dataclass(frozen=True, eq=False)
class Choices:
    """Some choices of one kind, alike ones together: parts [r] by name, number [r] (0 for the
    first), whether of a pathway's picked event [r], legal [r, k], how many [r].
    """

    parts: Mapping[str, np.ndarray]
    number: np.ndarray
    picked: np.ndarray
    legal: np.ndarray
    count: np.ndarray

    def of(self, table: CalibrationTable) -> np.ndarray:
        """How many of them the table counts, [r]."""
        if table.counts_picked_events:
            return np.where(self.picked, self.count, 0.0)
        return (self.number == int(table.counts_later_events)) * self.count


class TableLoss:
    """What one table says about the chances: its noisy counts, and how many choices each of its
    rows is estimated to have.
    """

    def __init__(
        self,
        table: CalibrationTable,
        noisy: np.ndarray,
        sigma: float,
        choices: Choices,
        scale: float,
        offset: np.ndarray,
    ) -> None:
        self.offset = torch.from_numpy(offset.astype(np.float32))
        counts = noisy.reshape(-1, table.sizes[-1])[:, 1:]  # without those who have no such event
        self.table, self.is_later = table, table.counts_later_events
        row = joint_cell(table.parts[:-1], table.sizes[:-1], choices.parts, len(choices.count))
        in_table = choices.of(table)
        patients = np.bincount(row, in_table, minlength=len(counts)) * scale  # [rows]
        legal = np.zeros(counts.shape, bool)
        np.logical_or.at(legal, row[in_table > 0], choices.legal[in_table > 0])
        sums = np.where(legal, counts, 0).sum(1)
        events = weighted_counts(patients, sums, legal.sum(1) * sigma**2, scale)
        self.row, self.sigma, self.shape = torch.from_numpy(row), sigma, counts.shape
        self.share = torch.from_numpy(
            in_table * scale / np.maximum(patients, 1e-9)[row] * events[row]
        ).float()[:, None]
        self.legal = torch.from_numpy(legal)
        self.counts = torch.from_numpy(counts.astype(np.float32))

    def logits(self, values: Tensor) -> Tensor:
        """What these weights [rows, k] add to the logits, [choices, k]."""
        return (values + self.offset)[self.row]

    def loss(self, chances: Tensor) -> Tensor:
        """Negative log-likelihood of the noisy counts, a scalar. chances [choices, k]."""
        expected = torch.zeros(self.shape).index_add(0, self.row, chances * self.share)
        variance = self.sigma**2 + expected.detach().clamp(min=1.0)
        return ((self.counts - expected).square() / (2 * variance) * self.legal).sum()


class ChangeLoss:
    """What a table of changes says: how far values are from the last known ones."""

    is_later = False

    def __init__(
        self,
        table: CalibrationTable,
        noisy: np.ndarray,
        sigma: float,
        choices: Choices,
        scale: float,
        cells: np.ndarray,
    ) -> None:
        counts = noisy[1:]  # without those of whom no change can be told
        self.table, self.sigma, self.shape = table, sigma, (1, len(counts))
        self.offset = torch.zeros(self.shape)
        in_table = choices.of(table) * (cells > 0).any(1)
        patients = np.array([in_table.sum() * scale])
        events = weighted_counts(patients, counts[None].sum(1), len(counts) * sigma**2, scale)
        self.share = torch.from_numpy(
            in_table * scale / max(patients[0], 1e-9) * events[0]
        ).float()[:, None]
        self.cells = torch.from_numpy(cells)
        self.counts = torch.from_numpy(counts.astype(np.float32))

    def logits(self, values: Tensor) -> Tensor:
        """What these weights [1, changes] add to the logits, [choices, k]."""
        return torch.cat([torch.zeros(1), values[0]])[self.cells]

    def loss(self, chances: Tensor) -> Tensor:
        """Negative log-likelihood of the noisy counts, a scalar. chances [choices, k]."""
        shares = torch.where(self.cells > 0, chances, 0.0)
        shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-9)
        expected = torch.zeros(len(self.counts) + 1).index_add(
            0, self.cells.flatten(), (shares * self.share).flatten()
        )[1:]
        variance = self.sigma**2 + expected.detach().clamp(min=1.0)
        return ((self.counts - expected).square() / (2 * variance)).sum()
