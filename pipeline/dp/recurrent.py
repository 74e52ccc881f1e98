"""A recurrent layer for ghost clipping: a GRU on flat events that calls each of its weights once,
for all time steps of all patients.

Cho et al. 2014, section 2.3 (arxiv.org/abs/1406.1078), with the gates as torch.nn.GRU has them.
Back-propagation through time is by hand: autograd would call the recurrent weight once per time
step, and a per-patient norm must gather all of those calls. Here the gradients of every step's
pre-activations come out together, so that the recurrent weight is one Linear layer on [rows,
hidden] like any other (pipeline/dp/ghost.py; book-keeping of Bu, Wang, Zha, Karypis 2023, section
3, arxiv.org/abs/2210.00038).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.dp.errors import MechanismError


class GhostGru(nn.Module):
    """torch.nn.GRU of one layer, on events of patients of any length, without padding. Ordinary
    autograd works as well; once, not twice.

    The weights are those of torch.nn.GRU: `input` holds weight_ih_l0 and bias_ih_l0, `recurrent`
    weight_hh_l0 and bias_hh_l0. Cho et al. 2014, section 2.3 (arxiv.org/abs/1406.1078).

    Raises MechanismError without a feature or a state.
    """

    def __init__(self, in_features: int, hidden_features: int) -> None:
        super().__init__()
        if min(in_features, hidden_features) < 1:
            raise MechanismError(
                f"a GRU needs at least one feature and one state, got {in_features} and"
                f" {hidden_features}"
            )
        self.hidden_features = hidden_features
        self.input = nn.Linear(in_features, 3 * hidden_features)
        self.recurrent = nn.Linear(hidden_features, 3 * hidden_features)
        for parameter in self.parameters():
            nn.init.uniform_(
                parameter, -1 / math.sqrt(hidden_features), 1 / math.sqrt(hidden_features)
            )

    def forward(self, rows: Tensor, owner: Tensor, /) -> Tensor:
        """State after each row, [r, hidden]: it has seen the patient's rows up to this one, from a
        state of zeros on.

        Args:
            rows: [r, in]; the rows of one patient in time order, patients in any order or
                interleaved. r may be 0.
            owner: int64 [r], the row's patient, at least 0.

        Raises MechanismError for other shapes.
        """
        if rows.ndim != 2 or owner.shape != rows.shape[:1]:
            raise MechanismError(
                f"rows must be [r, in] and owner [r], got {tuple(rows.shape)} and"
                f" {tuple(owner.shape)}"
            )
        steps = _Steps.of(owner)
        inputs = self.input(rows)  # [r, 3 hidden], all steps in one product
        with torch.no_grad():
            start = inputs.new_zeros(steps.sizes[0] if steps.sizes else 0, self.hidden_features)
            run = _run(inputs.index_select(0, steps.order), start, steps.sizes, self.recurrent)
            past = run.states.index_select(0, steps.before)
        # The recurrent weight's only call: its value is known from the run, its place in the graph
        # is where the gradients come out.
        product = self.recurrent(past)
        return _Recurrence.apply(inputs, product, self.recurrent.weight.detach(), run, steps)

    @torch.no_grad()
    def step(self, rows: Tensor, states: Tensor) -> Tensor:
        """States after one more row of each of n patients, [n, hidden]; zeros are the states before
        the first row. For decoding.

        Args:
            rows: [n, in]. n may be 0.
            states: [n, hidden].
        """
        return _run(self.input(rows), states, [len(rows)], self.recurrent).states[len(rows) :]


@dataclass(frozen=True)
class _Steps:
    """Where rows stand when time comes first: step 0 of all patients, then step 1 of those who have
    one. Longer patients stand first, so that the patients of a step are the first ones of the step
    before.
    """

    sizes: list[int]  # patients in each step, falling
    order: Tensor  # [r], the row at each place
    place: Tensor  # [r], the place of each row
    # [r], where the row's past stands: the place of the patient's row before, after one blank for
    # each patient
    before: Tensor

    @classmethod
    def of(cls, owner: Tensor) -> _Steps:
        n_rows = torch.arange(len(owner), device=owner.device)
        counts = torch.bincount(owner)
        by_owner = torch.argsort(owner, stable=True)
        time = torch.empty_like(n_rows)
        time[by_owner] = n_rows - (counts.cumsum(0) - counts)[owner[by_owner]]
        rank = torch.empty_like(counts)
        rank[torch.argsort(counts, descending=True, stable=True)] = torch.arange(
            len(counts), device=owner.device
        )
        sizes = torch.bincount(time)
        # of each step, and the end
        starts = torch.cat([sizes[:1], sizes]).cumsum(0) - sizes[:1].sum()
        place = starts[time] + rank[owner]
        order = torch.empty_like(place)
        order[place] = n_rows
        before = torch.where(time > 0, sizes[:1].sum() + starts[time - 1], 0) + rank[owner]
        return cls(sizes.tolist(), order, place, before)


@dataclass(frozen=True)
class _Run:
    """All values of all steps, time first."""

    states: Tensor  # [n + r, hidden]: the n states at the start, then those after each row
    gates: Tensor  # [r, 2 hidden]: reset, update
    inner: Tensor  # [r, hidden]: the recurrent part of `new` before the reset gate
    new: Tensor  # [r, hidden]
    change: Tensor  # [r, hidden]: the state before, less `new`


def _run(inputs: Tensor, start: Tensor, sizes: list[int], recurrent: nn.Linear) -> _Run:
    """All steps. inputs [r, 3 hidden] and start [n, hidden] time first. new = tanh(inputs + reset
    inner); state = new + update (past - new).
    """
    hidden = start.shape[1]
    gate_weight, new_weight = recurrent.weight.T.split([2 * hidden, hidden], dim=1)
    gate_bias, new_bias = recurrent.bias.split([2 * hidden, hidden])
    input_gates, input_new = inputs[:, : 2 * hidden] + gate_bias, inputs[:, 2 * hidden :]
    run = _Run(
        torch.cat([start, inputs.new_empty(len(inputs), hidden)]),
        torch.empty_like(input_gates),
        *(inputs.new_empty(len(inputs), hidden) for _ in range(3)),
    )
    past_at, at = 0, 0
    for size in sizes:
        now = slice(at, at + size)
        past, gates, inner, new = (
            run.states[past_at : past_at + size],
            run.gates[now],
            run.inner[now],
            run.new[now],
        )
        torch.addmm(input_gates[now], past, gate_weight, out=gates).sigmoid_()
        torch.addmm(new_bias, past, new_weight, out=inner)
        torch.addcmul(input_new[now], gates[:, :hidden], inner, out=new).tanh_()
        torch.sub(past, new, out=run.change[now])
        past_at, at = len(start) + at, at + size
        torch.addcmul(
            new, gates[:, hidden:], run.change[now], out=run.states[past_at : past_at + size]
        )
    return run


class _Recurrence(torch.autograd.Function):
    """States of a run, and the gradients of both pre-activations of every step: through later steps
    too, with the past states as they were.
    """

    @staticmethod
    def forward(
        ctx: Any, _inputs: Tensor, _product: Tensor, weight: Tensor, run: _Run, steps: _Steps
    ) -> Tensor:
        ctx.save_for_backward(
            weight, run.gates, run.inner, run.new, run.change, steps.order, steps.place
        )
        ctx.sizes = steps.sizes
        return run.states[len(run.states) - len(steps.place) :].index_select(0, steps.place)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        weight, gates, inner, new, change, order, place = ctx.saved_tensors
        reset, update = gates.tensor_split(2, dim=1)
        # of the state by the pre-activation of `new`, [r, hidden]
        by_new = (1 - update) * (1 - new.square())
        slopes = torch.stack(
            [by_new * inner * reset * (1 - reset), change * update * (1 - update), by_new * reset],
            dim=1,
        )
        # a copy: each step adds to the one before, [r, hidden]
        by_state = gradient.index_select(0, order)
        by_product = torch.empty_like(slopes)  # [r, 3, hidden]
        end = len(order)
        for size, earlier in zip(reversed(ctx.sizes), reversed([0, *ctx.sizes][:-1]), strict=True):
            now, start = slice(end - size, end), end - size
            torch.mul(slopes[now], by_state[now, None], out=by_product[now])
            if earlier:
                past = by_state[start - earlier : start - earlier + size]
                past.addcmul_(by_state[now], update[now]).addmm_(by_product[now].flatten(1), weight)
            end = start
        by_inputs = torch.cat([by_product[:, :2].flatten(1), by_state * by_new], dim=1)
        return (
            by_inputs.index_select(0, place),
            by_product.flatten(1).index_select(0, place),
            None,
            None,
            None,
        )
