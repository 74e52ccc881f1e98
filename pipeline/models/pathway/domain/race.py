"""Which event comes next, and when, where types return by clocks of their own: a race (competing
risks; Prentice et al. 1978, Biometrics 34). A routine visit is due some days after the last routine
visit, whatever came between.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOST, LOST_DAYS = 1e-3, 365.0  # share of returns that keep no time, and their mean time
LEAST = 1e-9


def race(shares: Tensor, edges: Tensor, since: Tensor) -> Tensor:
    """Log chances [r, R, G] that type k wins and comes within bin g from now.

    shares [R, G]: of the returns of each type, how many take so many days; edges [G + 1]: of the
    bins, in days; since [r, R]: days since the last event of each type.
    """
    whole = torch.cat([torch.ones(len(shares), 1).to(shares), 1 - shares.cumsum(1)], dim=1)
    logs = torch.stack(
        [_log_left(whole[k], edges, since[:, k, None] + edges) for k in range(len(shares))], dim=1
    )
    logs = logs - logs[..., :1]  # [r, R, G + 1]: not yet, given not until now
    middle = (logs[..., :-1] + logs[..., 1:]) / 2
    others = middle.sum(1, keepdim=True) - middle
    own = logs[..., :-1].exp() - logs[..., 1:].exp()
    return own.clamp(min=LEAST).log() + others


def _log_left(whole: Tensor, edges: Tensor, days: Tensor) -> Tensor:
    """Log share of returns that take longer than `days` [r, G + 1], straight lines between the
    edges. whole [G + 1]: at the edges.
    """
    place = torch.bucketize(days, edges, right=True).clamp(1, len(edges) - 1)
    low, high = edges[place - 1], edges[place]
    along = ((days - low) / (high - low)).clamp(0, 1)
    left = (whole[place - 1] * (1 - along) + whole[place] * along).clamp(min=0)
    return torch.log((1 - LOST) * left + LOST * torch.exp(-days / LOST_DAYS))
