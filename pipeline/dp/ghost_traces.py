"""Norms and weighted sums of patients' gradients, layer by layer, without making the gradients:
from a layer's inputs and the gradients of its outputs.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

# Added to each squared norm, times (sum of the rows' own norms)^2: float32 cancellation between a
# patient's rows can then only overstate the norm, never let a gradient above the clip norm through.
_NORM_INFLATION = 4e-6
_CHUNK_FLOATS = 1 << 23  # padded floats of one chunk of patients: bounds memory


@dataclass(frozen=True)
class Trace:
    """What one layer computed in one batch, all its calls together: n rows, each of one patient.

    Bu, Wang, Zha, Karypis 2023 (arxiv.org/abs/2210.00038), section 3, with the cross terms between
    one patient's rows.
    """

    name: str
    layer: Any
    inputs: Tensor  # input, [n, in] or ids [n, slots]
    gradient: Tensor  # of the loss by the layer's output, [n, out]
    owner: Tensor  # patient, [n]

    def squared_norms(self, n_patients: int) -> Tensor:
        """Each patient's squared gradient norm in this layer, rounded up: [n_patients]."""
        # of each row's own gradient, [n]
        squares = self.row_squares() * self.gradient.square().sum(1)
        rough = torch.zeros(n_patients, device=squares.device).index_add_(
            0, self.owner, squares.sqrt()
        )
        return self.summed_squares(squares, n_patients).clamp(min=0.0) + _NORM_INFLATION * rough**2

    def blanked(self, patients: Tensor) -> "Trace":
        """Without the rows of some patients, bool [n_patients]: zero times NaN would not be
        zero.
        """
        blank = patients[self.owner][:, None]
        return replace(
            self,
            inputs=self.inputs.masked_fill(blank, 0),
            gradient=self.gradient.masked_fill(blank, 0.0),
        )

    def scaled(self, scale: Tensor) -> Tensor:
        """Gradient times the weight of each row's patient, [n, out]."""
        return self.gradient * scale[self.owner][:, None]

    def row_squares(self) -> Tensor:
        """Squared norms of the rows' own gradients over those of their output gradients, [n]."""
        raise NotImplementedError

    def summed_squares(self, squares: Tensor, n_patients: int) -> Tensor:
        """Squared norm of each patient's gradient, summed over rows, [n_patients]; `squares` [n]
        are those of single rows.
        """
        raise NotImplementedError

    def weighted_sum(self, scale: Tensor) -> dict[str, Tensor]:
        """Sum of the patients' gradients, each times its weight in `scale` [n_patients]: {parameter
        name: like the parameter}.
        """
        raise NotImplementedError


class LinearTrace(Trace):
    """y = W x + b; the bias counts as one more feature that is always 1."""

    def row_squares(self) -> Tensor:
        weight = (
            self.inputs.square().sum(1)
            if self.layer.weight.requires_grad
            else torch.zeros_like(self.inputs[:, 0])
        )
        return weight + float(self._bias())

    def summed_squares(self, squares: Tensor, n_patients: int) -> Tensor:
        exact = torch.zeros(n_patients, device=squares.device)
        features = self.inputs if self.layer.weight.requires_grad else self.inputs[:, :0]
        features, gradient = _with_blank(features), _with_blank(self.gradient)
        for patients, rows in _chunks(
            self.owner, n_patients, features.shape[1] + gradient.shape[1]
        ):
            if rows.shape[1] == 1:
                exact[patients] = squares[rows[:, 0]]
            else:
                of_features, of_gradient = (
                    values.index_select(0, rows.flatten()).view(*rows.shape, -1)
                    for values in (features, gradient)
                )
                exact[patients] = _chunk_squares(of_features, of_gradient, self._bias())
        return exact

    def weighted_sum(self, scale: Tensor) -> dict[str, Tensor]:
        gradient = self.scaled(scale)
        total = {}
        if self.layer.weight.requires_grad:
            total[f"{self.name}.weight"] = gradient.T @ self.inputs
        if self._bias():
            total[f"{self.name}.bias"] = gradient.sum(0)
        return {name.removeprefix("."): value for name, value in total.items()}

    def _bias(self) -> bool:
        return self.layer.bias is not None and bool(self.layer.bias.requires_grad)


