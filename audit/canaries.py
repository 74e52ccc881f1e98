"""One-run audits of the whole train stage: real plan, real noise, real tape, canaries in by fair
coins, coins guessed from all outputs.

Steinke, Nasr, Jagielski 2023 (arxiv.org/abs/2305.08846), white-box as Nasr et al. 2023
(arxiv.org/abs/2302.07956). What each kind of output tells is held against what that kind alone is
accounted for, and all of it against what the ledger would be charged.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import torch
from torch import Tensor

from audit import canary_data
from audit.canary_bounds import DELTA, PathGuesses
from audit.canary_data import EXTRACT, Invented
from audit.canary_evidence import (
    Evidence,
    Replay,
    Steps,
    from_counts,
    from_gradients,
)
from audit.findings import Check, Finding
from audit.own_gradients import own_gradients
from pipeline.catalog import Checkpoints
from pipeline.dp import one_run
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.pathway.domain.network import PER_PATIENT
from pipeline.models.pathway.fit.encoded_log import batch_of, encode_log
from pipeline.models.pathway.fit.train import measure_tables
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.models.table.fit.critic import Critic
from pipeline.models.table.fit.sequence import measurements_of
from pipeline.models.table.measure.columns import encode_rows, groups_of_rows
from pipeline.models.table.measure.measurer import Measurer
from pipeline.params import PrivacyParams
from pipeline.restricted import train

COINS = 1000
SHARES = (0.25, 0.5, 1.0)  # of the canaries that are guessed: fixed beforehand, and each paid for
FALSE_ALARMS = 1e-4  # of one check, all paths and shares together


def run_once(data: Invented, epsilon: float, folder: Path) -> list[PathGuesses]:
    """Trains on the canaries whose coins fell so, then guesses the coins. The folder keeps the
    run's checkpoints.
    """
    n = data.canaries.height
    included = np.random.default_rng().random(n) < 0.5
    plan = joint_plan(data.schema, PrivacyParams(epsilon=epsilon, delta=DELTA), data.train, EXTRACT)
    patients, events = data.extract(included)
    tape, steps = Tape(), Steps()
    with steps.record():
        model = train.fit(
            data.schema, patients, events, plan, Checkpoints(folder), tape, train=data.train
        )
    tape.check(plan.dp_event)
    Tape([MeasurementStore(Checkpoints(folder).counts).measured_event()]).check(plan.counts_event)
    evidence_by_path = _evidence(data, plan, model, Checkpoints(folder).counts, steps)
    guesses = []
    for path, (event, evidence) in {
        **evidence_by_path,
        "all": (plan.dp_event, _sum([part for _, part in evidence_by_path.values()])),
    }.items():
        scores = evidence.scores()
        guesses.append(
            PathGuesses(
                path,
                event,
                tuple(one_run.guess(scores, included, round(share * n)) for share in SHARES),
            )
        )
    return guesses


def _sum(parts: list[Evidence]) -> Evidence:
    return sum(parts[1:], start=parts[0])


def _evidence(
    data: Invented, plan: Plan, model: Synthesizer, counts: Path, steps: Steps
) -> dict[str, tuple[dpa.DpEvent, Evidence]]:
    """By kind of outputs: its own event, and what it says."""
    n = data.canaries.height
    replay, by_path = Replay(counts), {}
    one_hot = _replayed_table(data, plan, replay)
    critic = plan.table.critic(plan.table_scale)
    if critic is not None:
        network = Critic(one_hot.shape[1], plan.table.settings.critic_width)
        everybodys = partial(
            _at, network, lambda: -network(one_hot), torch.arange(len(one_hot)), len(one_hot), ()
        )
        by_path["critic"] = (
            critic.dp_event,
            from_gradients(steps.of(critic), everybodys, n, data.copies),
        )
    if plan.pathway is not None and model.pathway is not None:
        sgd = plan.pathway.sgd(plan.pathway_scale)
        pathways = _replayed_pathways(data, plan, model, replay)
        by_path["sequences"] = (
            sgd.dp_event,
            from_gradients(steps.of(sgd), pathways, n, data.copies),
        )
    return {"counts": (plan.counts_event, from_counts(replay.blocks, n, data.copies)), **by_path}


def _replayed_table(data: Invented, plan: Plan, replay: Replay) -> Tensor:
    """Everybody's row as the critic sees it, one-hot [canaries + kinds, width]; the blocks of the
    table's counts go to the replay.
    """
    table, scale = plan.table, plan.table_scale
    cells = encode_rows(data.everybody()[0], table.domains())
    noisy = Measurer(table.counts(scale), table.choice(scale), replay, Tape(), NoiseStream())
    measurements = measurements_of(noisy, cells, table, torch.device("cpu"), _silent)
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


def _replayed_pathways(
    data: Invented, plan: Plan, model: Synthesizer, replay: Replay
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Everybody's gradients as a function of the weights; the blocks of the pathways' counts go to
    the replay.
    """
    assert plan.pathway is not None and model.pathway is not None
    patients, events = data.everybody()
    assert events is not None
    network, coding = copy.deepcopy(model.pathway.network), model.pathway.coding
    log = encode_log(coding, patients, events)
    measure_tables(
        model.pathway,
        log,
        patients,
        plan.pathway_scale,
        store=replay,
        tape=Tape(),
        noise=NoiseStream(),
    )
    batch = batch_of(coding, log, np.arange(log.n_patients), torch.device("cpu"))
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


