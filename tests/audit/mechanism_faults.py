"""Planted faults in single mechanisms: the words of the privacy rules' list, how each is patched
in, and the check that must see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from run_faults import expectation_of_rows, scores_of_two_counts

from pipeline.dp import marginals
from pipeline.dp.ghost import GhostClipper
from pipeline.dp.ghost_traces import Trace
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd, micro_batches
from pipeline.dp.steps import StepIndex
from pipeline.models.pathway.fit import train
from pipeline.models.table.fit import critic

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """One fault. `name` stands in the list of planted faults of the privacy rules, or says what
    else went wrong.
    """

    name: str
    where: str
    caught_by: str  # name of the check
    patch: Patch


def _no_counting_noise(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        NoiseStream, "discrete_gaussian", lambda self, sigma, shape: np.zeros(shape, dtype=np.int64)
    )


def _less_counting_noise(patched: pytest.MonkeyPatch) -> None:
    draw = NoiseStream.discrete_gaussian
    patched.setattr(
        NoiseStream, "discrete_gaussian", lambda self, sigma, shape: draw(self, sigma / 2, shape)
    )


def _one_noise_for_all_cells(patched: pytest.MonkeyPatch) -> None:
    draw = NoiseStream.discrete_gaussian
    patched.setattr(
        NoiseStream,
        "discrete_gaussian",
        lambda self, sigma, shape: np.broadcast_to(draw(self, sigma, 1), shape).copy(),
    )


def _one_noise_for_all_weights(patched: pytest.MonkeyPatch) -> None:
    draw = NoiseStream.normal
    patched.setattr(
        NoiseStream,
        "normal",
        lambda self, shape, dtype=np.float64: np.resize(draw(self, 1000, dtype), shape),
    )


def _no_normals(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        NoiseStream, "normal", lambda self, shape, dtype=np.float64: np.zeros(shape, dtype=dtype)
    )


def _smaller_normals(patched: pytest.MonkeyPatch) -> None:
    draw = NoiseStream.normal
    patched.setattr(
        NoiseStream, "normal", lambda self, shape, dtype=np.float64: draw(self, shape, dtype) / 2
    )


def _less_noise(patched: pytest.MonkeyPatch) -> None:
    _less_counting_noise(patched)
    _smaller_normals(patched)


def _functional_unclipped(patched: pytest.MonkeyPatch) -> None:
    clipped = DpSgd.clipped_sum
    patched.setattr(
        DpSgd,
        "clipped_sum",
        lambda self, loss, weights, batch: clipped(
            replace(self, l2_clip_norm=1e12), loss, weights, batch
        ),
    )


def _ghost_unclipped(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        DpSgd,
        "ghost_clipper",
        lambda self, model, per_patient=(): GhostClipper(model, 1e12, per_patient),
    )


def _recurrent_unclipped(patched: pytest.MonkeyPatch) -> None:
    """The recurrent weight is left out of the norm."""
    squared = Trace.squared_norms

    def without(self: Trace, n_patients: int) -> torch.Tensor:
        return (
            torch.zeros(n_patients)
            if self.name.endswith("recurrent")
            else squared(self, n_patients)
        )

    patched.setattr(Trace, "squared_norms", without)


def _mean_of_batch(patched: pytest.MonkeyPatch) -> None:
    sample, noisy, sizes = DpSgd.sample, DpSgd.noisy_gradient, []

    def sample_and_count(self: DpSgd, n_patients: int, noise: NoiseStream) -> np.ndarray:
        batch = sample(self, n_patients, noise)
        sizes.append(max(len(batch), 1))
        return batch

    def divided(self: DpSgd, clipped_sums, like, noise: NoiseStream) -> dict[str, torch.Tensor]:
        return {
            name: value * self.expected_batch_size / sizes[-1]
            for name, value in noisy(self, clipped_sums, like, noise).items()
        }

    patched.setattr(DpSgd, "sample", sample_and_count)
    patched.setattr(DpSgd, "noisy_gradient", divided)


def _shuffled(patched: pytest.MonkeyPatch) -> None:
    """Batches of one size from a permutation of the patients."""

    def sample(self: DpSgd, n_patients: int, noise: NoiseStream) -> np.ndarray:
        return np.sort(
            np.argsort(noise.bits(n_patients))[: round(self.sampling_probability * n_patients)]
        )

    patched.setattr(DpSgd, "sample", sample)


def _truncated_sample(patched: pytest.MonkeyPatch) -> None:
    sample = DpSgd.sample
    patched.setattr(
        DpSgd, "sample", lambda self, n_patients, noise: sample(self, n_patients, noise)[:4]
    )


def _truncated(patched: pytest.MonkeyPatch) -> None:
    """Only full micro-batches, and the first; in whatever module the function is known."""

    def faulty(patients, size):
        return (patients[at : at + size] for at in range(0, max(len(patients) - size + 1, 1), size))

    patched.setattr(micro_batches, "__code__", faulty.__code__)


class _ByRow(GhostClipper):
    """Takes each row for a patient."""

    def clipped_sum(
        self, row_losses, patient_index: torch.Tensor, n_patients: int
    ) -> dict[str, torch.Tensor]:
        return super().clipped_sum(row_losses, torch.arange(len(patient_index)), len(patient_index))


def _by_row(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        DpSgd,
        "ghost_clipper",
        lambda self, model, per_patient=(): _ByRow(model, self.l2_clip_norm, per_patient),
    )


def _measured_again(patched: pytest.MonkeyPatch) -> None:
    """The store neither keeps nor looks."""

    def measure(
        self: MeasurementStore, mechanism: marginals.Storable, counts_fn, noise: NoiseStream
    ) -> np.ndarray:
        return mechanism.measure(counts_fn(), noise)

    patched.setattr(MeasurementStore, "get_or_measure", measure)


def _largest_score(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        NoiseStream, "one_of", lambda self, numerators, denominator: int(np.argmin(numerators))
    )


def _twice_the_epsilon(patched: pytest.MonkeyPatch) -> None:
    """The half of the exponential mechanism is forgotten."""
    one_of = NoiseStream.one_of
    patched.setattr(
        NoiseStream,
        "one_of",
        lambda self, numerators, denominator: one_of(self, 2 * numerators, denominator),
    )


def _rekeyed(patched: pytest.MonkeyPatch, key: Callable[[], bytes]) -> None:
    def rekey(self: NoiseStream) -> None:
        self._process = marginals.os.getpid()
        self._cipher = Cipher(algorithms.AES(key()), modes.CTR(bytes(16))).encryptor()

    patched.setattr(NoiseStream, "_rekey", rekey)


def _kept_key(patched: pytest.MonkeyPatch) -> None:
    _rekeyed(patched, lambda: bytes(range(32)))


def _seeded_key(patched: pytest.MonkeyPatch) -> None:
    _rekeyed(patched, lambda: torch.randint(0, 256, (32,), dtype=torch.uint8).numpy().tobytes())


def _copied_stream(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        NoiseStream,
        "__reduce__",
        lambda self: (NoiseStream, (), {"_cipher": self._cipher, "_process": self._process}),
    )
    patched.setattr(NoiseStream, "__deepcopy__", lambda self, memo: self, raising=False)


def _key_in_checkpoint(patched: pytest.MonkeyPatch) -> None:
    save = train.save_file
    patched.setattr(
        train,
        "save_file",
        lambda tensors, path, metadata: save(
            {**tensors, "noise/key": torch.zeros(32)}, path, metadata=metadata
        ),
    )


def _not_rekeyed_after_a_fork(patched: pytest.MonkeyPatch) -> None:
    def bits(self: NoiseStream, n: int) -> np.ndarray:
        return np.frombuffer(self._cipher.update(bytes(8 * n)), dtype=np.uint64)

    patched.setattr(NoiseStream, "bits", bits)


def _batch_by_condition(patched: pytest.MonkeyPatch) -> None:
    """As many patients as were sampled, but among those with long pathways: CTGAN's
    training-by-sampling.
    """
    batch_of = train.batch_of

    def chosen(coding, log, patients: np.ndarray, device):
        long = np.flatnonzero(log.lengths >= np.median(log.lengths))
        return batch_of(coding, log, long[np.arange(len(patients)) % len(long)], device)

    patched.setattr(train, "batch_of", chosen)


def _rows_by_condition(patched: pytest.MonkeyPatch) -> None:
    """Only rows with one value of the first column are sampled from."""
    stepped = critic._critic_step

    def chosen(state, settings, mechanism, places, noise) -> None:
        stepped(state, settings, mechanism, places[places[:, 0] == state.step % 2], noise)

    patched.setattr(critic, "_critic_step", chosen)


def _layer_over_the_batch(patched: pytest.MonkeyPatch) -> None:
    """A row is seen beside the mean of its batch, as batch norm and packing see it."""
    forward = critic.Critic.forward

    def mixed(self: critic.Critic, rows: torch.Tensor) -> torch.Tensor:
        return forward(self, rows - 0.5 * rows.mean(0, keepdim=True))

    patched.setattr(critic.Critic, "forward", mixed)


def _skips_empty_steps(patched: pytest.MonkeyPatch) -> None:
    noisy = DpSgd.noisy_gradient

    def skipping(self: DpSgd, clipped_sums, like, noise: NoiseStream) -> dict[str, torch.Tensor]:
        parts = list(clipped_sums)
        return (
            noisy(self, parts, like, noise)
            if parts
            else {name: torch.zeros_like(value) for name, value in like.items()}
        )

    patched.setattr(DpSgd, "noisy_gradient", skipping)


def _rounded_normals(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        NoiseStream,
        "discrete_gaussian",
        lambda self, sigma, shape: np.rint(sigma * self.normal(shape)).astype(np.int64),
    )


def _float_coins(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(NoiseStream, "bernoulli", lambda self, p, n: self.uniform53(n) < p)


ONE_PICK = "a private choice, one pick, at epsilon 1"
SIX_PICKS = "a private choice, 6 picks, at epsilon 10"
ONE_EACH = "one patient moves each score of a choice by 1"
_STEP = "a DP-SGD step, {}, at epsilon {}".format


def _steps_forgotten(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(StepIndex, "check", lambda self, step: None)


FAULTS = (
    Fault("no noise", "counts", "one-way counts at epsilon 1", _no_counting_noise),
    Fault("no noise", "DP-SGD", _STEP("linear", 1), _no_normals),
    Fault("no noise", "pathway training", "pathway training runs its mechanism", _no_normals),
    Fault("no noise", "critic training", "critic training runs its mechanism", _no_normals),
    Fault(
        "two patients mixed",
        "critic training",
        "critic training runs its mechanism",
        _layer_over_the_batch,
    ),
    Fault(
        "noise halved", "counts at epsilon 1", "one-way counts at epsilon 1", _less_counting_noise
    ),
    Fault(
        "noise halved", "counts at epsilon 10", "one-way counts at epsilon 10", _less_counting_noise
    ),
    Fault("no noise", "one pick", ONE_PICK, _largest_score),
    Fault("no noise", "six picks", SIX_PICKS, _largest_score),
    Fault("noise halved", "one pick", ONE_PICK, _twice_the_epsilon),
    Fault("scores of sensitivity 2", "the table model", ONE_EACH, scores_of_two_counts),
    Fault("expected counts that read rows", "the table model", ONE_EACH, expectation_of_rows),
    Fault("noise halved", "trees", "trees of counts at epsilon 10", _less_counting_noise),
    Fault("noise halved", "DP-SGD at epsilon 1", _STEP("functional", 1), _smaller_normals),
    Fault("noise halved", "DP-SGD at epsilon 10", _STEP("embedding", 10), _smaller_normals),
    Fault("noise halved", "a release at epsilon 1", "composition at epsilon 1", _less_noise),
    Fault("noise halved", "a release at epsilon 10", "composition at epsilon 10", _less_noise),
    Fault(
        "noise halved", "critic training", "critic training runs its mechanism", _smaller_normals
    ),
    Fault("clip forgotten", "functional", _STEP("functional", 1), _functional_unclipped),
    Fault("clip forgotten", "ghost clipping, linear", _STEP("linear", 1), _ghost_unclipped),
    Fault("clip forgotten", "ghost clipping, embedding", _STEP("embedding", 1), _ghost_unclipped),
    Fault("clip forgotten", "recurrent", _STEP("recurrent", 10), _ghost_unclipped),
    Fault("clip forgotten", "recurrent weight", _STEP("recurrent", 10), _recurrent_unclipped),
    Fault(
        "clip forgotten",
        "neighbours",
        "one patient moves a clipped sum by the clip norm",
        _ghost_unclipped,
    ),
    Fault(
        "clip forgotten",
        "pathway training",
        "pathway training runs its mechanism",
        _ghost_unclipped,
    ),
    Fault("batch mean as divisor", "DP-SGD", "the divisor is public", _mean_of_batch),
    Fault(
        "batch mean as divisor",
        "critic training",
        "critic training runs its mechanism",
        _mean_of_batch,
    ),
    Fault("shuffled for Poisson", "DP-SGD", "batches are Poisson", _shuffled),
    Fault("truncated batch", "samples", "batches are Poisson", _truncated_sample),
    Fault("truncated batch", "micro-batches", "no part of a batch is left out", _truncated),
    Fault("truncated batch", "pathway training", "pathway training runs its mechanism", _truncated),
    Fault("row-level clipping", "linear", _STEP("linear", 1), _by_row),
    Fault("row-level clipping", "embedding", _STEP("embedding", 10), _by_row),
    Fault(
        "row-level clipping",
        "neighbours",
        "one patient moves a clipped sum by the clip norm",
        _by_row,
    ),
    Fault(
        "training-by-sampling",
        "pathway training",
        "pathway training runs its mechanism",
        _batch_by_condition,
    ),
    Fault(
        "training-by-sampling",
        "critic training",
        "critic training runs its mechanism",
        _rows_by_condition,
    ),
    Fault(
        "a count measured twice after a crash",
        "the store",
        "counts are measured once",
        _measured_again,
    ),
    Fault(
        "a count measured twice after a crash",
        "a private choice",
        "choices are drawn once",
        _measured_again,
    ),
    Fault(
        "a count measured twice after a crash",
        "what an adversary sees",
        "one-way counts at epsilon 10",
        _measured_again,
    ),
    Fault(
        "steps run twice under one charge",
        "pathway training",
        "pathway training runs its steps once",
        _steps_forgotten,
    ),
    Fault(
        "steps run twice under one charge",
        "critic training",
        "critic training runs its steps once",
        _steps_forgotten,
    ),
    Fault("noise key reused on resume", "a key kept", "keys are fresh", _kept_key),
    Fault("noise key reused on resume", "a key from a seed", "keys are fresh", _seeded_key),
    Fault(
        "noise key reused on resume",
        "a stream that can be copied",
        "keys are fresh",
        _copied_stream,
    ),
    Fault(
        "noise key reused on resume",
        "a key shared by a fork",
        "keys are fresh",
        _not_rekeyed_after_a_fork,
    ),
    Fault(
        "noise key reused on resume",
        "pathway training",
        "pathway training draws fresh noise after a resume",
        _kept_key,
    ),
    Fault(
        "noise key reused on resume",
        "critic training",
        "critic training draws fresh noise after a resume",
        _kept_key,
    ),
    Fault(
        "noise key reused on resume",
        "a key in a checkpoint",
        "pathway training draws fresh noise after a resume",
        _key_in_checkpoint,
    ),
    Fault("noise key reused on resume", "steps", "noise of steps is never repeated", _kept_key),
    Fault(
        "a step without patients skipped",
        "DP-SGD",
        "a step without patients runs",
        _skips_empty_steps,
    ),
    Fault("one noise for all", "cells", "cells have noises of their own", _one_noise_for_all_cells),
    Fault("one noise for all", "weights", "normals are normal", _one_noise_for_all_weights),
    Fault(
        "a rounded continuous Gaussian",
        "probabilities",
        "discrete noise is exact",
        _rounded_normals,
    ),
    Fault(
        "a rounded continuous Gaussian", "floats", "discrete noise takes no float", _rounded_normals
    ),
    Fault("float coins", "Poisson coins", "coins are exact", _float_coins),
)