class BagTrace(Trace):
    """Embedding (one id per row) and EmbeddingBag with sums: a linear layer on how often each id
    stands in the row.
    """

    def row_squares(self) -> Tensor:
        real, ids = self._trains(self.inputs), self.inputs.sort(dim=1).values
        # the usual bag names nothing twice
        if not bool(((ids[:, 1:] == ids[:, :-1]) & self._trains(ids[:, 1:])).any()):
            return real.sum(1).float()
        # [n, slots, slots]
        same = (self.inputs[:, :, None] == self.inputs[:, None, :]) & real[:, :, None]
        return same.sum((1, 2)).float()

    def summed_squares(self, squares: Tensor, n_patients: int) -> Tensor:
        size = self.layer.num_embeddings
        # of patient and id
        pairs, sums = self._sums(
            (self.owner[:, None] * size + self.inputs).flatten(), self.gradient
        )
        per_pair = torch.where(self._trains(pairs % size), sums.square().sum(1), 0.0)
        return torch.zeros(n_patients, device=squares.device).index_add_(0, pairs // size, per_pair)

    def weighted_sum(self, scale: Tensor) -> dict[str, Tensor]:
        ids, sums = self._sums(self.inputs.flatten(), self.scaled(scale))
        total = torch.zeros(self.layer.weight.shape, device=sums.device)
        total[ids] = torch.where(self._trains(ids)[:, None], sums, 0.0)
        return {f"{self.name}.weight".removeprefix("."): total}

    def _sums(self, keys: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Distinct keys [k] of all slots, [n * slots], and the sum of the gradients of the rows
        where each stands, [k, out].
        """
        ordered, places = keys.sort(stable=True)
        distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
        rows = places // self.inputs.shape[1]
        return distinct, nn.functional.embedding_bag(
            rows, gradient, counts.cumsum(0) - counts, mode="sum"
        )

    def _trains(self, ids: Tensor) -> Tensor:
        """False for the padding id, whose weight stays as it is."""
        return ids != (-1 if self.layer.padding_idx is None else self.layer.padding_idx)


def _with_blank(values: Tensor) -> Tensor:
    """One row of zeros more, which pads the shorter pathways of a chunk. [n + 1, ...]"""
    return torch.cat([values, torch.zeros_like(values[:1])])


def _chunk_squares(features: Tensor, gradient: Tensor, bias: bool) -> Tensor:
    """Squared norms of patients' summed gradients, [p], from their rows [p, t, in] and [p, t, out];
    blank rows add nothing.
    """
    # long pathways: the gradient is smaller than Gram matrices
    if features.shape[1] ** 2 > features.shape[2] * gradient.shape[2]:
        weight = torch.bmm(features.transpose(1, 2), gradient).square().sum((1, 2))
        return weight + gradient.sum(1).square().sum(1) if bias else weight
    return (
        (torch.bmm(features, features.transpose(1, 2)) + float(bias))
        * torch.bmm(gradient, gradient.transpose(1, 2))
    ).sum((1, 2))


def _chunks(owner: Tensor, n_patients: int, floats_per_row: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(patients [p], rows [p, t]) covering all patients with rows; patients of like length
    together, so that padding stays small.
    """
    counts = torch.bincount(owner, minlength=n_patients)
    by_owner = torch.argsort(owner, stable=True)
    starts = counts.cumsum(0) - counts
    patients = torch.argsort(counts, stable=True)
    patients = patients[int((counts == 0).sum()) :]
    lengths = counts[patients].tolist()
    at = 0
    while at < len(lengths):
        # so that the padding stays below half again
        end = bisect_right(lengths, 1.5 * lengths[at] + 1, lo=at)
        end = min(end, at + max(1, _CHUNK_FLOATS // (lengths[end - 1] * floats_per_row)))
        width = lengths[end - 1]
        members = patients[at:end]
        offsets = torch.arange(width, device=owner.device)
        positions = (starts[members][:, None] + offsets).clamp(max=len(owner) - 1)
        rows = torch.where(offsets < counts[members][:, None], by_owner[positions], len(owner))
        yield members, rows
        at = end
