"""One-run audits of the whole train stage: real plan, real noise, real tape, canaries in by fair
coins, coins guessed from all outputs.

Steinke, Nasr, Jagielski 2023 (arxiv.org/abs/2305.08846), white-box as Nasr et al. 2023
(arxiv.org/abs/2302.07956). What each kind of output tells is held against what that kind alone is
accounted for, and all of it against what the ledger would be charged.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import torch
from torch import Tensor

from audit import canary_data
from audit.canary_data import EXTRACT, Invented
from audit.canary_evidence import (
    Evidence,
    Replay,
    Steps,
    from_counts,
    from_gradients,
    own_gradients,
)
from audit.findings import Check, Finding
from pipeline.catalog import Checkpoints
from pipeline.dp import accounting, one_run
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.one_run import Guesses
from pipeline.dp.tape import Tape
from pipeline.models import synthesizer
from pipeline.models.pathway.draw.network import PER_PATIENT
from pipeline.models.pathway.fit.data import batch_of, encode_log
from pipeline.models.pathway.fit.train import measure_tables
from pipeline.models.synthesizer import Plan, Synthesizer
from pipeline.models.table.fit.critic import Critic
from pipeline.models.table.measure.measure import encode_rows, measure
from pipeline.params import PrivacyParams
from pipeline.restricted import train

DELTA = 1e-6
COINS = 1000
SHARES = (0.25, 0.5, 1.0)  # of the canaries that are guessed: fixed beforehand, and each paid for
FALSE_ALARMS = 1e-4  # of one check, all paths and shares together
SHOWN = 0.05  # one less the confidence of the bounds that are shown
# at which the accountant is asked for its claim
DELTAS = tuple(float(delta) for delta in np.geomspace(DELTA, 0.5, 40))


@dataclass(frozen=True, eq=False)
class Told:
    """What one kind of outputs told about the coins, beside what it was accounted for."""

    path: str
    event: dpa.DpEvent
    guesses: tuple[Guesses, ...]  # for each of SHARES

    def refuted(self, significance: float) -> bool:
        """Whether the claim, at all DELTAS, leaves these guesses a chance below `significance`;
        each share gets its part of it.
        """
        claims = [
            pair
            for pair in zip(accounting.epsilons(self.event, DELTAS), DELTAS, strict=True)
            if np.isfinite(pair[0])
        ]
        power = one_run.claimed(claims)
        return any(
            one_run.refutes(power, guesses, significance / len(self.guesses))
            for guesses in self.guesses
        )

    @property
    def claimed(self) -> float:
        return accounting.epsilon(self.event, DELTA)

    @property
    def epsilon(self) -> float:
        """Lower bound of epsilon at DELTA under (epsilon, delta) alone."""
        return max(
            one_run.epsilon_bound(guesses, DELTA, SHOWN / len(self.guesses))
            for guesses in self.guesses
        )

    @property
    def gaussian_epsilon(self) -> float:
        """Lower bound of epsilon at DELTA for a mechanism of Gaussian kind, as ours are."""
        return max(
            one_run.gaussian_epsilon_bound(guesses, DELTA, SHOWN / len(self.guesses))
            for guesses in self.guesses
        )

    def figures(self) -> dict[str, float]:
        return {
            f"{self.path}: claimed epsilon": self.claimed,
            f"{self.path}: lower bound": self.epsilon,
            f"{self.path}: lower bound, Gaussian": self.gaussian_epsilon,
            **{
                f"{self.path}: accuracy of {guesses.made} guesses": guesses.accuracy
                for guesses in self.guesses
            },
        }


def run_once(data: Invented, epsilon: float, folder: Path) -> list[Told]:
    """Trains on the canaries whose coins fell so, then guesses the coins. The folder keeps the
    run's checkpoints.
    """
    n = data.canaries.height
    included = np.random.default_rng().random(n) < 0.5
    made = synthesizer.plan(
        data.schema, PrivacyParams(epsilon=epsilon, delta=DELTA), data.train, EXTRACT
    )
    patients, events = data.extract(included)
    tape, steps = Tape(), Steps()
    with steps.recorded():
        model = train.fit(
            data.schema, patients, events, made, Checkpoints(folder), tape, train=data.train
        )
    tape.check(made.dp_event)
    Tape([MeasurementStore(Checkpoints(folder).counts).tape()]).check(made.counts_event)
    found = _evidence(data, made, model, Checkpoints(folder).counts, steps)
    told = []
    for path, (event, evidence) in {
        **found,
        "all": (made.dp_event, _sum([part for _, part in found.values()])),
    }.items():
        scores = evidence.scores()
        told.append(
            Told(
                path,
                event,
                tuple(one_run.guess(scores, included, round(share * n)) for share in SHARES),
            )
        )
    return told


def _sum(parts: list[Evidence]) -> Evidence:
    return sum(parts[1:], start=parts[0])


def _evidence(
    data: Invented, made: Plan, model: Synthesizer, counts: Path, steps: Steps
) -> dict[str, tuple[dpa.DpEvent, Evidence]]:
    """By kind of outputs: its own event, and what it says."""
    n = data.canaries.height
    replay, found = Replay(counts), {}
    one_hot = _replayed_table(data, made, replay)
    critic = made.table.critic(made.table_scale)
    if critic is not None:
        network = Critic(one_hot.shape[1], made.table.settings.critic_width)
        everybodys = partial(
            _at, network, lambda: -network(one_hot), torch.arange(len(one_hot)), len(one_hot), ()
        )
        found["critic"] = (
            critic.dp_event,
            from_gradients(steps.of(critic), everybodys, n, data.copies),
        )
    if made.pathway is not None and model.pathway is not None:
        sgd = made.pathway.sgd(made.pathway_scale)
        pathways = _replayed_pathways(data, made, model, replay)
        found["sequences"] = (sgd.dp_event, from_gradients(steps.of(sgd), pathways, n, data.copies))
    return {"counts": (made.counts_event, from_counts(replay.blocks, n, data.copies)), **found}


def _replayed_table(data: Invented, made: Plan, replay: Replay) -> Tensor:
    """Everybody's row as the critic sees it, one-hot [canaries + kinds, width]; the blocks of the
    table's counts go to the replay.
    """
    real_codes = encode_rows(data.everybody()[0], made.table.domains())
    measured = measure(
        real_codes,
        made.table,
        made.table_scale,
        store=replay,
        tape=Tape(),
        noise=NoiseStream(),
        progress=_silent,
    )
    groups = [
        (grouping.of_cell[real_codes[name]], grouping.groups)
        for name, grouping in (
            (column.name, measured.groupings[column.name]) for column in made.table.columns
        )
    ]
    return torch.cat(
        [
            torch.nn.functional.one_hot(torch.from_numpy(codes).long(), size)
            for codes, size in groups
        ],
        dim=1,
    ).float()


def _replayed_pathways(
    data: Invented, made: Plan, model: Synthesizer, replay: Replay
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Everybody's gradients as a function of the weights; the blocks of the pathways' counts go to
    the replay.
    """
    assert made.pathway is not None and model.pathway is not None
    patients, events = data.everybody()
    assert events is not None
    network, coding = copy.deepcopy(model.pathway.network), model.pathway.coding
    log = encode_log(coding, patients, events)
    measure_tables(
        model.pathway,
        log,
        patients,
        made.pathway_scale,
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
    told: dict[str, list[Told]] = {}
    for number in range(runs):
        for one in run_once(
            invent(coins, np.random.default_rng(number)), epsilon, folder / str(number)
        ):
            told.setdefault(one.path, []).append(one)
    each = (FALSE_ALARMS / len(told)) ** (1 / runs)
    refuted = [path for path, parts in told.items() if all(part.refuted(each) for part in parts)]
    figures = {"coins": float(coins), "runs": float(runs)}
    for parts in told.values():
        whole = [part.figures() for part in parts]
        figures |= {key: float(np.mean([figure[key] for figure in whole])) for key in whole[0]}
    figures |= {f"{path}: refuted": float(path in refuted) for path in told}
    bounds = ", ".join(
        f"{figures[f'{path}: lower bound, Gaussian']:.2f} of"
        f" {figures[f'{path}: claimed epsilon']:.2f} ({path})"
        for path in told
    )
    said = f"{coins} coins: epsilon is at least (95%) this part of what is claimed: {bounds}"
    return Finding(
        held=not refuted,
        figures=figures,
        said=said + (f"; refuted: {', '.join(refuted)}" if refuted else ""),
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
