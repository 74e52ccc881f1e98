"""Answers in the place of what mechanisms would give out: made from public seeds, so that nothing
of any row is in them.

Whoever runs with answers twice, on two extracts, gives every mechanism the same output both times.
What still differs came another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch
from zlib import crc32

import dp_accounting as dpa
import numpy as np
import torch
from torch import Tensor

from pipeline.catalog import Restricted
from pipeline.dp.events import composed
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.sgd import DpSgd
from pipeline.restricted.confirmation import Confirmation, account_hash

N_PATIENTS = 2000  # patients that the made-up counts tell of: enough for a model to believe them
Mechanism = NoisyCounts | PrivateChoice | DpSgd


@dataclass(frozen=True, eq=False)
class MechanismRun:
    """One run of a mechanism. `sums`: counts, scores or clipped gradients before noise, which one
    patient may move; empty where they were not kept.
    """

    mechanism: Mechanism
    shape: tuple[int, ...]
    sums: np.ndarray

    @property
    def event(self) -> dpa.DpEvent:
        return (
            self.mechanism.step_event
            if isinstance(self.mechanism, DpSgd)
            else self.mechanism.dp_event
        )

    @property
    def bound(self) -> float:
        """What one patient moves `sums` by, in `distance`, according to the mechanism."""
        return self.mechanism.l2_clip_norm if isinstance(self.mechanism, DpSgd) else 1.0

    @property
    def name(self) -> str:
        return "DP-SGD" if isinstance(self.mechanism, DpSgd) else self.mechanism.name

    def distance(self, other: MechanismRun) -> float:
        """How far apart the sums of two runs of one mechanism are: L2, of a choice the score that
        moved most.
        """
        moved = other.sums.astype(np.float64) - self.sums
        if isinstance(self.mechanism, PrivateChoice):
            return float(np.abs(moved).max(initial=0.0))
        return float(np.linalg.norm(moved))


class Answers:
    """The runs of mechanisms, in order, and the answers to them. keeps: hold on to the sums that
    mechanisms were handed; for invented patients only.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        self.runs: list[MechanismRun] = []
        self._keeps = keeps

    @property
    def event(self) -> dpa.ComposedDpEvent:
        """Everything that ran, canonical: told by the mechanisms that ran, not by the tape."""
        return composed(one.event for one in self.runs)

    def note(self, mechanism: Mechanism, sums: np.ndarray) -> np.random.Generator:
        """Notes one run; the public source of its answer."""
        seed = [crc32(getattr(mechanism, "name", "gradient").encode()), len(self.runs)]
        self.runs.append(
            MechanismRun(mechanism, sums.shape, sums.copy() if self._keeps else np.empty(0))
        )
        return np.random.default_rng(seed)


@contextmanager
def answering(answers: Answers) -> Iterator[None]:
    """All mechanisms of this process run as always, their outputs are thrown away, and `answers`
    speaks instead.
    """
    measure, choose, gradient = NoisyCounts.measure, PrivateChoice.measure, DpSgd.noisy_gradient

    def counts(mechanism: NoisyCounts, counts: np.ndarray, noise: NoiseStream) -> np.ndarray:
        measure(mechanism, counts, noise)
        source = answers.note(mechanism, counts)
        chances = source.dirichlet(np.full(max(counts.size, 1), 0.5))
        return (
            source.multinomial(N_PATIENTS, chances)
            .astype(np.int64)[: counts.size]
            .reshape(counts.shape)
        )

    def picks(mechanism: PrivateChoice, scores: np.ndarray, noise: NoiseStream) -> np.ndarray:
        choose(mechanism, scores, noise)
        places = answers.note(mechanism, scores).permutation(len(scores))
        return places[: mechanism.picks].astype(np.int64)

    def noisy(
        mechanism: DpSgd,
        sums: Iterable[Mapping[str, Tensor]],
        like: Mapping[str, Tensor],
        noise: NoiseStream,
    ) -> dict[str, Tensor]:
        parts = list(sums)
        gradient(mechanism, parts, like, noise)
        return _made_up_gradient(answers, mechanism, parts, like)

    with (
        patch.object(NoisyCounts, "measure", counts),
        patch.object(PrivateChoice, "measure", picks),
        patch.object(DpSgd, "noisy_gradient", noisy),
    ):
        yield


def _made_up_gradient(
    answers: Answers,
    mechanism: DpSgd,
    parts: list[Mapping[str, Tensor]],
    like: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    total = {
        name: sum((part[name] for part in parts if name in part), torch.zeros_like(weight))
        for name, weight in like.items()
    }
    source = answers.note(
        mechanism,
        np.concatenate([value.detach().cpu().double().numpy().ravel() for value in total.values()]),
    )
    size = mechanism.noise_multiplier * mechanism.l2_clip_norm / mechanism.expected_batch_size
    return {
        name: torch.from_numpy(source.normal(0, size, tuple(weight.shape)).astype(np.float32))
        for name, weight in like.items()
    }


def confirmation_by_a_person(
    release_id: str, restricted: Restricted, _users: Mapping[str, str]
) -> Confirmation:
    """A yes to what ingest kept, whatever that is."""
    return Confirmation(
        release_id=release_id,
        account=account_hash(restricted),
        confirmed=True,
        by="an auditor",
        answered_at="2026-01-01T00:00:00+00:00",
    )
