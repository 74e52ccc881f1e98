"""Clipped gradient sums without per-patient gradients: book-keeping ghost clipping for linear,
embedding and recurrent layers.

Bu, Wang, Zha, Karypis 2023 (arxiv.org/abs/2210.00038): one backward pass to the layers' outputs
only; each patient's squared gradient norm from layer inputs and output gradients; the clipped sum
as one weighted product per layer. Here a patient may have many rows (events): the norm is that of
the gradient summed over all of them, so cross terms between the patient's rows are counted.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.dp.errors import MechanismError
from pipeline.dp.recurrent import GhostGru

# Added to each squared norm, times (sum of the rows' own norms)^2: float32 cancellation between a
# patient's rows can then only overstate the norm, never let a gradient above the clip norm through.
_NORM_INFLATION = 4e-6
_CHUNK_FLOATS = 1 << 23  # padded floats of one chunk of patients: bounds memory


@contextmanager
def full_float32() -> Iterator[None]:
    """Matrix products in true float32 (TF32 keeps 10 bits: too few for a norm that privacy rests
    on).
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class GhostClipper:
    """Per-patient clipping for a model whose trainable parameters all sit in Linear, Embedding,
    EmbeddingBag(mode="sum") or GhostGru layers.

    Made by `DpSgd.ghost_clipper`, so that the clip norm is the accounted one. The model must not
    mix rows of different patients: no batch norm, no attention over the batch. A layer may be
    called several times per row; extra dimensions between the rows and the features are fine (the
    first dimension is rows).

    `per_patient` names layers whose first dimension is patients instead of rows (static columns
    embedded once per patient, then spread over the patient's rows).
    """

    def __init__(
        self, model: nn.Module, l2_clip_norm: float, per_patient: Sequence[str] = ()
    ) -> None:
        if not l2_clip_norm > 0:
            raise MechanismError(f"l2_clip_norm must be positive, got {l2_clip_norm}")
        self._model, self._l2_clip_norm = model, l2_clip_norm
        self._layers = _supported_layers(model)
        if unknown := set(per_patient) - self._layers.keys():
            raise MechanismError(
                f"per_patient names no trainable layer of the model: {sorted(unknown)}"
            )
        self._per_patient = frozenset(per_patient)

    def clipped_sum(
        self, row_losses: Callable[[], Tensor], patient_index: Tensor, n_patients: int
    ) -> dict[str, Tensor]:
        """Sum over patients of clipped gradients, {parameter name: float32 like the parameter}.
        Sensitive: L2 sensitivity is the clip norm.

        Args:
            row_losses: runs the model once on the batch and gives one loss per row, [rows]; a
                patient's loss is the sum of its rows.
            patient_index: int64 [rows], the row's patient in [0, n_patients); any order. A patient
                may have no row.
            n_patients: patients in this micro-batch; 0 is valid and gives zeros.

        A patient whose gradient is not finite (or whose squared norm passes float32) adds zero.
        Every patient must be whole in one call.
        """
        names = {
            name: parameter
            for name, parameter in self._model.named_parameters()
            if parameter.requires_grad
        }
        total = {
            name: torch.zeros_like(parameter, dtype=torch.float32)
            for name, parameter in names.items()
        }
        if n_patients == 0 or len(patient_index) == 0:
            return total
        with full_float32():
            traces = self._backward(row_losses, patient_index, n_patients)
            squared = torch.zeros(n_patients, device=patient_index.device)
            for trace in traces:
                squared += trace.squared_norms(n_patients)
            norms = squared.sqrt()  # [n_patients]
            finite = norms.isfinite()
            scale = torch.where(finite, (self._l2_clip_norm / norms).clamp(max=1.0), 0.0)
            for trace in (
                traces if bool(finite.all()) else [trace.blanked(~finite) for trace in traces]
            ):
                for name, gradient in trace.weighted_sum(scale).items():
                    total[name] += gradient
        return total

    def _backward(
        self, row_losses: Callable[[], Tensor], patient_index: Tensor, n_patients: int
    ) -> "list[_Trace]":
        calls: list[tuple[str, Tensor, Tensor]] = []  # layer, input, output

        def hook_for(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
            def hook(_layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
                if len(inputs) != 1:
                    raise MechanismError(
                        f"{name}: give the layer one tensor [rows, ...] only (no offsets, no sample"
                        " weights)"
                    )
                output = output if output.requires_grad else output.detach().requires_grad_()
                calls.append((name, inputs[0].detach(), output))
                return output

            return hook

        def same_patients(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            # else a state could pass from one patient to another
            if not torch.equal(inputs[1], patient_index):
                raise MechanismError(
                    "GhostGru: the owner of its rows must be the patient_index given to"
                    " clipped_sum, row by row"
                )

        parameters = [
            parameter for parameter in self._model.parameters() if parameter.requires_grad
        ]
        handles = [
            layer.register_forward_hook(hook_for(name)) for name, layer in self._layers.items()
        ]
        handles += [
            layer.register_forward_pre_hook(same_patients)
            for layer in self._model.modules()
            if isinstance(layer, GhostGru)
        ]
        for parameter in parameters:
            # the backward pass then stops at the layers' outputs: half of its cost
            parameter.requires_grad_(False)
        try:
            losses = row_losses()
            if losses.shape != patient_index.shape:
                raise MechanismError(
                    f"row_losses gave {tuple(losses.shape)}, patient_index has"
                    f" {tuple(patient_index.shape)}"
                )
            gradients = (
                torch.autograd.grad(
                    losses.sum(), [output for _, _, output in calls], allow_unused=True
                )
                if calls
                else ()
            )
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()
        return self._traces(calls, gradients, patient_index, n_patients)

    def _traces(
        self,
        calls: list[tuple[str, Tensor, Tensor]],
        gradients: Sequence[Tensor | None],
        patient_index: Tensor,
        n_patients: int,
    ) -> "list[_Trace]":
        by_layer: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for (name, given, _), gradient in zip(calls, gradients, strict=True):
            if gradient is None:
                continue
            owner = (
                torch.arange(n_patients, device=patient_index.device)
                if name in self._per_patient
                else patient_index
            )
            if len(given) != len(owner) or len(gradient) != len(owner):
                raise MechanismError(
                    f"{name}: the first dimension must be the {len(owner)} rows of the batch, got"
                    f" {len(given)}"
                )
            gradient = gradient.float()
            repeats = gradient[..., 0].numel() // len(owner)
            # Linear [n, in], EmbeddingBag [n, slots], Embedding [n, 1]
            features = given.reshape(len(owner) * repeats, -1)
            by_layer.setdefault(name, []).append(
                (
                    features,
                    gradient.reshape(-1, gradient.shape[-1]),
                    owner.repeat_interleave(repeats) if repeats > 1 else owner,
                )
            )
        traces: list[_Trace] = []
        for name, parts in by_layer.items():
            layer = self._layers[name]
            given, gradient, owner = (
                torch.cat(column) if len(parts) > 1 else column[0]
                for column in zip(*parts, strict=True)
            )
            kind = _LinearTrace if isinstance(layer, nn.Linear) else _BagTrace
            traces.append(
                kind(name, layer, given if kind is _BagTrace else given.float(), gradient, owner)
            )
        return traces


@dataclass(frozen=True)
class _Trace:
    """What one layer saw in one batch, all its calls together: n rows of one patient each."""

    name: str
    layer: Any
    given: Tensor  # input, [n, in] or ids [n, slots]
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

    def blanked(self, patients: Tensor) -> "_Trace":
        """Without the rows of some patients, bool [n_patients]: zero times NaN would not be
        zero.
        """
        gone = patients[self.owner][:, None]
        return replace(
            self,
            given=self.given.masked_fill(gone, 0),
            gradient=self.gradient.masked_fill(gone, 0.0),
        )

    def scaled(self, scale: Tensor) -> Tensor:
        """Gradient times the weight of each row's patient, [n, out]."""
        return self.gradient * scale[self.owner][:, None]

    def row_squares(self) -> Tensor:
        raise NotImplementedError

    def summed_squares(self, squares: Tensor, n_patients: int) -> Tensor:
        """Squared norm of each patient's gradient, summed over rows, [n_patients]; `squares` [n]
        are those of single rows.
        """
        raise NotImplementedError

    def weighted_sum(self, scale: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError


class _LinearTrace(_Trace):
    """y = W x + b; the bias counts as one more feature that is always 1."""

    def row_squares(self) -> Tensor:
        weight = (
            self.given.square().sum(1)
            if self.layer.weight.requires_grad
            else torch.zeros_like(self.given[:, 0])
        )
        return weight + float(self._bias())

    def summed_squares(self, squares: Tensor, n_patients: int) -> Tensor:
        exact = torch.zeros(n_patients, device=squares.device)
        features = self.given if self.layer.weight.requires_grad else self.given[:, :0]
        features, gradient = _with_blank(features), _with_blank(self.gradient)
        for patients, rows in _chunks(
            self.owner, n_patients, features.shape[1] + gradient.shape[1]
        ):
            if rows.shape[1] == 1:
                exact[patients] = squares[rows[:, 0]]
            else:
                mine = [
                    values.index_select(0, rows.flatten()).view(*rows.shape, -1)
                    for values in (features, gradient)
                ]
                exact[patients] = _chunk_squares(mine[0], mine[1], self._bias())
        return exact

    def weighted_sum(self, scale: Tensor) -> dict[str, Tensor]:
        gradient = self.scaled(scale)
        out = {}
        if self.layer.weight.requires_grad:
            out[f"{self.name}.weight"] = gradient.T @ self.given
        if self._bias():
            out[f"{self.name}.bias"] = gradient.sum(0)
        return {name.removeprefix("."): value for name, value in out.items()}

    def _bias(self) -> bool:
        return self.layer.bias is not None and bool(self.layer.bias.requires_grad)


class _BagTrace(_Trace):
    """Embedding (one id per row) and EmbeddingBag with sums: a linear layer on how often each id
    stands in the row.
    """

    def row_squares(self) -> Tensor:
        real, ids = self._trains(self.given), self.given.sort(dim=1).values
        # the usual bag names nothing twice
        if not bool(((ids[:, 1:] == ids[:, :-1]) & self._trains(ids[:, 1:])).any()):
            return real.sum(1).float()
        # [n, slots, slots]
        same = (self.given[:, :, None] == self.given[:, None, :]) & real[:, :, None]
        return same.sum((1, 2)).float()

    def summed_squares(self, squares: Tensor, n_patients: int) -> Tensor:
        size = self.layer.num_embeddings
        # of patient and id
        pairs, sums = self._sums((self.owner[:, None] * size + self.given).flatten(), self.gradient)
        per_pair = torch.where(self._trains(pairs % size), sums.square().sum(1), 0.0)
        return torch.zeros(n_patients, device=squares.device).index_add_(0, pairs // size, per_pair)

    def weighted_sum(self, scale: Tensor) -> dict[str, Tensor]:
        ids, sums = self._sums(self.given.flatten(), self.scaled(scale))
        total = torch.zeros(self.layer.weight.shape, device=sums.device)
        total[ids] = torch.where(self._trains(ids)[:, None], sums, 0.0)
        return {f"{self.name}.weight".removeprefix("."): total}

    def _sums(self, keys: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Distinct keys [k] of all slots, [n * slots], and the sum of the gradients of the rows
        where each stands, [k, out].
        """
        ordered, places = keys.sort(stable=True)
        distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
        rows = places // self.given.shape[1]
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


def _supported_layers(model: nn.Module) -> dict[str, nn.Module]:
    layers = {}
    for name, layer in model.named_modules():
        trainable = [
            parameter for parameter in layer.parameters(recurse=False) if parameter.requires_grad
        ]
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            raise MechanismError(
                f"{name} ({type(layer).__name__}) mixes patients: use no normalisation over the"
                " batch"
            )
        if not trainable:
            continue
        plain_bag = isinstance(layer, nn.EmbeddingBag) and layer.mode == "sum"
        if not (isinstance(layer, nn.Linear | nn.Embedding) or plain_bag):
            raise MechanismError(
                f"{name} ({type(layer).__name__}): ghost clipping knows Linear, Embedding,"
                " EmbeddingBag(mode='sum') and GhostGru only"
            )
        if not isinstance(layer, nn.Linear) and (
            layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
        ):
            raise MechanismError(
                f"{name}: max_norm, scale_grad_by_freq and sparse are not supported"
            )
        layers[name] = layer
    shared = [id(p) for layer in layers.values() for p in layer.parameters(recurse=False)]
    if len(shared) != len(set(shared)):
        raise MechanismError("two layers share a parameter: use one layer twice instead")
    return layers
