"""Everything that comes out of a training run, noted while it runs or read from its store: for an
auditor who sees it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from pipeline.dp import marginals
from pipeline.dp.marginals import MeasurementStore, Storable
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.sgd import DpSgd

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Block:
    """One block of noisy counts, and everybody's cell in it."""

    name: str
    sigma: float
    noisy: Array  # int64 [cells]
    cells: Array  # int64 [canaries + kinds]


class Replay(MeasurementStore):
    """The store of a finished run, for running its counts once more on other rows: what was
    measured stays, the cells of the rows are kept. Of a choice nothing is kept: what its picks tell
    is asked by audits of its own (choices.py).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.blocks: list[Block] = []

    def get_or_measure(
        self, mechanism: Storable, counts_fn: Callable[[], Array], noise: NoiseStream
    ) -> Array:
        noisy = super().get_or_measure(mechanism, _never, noise)
        if isinstance(mechanism, PrivateChoice):
            return noisy
        cells: list[Array] = []
        check = marginals._checked

        def check_and_note(codes: Array, size: int) -> Array:
            cells.append(check(codes, size))
            return cells[-1]

        with patch.object(marginals, "_checked", check_and_note):
            counts = counts_fn()
        if not np.array_equal(np.bincount(cells[-1], minlength=counts.size), counts.ravel()):
            raise ValueError(f"{mechanism.name}: its counts are not one cell for each patient")
        self.blocks.append(Block(mechanism.name, mechanism.sigma, noisy.ravel(), cells[-1]))
        return noisy


def _never() -> Array:
    raise ValueError("a replay measures nothing: the run has left out a count")


@dataclass(frozen=True, eq=False)
class Step:
    """One executed step of DP-SGD: the weights before it, who was sampled, and what came out."""

    mechanism: DpSgd
    weights: dict[str, Tensor]
    sample: Array  # int64 [b], places among the rows that were trained on
    noisy: dict[str, Tensor]

    @property
    def summed(self) -> Tensor:
        """The noisy sum of clipped gradients, [p] in the order of the weights."""
        return (
            torch.cat([self.noisy[name].flatten() for name in self.weights])
            * self.mechanism.expected_batch_size
        )


@dataclass(frozen=True, eq=False)
class Steps:
    """All steps of a run, in order."""

    steps: list[Step] = field(default_factory=list)

    def of(self, mechanism: DpSgd) -> list[Step]:
        return [step for step in self.steps if step.mechanism == mechanism]

    @contextmanager
    def record(self) -> Iterator[None]:
        """Keeps every sample and every noisy gradient that is made meanwhile, and the weights that
        it was made at.
        """
        draw, inner, samples = DpSgd.sample, DpSgd.noisy_gradient, [np.zeros(0, np.int64)]

        def sample(mechanism: DpSgd, n_patients: int, noise: NoiseStream) -> Array:
            samples.append(draw(mechanism, n_patients, noise))
            return samples[-1]

        def noisy_gradient(
            mechanism: DpSgd, sums: Any, like: Mapping[str, Tensor], noise: NoiseStream
        ) -> dict[str, Tensor]:
            weights = {name: value.detach().clone() for name, value in like.items()}
            gradient = inner(mechanism, sums, like, noise)
            copies = {name: value.clone() for name, value in gradient.items()}
            self.steps.append(Step(mechanism, weights, samples[-1], copies))
            return gradient

        with (
            patch.object(DpSgd, "sample", sample),
            patch.object(DpSgd, "noisy_gradient", noisy_gradient),
        ):
            yield
