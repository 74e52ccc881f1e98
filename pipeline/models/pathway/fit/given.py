"""What the network is given before it is trained: which type follows which, how far apart events
stand, and when a type returns. Reads noisy counts only.

Gradients and passes then learn what differs from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import PAIR_TYPES, PAIR_WAITS, RETURN
from pipeline.models.pathway.domain.facts import LENGTH_EDGES
from pipeline.models.pathway.fit.descend import descend

STEPS, RATE = 200, 0.1
BEND = 1.0  # standard deviation of how the log density of waits bends from bin to bin
PULL = 1.0  # standard deviation of a log chance from everybody's
MOST_END = 0.9  # chance that a pathway ends with its next event
LONGEST_TAIL = 1.3  # events of whoever is in the last bin of lengths, over its edge


@dataclass(frozen=True, eq=False)
class NoisyCells:
    """Noisy counts of a table in its shape, and the standard deviation of their noise."""

    counts: np.ndarray
    sigma: float


Tables = Mapping[tuple[str, ...], NoisyCells]


def by_parts(
    tables: Sequence[CalibrationTable], noisy: Sequence[np.ndarray], sigmas: Sequence[float]
) -> Tables:
    """Each table's noisy counts by its parts."""
    return {
        table.parts: NoisyCells(counts.reshape(table.sizes).astype(float), sigma)
        for table, counts, sigma in zip(tables, noisy, sigmas, strict=True)
    }


def wait_logits(coding: Coding, tables: Tables) -> np.ndarray:
    """Log chances of each wait by the type of the event at its end, float32 [T, G]; 0 for a type
    that returns: the race tells its waits.
    """
    logits = _smooth(
        tables[PAIR_WAITS].counts[1:, 1:], tables[PAIR_WAITS].sigma, _log_widths(coding)
    )
    logits[list(coding.returns)] = 0.0
    return logits.astype(np.float32)


def return_shares(coding: Coding, tables: Tables) -> np.ndarray:
    """Of the returns of each type, how many take so many days, float32 [R, G]."""
    rows = [tables[f"{RETURN} {coding.grammar.type_names[t]}",] for t in coding.returns]
    shares = [
        np.exp(_smooth(row.counts[None, 1:], row.sigma, _log_widths(coding))[0]) for row in rows
    ]
    return np.array(shares, np.float32)


def type_logits(coding: Coding, tables: Tables) -> np.ndarray:
    """What joins the logits of types by the last event's token, float32 [V + 1, T]; the row without
    an event is 0.

    The chance of an end is one over the number of events before it: by the noisy lengths, which
    know it better than the few pairs that end a pathway.
    """
    g = coding.grammar
    pairs = tables[PAIR_TYPES]
    shares = _shrunk(pairs.counts[1:, 1:], pairs.sigma, ~g.terminal)
    together = list(coding.returns)
    shares[:, together] = shares[:, together].sum(1, keepdims=True)  # the race tells which of them
    end = min(1 / max(mean_length(tables, g.log.max_events) - 1, 1.0), MOST_END)
    logits = np.log(np.where(g.terminal, end / max(g.terminal.sum(), 1), shares * (1 - end)))
    return np.append(logits[g.token_type], np.zeros((1, g.n_types)), axis=0).astype(np.float32)


def mean_length(tables: Tables, most: int) -> float:
    """Events per pathway by the noisy lengths, between 2 and `most`; half of it where no table
    tells.
    """
    for parts, table in tables.items():
        if parts[-1] == "length":
            numbers = table.counts.reshape(-1, table.counts.shape[-1]).sum(0)
            middles = np.append(
                (LENGTH_EDGES[:-1] + LENGTH_EDGES[1:] - 1) / 2, LENGTH_EDGES[-1] * LONGEST_TAIL
            )
            return float(np.clip(numbers @ middles / max(numbers.sum(), 1.0), 2, most))
    return most / 2


def _shrunk(counts: np.ndarray, sigma: float, legal: np.ndarray) -> np.ndarray:
    """Shares of each row, [T, T]: as counted where the counts pass the noise, else everybody's."""
    positive = counts.sum(0).clip(0) + sigma
    everybody = np.where(legal, positive, 0.0)
    everybody /= everybody.sum()
    joined = np.where(legal, counts, 0.0).clip(0) + 2 * sigma * everybody
    shares = joined / joined.sum(1, keepdims=True)
    return np.asarray(shares.clip(1e-4))


def _log_widths(coding: Coding) -> np.ndarray:
    edges = np.array([*coding.gaps.edges, coding.gaps.longest + 1])
    return np.log(np.diff(edges).clip(1))


def _smooth(counts: np.ndarray, sigma: float, log_widths: np.ndarray) -> np.ndarray:
    """Log chances of rows of noisy counts [n, G]: the most likely ones if the log density bends
    little from bin to bin and rows differ little from each other.
    """
    noisy = torch.from_numpy(counts)
    patients = noisy.sum(1, keepdim=True).clamp(min=0)
    everybody = torch.zeros(counts.shape[1], dtype=torch.float64, requires_grad=True)
    own = torch.zeros(counts.shape, dtype=torch.float64, requires_grad=True)

    def logits() -> Tensor:
        return everybody + own + torch.from_numpy(log_widths)

    def loss() -> Tensor:
        expected = logits().softmax(1) * patients
        variance = sigma**2 + expected.detach().clamp(min=1.0)
        bends = everybody.diff(n=2).square().sum() + own.diff(n=2).square().sum()
        return (
            ((noisy - expected).square() / (2 * variance)).sum()
            + bends / (2 * BEND**2)
            + own.square().sum() / (2 * PULL**2)
        )

    descend([everybody, own], loss, STEPS, RATE)
    return np.asarray(logits().log_softmax(1).detach().numpy())