def _silent(text: str) -> None:
    """Nobody waits for a replay."""


def audit(
    invent: Callable[[int, np.random.Generator], Invented],
    epsilon: float,
    coins: int,
    runs: int,
    folder: Path,
) -> Finding:
    """The claims of every path, each against `runs` independent runs: refuted where every one of
    them refutes it.

    Independent runs multiply their chances, so each is asked at the runs-th root of the
    significance.
    """
    guesses: dict[str, list[PathGuesses]] = {}
    for number in range(runs):
        for one in run_once(
            invent(coins, np.random.default_rng(number)), epsilon, folder / str(number)
        ):
            guesses.setdefault(one.path, []).append(one)
    each = (FALSE_ALARMS / len(guesses)) ** (1 / runs)
    refuted_paths = [
        path for path, parts in guesses.items() if all(part.is_refuted(each) for part in parts)
    ]
    figures = {"coins": float(coins), "runs": float(runs)}
    for parts in guesses.values():
        whole = [part.figures() for part in parts]
        figures |= {key: float(np.mean([figure[key] for figure in whole])) for key in whole[0]}
    figures |= {f"{path}: refuted": float(path in refuted_paths) for path in guesses}
    bounds = ", ".join(
        f"{figures[f'{path}: lower bound, Gaussian']:.2f} of"
        f" {figures[f'{path}: claimed epsilon']:.2f} ({path})"
        for path in guesses
    )
    message = f"{coins} coins: epsilon is at least (95%) this part of what is claimed: {bounds}"
    return Finding(
        holds=not refuted_paths,
        figures=figures,
        message=message + (f"; refuted: {', '.join(refuted_paths)}" if refuted_paths else ""),
    )


def _check(
    name: str,
    invent: Callable[[int, np.random.Generator], Invented],
    epsilon: float,
    coins: int,
    runs: int,
    long: bool,
) -> Check:
    times = "one run" if runs == 1 else f"{runs} runs"
    return Check(
        name=f"canaries in {name}, epsilon {epsilon:g}"
        + (f", {coins} coins" if coins != COINS else ""),
        family="mechanisms",
        long=long,
        asks=(
            f"all outputs of {times} of the train stage tell of {coins} coins no more than each"
            " kind of them is accounted for"
        ),
        run=partial(audit, invent, epsilon, coins, runs),
    )


CHECKS: tuple[Check, ...] = (
    _check("tables", canary_data.tables, 1.0, COINS, 1, False),
    _check("sequences", canary_data.sequences, 1.0, COINS, 1, False),
    _check("tables", canary_data.tables, 10.0, COINS, 3, True),
    _check("sequences", canary_data.sequences, 10.0, COINS, 3, True),
)
