"""Neighbouring extracts: for every function between rows and noise, one patient more moves what a
mechanism is given by no more than it claims.

Both neighbours go through the real `fit_synthesizer`, and all mechanisms give both the same made-up
answers, so that every choice that follows from noisy outputs is the same. What is compared is what
reaches the mechanisms. DP-SGD's samples are everybody, so that the sums are of the same patients,
but for the one. Distance: L2; of counts one cell by one, exactly; of a choice each score by one at
most.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl

from audit import people
from audit.answers import Answers, MechanismRun, answering
from audit.findings import Check, Finding
from audit.hurry import few_steps
from audit.model_rows import behind, model_rows
from audit.stability import ingest_extract
from pipeline import params
from pipeline.catalog import project_root
from pipeline.dp.events import canonical_string
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape
from pipeline.models.synthesizer.fit import fit_synthesizer
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.simulator.simulate import simulate

ROUNDING = 1e-4  # of a clip norm: sums of float32
FIRST = 13_001  # id of a newcomer
SMALL: Mapping[str, Mapping[str, Any]] = {
    "table": {
        "codes": 20,
        "steps": 2,
        "max_bins": 6,
        "engine": "dp-ctgan",
        "network_steps": 1,
        "critic_share": 0.1,
        "critic_steps": 2,
        "critic_batch": 40,
        "critic_width": 8,
        "critic_clip_norm": 0.02,
    },
    "pathway": {
        "steps": 2,
        "expected_batch_size": 40,
        "width": 6,
        "calibration_patients": 30,
        "passes": 0,
        "candidates": 2,
        "micro_batch": 7,
        "l2_clip_norm": 0.2,
    },
}  # clip norms so small that every gradient is cut


@dataclass(frozen=True, eq=False)
class FitRecord:
    """What one fit asked of its mechanisms, and what its tape says of it."""

    runs: list[MechanismRun]
    event: str
    tape: str


def make_plan(schema: Schema, settings: Mapping[str, Mapping[str, Any]] = SMALL) -> Plan:
    defaults = params.load(project_root() / "params.yaml")
    train = dataclasses.replace(
        defaults.train, table=settings["table"], pathway=settings["pathway"]
    )
    return joint_plan(schema, defaults.privacy, train, people.EXTRACT)


def fit(schema: Schema, plan: Plan, rows: PatientLog, folder: Path) -> FitRecord:
    """The real fit, with made-up answers; keeps what every mechanism was given."""
    answers, tape = Answers(keeps=True), Tape()
    with (
        few_steps(),
        answering(answers),
        patch.object(DpSgd, "sample", lambda mechanism, n_patients, noise: np.arange(n_patients)),
    ):
        fit_synthesizer(
            schema,
            rows.patients,
            rows.pathways.lazy(),
            plan,
            store=MeasurementStore(folder / "counts"),
            tape=tape,
            noise=NoiseStream(),
            checkpoint=folder,
            progress=logging.getLogger(__name__).debug,
            checkpoint_steps=1,
        )
    return FitRecord(answers.runs, canonical_string(answers.event), canonical_string(tape.event))


def faults(plan: Plan, before: FitRecord, after: FitRecord) -> list[str]:
    """What is wrong with two neighbours' fits: sentences, none where every bound holds."""
    breaches = [*_of_plan(plan, before), *_of_plan(plan, after)]
    if [(one.mechanism, one.shape) for one in before.runs] != [
        (one.mechanism, one.shape) for one in after.runs
    ]:
        return [*breaches, "which mechanisms run, or over how many cells, depends on the newcomer"]
    for old, new in zip(before.runs, after.runs, strict=True):
        distance = old.distance(new)
        if not distance <= old.bound * (1 + ROUNDING * isinstance(old.mechanism, DpSgd)):
            breaches.append(f"{old.name} moves by {distance:.6g}, its sensitivity is {old.bound:g}")
    return breaches


def furthest(before: FitRecord, after: FitRecord, kind: type) -> float:
    """The largest movement of a kind of mechanism, as a part of the claimed sensitivity."""
    return max(
        (
            old.distance(new) / old.bound
            for old, new in zip(before.runs, after.runs, strict=True)
            if isinstance(old.mechanism, kind)
        ),
        default=0.0,
    )


def _of_plan(plan: Plan, record: FitRecord) -> Iterable[str]:
    """Each count and choice of the plan once and exactly as planned, each step of DP-SGD as
    planned, and the tape tells what ran.
    """
    assert plan.pathway is not None
    counts = [
        *plan.table.counts(plan.table_scale).values(),
        *plan.pathway.counts(plan.pathway_scale).values(),
    ]
    choice, critic = plan.table.choice(plan.table_scale), plan.table.critic(plan.table_scale)
    choices = [choice] if choice is not None else []
    steps = [
        mechanism
        for mechanism in (critic, plan.pathway.sgd(plan.pathway_scale))
        if mechanism is not None
        for _ in range(mechanism.steps)
    ]
    if sorted(map(repr, [*counts, *choices, *steps])) != sorted(
        repr(one.mechanism) for one in record.runs
    ):
        yield "the mechanisms that ran are not those of the plan"
    if record.event != canonical_string(plan.dp_event):
        yield "what ran is not what is charged for"
    if record.tape != record.event:
        yield "the tape does not tell what ran"


