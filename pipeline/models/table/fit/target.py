"""A declared target drawn from all other columns at once: a conditional maximum-entropy model
fitted to noisy moments. No row is read.

Within a latent code the columns are independent, so a mixture blurs what a row says about its
target. The head draws the target last, from p(class | row) proportional to exp(bias + a weight per
column's group + a weight per pair of coarse groups): the distribution of largest entropy whose
moments with the class meet the noisy ones within their noise (Dudik, Phillips, Schapire 2007,
jmlr.org/papers/v8/dudik07a: boxes around the moments are an L1 penalty in the dual). Rows are the
generator's own draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.models.table.measure.selection import by_class
from pipeline.models.table.values.heads import TargetHead
from pipeline.models.table.values.measurements import Measurements

_STEPS, _LEARNING_RATE = 200, 0.1
_ONE_WAY_SLACK, _PAIR_SLACK = 0.5, 1.0  # half width of a moment's box, in units of its noise


@dataclass(frozen=True, eq=False)
class _Moment:
    """Shares of patients by class in the cells of one block, how far they may be missed, and each
    drawn row's cell.
    """

    shares: np.ndarray  # float64 [classes, cells]
    slack: float
    cell: np.ndarray  # int64 [rows]

    def corrected(self, expected: np.ndarray) -> np.ndarray:
        """The shares, less the rows that the draws do not have in a cell, at the classes expected
        there. expected: [rows, classes].

        Draws and measurement disagree about how many rows a cell has; only their classes are the
        head's business.
        """
        cells = self.shares.shape[1]
        joint = np.stack(
            [np.bincount(self.cell, weights, minlength=cells) for weights in expected.T]
        ) / len(self.cell)
        rows = joint.sum(0)
        conditional = np.where(rows > 0, joint / np.maximum(rows, 1e-12), expected.mean(0)[:, None])
        return np.asarray(self.shares - conditional * (self.shares.sum(0) - rows))


def fit_head(
    target: str, measurements: Measurements, size: float, groups: Mapping[str, np.ndarray]
) -> TargetHead:
    """The head of one target.

    groups: group of each drawn row by column, int64 [rows], the target's left out. size: number of
    patients, from noisy sums.

    First each column alone, then with the pairs of coarse groups, whose moments are corrected by
    the first fit.
    """
    ones = {name: _one_way(target, name, measurements, size, cell) for name, cell in groups.items()}
    pivots = {pivot.pair: pivot for pivot in measurements.pivots if pivot.target == target}
    pairs = {
        pair: _Moment(
            pivot.counts.reshape(len(pivot.counts), -1) / size,
            _PAIR_SLACK * pivot.sigma / size,
            pivot.coarse[0][groups[pair[0]]] * pivot.counts.shape[2]
            + pivot.coarse[1][groups[pair[1]]],
        )
        for pair, pivot in pivots.items()
    }
    rows = len(next(iter(groups.values())))
    base = np.maximum(np.mean([moment.shares.sum(1) for moment in ones.values()], 0), 1e-6)
    base /= base.sum()
    solution = _minimise_dual(
        list(ones.values()), np.tile(base, (rows, 1)), np.log(base / base[0]), None
    )
    if pairs:
        solution = _minimise_dual(
            [*ones.values(), *pairs.values()], solution.expected, solution.bias, solution.weights
        )
    weights = dict(zip([*ones, *pairs], solution.weights, strict=True))
    return TargetHead(
        target,
        solution.bias.astype(np.float32),
        {name: weights[name] for name in ones},
        {
            pair: weights[pair].reshape(*pivot.counts.shape[1:], -1)
            for pair, pivot in pivots.items()
        },
        {pair: pivot.coarse for pair, pivot in pivots.items()},
    )


def _one_way(
    target: str, name: str, measurements: Measurements, size: float, cell: np.ndarray
) -> _Moment:
    pair = by_class(target, name, measurements.pairs)
    return _Moment(pair.counts / size, _ONE_WAY_SLACK * pair.sigma / size, cell)


@dataclass(frozen=True, eq=False)
class _Solution:
    bias: np.ndarray  # [classes]
    weights: list[np.ndarray]  # float32 [cells, classes] by moment
    expected: np.ndarray  # float64 [rows, classes]


def _minimise_dual(
    moments: list[_Moment], expected: np.ndarray, bias: np.ndarray, start: list[np.ndarray] | None
) -> _Solution:
    """The relaxed dual: mean log-partition - weights . moments + slack . |weights|, from `start`
    where there is one.
    """
    sizes = [moment.shares.shape[1] for moment in moments]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    index = torch.from_numpy(
        np.stack([moment.cell + first for moment, first in zip(moments, offsets, strict=False)], 1)
    )
    corrected = [moment.corrected(expected)[1:] for moment in moments]
    goal = torch.from_numpy(np.concatenate(corrected, 1).T).float()
    shares = torch.from_numpy(np.mean([one.sum(1) for one in corrected], 0)).float()
    slack = torch.cat(
        [torch.full((cells, 1), moment.slack) for moment, cells in zip(moments, sizes, strict=True)]
    )
    class_weights = torch.zeros(sum(sizes), expected.shape[1] - 1)
    if start:
        class_weights[: sum(map(len, start))] = torch.from_numpy(np.concatenate(start)[:, 1:])
    class_weights.requires_grad_()
    class_bias = torch.from_numpy(bias[1:] - bias[0]).float().requires_grad_()
    optimiser = torch.optim.Adam([class_weights, class_bias], lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        scores = _with_first(_sums(class_weights, index) + class_bias)
        loss = (
            scores.logsumexp(1).mean() - (class_weights * goal).sum() - (class_bias * shares).sum()
        )
        (loss + (slack * (class_weights.square() + 1e-4).sqrt()).sum()).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        probabilities = (
            _with_first(_sums(class_weights, index) + class_bias).softmax(1).double().numpy()
        )
        all_weights, all_bias = (
            _with_first(class_weights).numpy(),
            _with_first(class_bias[None])[0].numpy(),
        )
    return _Solution(all_bias, np.split(all_weights, offsets[1:-1]), probabilities)


def _sums(weights: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Sum of each row's weights, [rows, classes - 1]; class by class, which keeps the gathering
    quick.
    """
    return torch.stack([weights[:, c][index].sum(1) for c in range(weights.shape[1])], 1)


def _with_first(scores: torch.Tensor) -> torch.Tensor:
    """The scores of all classes [rows, classes]: the first class's are 0."""
    return torch.cat([torch.zeros(len(scores), 1), scores], 1)
