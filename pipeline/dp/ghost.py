"""Clipped gradient sums without per-patient gradients: book-keeping ghost clipping for linear,
embedding and recurrent layers.

Bu, Wang, Zha, Karypis 2023 (arxiv.org/abs/2210.00038): one backward pass to the layers' outputs
only; each patient's squared gradient norm from layer inputs and output gradients; the clipped sum
as one weighted product per layer. Here a patient may have many rows (events): the norm is that of
the gradient summed over all of them, so cross terms between the patient's rows are counted.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.dp.errors import MechanismError
from pipeline.dp.ghost_traces import BagTrace, LinearTrace, Trace
from pipeline.dp.recurrent import GhostGru

_Call = tuple[str, Tensor, Tensor]  # layer, input, output


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

    Bu, Wang, Zha, Karypis 2023 (arxiv.org/abs/2210.00038).

    Raises MechanismError for a clip norm that is not positive, or a model with other layers, shared
    parameters or none of the layers in `per_patient`.
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

        Raises MechanismError where losses, inputs or a GhostGru's owners do not fit the rows.
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
    ) -> list[Trace]:
        with self._recording(patient_index) as calls:
            losses = row_losses()
            if losses.shape != patient_index.shape:
                raise MechanismError(
                    f"row_losses gave {tuple(losses.shape)}, patient_index has"
                    f" {tuple(patient_index.shape)}"
                )
            outputs = [output for _, _, output in calls]
            gradients = (
                torch.autograd.grad(losses.sum(), outputs, allow_unused=True) if calls else ()
            )
        return self._traces(calls, gradients, patient_index, n_patients)

    @contextmanager
    def _recording(self, patient_index: Tensor) -> Iterator[list[_Call]]:
        """The calls of the layers while the block runs, in a list that grows. The backward pass
        stops at the layers' outputs meanwhile, which is half of its cost.
        """
        calls: list[_Call] = []

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
            parameter.requires_grad_(False)
        try:
            yield calls
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()

    def _traces(
        self,
        calls: list[_Call],
        gradients: Sequence[Tensor | None],
        patient_index: Tensor,
        n_patients: int,
    ) -> list[Trace]:
        by_layer: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for (name, inputs, _), gradient in zip(calls, gradients, strict=True):
            if gradient is None:
                continue
            owner = (
                torch.arange(n_patients, device=patient_index.device)
                if name in self._per_patient
                else patient_index
            )
            if len(inputs) != len(owner) or len(gradient) != len(owner):
                raise MechanismError(
                    f"{name}: the first dimension must be the {len(owner)} rows of the batch, got"
                    f" {len(inputs)}"
                )
            gradient = gradient.float()
            repeats = gradient[..., 0].numel() // len(owner)
            # Linear [n, in], EmbeddingBag [n, slots], Embedding [n, 1]
            features = inputs.reshape(len(owner) * repeats, -1)
            by_layer.setdefault(name, []).append(
                (
                    features,
                    gradient.reshape(-1, gradient.shape[-1]),
                    owner.repeat_interleave(repeats) if repeats > 1 else owner,
                )
            )
        traces: list[Trace] = []
        for name, parts in by_layer.items():
            layer = self._layers[name]
            inputs, gradient, owner = (
                torch.cat(column) if len(parts) > 1 else column[0]
                for column in zip(*parts, strict=True)
            )
            kind = LinearTrace if isinstance(layer, nn.Linear) else BagTrace
            traces.append(
                kind(name, layer, inputs if kind is BagTrace else inputs.float(), gradient, owner)
            )
        return traces


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
