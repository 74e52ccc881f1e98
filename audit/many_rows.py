"""Mechanisms on more patients than any size in the code between rows and them, and on parts far
smaller than those that they compute in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy import stats

from audit import mixed_gradients
from audit.batches import networks
from audit.descent import descent
from audit.findings import Check, Finding
from audit.own_gradients import own_gradients
from audit.sampler import probability
from audit.sizes import ALARM, MANY
from pipeline.dp import ghost_traces, noise
from pipeline.dp.marginals import one_way_counts, pair_counts, tree_counts
from pipeline.dp.noise import NoiseStream

Array = np.ndarray[Any, Any]

BATCH = 5_000  # patients of one clipped sum: more than a micro-batch of any training
OFF = 1e-5  # of a clip norm, for each patient: what ghost clipping adds to norms on purpose
COUNTS: Mapping[str, Callable[[Array], Array]] = {
    "one way": lambda codes: one_way_counts(codes[:, 0], 16),
    "pairs": lambda codes: pair_counts(codes[:, 0], codes[:, 1], 16, 16),
    "a tree": lambda codes: tree_counts(codes[:, 0], 4, 2)[1],
}


def counts(n: int, _folder: Path) -> Finding:
    """Counts of so many patients, by definition; with one of them less."""
    codes = np.random.default_rng(0).integers(0, 16, (n, 2))
    wrong = []
    for name, count in COUNTS.items():
        whole = count(codes)
        for at in (0, n // 2, n - 1):
            moved = int(np.abs(whole - count(np.delete(codes, at, axis=0))).sum())
            wrong += [f"{name}: a patient moves them by {moved}"] * (moved != 1)
        wrong += [f"{name}: {whole.sum()} are counted"] * (int(whole.sum()) != n)
    return Finding(
        holds=not wrong,
        figures={"patients": n, "wrong": len(wrong)},
        message=f"counts of {n:,} patients: {'; '.join(wrong[:3]) or 'each moves one by 1'}",
    )


def samples(n: int, _folder: Path) -> Finding:
    """Batches of so many patients: sizes as coins have them, each patient as often as another, and
    neighbours of the table as seldom together as others.
    """
    q, batches, noise = 0.02, 120, NoiseStream()
    mechanism = descent(1.0, sampling_probability=q)
    joined = np.zeros((batches, n), bool)
    for row in joined:
        row[mechanism.sample(n, noise)] = True
    z = (joined.sum(1) - n * q) / np.sqrt(n * q * (1 - q))
    # of sizes: too even or too uneven
    spread = float((z**2).sum())
    tails = stats.chi2(batches).cdf(spread), stats.chi2(batches).sf(spread)
    by_patient = joined.sum(0)
    often = min(float(stats.binom.sf(by_patient.max() - 1, batches, q)) * n, 1.0)
    side_by_side = int((joined[:, 1:] & joined[:, :-1]).sum())
    expected = batches * (n - 1) * q**2
    together = 2 * stats.norm.sf(abs(side_by_side - expected) / np.sqrt(expected * (1 + 2 * q)))
    thirds = [int(part.sum()) for part in np.array_split(joined, 3, axis=1)]
    even = float(stats.chisquare(thirds, np.sum(thirds) / 3 * np.ones(3)).pvalue)
    p = min(2 * float(min(tails)), often, float(together), even)
    return Finding(
        holds=p > ALARM,
        figures={"patients": n, "p": p},
        message=(
            f"{batches} batches of {n:,} patients: the least likely of four facts about coins of"
            f" {q} has p = {p:.2g}"
        ),
    )


def gradients(n: int, _folder: Path) -> Finding:
    """A clipped sum of so many patients in one call, beside that of each alone."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 4, (n,), generator=generator)
    owner = torch.repeat_interleave(lengths)
    rows = torch.randn(len(owner), 3, generator=generator)
    off = {}
    for name in ("linear", "embedding"):
        network = networks()[name]
        losses = partial(network, rows, owner)
        alone = own_gradients(network, losses, owner, n).double()
        norms = alone.norm(dim=1)
        clip = float(norms.median())
        total = (alone * (clip / norms.clamp(min=1e-30)).clamp(max=1.0)[:, None]).sum(0)
        clipper = replace(descent(1.0), l2_clip_norm=clip).ghost_clipper(network)
        sums = clipper.clipped_sum(losses, owner, n)
        flat = torch.cat([sums[key].flatten() for key, _ in network.named_parameters()])
        off[name] = float((flat.double() - total).norm()) / clip
    limit = OFF * n
    return Finding(
        holds=max(off.values()) < limit,
        figures={"patients": n, **off},
        message=(
            f"clipped sums of {n:,} patients are off by {max(off.values()):.1e} clip norms from"
            f" those of each alone; at most {limit:.1e}"
        ),
    )


def in_small_parts(_folder: Path) -> Finding:
    """Blocks of millions made small: gradients in chunks of some floats, noise in rounds of some
    candidates, choices of few proposals.
    """
    findings = []
    with patch.object(ghost_traces, "_CHUNK_FLOATS", 150):
        findings += [mixed_gradients.toy(name, _folder) for name in ("linear", "recurrent")]
    with patch.object(noise, "_BATCH", 50), patch.object(noise, "_PROPOSALS", 3):
        p = probability(NoiseStream().discrete_gaussian(3.0, 4_000), 3.0)
        picks = [NoiseStream().one_of(np.array([0, 1, 3]), 1) for _ in range(400)]
    chances = np.exp(-np.array([0.0, 1.0, 3.0]))
    expected = chances / chances.sum() * len(picks)
    p_picks = float(stats.chisquare(np.bincount(picks, minlength=3), expected).pvalue)
    return Finding(
        holds=min(p, p_picks) > ALARM and all(finding.holds for finding in findings),
        figures={"p": p, "p_of_picks": p_picks},
        message=(
            f"in small parts: {'; '.join(finding.message for finding in findings)}; noise fits with"
            f" p = {p:.2g}, picks with p = {p_picks:.2g}"
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="counts of many",
        family="mechanisms",
        run=partial(counts, MANY),
        asks="one patient moves one cell by 1 where there are more than any size in the code",
    ),
    Check(
        name="batches of many are Poisson",
        family="mechanisms",
        run=partial(samples, MANY),
        asks="each patient joins by an own coin where there are more than any size in the code",
    ),
    Check(
        name="clipped sums of many",
        family="mechanisms",
        run=partial(gradients, BATCH),
        asks="each gradient is clipped by itself in a batch larger than any micro-batch",
    ),
    Check(
        name="mechanisms in small parts",
        family="mechanisms",
        run=in_small_parts,
        asks="what is computed in chunks is the same in very small ones",
    ),
)
