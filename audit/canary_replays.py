"""The parts of a run that are repeated for everybody, in or out: whose row stands in which cell,
and what gradient it has at given weights. No noise is drawn.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from audit.canary_data import Invented
from audit.canary_outputs import Replay
from audit.own_gradients import own_gradients
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.pathway.domain.network import PER_PATIENT
from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.fit.encoded_log import batch_of, encode_log
from pipeline.models.pathway.fit.train import measure_tables
from pipeline.models.synthesizer.plan import Plan
from pipeline.models.table.fit.critic import Critic
from pipeline.models.table.fit.sequence import measurements_of
from pipeline.models.table.measure.columns import encode_rows, groups_of_rows
from pipeline.models.table.measure.measurer import Measurer

# everybody's gradients, [canaries + kinds, p], as a function of the weights
GradientsAt = Callable[[Mapping[str, Tensor]], Tensor]


def replayed_table(data: Invented, plan: Plan, replay: Replay) -> Tensor:
    """Everybody's row as the critic sees it, one-hot [canaries + kinds, width]; the blocks of the
    table's counts go to the replay.
    """
    table, scale = plan.table, plan.table_scale
    cells = encode_rows(data.everybody()[0], table.domains())
    noisy = Measurer(table.counts(scale), table.choice(scale), replay, Tape(), NoiseStream())
    measurements = measurements_of(noisy, cells, table, torch.device("cpu"), silent)
    groups = groups_of_rows(measurements.columns, cells)
    return torch.cat(
        [
            torch.nn.functional.one_hot(
                torch.from_numpy(groups[name]).long(), measurements.groupings[name].groups
            )
            for name in (column.name for column in table.columns)
        ],
        dim=1,
    ).float()


def critic_gradients(plan: Plan, one_hot: Tensor) -> GradientsAt:
    """Of rows as `replayed_table` gives them."""
    network = Critic(one_hot.shape[1], plan.table.settings.critic_width)
    n = len(one_hot)
    return partial(_at, network, lambda: -network(one_hot), torch.arange(n), n, ())


def replayed_pathways(
    data: Invented, plan: Plan, model: PathwayModel, replay: Replay
) -> GradientsAt:
    """Everybody's gradients of their pathways; the blocks of the pathways' counts go to the
    replay.
    """
    assert plan.pathway is not None
    patients, events = data.everybody()
    assert events is not None
    network, log = copy.deepcopy(model.network), encode_log(model.coding, patients, events)
    measure_tables(
        model,
        log,
        patients,
        plan.pathway_scale,
        store=replay,
        tape=Tape(),
        noise=NoiseStream(),
    )
    batch = batch_of(model.coding, log, np.arange(log.n_patients), torch.device("cpu"))
    return partial(
        _at, network, lambda: network.row_losses(batch), batch.owner, log.n_patients, PER_PATIENT
    )


def _at(
    network: torch.nn.Module,
    row_losses: Callable[[], Tensor],
    owner: Tensor,
    n: int,
    per_patient: tuple[str, ...],
    weights: Mapping[str, Tensor],
) -> Tensor:
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])
    return own_gradients(network, row_losses, owner, n, per_patient)


def clip(own: Tensor, norm: float) -> Tensor:
    """Each row of [n, p] at most as long as the clip norm; changes `own`."""
    own *= (norm / own.norm(dim=1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
    return own


def silent(text: str) -> None:
    """Nobody waits for a replay."""
