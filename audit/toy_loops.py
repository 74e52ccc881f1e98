"""The two training loops on toy patients: what the audits of loops run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape
from pipeline.models.pathway.draw.model import new_model
from pipeline.models.pathway.fit import train
from pipeline.models.pathway.fit.encoded_log import batch_of, encode_log
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.models.table.fit import critic
from pipeline.models.table.fit.generator import initial_logits
from pipeline.models.table.fit.loss import Spans, softmax_heads
from pipeline.models.table.fit.network import warm_start
from pipeline.models.table.plan.settings import TableSettings
from pipeline.models.table.values.measurements import Marginals
from pipeline.schema.values import Column, EventLog, EventType, Population, Schema, freeze

Sums = dict[str, Tensor]


class Loop(Protocol):
    """One training loop, and the gradient that one patient has in it."""

    tensor_names: frozenset[str]  # kinds of things that its checkpoint may hold

    def run(
        self,
        mechanism: DpSgd,
        *,
        tape: Tape,
        noise: NoiseStream,
        checkpoint: Path,
        checkpoint_steps: int,
        progress: Callable[[str], None],
    ) -> None:
        """All steps, from the checkpoint on where there is one."""

    def gradient(self, patient: int, weights: Sums) -> list[Tensor]:
        """Of the loss of one patient's rows, by one ordinary backward pass; like the weights."""


class PathwayLoop:
    """`train_weights` (pipeline/models/pathway/fit/train.py) with a recurrent network.

    Its pathways have 1 to 6 events.
    """

    tensor_names = frozenset({"weights", "average", "first", "second", "step", "mechanism"})

    def __init__(self, n: int, **settings: Any) -> None:
        rng, schema = np.random.default_rng(5), _schema()
        patients = pl.DataFrame(
            {
                "patient_id": np.arange(n),
                "site": rng.choice(["a", "b"], n),
                "diagnosed": [_DAY] * n,
            },
            schema={"patient_id": pl.Int64, "site": pl.String, "diagnosed": pl.Date},
        )
        self._learn(schema, patients, _events(n, rng), settings)

    def _learn(
        self,
        schema: Schema,
        patients: pl.DataFrame,
        events: pl.DataFrame,
        settings: Mapping[str, Any],
    ) -> None:
        """A recurrent network for these patients, with some settings of its own."""
        standard = PathwaySettings(
            steps=1, width=8, recurrent=True, calibration_share=0.0, micro_batch=4
        )
        self._schema = schema
        self._plan = plan_pathways(schema, replace(standard, **settings), 1000)
        self._model = new_model(schema, self._plan)
        self._log = encode_log(self._model.coding, patients, events)

    def run(
        self,
        mechanism: DpSgd,
        *,
        tape: Tape,
        noise: NoiseStream,
        checkpoint: Path,
        checkpoint_steps: int,
        progress: Callable[[str], None],
    ) -> None:
        train.train_weights(
            new_model(self._schema, self._plan),
            self._log,
            mechanism,
            tape=tape,
            noise=noise,
            checkpoint=checkpoint,
            progress=progress,
            device="cpu",
            checkpoint_steps=checkpoint_steps,
        )

    def gradient(self, patient: int, weights: Sums) -> list[Tensor]:
        network = self._model.network
        network.load_state_dict(weights, strict=False)
        losses = network.row_losses(
            batch_of(self._model.coding, self._log, np.array([patient]), torch.device("cpu"))
        )
        return gradient_of(losses, network)


