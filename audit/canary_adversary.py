"""The adversary of the definition: who knows every other patient, every other coin and whom else
each Poisson sample took, and weighs the two cases of one coin by the exact likelihood ratio.

By the lemma of Neyman and Pearson nobody guesses better, where noise and samples are what is
claimed. Knowing the others is allowed in `pipeline.dp.many_runs`, where a run counts once, and not
in `pipeline.dp.one_run`. What is left of the outputs when everybody's part is taken off is noise,
and must be of the claimed size: that is looked at block by block and step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from audit.canary_outputs import Block, Step

Array = np.ndarray[Any, Any]
ALL_COUNTS = "all counts"  # name of what is left of them together


@dataclass(frozen=True)
class Rest:
    """What of some outputs no patient explains, in units of the claimed noise."""

    name: str
    squares: float  # sum over places
    places: int

    def __add__(self, other: Rest) -> Rest:
        return Rest(self.name, self.squares + other.squares, self.places + other.places)

    @property
    def share_of_claim(self) -> float:
        """The noise that is there over the noise that is claimed, as standard deviations."""
        return float(np.sqrt(self.squares / self.places))

    def is_refuted(self, significance: float) -> bool:
        """Whether noise of the claimed size leaves so little, or so much, a chance below
        `significance`: tails of chi-squared, each with half. Discrete Gaussians from sigma 1 on
        have its moments to 1e-7.
        """
        return bool(
            min(stats.chi2.cdf(self.squares, self.places), stats.chi2.sf(self.squares, self.places))
            < significance / 2
        )


@dataclass(frozen=True, eq=False)
class Losses:
    """Log likelihood ratios of in over out, float64 [canaries], and the rests by name."""

    ratios: Array
    rests: dict[str, Rest]

    def __add__(self, other: Losses) -> Losses:
        """Of outputs that are independent given the coins; rests of one name add up."""
        rests = dict(self.rests)
        for name, rest in other.rests.items():
            rests[name] = rests[name] + rest if name in rests else rest
        return Losses(self.ratios + other.ratios, rests)


def losses_of_counts(blocks: Sequence[Block], included: Array, copies: int) -> Losses:
    """Of all blocks together; the rests of each and of all. included: bool [canaries], the coins;
    `copies` of each kind are in.
    """
    ratios, rests = np.zeros(len(included)), {}
    for block in blocks:
        own, others = block.cells[: len(included)], block.cells[len(included) :]
        rest = (
            block.noisy
            - copies * np.bincount(others, minlength=len(block.noisy))
            - np.bincount(own[included], minlength=len(block.noisy))
        )
        ratios += (rest[own] + included - 0.5) / block.sigma**2
        squares = float(((rest / block.sigma) ** 2).sum())
        rests[block.name] = Rest(block.name, squares, len(rest))
    whole = sum(rests.values(), start=Rest(ALL_COUNTS, 0.0, 0))
    return Losses(ratios, rests | {ALL_COUNTS: whole})


def losses_of_gradients(step: Step, own: Tensor, included: Array, copies: int, name: str) -> Losses:
    """Of one step: the ratio of a Poisson-sampled Gaussian.

    own: everybody's clipped gradient, [canaries + kinds, p]. The rows trained on: all kinds,
    `copies` times over, then the canaries whose coins say so.
    """
    n, kinds, q = len(included), len(own) - len(included), step.mechanism.sampling_probability
    rows = np.concatenate([n + np.arange(copies * kinds) % kinds, np.flatnonzero(included)])
    times = np.bincount(rows[step.sample], minlength=len(own))
    rest = step.summed - torch.from_numpy(times).to(own.dtype) @ own
    variance = (step.mechanism.noise_multiplier * step.mechanism.l2_clip_norm) ** 2
    lengths = own[:n].square().sum(dim=1).double().numpy()
    along = (own[:n] @ rest).double().numpy() + times[:n] * lengths
    inside = np.log(q) + (along - lengths / 2) / variance
    left = Rest(name, float(rest.double().square().sum()) / variance, len(rest))
    return Losses(np.logaddexp(np.log1p(-q), inside) if q < 1 else inside, {name: left})
