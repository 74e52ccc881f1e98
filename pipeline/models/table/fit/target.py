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
from typing import Any

import numpy as np
import torch

from pipeline.models.table.measure.choose import Pair, by_class
from pipeline.models.table.measure.measure import Measured

_STEPS, _LEARNING_RATE = 200, 0.1
_SLACK_OF_ONE, _SLACK_OF_PAIR = 0.5, 1.0  # half width of a moment's box, in units of its noise
_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class TargetHead:
    """Weights of one target's classes; those of the first class are 0."""

    target: str
    bias: np.ndarray  # float32 [classes]
    ones: dict[str, np.ndarray]  # float32 [groups, classes] by column
    pairs: dict[Pair, np.ndarray]  # float32 [coarse a, coarse b, classes]
    # int64 [groups a], [groups b]: coarse group of each
    coarse: dict[Pair, tuple[np.ndarray, np.ndarray]]

    def chances(self, groups: Mapping[str, np.ndarray]) -> np.ndarray:
        """p(class | row), float64 [n, classes]. groups: group of each row by column, int64 [n]."""
        n = len(next(iter(groups.values())))
        made = np.empty((n, len(self.bias)))
        for first in range(0, n, _CHUNK):
            rows = slice(first, first + _CHUNK)
            scores = np.tile(self.bias.astype(np.float64), (len(made[rows]), 1))
            for name, weights in self.ones.items():
                scores += weights[groups[name][rows]]
            for (a, b), weights in self.pairs.items():
                of_a, of_b = self.coarse[a, b]
                scores += weights[of_a[groups[a][rows]], of_b[groups[b][rows]]]
            made[rows] = np.exp(scores - scores.max(1, keepdims=True))
        return made / made.sum(1, keepdims=True)

    def described(self) -> dict[str, Any]:
        """Which columns the arrays of `arrays` belong to; JSON."""
        return {
            "target": self.target,
            "ones": list(self.ones),
            "pairs": [list(pair) for pair in self.pairs],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        found = {"bias": self.bias} | {
            f"one/{place}": weights for place, weights in enumerate(self.ones.values())
        }
        for place, (pair, weights) in enumerate(self.pairs.items()):
            found |= {
                f"pair/{place}": weights,
                f"coarse/{place}/0": self.coarse[pair][0],
                f"coarse/{place}/1": self.coarse[pair][1],
            }
        return found

    @classmethod
    def from_arrays(
        cls, described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> TargetHead:
        pairs = [(a, b) for a, b in described["pairs"]]
        return cls(
            described["target"],
            arrays["bias"],
            {name: arrays[f"one/{k}"] for k, name in enumerate(described["ones"])},
            {pair: arrays[f"pair/{k}"] for k, pair in enumerate(pairs)},
            {
                pair: (arrays[f"coarse/{k}/0"], arrays[f"coarse/{k}/1"])
                for k, pair in enumerate(pairs)
            },
        )


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
        drawn = np.stack(
            [np.bincount(self.cell, weights, minlength=cells) for weights in expected.T]
        ) / len(self.cell)
        rows = drawn.sum(0)
        usual = np.where(rows > 0, drawn / np.maximum(rows, 1e-12), expected.mean(0)[:, None])
        return np.asarray(self.shares - usual * (self.shares.sum(0) - rows))


def fit_head(
    target: str, measured: Measured, size: float, groups: Mapping[str, np.ndarray]
) -> TargetHead:
    """The head of one target. groups: group of each drawn row by column, int64 [rows], the target's
    left out; size: patients, noisy.

    First each column alone, then with the pairs of coarse groups, whose moments are corrected by
    the first fit.
    """
    ones = {name: _one(target, name, measured, size, drawn) for name, drawn in groups.items()}
    pivots = {pivot.pair: pivot for pivot in measured.pivots if pivot.target == target}
    pairs = {
        pair: _Moment(
            pivot.counts.reshape(len(pivot.counts), -1) / size,
            _SLACK_OF_PAIR * pivot.sigma / size,
            pivot.coarse[0][groups[pair[0]]] * pivot.counts.shape[2]
            + pivot.coarse[1][groups[pair[1]]],
        )
        for pair, pivot in pivots.items()
    }
    rows = len(next(iter(groups.values())))
    base = np.maximum(np.mean([moment.shares.sum(1) for moment in ones.values()], 0), 1e-6)
    base /= base.sum()
    fitted = _maximise(list(ones.values()), np.tile(base, (rows, 1)), np.log(base / base[0]), None)
    if pairs:
        fitted = _maximise(
            [*ones.values(), *pairs.values()], fitted.expected, fitted.bias, fitted.weights
        )
    found = dict(zip([*ones, *pairs], fitted.weights, strict=True))
    return TargetHead(
        target,
        fitted.bias.astype(np.float32),
        {name: found[name] for name in ones},
        {pair: found[pair].reshape(*pivot.counts.shape[1:], -1) for pair, pivot in pivots.items()},
        {pair: pivot.coarse for pair, pivot in pivots.items()},
    )


def _one(target: str, name: str, measured: Measured, size: float, drawn: np.ndarray) -> _Moment:
    block, sigma = by_class(target, name, measured.pairs, measured.pair_sigmas)
    return _Moment(block / size, _SLACK_OF_ONE * sigma / size, drawn)


@dataclass(frozen=True, eq=False)
class _Fitted:
    bias: np.ndarray  # [classes]
    weights: list[np.ndarray]  # float32 [cells, classes] by moment
    expected: np.ndarray  # float64 [rows, classes]


def _maximise(
    moments: list[_Moment], expected: np.ndarray, bias: np.ndarray, start: list[np.ndarray] | None
) -> _Fitted:
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
    free = torch.zeros(sum(sizes), expected.shape[1] - 1)
    if start:
        free[: sum(map(len, start))] = torch.from_numpy(np.concatenate(start)[:, 1:])
    free.requires_grad_()
    free_bias = torch.from_numpy(bias[1:] - bias[0]).float().requires_grad_()
    optimiser = torch.optim.Adam([free, free_bias], lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        scores = _with_first(_sums(free, index) + free_bias)
        loss = scores.logsumexp(1).mean() - (free * goal).sum() - (free_bias * shares).sum()
        (loss + (slack * (free.square() + 1e-4).sqrt()).sum()).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        chances = _with_first(_sums(free, index) + free_bias).softmax(1).double().numpy()
        whole, whole_bias = _with_first(free).numpy(), _with_first(free_bias[None])[0].numpy()
    return _Fitted(whole_bias, np.split(whole, offsets[1:-1]), chances)


def _sums(weights: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Sum of each row's weights, [rows, classes - 1]; class by class, which keeps the gathering
    quick.
    """
    return torch.stack([weights[:, c][index].sum(1) for c in range(weights.shape[1])], 1)


def _with_first(scores: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros(len(scores), 1), scores], 1)
