"""Planted faults of DP-SGD that show only where some gradients of a batch are cut and some are
not: what is done to a whole batch, or to a part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from run_faults import edited

from pipeline.dp.ghost import GhostClipper
from pipeline.dp.sgd import DpSgd
from pipeline.models.pathway.domain.network import PathwayNetwork
from pipeline.models.pathway.fit import encoded_log, train
from pipeline.models.table.fit import critic

PATHWAY, CRITIC, WHOLE = (
    f"mixed gradients, {name} training" for name in ("pathway", "critic", "whole pathway")
)
LINEAR, EMBEDDING, FUNCTIONAL = (
    f"mixed gradients, {name}" for name in ("linear", "embedding", "functional")
)
OFF = "clipped sums are off by"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A mistake that somebody could make; `found_as`: words of the finding."""

    name: str
    where: str
    caught_by: str  # name of a check
    patch: Callable[[pytest.MonkeyPatch], None]
    found_as: str = OFF
    long: bool = False


WEIGHED = "        return loss * batch.weight\n"
NORMS = "            norms = squared.sqrt()  # [n_patients]\n"
SCALE = "(self._l2_clip_norm / norms).clamp(max=1.0)"


def mean_weight(patch: pytest.MonkeyPatch) -> None:
    """So that batches of long pathways count no less than others."""
    new = "        return loss * batch.weight / batch.weight.mean()\n"
    edited(patch, PathwayNetwork, "row_losses", (WEIGHED, new))


def weight_of_micro_batch(patch: pytest.MonkeyPatch) -> None:
    """The weights of a micro-batch add up to its rows."""
    old = "log.weight[rows]"
    changed = (old, f"{old} * (len(rows) / max({old}.sum(), 1e-9))")
    patch.setattr(train, "batch_of", edited(patch, encoded_log, "batch_of", changed))


def mean_loss(patch: pytest.MonkeyPatch) -> None:
    """The loss of a micro-batch is a mean, as losses mostly are."""
    new = "lambda: -critic(rows) / len(part)"
    edited(patch, critic, "_critic_step", ("lambda: -critic(rows)", new))


def centred_scores(patch: pytest.MonkeyPatch) -> None:
    """A critic's scores count from the mean of their micro-batch."""
    new = "lambda: -(critic(rows) - critic(rows).mean())"
    edited(patch, critic, "_critic_step", ("lambda: -critic(rows)", new))


def clip_of_micro_batch(patch: pytest.MonkeyPatch) -> None:
    """One norm for all patients of a micro-batch: that of all gradients together, over their
    number.
    """
    more = "            norms = (squared.sum() / n_patients).sqrt().expand(n_patients)\n"
    edited(patch, GhostClipper, "clipped_sum", (NORMS, more))


def clip_of_median(patch: pytest.MonkeyPatch) -> None:
    """Adaptive clipping, for which nobody charges."""
    edited(
        patch,
        GhostClipper,
        "clipped_sum",
        (SCALE, "(torch.minimum(norms.median(), norms.new_tensor(1e9)) / norms).clamp(max=1.0)"),
    )


def clip_by_layer(patch: pytest.MonkeyPatch) -> None:
    """Each layer is clipped by itself, so that all of them together pass the clip norm."""
    edited(
        patch,
        GhostClipper,
        "clipped_sum",
        (
            "trace.weighted_sum(scale).items()",
            "trace.weighted_sum((self._l2_clip_norm / trace.squared_norms(n_patients).sqrt()"
            ".clamp(min=1e-30)).clamp(max=1.0)).items()",
        ),
    )


def last_unclipped(patch: pytest.MonkeyPatch) -> None:
    """A micro-batch that is not full goes another way, and that way has no clip."""
    edited(
        patch,
        GhostClipper,
        "clipped_sum",
        (SCALE, f"{SCALE}.clamp(min=float(n_patients < 4))"),
    )


def last_functional_unclipped(patch: pytest.MonkeyPatch) -> None:
    old = ".clamp(max=1.0), 0.0\n"
    new = ".clamp(max=1.0).clamp(min=float(len(norms) < 4)), 0.0\n"
    edited(patch, DpSgd, "clipped_sum", (old, new))


def clip_of_the_first(patch: pytest.MonkeyPatch) -> None:
    """The scale of the first micro-batch is kept, for speed."""
    edited(
        patch,
        GhostClipper,
        "clipped_sum",
        (
            "            for trace in (\n",
            "            self._scale = scale = torch.cat([getattr(self, '_scale', scale)] * 4)"
            "[:n_patients] * finite\n            for trace in (\n",
        ),
    )


FAULTS = (
    Fault(
        name="a loss divided by its batch's mean weight",
        where="pathway training",
        caught_by=PATHWAY,
        patch=mean_weight,
    ),
    Fault(
        name="a loss divided by its batch's mean weight",
        where="a log with everything",
        caught_by=WHOLE,
        patch=mean_weight,
        long=True,
    ),
    Fault(
        name="a loss divided by its batch's mean weight",
        where="a whole fit",
        caught_by="mixed gradients of a sample population",
        patch=mean_weight,
        long=True,
    ),
    Fault(
        name="a weight normalised over the micro-batch",
        where="pathway training",
        caught_by=PATHWAY,
        patch=weight_of_micro_batch,
    ),
    Fault(
        name="a loss divided by the size of its micro-batch",
        where="critic training",
        caught_by=CRITIC,
        patch=mean_loss,
    ),
    Fault(
        name="two patients mixed",
        where="scores of a micro-batch",
        caught_by=CRITIC,
        patch=centred_scores,
    ),
    Fault(
        name="clip applied to the micro-batch",
        where="pathway training",
        caught_by=PATHWAY,
        patch=clip_of_micro_batch,
        long=True,
    ),
    Fault(
        name="clip applied to the micro-batch",
        where="ghost clipping, linear",
        caught_by=LINEAR,
        patch=clip_of_micro_batch,
    ),
    Fault(
        name="the last micro-batch's clip forgotten",
        where="pathway training",
        caught_by=PATHWAY,
        patch=last_unclipped,
        long=True,
    ),
    Fault(
        name="the last micro-batch's clip forgotten",
        where="ghost clipping, embedding",
        caught_by=EMBEDDING,
        patch=last_unclipped,
    ),
    Fault(
        name="the last micro-batch's clip forgotten",
        where="functional",
        caught_by=FUNCTIONAL,
        patch=last_functional_unclipped,
    ),
    Fault(
        name="a clip norm taken from the batch",
        where="ghost clipping, embedding",
        caught_by=EMBEDDING,
        patch=clip_of_median,
    ),
    Fault(
        name="each layer clipped by itself",
        where="pathway training",
        caught_by=PATHWAY,
        patch=clip_by_layer,
        long=True,
    ),
    Fault(
        name="clip factors of an earlier micro-batch",
        where="critic training",
        caught_by=CRITIC,
        patch=clip_of_the_first,
    ),
)
