"""Planted faults that the canaries must catch: patched in here only, never a switch in shipped
code.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pipeline.dp.ghost import GhostClipper
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd

TABLES, SEQUENCES = "canaries in tables, epsilon 1", "canaries in sequences, epsilon 1"
TINY = 1e-9


@dataclass(frozen=True)
class Fault:
    """A break of the guarantee; `path` is the kind of outputs that must tell of it."""

    name: str
    caught_by: str  # name of a check
    patch: Callable[[pytest.MonkeyPatch], None]
    path: str


@dataclass(frozen=True)
class SmallFault:
    """A break that the guesses of one run are too few to tell; what is left of the output `rest` by
    itself tells of it, as it holds only a `share` of the claimed noise.
    """

    name: str
    caught_by: str  # name of a check
    patch: Callable[[pytest.MonkeyPatch], None]
    rest: str
    share: float


def counts_without_noise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NoisyCounts, "measure", lambda mechanism, counts, noise: counts.astype(np.int64))


def gradients_without_noise(patch: pytest.MonkeyPatch) -> None:
    gradient = DpSgd.noisy_gradient
    patch.setattr(
        DpSgd,
        "noisy_gradient",
        lambda mechanism, sums, like, noise: gradient(
            dataclasses.replace(mechanism, noise_multiplier=TINY), sums, like, noise
        ),
    )


def clip_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        DpSgd,
        "ghost_clipper",
        lambda mechanism, model, per_patient=(): GhostClipper(model, 1 / TINY, per_patient),
    )


def counts_with_a_part_of_the_noise(divisor: int) -> Callable[[pytest.MonkeyPatch], None]:
    def patched(patch: pytest.MonkeyPatch) -> None:
        measure = NoisyCounts.measure
        patch.setattr(
            NoisyCounts,
            "measure",
            lambda mechanism, counts, noise: measure(
                dataclasses.replace(mechanism, sigma=mechanism.sigma / divisor), counts, noise
            ),
        )

    return patched


def part_of_the_noise(block: str | None) -> Callable[[pytest.MonkeyPatch], None]:
    """Half of the noise on the counts of one block, or of all."""

    def patched(patch: pytest.MonkeyPatch) -> None:
        measure = NoisyCounts.measure

        def measured(mechanism: NoisyCounts, counts: np.ndarray, noise: NoiseStream) -> np.ndarray:
            if block in (None, mechanism.name):
                mechanism = dataclasses.replace(mechanism, sigma=mechanism.sigma / 2)
            return measure(mechanism, counts, noise)

        patch.setattr(NoisyCounts, "measure", measured)

    return patched


def gradients_with_half_of_the_noise(patch: pytest.MonkeyPatch) -> None:
    _gradients_with_noise(patch, lambda step: 0.5)


def one_step_without_noise(patch: pytest.MonkeyPatch) -> None:
    _gradients_with_noise(patch, lambda step: TINY if step == 3 else 1.0)


def _gradients_with_noise(patch: pytest.MonkeyPatch, part: Callable[[int], float]) -> None:
    """Of each step its part of the noise."""
    gradient, steps = DpSgd.noisy_gradient, itertools.count()

    def noisy_gradient(mechanism: DpSgd, sums: Any, like: Any, noise: NoiseStream) -> Any:
        multiplier = mechanism.noise_multiplier * part(next(steps))
        quiet = dataclasses.replace(mechanism, noise_multiplier=multiplier)
        return gradient(quiet, sums, like, noise)

    patch.setattr(DpSgd, "noisy_gradient", noisy_gradient)


def _faults(
    dataset: str, epsilon: int, kinds: list[tuple[str, Callable[[pytest.MonkeyPatch], None], str]]
) -> list[Fault]:
    return [
        Fault(
            f"{name} ({dataset}, epsilon {epsilon})",
            f"canaries in {dataset}, epsilon {epsilon}",
            patch,
            path,
        )
        for name, patch, path in kinds
    ]


def _of_paths(gradients: str) -> list[tuple[str, Callable[[pytest.MonkeyPatch], None], str]]:
    """The last is caught at epsilon 1 alone; at 10 it takes three runs to catch the others."""
    return [
        ("counts without noise", counts_without_noise, "counts"),
        ("gradients without noise", gradients_without_noise, gradients),
        ("clip forgotten", clip_forgotten, gradients),
    ]


_TENTH = ("a tenth of the noise on counts", counts_with_a_part_of_the_noise(10), "counts")
FAULTS = tuple(
    fault
    for dataset, gradients in (("tables", "critic"), ("sequences", "sequences"))
    for epsilon, kinds in ((1, [*_of_paths(gradients), _TENTH]), (10, _of_paths(gradients)[:2]))
    for fault in _faults(dataset, epsilon, kinds)
)

_LARGE = {"tables": "tree/fnlwgt/4", "sequences": "pathway/SITE_GROUP/combination"}
SMALL_FAULTS = tuple(
    SmallFault(f"{name} ({dataset}, epsilon 1)", check, patch, rest, share)
    for dataset, check, gradients in (
        ("tables", TABLES, "critic"),
        ("sequences", SEQUENCES, "sequences"),
    )
    for name, patch, rest, share in (
        ("half the noise on one block", part_of_the_noise(_LARGE[dataset]), _LARGE[dataset], 0.5),
        ("half the noise on counts", part_of_the_noise(None), _LARGE[dataset], 0.5),
        ("half the noise on gradients", gradients_with_half_of_the_noise, gradients, 0.5),
        ("one step in eight without noise", one_step_without_noise, gradients, 0.935),
    )
)
