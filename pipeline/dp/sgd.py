"""DP-SGD with Poisson sampling of patients: Abadi et al. 2016, Algorithm 1,
arxiv.org/abs/1607.00133.

One step of training, in four visible lines:

    patients = mechanism.sample(n_patients, noise)
    sums = (clipper.clipped_sum(...) for part in micro_batches(patients, 512))
    gradients = mechanism.noisy_gradient(sums, dict(model.named_parameters()), noise)
    set_gradients(model, gradients); optimiser.step()

Noise is fresh from a NoiseStream that belongs to the process: checkpoints hold weights, optimiser
and the tape, and no noise state.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dp_accounting as dpa
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.dp.errors import MechanismError
from pipeline.dp.ghost import GhostClipper, full_float32
from pipeline.dp.noise import NoiseStream

__all__ = ["DpSgd", "GhostClipper", "micro_batches", "set_gradients"]


@dataclass(frozen=True, kw_only=True)
class DpSgd:
    """Fields are public and come from params.yaml; patients' data arrive only as arguments.

    Privacy unit: one patient, with all rows. Neighbours: add or remove one patient. Each step: a
    Poisson sample of patients, one clipped gradient per patient, Gaussian noise, a public divisor:
    Abadi et al. 2016, Algorithm 1 (arxiv.org/abs/1607.00133). Raises MechanismError for a field out
    of range.
    """

    steps: int  # noisy updates; fixed, no early stopping on patients' rows
    sampling_probability: float  # chance that each patient joins a batch, in (0, 1]
    l2_clip_norm: float  # bound on one patient's gradient norm
    noise_multiplier: float  # noise stddev / l2_clip_norm
    expected_batch_size: float  # patients; a public constant, never counted from the table

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and self.steps >= 1):
            raise MechanismError(f"steps must be a positive integer, got {self.steps}")
        if not 0 < self.sampling_probability <= 1:
            raise MechanismError(
                f"sampling_probability must be in (0, 1], got {self.sampling_probability}"
            )
        for name in ("l2_clip_norm", "noise_multiplier", "expected_batch_size"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise MechanismError(f"{name} must be positive and finite, got {value}")

    @property
    def step_event(self) -> dpa.DpEvent:
        """One executed step, for the tape."""
        return dpa.PoissonSampledDpEvent(
            self.sampling_probability, dpa.GaussianDpEvent(self.noise_multiplier)
        )

    @property
    def dp_event(self) -> dpa.DpEvent:
        """What is accounted, built from the fields that `sample` and `noisy_gradient` run
        on.
        """
        return dpa.SelfComposedDpEvent(self.step_event, self.steps)

    def sample(self, n_patients: int, noise: NoiseStream) -> np.ndarray[Any, Any]:
        """The patients of one batch: sorted indices, int64 [b]; each joins by a coin of its own. b
        may be 0 and is sensitive.
        """
        return np.flatnonzero(noise.bernoulli(self.sampling_probability, n_patients))

    def clipped_sum(
        self, loss: Callable[..., Tensor], weights: Mapping[str, Tensor], batch: Any
    ) -> dict[str, Tensor]:
        """Sum over patients of clipped gradients, for any loss(weights, patient) -> scalar.
        Sensitive: L2 sensitivity is l2_clip_norm.

        weights: {name: tensor}. batch: a tensor [b, ...], or a tuple or dict of such; index i of
            all is patient i; b may be 0. A patient whose gradient is not finite adds zero. Makes b
            gradients at once: hand in micro-batches of whole patients.
        """
        total = {
            name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()
        }
        if len(pytree.tree_leaves(batch)[0]) == 0:
            return total
        with full_float32():
            # {name: [b, ...]}
            grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(dict(weights), batch)
            # [b]
            norms = torch.stack([g.float().flatten(1).norm(dim=1) for g in grads.values()]).norm(
                dim=0
            )
            # 1e-6: rounding of the product never lifts a gradient above the clip norm
            scale = torch.where(
                norms.isfinite(), (self.l2_clip_norm / (norms * (1 + 1e-6))).clamp(max=1.0), 0.0
            )
            for name, grad in grads.items():
                factor = scale.reshape(-1, *[1] * (grad.ndim - 1))
                total[name] += torch.where(factor > 0, grad.float() * factor, 0.0).sum(0)
        return total

    def ghost_clipper(self, model: nn.Module, per_patient: Sequence[str] = ()) -> GhostClipper:
        """Faster clipped sums, for models of Linear and Embedding layers, with this mechanism's
        clip norm. See GhostClipper, and what it raises.
        """
        return GhostClipper(model, self.l2_clip_norm, per_patient)

    def noisy_gradient(
        self,
        clipped_sums: Iterable[Mapping[str, Tensor]],
        like: Mapping[str, Tensor],
        noise: NoiseStream,
    ) -> dict[str, Tensor]:
        """Mean gradient with noise, {name: float32 like the parameter}. Safe to keep.

        clipped_sums: one for each micro-batch of the step's sample; all of them, no patient in two.
            None at all is valid: pure noise.
        like: the parameters, for names, shapes and device; each gets noise whether or not a patient
            moved it.
        """
        total = {
            name: torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)
            for name, parameter in like.items()
        }
        for clipped_sum in clipped_sums:
            for name, value in clipped_sum.items():
                total[name] += value
        stddev = self.noise_multiplier * self.l2_clip_norm
        for name, value in total.items():
            normals = torch.from_numpy(stddev * noise.normal(tuple(value.shape)))  # float64, [...]
            total[name] = (
                ((value.double().cpu() + normals) / self.expected_batch_size)
                .float()
                .to(value.device)
            )
        return total


def micro_batches(patients: np.ndarray[Any, Any], size: int) -> Iterator[np.ndarray[Any, Any]]:
    """The sample [n] in parts of at most `size` patients, the last one shorter, none dropped.
    Raises MechanismError for a size below 1.

    >>> [part.tolist() for part in micro_batches(np.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    if size < 1:
        raise MechanismError(f"size must be at least 1, got {size}")
    return (patients[at : at + size] for at in range(0, len(patients), size))


def set_gradients(model: nn.Module, gradients: Mapping[str, Tensor]) -> None:
    """Put noisy gradients where an optimiser looks for them. Every trainable parameter must be
    there.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.grad = gradients[name].to(parameter.dtype)
