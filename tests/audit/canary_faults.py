"""Planted faults that the canaries must catch: patched in here only, never a switch in shipped
code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.dp.ghost import GhostClipper
from pipeline.dp.marginals import NoisyCounts
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
