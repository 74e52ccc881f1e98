"""The parts of a DP-SGD step one by one: Poisson batches, micro-batches, the clip norm on
neighbours, the public divisor, the event.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from audit.claims import SURE
from audit.descent import TARGETS, descent, linear, step
from audit.findings import Check, Finding
from pipeline.dp.noise import NoiseStream
from pipeline.dp.recurrent import GhostGru
from pipeline.dp.sgd import DpSgd, micro_batches

Array = np.ndarray[Any, Any]
Sums = dict[str, Tensor]

_CLIP = 0.5
_ROUNDING = 1e-5  # of float32, in a sum whose terms are at most the clip norm
_POISONS = (1.0, 0.0, 1e4, 1e30, float("nan"), float("inf"))


def poisson(draws: int, _folder: Path) -> Finding:
    """Sizes against the binomial law; every patient, every pair and every two batches in a row
    against independent coins.
    """
    n, q = 12, 0.3
    mechanism, noise = descent(1.0, sampling_probability=q), NoiseStream()
    joined = np.zeros((draws, n))
    for row in joined:
        row[mechanism.sample(n, noise)] = 1
    sizes = np.bincount(joined.sum(1).astype(int), minlength=n + 1)
    expected = draws * stats.binom.pmf(np.arange(n + 1), n, q)
    common = expected >= 10
    p_sizes = stats.chisquare(
        np.append(sizes[common], sizes[~common].sum()),
        np.append(expected[common], expected[~common].sum()),
    ).pvalue
    coins = (joined - q) / np.sqrt(q * (1 - q) * draws)
    by_patient = coins.sum(0)  # about normal, [n]
    pairs = (coins.T @ coins * np.sqrt(draws))[np.triu_indices(n, 1)]
    next_ones = (coins[1:].T @ coins[:-1] * np.sqrt(draws)).ravel()
    p_values = [
        p_sizes,
        *(
            min(1.0, 2 * stats.norm.sf(np.abs(z).max()) * len(z))
            for z in (by_patient, pairs, next_ones)
        ),
    ]
    # a fourth of the room for each, and of that a half, as the normal law is only near in the tail
    return Finding(
        holds=min(p_values) > (1 - SURE) / 8,
        figures=dict(
            zip(("sizes", "patients", "pairs", "next"), map(float, p_values), strict=True)
        ),
        message=(
            f"{draws:,} batches of {n} patients: the least likely of four facts about coins of {q}"
            f" has p = {min(p_values):.2g}"
        ),
    )


def nobody_left_out(_folder: Path) -> Finding:
    """Samples of several sizes in parts: every patient of the sample once."""
    wrong = 0
    for n in (0, 1, 99, 100, 101, 1000, 12_345):
        patients = np.random.default_rng(n).permutation(2 * n)[:n]
        for size in (1, 100, 2048):
            parts = list(micro_batches(patients, size))
            wrong += sorted(np.concatenate([*parts, patients[:0]]).tolist()) != sorted(
                patients.tolist()
            )
    return Finding(
        holds=wrong == 0,
        figures={"samples_not_covered": wrong},
        message=f"of 21 samples cut into parts, {wrong} lost or repeated a patient",
    )


def public_divisor(_folder: Path) -> Finding:
    """Steps on tables of very different sizes, with next to no noise, empty batches included: sums
    come back by one constant.
    """
    mechanism, noise, errors = replace(descent(1e-6), expected_batch_size=10.0), NoiseStream(), []
    like = {"weight": torch.zeros(3)}
    for n in (0, 1, 7, 5000):
        sampled = mechanism.sample(n, noise)
        sums = [
            {"weight": torch.full((3,), float(len(part)))} for part in micro_batches(sampled, 100)
        ]
        noisy = mechanism.noisy_gradient(sums, like, noise)["weight"]
        errors.append(float((noisy * 10.0 - len(sampled)).abs().max()))
    return Finding(
        holds=max(errors) < 1e-2,
        figures={"off": max(errors)},
        message=(
            "sums of batches of 0 to about 1,250 patients, divided by the constant, come back"
            f" within {max(errors):.1e}"
        ),
    )


def empty_steps(_folder: Path) -> Finding:
    """Batches without anybody: steps of pure noise, of the accounted scale."""
    mechanism, noise = descent(2.0), NoiseStream()
    like = {"weight": torch.zeros(TARGETS)}
    noises = [
        mechanism.noisy_gradient([], like, noise)["weight"].numpy()
        * mechanism.expected_batch_size
        / 2.0
        for _ in range(100)
    ]
    p = float(stats.kstest(np.concatenate(noises).astype(float), "norm").pvalue)
    none = len(mechanism.sample(0, noise))
    return Finding(
        holds=p > 1 - SURE and none == 0,
        figures={"p": p},
        message=(
            f"100 steps without a patient are noise of the accounted scale, p = {p:.2g}; a sample"
            f" of nobody has {none}"
        ),
    )


class Network(nn.Module):
    """Made of `layers` from 3 to 1, all weights trained; a recurrent one gets the owners too."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, rows: Tensor, owner: Tensor) -> Tensor:
        for layer in self.layers:
            rows = layer(rows, owner) if isinstance(layer, GhostGru) else layer(rows)
        return 20 * rows.flatten()