class CriticLoop:
    """`refine` of pipeline/models/table/fit/critic.py, on rows of two columns."""

    tensor_names = frozenset(
        {"critic", "generator", "step", "discriminate", "generate", "mechanism"}
    )

    def __init__(self, n: int, **settings: Any) -> None:
        self._spans = Spans(("a", "b"), (3, 4))
        standard = TableSettings(codes=8, network_steps=2, critic_batch=16, critic_width=8)
        self._settings = replace(standard, **settings)
        margins = {
            name: np.full(size, 1 / size)
            for name, size in zip(self._spans.names, self._spans.sizes, strict=True)
        }
        self._marginals = Marginals(
            size=100.0,
            margins=margins,
            coarse_groups={name: np.zeros(len(value), int) for name, value in margins.items()},
            coarse={},
            coarse_weights={},
            pairs={},
            pair_weights={},
            margin_weights={name: np.ones(len(value)) for name, value in margins.items()},
            rare={},
            independent=0,
        )
        self._groups = np.random.default_rng(5).integers(0, self._spans.sizes, size=(n, 2))

    def run(
        self,
        mechanism: DpSgd,
        *,
        tape: Tape,
        noise: NoiseStream,
        checkpoint: Path,
        checkpoint_steps: int,
        progress: Callable[[str], None],
    ) -> None:
        checkpoint.mkdir(parents=True, exist_ok=True)
        logits = initial_logits(self._marginals, self._spans, self._settings)
        rules: dict[tuple[str, str], np.ndarray] = {}  # no implications
        generator, codes = warm_start(
            softmax_heads(logits, self._spans),
            self._marginals,
            self._spans,
            rules,
            self._settings,
            progress=progress,
        )
        critic.refine(
            generator,
            codes,
            self._marginals,
            rules,
            self._settings,
            mechanism,
            self._groups,
            tape=tape,
            noise=noise,
            checkpoint=checkpoint,
            checkpoint_steps=checkpoint_steps,
            progress=progress,
        )

    def gradient(self, patient: int, weights: Sums) -> list[Tensor]:
        network = critic.Critic(self._spans.width, self._settings.critic_width)
        network.load_state_dict(weights)
        row = torch.zeros(1, self._spans.width)
        for column, group in enumerate(self._groups[patient]):
            row[0, self._spans.offsets[column] + int(group)] = 1.0
        return gradient_of(-network(row), network)


LOOPS: dict[str, Callable[[int], Loop]] = {"pathway": PathwayLoop, "critic": CriticLoop}

_DAY = date(2015, 1, 1)


def gradient_of(losses: Tensor, network: torch.nn.Module) -> list[Tensor]:
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(losses.sum(), parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if part is None else part
        for parameter, part in zip(parameters, gradients, strict=True)
    ]


def _event_log() -> EventLog:
    types = (
        EventType(name="DIAGNOSIS"),
        EventType(name="VISIT", codes=("x", "y", "z")),
        EventType(name="DEATH", terminal=True),
    )
    return EventLog(
        types=freeze({kind.name: kind for kind in types}),
        attributes=freeze({}),
        origin="diagnosed",
        anchor="DIAGNOSIS",
        max_events=8,
        first=("DIAGNOSIS",),
        legal_codes=(),
        deadlines=(),
        gap_edges=(0, 1, 7, 30, 365),
        lower_day=0,
        upper_day=2000,
    )


def _schema() -> Schema:
    columns = (
        Column(name="site", kind="categorical", categories=("a", "b")),
        Column(
            name="diagnosed",
            kind="date",
            lower=_DAY.toordinal() - date(1970, 1, 1).toordinal() - 1,
            upper=(_DAY + timedelta(days=1)).toordinal() - date(1970, 1, 1).toordinal(),
        ),
    )
    population = Population(
        name="toy",
        universe="toy",
        kind="simulated",
        nominal_size=1000,
        epsilon=10,
        delta=1e-6,
        ceiling_epsilon=20,
    )
    return Schema(
        dataset="toy",
        title="Toy",
        source="audit",
        public=True,
        layout="log",
        population=population,
        tables=freeze({}),
        patients=freeze({column.name: column for column in columns}),
        events=_event_log(),
        implications=(),
        targets=(),
        quasi_identifiers=(),
        strata=("site",),
    )


def _events(n: int, rng: np.random.Generator) -> pl.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for patient in range(n):
        visits = rng.integers(0, 5)
        log = [
            ("DIAGNOSIS", None),
            *(("VISIT", str(rng.choice(["x", "y", "z"]))) for _ in range(visits)),
            ("DEATH", None),
        ]
        rows += [(patient, place, 20 * place, kind, code) for place, (kind, code) in enumerate(log)]
    return pl.DataFrame(
        rows,
        orient="row",
        schema={
            "patient_id": pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
        },
    )