def compare(
    schema: Schema, plan: Plan, base: PatientLog, newcomers: Mapping[str, PatientLog], folder: Path
) -> Finding:
    """The base with each newcomer in turn, beside the base alone."""
    before = fit(schema, plan, base, folder / "before")
    kinds: dict[str, type] = {"counts": NoisyCounts, "scores": PrivateChoice, "clipped sums": DpSgd}
    furthest_of = dict.fromkeys(kinds, 0.0)
    for number, (name, newcomer) in enumerate(newcomers.items()):
        after = fit(schema, plan, behind(newcomer, base), folder / str(number))
        if breaches := faults(plan, before, after):
            return Finding(
                holds=False, message=f"with one patient more ({name}): {'; '.join(breaches[:3])}"
            )
        for kind, mechanism in kinds.items():
            furthest_of[kind] = max(furthest_of[kind], furthest(before, after, mechanism))
    return Finding(
        holds=True,
        figures={
            "newcomers": len(newcomers),
            "mechanisms": len(before.runs),
            **furthest_of,
        },
        message=(
            f"{len(newcomers)} newcomers, {len(before.runs)} runs of mechanisms each: counts move"
            f" by {furthest_of['counts']:.3f}, scores of the choice by {furthest_of['scores']:.3f},"
            f" clipped sums by at most {furthest_of['clipped sums']:.3f} of what is claimed"
        ),
    )


def newcomers() -> dict[str, PatientLog]:
    """One of each kind, and somebody with three rows in the table of patients."""
    three = people.Extract(
        [people.person(FIRST, site=site) for site in ("breast", "colon", "lung")],
        [people.visit(FIRST, "2014-01-10", "DIAGNOSIS")] * 3,
    )
    return {
        name: model_rows(extract)
        for name, extract in {
            "three tumours in three rows": three,
            **people.odd_patients(FIRST),
        }.items()
    }


def _with_everybody_odd(folder: Path) -> Finding:
    schema = people.schema_in(folder / "declared")
    return compare(
        schema, make_plan(schema), model_rows(people.extract(25, 3)), newcomers(), folder
    )


def _with_few(folder: Path) -> Finding:
    """A recurrent network, and an extract without anybody before the newcomer."""
    schema = people.schema_in(folder / "declared")
    plan = make_plan(schema, {**SMALL, "pathway": {**SMALL["pathway"], "recurrent": True}})
    few = {
        name: rows
        for name, rows in newcomers().items()
        if name in ("three tumours in three rows", "10,000 events")
    }
    whole = compare(schema, plan, model_rows(people.extract(25, 3)), few, folder / "recurrent")
    return (
        whole
        if not whole.holds
        else compare(
            schema, make_plan(schema), model_rows(people.Extract()), newcomers(), folder / "alone"
        )
    )


def _registry(folder: Path) -> Finding:
    """Those with the fewest, some and the most events of a simulated registry, each beside the
    others.
    """
    simulate(70, 21, folder / "source", people.EXTRACT, progress=lambda _: None)
    schema = read_schema(project_root() / "datasets" / "simulated_pathways.yaml")
    restricted = ingest_extract(schema, folder / "source", folder)
    patients, events = pl.read_parquet(restricted.patients), pl.read_parquet(restricted.events)
    by_length = events.group_by(ID).len().sort("len", ID)[ID].to_list()
    ids = {
        "fewest events": by_length[0],
        "some events": by_length[len(by_length) // 2],
        "most events": by_length[-1],
    }
    rest = ~pl.col(ID).is_in(list(ids.values()))
    newcomers = {
        name: PatientLog(patients.filter(pl.col(ID) == one), events.filter(pl.col(ID) == one))
        for name, one in ids.items()
    }
    return compare(
        schema,
        make_plan(schema),
        PatientLog(patients.filter(rest), events.filter(rest)),
        newcomers,
        folder,
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="neighbours of a sample population",
        family="mechanisms",
        run=_with_everybody_odd,
        asks=(
            "one patient more, of whatever kind, moves every count by one in one cell, every"
            " score of a choice by at most one and every clipped sum by at most the clip norm"
        ),
    ),
    Check(
        name="neighbours of nobody",
        family="mechanisms",
        run=_with_few,
        long=True,
        asks="the same where there was nobody before, and with a recurrent network",
    ),
    Check(
        name="neighbours of a registry",
        family="mechanisms",
        run=_registry,
        long=True,
        asks=(
            "the same for all tables and models of a registry: those with the fewest and the most"
            " events of a simulated one"
        ),
    ),
)
