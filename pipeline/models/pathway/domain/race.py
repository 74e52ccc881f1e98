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
    bins, whole days from 0; since [r, R]: whole days since the last event of each type.
    """
    days = torch.arange(int(edges[-1]) * 2 + 1, device=shares.device)
    left = _log_left(shares, edges, days.to(shares))
    ahead = (since[:, :, None] + edges.long()).clamp(max=len(days) - 1)  # [r, R, G + 1]
    logs = torch.stack([left[k][ahead[:, k]] for k in range(len(shares))], dim=1)
    logs = logs - logs[..., :1]  # not yet, given not until now
    middle = (logs[..., :-1] + logs[..., 1:]) / 2
    others = middle.sum(1, keepdim=True) - middle
    own = -torch.expm1(logs.diff(dim=2))  # share of those left at the start of the bin
    return own.clamp(min=LEAST).log() + logs[..., :-1] + others


def _log_left(shares: Tensor, edges: Tensor, days: Tensor) -> Tensor:
    """Log share of the returns of each type that take longer than `days` [d], [R, d]: straight
    lines between the edges.
    """
    whole = torch.cat([shares.new_ones(len(shares), 1), 1 - shares.cumsum(1)], dim=1)
    place = torch.bucketize(days, edges, right=True).clamp(1, len(edges) - 1)
    low, high = edges[place - 1], edges[place]
    along = ((days - low) / (high - low)).clamp(0, 1)
    left = (whole[:, place - 1] * (1 - along) + whole[:, place] * along).clamp(min=0)
    return torch.log((1 - LOST) * left + LOST * torch.exp(-days / LOST_DAYS))
