"""One way down: Adam with a rate that falls linearly to zero, for losses on noisy counts and
synthetic pathways. Reads no patient's row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def descend(
    parameters: Iterable[Tensor], loss: Callable[[], Tensor], steps: int, rate: float
) -> None:
    """Moves the parameters, in place. loss() is made anew for each step, a scalar."""
    optimiser = torch.optim.Adam(parameters, lr=rate)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
