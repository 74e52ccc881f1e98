"""Gradients of single patients, computed apart from the code under audit: from one ordinary
backward pass, layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 1024  # whose outer products are in memory at once


def own_gradients(
    network: nn.Module,
    row_losses: Callable[[], Tensor],
    owner: Tensor,
    n: int,
    per_patient: Sequence[str] = (),
) -> Tensor:
    """Every patient's gradient, float32 [n, p] in the order of named_parameters: plain sums over
    its rows.

    For networks of Linear, Embedding and EmbeddingBag layers. owner int64 [rows]; `per_patient`
    layers have a row for each patient.
    """
    gradients = {
        name: torch.zeros(n, *parameter.shape) for name, parameter in network.named_parameters()
    }
    for call, gradient in _gradients_of_calls(network, row_losses):
        whose = torch.arange(n) if call.name in per_patient else owner
        if isinstance(call.layer, nn.Linear):
            _add_linear(gradients, call, gradient, whose)
        else:
            ids, weights = call.inputs.reshape(len(whose), -1), gradients[f"{call.name}.weight"]
            table = weights.view(-1, gradient.shape[1])
            for slot in ids.T:
                table.index_add_(0, whose * weights.shape[1] + slot, gradient)
    return torch.cat([value.flatten(1) for value in gradients.values()], dim=1)


@dataclass(frozen=True, eq=False)
class Call:
    """One forward call of a layer."""

    name: str
    layer: nn.Module
    inputs: Tensor
    output: Tensor


def _gradients_of_calls(
    network: nn.Module, row_losses: Callable[[], Tensor]
) -> Iterator[tuple[Call, Tensor]]:
    """Each call of a layer with the gradient of the summed losses by its output; calls on which
    the losses do not depend are left out.
    """
    calls: list[Call] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda layer, inputs, output: calls.append(
            Call(name, layer, inputs[0].detach(), output)
        )

    handles = [
        layer.register_forward_hook(hook(name))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Embedding | nn.EmbeddingBag)
    ]
    try:
        losses = row_losses().sum()
        by_output = torch.autograd.grad(losses, [call.output for call in calls], allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    for call, gradient in zip(calls, by_output, strict=True):
        if gradient is not None:
            yield call, gradient


def _add_linear(
    gradients: Mapping[str, Tensor], call: Call, gradient: Tensor, whose: Tensor
) -> None:
    """Adds the outer products of a linear layer to the gradients of their patients."""
    for at in range(0, len(whose), ROWS):
        part = slice(at, at + ROWS)
        gradients[f"{call.name}.weight"].index_add_(
            0, whose[part], gradient[part, :, None] * call.inputs[part, None, :]
        )
    if f"{call.name}.bias" in gradients:
        gradients[f"{call.name}.bias"].index_add_(0, whose, gradient)
