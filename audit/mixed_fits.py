"""Mixed gradients in whole fits: both models of a release, as they are trained, with clip norms at
the median gradient and micro-batches of four (`mixed_gradients` says why).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch
from torch import Tensor

from audit import people
from audit.findings import Check, Finding
from audit.hurry import few_steps
from audit.loops import Step, watch
from audit.mixed_gradients import FOUR, SLOW_CRITIC, Sums, Tally
from audit.model_rows import model_rows
from audit.neighbours import SMALL, make_plan
from audit.stability import ingest_extract
from audit.toy_loops import gradient_of
from pipeline.catalog import project_root
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape
from pipeline.models.pathway.fit import train
from pipeline.models.pathway.fit.encoded_log import batch_of
from pipeline.models.synthesizer.fit import fit_synthesizer
from pipeline.models.table.fit import critic, engines
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.simulator.simulate import simulate

# critics whose weights are clamped soon have gradients of one size
SETTINGS = {
    "table": {**SMALL["table"], "critic_steps": 6, **SLOW_CRITIC},
    "pathway": {**SMALL["pathway"], "steps": 6, "recurrent": True, "micro_batch": FOUR},
}
SAMPLED = 0.25  # of the patients, in a batch
Gradient = Callable[[int, Sums], Tensor]


class Trainings:
    """Watches the two trainings of a fit, and sets their clip norms."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self._watched: list[tuple[str, list[Step], Gradient]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        with (
            patch.object(critic, "_MICRO_BATCH", FOUR),
            patch.object(train, "train_weights", partial(self._pathways, train.train_weights)),
            patch.object(engines, "refine", partial(self._critic, engines.refine)),
        ):
            yield
        for name, steps, gradient in self._watched:
            for step in steps:
                own = [gradient(patient, step.weights) for patient in step.sampled.tolist()]
                self.tallies[name].add(own, step.total)

    def _pathways(self, run: Any, model: Any, log: Any, mechanism: DpSgd, **options: Any) -> None:
        network = copy.deepcopy(model.network)

        def gradient(patient: int, weights: Sums) -> Tensor:
            network.load_state_dict(weights, strict=False)
            batch = batch_of(model.coding, log, np.array([patient]), torch.device("cpu"))
            return _flat(network.row_losses(batch), network)

        start = dict(model.network.named_parameters())
        run(
            model,
            log,
            self._watch("pathway", mechanism, gradient, log.n_patients, start),
            **options,
        )

    def _critic(self, run: Any, generator: Any, codes: Any, *rest: Any, **options: Any) -> Any:
        *others, settings, mechanism, groups = rest
        network = critic._State(generator, codes, settings).critic
        offsets = generator.spans.offsets[:-1]

        def gradient(patient: int, weights: Sums) -> Tensor:
            network.load_state_dict(weights)
            row = torch.zeros(1, generator.spans.width)
            row[0, torch.from_numpy(groups[patient] + np.array(offsets))] = 1.0
            return _flat(-network(row), network)

        start = {name: value.detach().clone() for name, value in network.named_parameters()}
        watched = self._watch("critic", mechanism, gradient, len(groups), start)
        return run(generator, codes, *others, settings, watched, groups, **options)

    def _watch(
        self, name: str, mechanism: DpSgd, gradient: Gradient, n_patients: int, start: Sums
    ) -> DpSgd:
        start = {key: value.detach().clone() for key, value in start.items()}
        norms = [float(gradient(patient, start).norm()) for patient in range(n_patients)]
        self.tallies[name] = Tally(float(np.median(norms)))
        steps: list[Step] = []
        self._watched.append((name, steps, gradient))
        clip = self.tallies[name].clip
        return watch(mechanism, steps, l2_clip_norm=clip, sampling_probability=SAMPLED)


def _flat(losses: Tensor, network: torch.nn.Module) -> Tensor:
    return torch.cat([part.flatten() for part in gradient_of(losses, network)]).double()


def fit_both(schema: Schema, rows: PatientLog, folder: Path) -> Finding:
    """The real fit of both models; noise and samples are real, too."""
    trainings = Trainings()
    with few_steps(), trainings.watching():
        fit_synthesizer(
            schema,
            rows.patients,
            rows.pathways.lazy(),
            make_plan(schema, SETTINGS),
            store=MeasurementStore(folder / "counts"),
            tape=Tape(),
            noise=NoiseStream(),
            checkpoint=folder,
            progress=lambda line: None,
        )
    findings = [tally.finding(name) for name, tally in trainings.tallies.items()]
    assert len(findings) == 2
    return Finding(
        holds=all(finding.holds for finding in findings),
        message="; ".join(finding.message for finding in findings),
        figures={
            f"{name}: {key}": value
            for name, finding in zip(trainings.tallies, findings, strict=True)
            for key, value in finding.figures.items()
        },
    )


def _sample_population(folder: Path) -> Finding:
    return fit_both(
        people.schema_in(folder / "declared"), model_rows(people.extract(60, 3)), folder
    )


def _registry(folder: Path) -> Finding:
    simulate(70, 21, folder / "source", people.EXTRACT, progress=lambda _: None)
    schema = read_schema(project_root() / "datasets" / "simulated_pathways.yaml")
    data = ingest_extract(schema, folder / "source", folder)
    rows = PatientLog(pl.read_parquet(data.patients), pl.read_parquet(data.events))
    return fit_both(schema, rows, folder)


CHECKS: tuple[Check, ...] = tuple(
    Check(
        name=f"mixed gradients of {name}",
        family="mechanisms",
        run=run,
        long=True,
        asks=(
            "both models, fitted as a release fits them, sum the clipped gradients of each patient"
            " alone where some gradients are cut and some are not"
        ),
    )
    for name, run in (("a sample population", _sample_population), ("a registry", _registry))
)