def networks() -> dict[str, Network]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "linear": Network(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)),
            "recurrent": Network(GhostGru(3, 8), nn.Linear(8, 1)),
            "embedding": Network(
                _Rounded(), nn.EmbeddingBag(51, 8, mode="sum"), nn.Tanh(), nn.Linear(8, 1)
            ),
        }


class _Rounded(nn.Module):
    """Rows to ids; what is not a number to 0."""

    def forward(self, rows: Tensor) -> Tensor:
        return (rows.nan_to_num(0.0, 0.0, 0.0).clamp(-5, 5) * 5 + 25).long()


def clip_norm(_folder: Path) -> Finding:
    """The clipped sum with a patient of six rows and without, for every way to make it and for
    poisoned rows.
    """
    generator = torch.Generator().manual_seed(1)
    furthest, least, finite = 0.0, np.inf, True
    for poison in _POISONS:
        # [patients, rows, features]; the last patient is the neighbour
        rows = torch.randn(5, 6, 3, generator=generator)
        rows[-1] *= poison
        for name in ("functional", *networks()):
            whole, less = _sums(name, rows), _sums(name, rows[:-1])
            moved = torch.cat([(whole[key] - less[key]).flatten() for key in whole])
            furthest, finite = (
                max(furthest, float(moved.norm())),
                finite and bool(moved.isfinite().all()),
            )
            least = min(least, float(moved.norm())) if poison == 1.0 else least
    holds = finite and furthest <= _CLIP + _ROUNDING and least > 0.98 * _CLIP
    return Finding(
        holds=holds,
        figures={"moved_most": furthest, "moved_least": float(least), "clip_norm": _CLIP},
        message=(
            f"one patient, poisoned rows included, moved a clipped sum by {furthest:.4f} at most;"
            f" the clip norm is {_CLIP}"
        ),
    )


def _sums(name: str, rows: Tensor) -> Sums:
    """Clipped sums of patients, rows [p, t, 3]."""
    mechanism = DpSgd(
        steps=1,
        sampling_probability=1.0,
        l2_clip_norm=_CLIP,
        noise_multiplier=1.0,
        expected_batch_size=1.0,
    )
    if name == "functional":
        network = networks()["linear"]
        weights = {key: value.detach() for key, value in network.named_parameters()}
        return mechanism.clipped_sum(
            lambda weights, patient_rows: torch.func.functional_call(
                network, weights, (patient_rows, torch.zeros(len(patient_rows)))
            ).sum(),
            weights,
            rows,
        )
    network, owner = networks()[name], torch.arange(len(rows)).repeat_interleave(rows.shape[1])
    return mechanism.ghost_clipper(network).clipped_sum(
        lambda: network(rows.flatten(0, 1), owner), owner, len(rows)
    )


def fresh_noise(_folder: Path) -> Finding:
    """Steps on the same batch, by one stream and by two: no two noises are equal."""
    mechanism = descent(1.0)
    streams = [NoiseStream(), NoiseStream()]
    noises = [step(linear(), mechanism, False, stream).tobytes() for stream in (*streams, *streams)]
    return Finding(
        holds=len(set(noises)) == 4,
        figures={"different": len(set(noises))},
        message=f"four steps of two streams had {len(set(noises))} different noises",
    )


CHECKS = (
    *(
        Check(
            name=f"batches are Poisson{suffix}",
            family="mechanisms",
            run=partial(poisson, draws),
            long=long,
            asks="each patient joins a batch by a coin of his or her own",
        )
        for suffix, draws, long in (("", 20_000, False), (", many", 500_000, True))
    ),
    Check(
        name="no part of a batch is left out",
        family="mechanisms",
        run=nobody_left_out,
        asks="a logical batch is cut into micro-batches, never truncated",
    ),
    Check(
        name="the divisor is public",
        family="mechanisms",
        run=public_divisor,
        asks="sums are divided by a constant, not by the batch's size",
    ),
    Check(
        name="a step without patients runs",
        family="mechanisms",
        run=empty_steps,
        asks="an empty batch is a valid batch and gets the same noise",
    ),
    Check(
        name="one patient moves a clipped sum by the clip norm",
        family="mechanisms",
        run=clip_norm,
        asks="one clipped gradient per patient over all of the patient's rows, whatever they hold",
    ),
    Check(
        name="noise of steps is never repeated",
        family="mechanisms",
        run=fresh_noise,
        asks="two steps and two streams have noises of their own",
    ),
)
