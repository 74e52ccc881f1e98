"""The table model and the pathway model as one artefact: one plan, one joint accounting, one model
to draw from.

The budget is split by shares of the squared noise budget; each model's own plan weighs 1 at scale
1, so that share s runs at scale / sqrt(s). One common scale is then found on the joint privacy loss
distribution of everything together (privacy_rules.md 14).
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dp_accounting as dpa
import numpy as np
import polars as pl

from pipeline import files
from pipeline.dp import accounting
from pipeline.dp.events import canonical, composed, to_json
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape
from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.fit import train as pathway_fit
from pipeline.models.pathway.plan import plan as pathway_plans
from pipeline.models.pathway.plan import settings as pathway_settings
from pipeline.models.pathway.plan.plan import PathwayPlan
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.draw.sampler import Sampler
from pipeline.models.table.fit import fit as table_fit
from pipeline.models.table.plan import plan as table_plans
from pipeline.models.table.plan import settings as table_settings
from pipeline.models.table.plan.plan import TablePlan
from pipeline.params import PrivacyParams, TrainParams
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

logger = logging.getLogger(__name__)

FORMAT = 1
# patients drawn from one random stream: an extract does not depend on the size of partitions
BLOCK = 5000
ATTEMPTS = 50  # blocks drawn for one block of prompted patients
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The joint mechanism of a release: a function of the declaration and the params alone.
    Public.
    """

    dataset: str
    epsilon: float  # asked for; the event's own is at most this
    delta: float
    scale: float  # common to all mechanisms
    table_share: float  # of the squared noise budget
    table: TablePlan
    pathway: PathwayPlan | None  # None: the dataset has no events, and the table has everything

    @property
    def table_scale(self) -> float:
        return self.scale / math.sqrt(self.table_share)

    @property
    def pathway_scale(self) -> float:
        return self.scale / math.sqrt(1 - self.table_share)

    @property
    def dp_event(self) -> dpa.DpEvent:
        """What is reserved, run and compared with the tape."""
        parts = [self.table.dp_event(self.table_scale)]
        if self.pathway is not None:
            parts.append(self.pathway.dp_event(self.pathway_scale))
        return canonical(dpa.ComposedDpEvent(parts))

    @property
    def counts_event(self) -> dpa.DpEvent:
        """The counts among `dp_event`: what the store of measurements holds in the end, each
        once.
        """
        counts = [*self.table.counts(self.table_scale).values()]
        if self.pathway is not None:
            counts += self.pathway.counts(self.pathway_scale).values()
        return canonical(dpa.ComposedDpEvent([mechanism.dp_event for mechanism in counts]))

    def mechanisms(self) -> list[dict[str, Any]]:
        """One line per kind of mechanism for auditors: its noise, and the epsilon that it would
        cost alone. Together they cost less than the sum.
        """
        counts = self.table.counts(self.table_scale)
        sigmas = [mechanism.sigma for mechanism in counts.values()]
        lines: list[dict[str, Any]] = [
            {
                "name": "table_counts",
                "kind": "discrete Gaussian counts",
                "blocks": len(counts),
                "smallest_sigma": min(sigmas),
                "largest_sigma": max(sigmas),
                "epsilon_alone": self._alone(counts.values()),
                "delta": self.delta,
            }
        ]
        sgd = [("table_critic", self.table.critic(self.table_scale))]
        if self.pathway is not None:
            tables = self.pathway.counts(self.pathway_scale)
            if tables:
                sigmas = [mechanism.sigma for mechanism in tables.values()]
                lines.append(
                    {
                        "name": "pathway_counts",
                        "kind": "discrete Gaussian counts",
                        "blocks": len(tables),
                        "smallest_sigma": min(sigmas),
                        "largest_sigma": max(sigmas),
                        "epsilon_alone": self._alone(tables.values()),
                        "delta": self.delta,
                    }
                )
            sgd.append(("pathway_sgd", self.pathway.sgd(self.pathway_scale)))
        for name, mechanism in sgd:
            if mechanism is not None:
                lines.append(
                    {
                        "name": name,
                        "kind": "DP-SGD",
                        "steps": mechanism.steps,
                        "noise_multiplier": mechanism.noise_multiplier,
                        "sampling_probability": mechanism.sampling_probability,
                        "l2_clip_norm": mechanism.l2_clip_norm,
                        "epsilon_alone": self._alone([mechanism]),
                        "delta": self.delta,
                    }
                )
        return lines

    def _alone(self, mechanisms: Iterable[NoisyCounts | DpSgd]) -> float:
        return accounting.epsilon(
            composed(mechanism.dp_event for mechanism in mechanisms), self.delta
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "scale": self.scale,
            "table_share": self.table_share,
            "table": self.table.to_json(),
            "pathway": self.pathway.to_json() if self.pathway is not None else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The plan as it was written. Raises ValueError for another format."""
        if value.get("format") != FORMAT:
            raise Refusal(
                f"plan of a release: format {value.get('format')} is not {FORMAT}; use a new"
                " release id"
            )
        rest = {key: value[key] for key in ("dataset", "epsilon", "delta", "scale", "table_share")}
        return cls(
            **rest,
            table=TablePlan.from_json(value["table"]),
            pathway=(
                PathwayPlan.from_json(value["pathway"]) if value["pathway"] is not None else None
            ),
        )


def plan(
    schema: Schema, privacy: PrivacyParams, train: TrainParams, observed_until: date | None = None
) -> Plan:
    """The joint plan for (epsilon, delta); delta is the smaller one of the params' and the
    population's.

    Raises ValueError for settings or a declaration that cannot be planned.
    """
    size, delta = schema.population.nominal_size, min(privacy.delta, schema.population.delta)
    has_events = schema.events is not None
    share = (
        train.shares["table"] / (train.shares["table"] + train.shares["pathway"])
        if has_events
        else 1.0
    )
    settings = table_settings.from_mapping(train.table, epsilon=privacy.epsilon)
    table_plan = table_plans.plan(
        schema.patients, schema.implications, schema.targets, settings, size
    )
    pathway_plan = (
        pathway_plans.plan(
            schema, pathway_settings.from_mapping(train.pathway, size), size, observed_until
        )
        if has_events
        else None
    )

    def at(scale: float) -> Plan:
        return Plan(
            dataset=schema.dataset,
            epsilon=privacy.epsilon,
            delta=delta,
            scale=scale,
            table_share=share,
            table=table_plan,
            pathway=pathway_plan,
        )

    scale, _ = accounting.calibrate(lambda scale: at(scale).dp_event, privacy.epsilon, delta)
    return at(scale)


def fit(
    schema: Schema,
    patients: pl.DataFrame,
    events: pl.DataFrame | pl.LazyFrame | None,
    made: Plan,
    *,
    store: MeasurementStore,
    tape: Tape,
    noise: NoiseStream,
    checkpoint: Path,
    progress: Progress,
    device: str = "cpu",
    checkpoint_steps: int = 50,
) -> Synthesizer:
    """Both models, by exactly the mechanisms of `made.dp_event`, which end up on the tape. Resumes
    from store and checkpoint.

    The privacy unit is a patient_id: of its rows in `patients` the first is read, and its events
    are those of one patient (privacy_rules.md 8).
    """
    if ID in patients.columns:
        patients = patients.unique(ID, keep="first", maintain_order=True)
    tables = table_fit.fit(
        patients,
        made.table,
        made.table_scale,
        store=store,
        tape=tape,
        noise=noise,
        checkpoint=checkpoint / "table",
        progress=lambda text: progress(f"table: {text}"),
        device=device,
        checkpoint_steps=checkpoint_steps,
    )
    if made.pathway is None:
        return Synthesizer(schema, made, tables, None)
    seed = made.pathway.settings.seed
    if events is None:
        raise Refusal(
            f"{schema.dataset} declares events, but there is no event log: ingest should have"
            " made one"
        )
    pathways = pathway_fit.fit(
        schema,
        patients,
        events,
        made.pathway,
        made.pathway_scale,
        store=store,
        tape=tape,
        noise=noise,
        checkpoint=checkpoint / "pathway",
        progress=lambda text: progress(f"pathway: {text}"),
        device=device,
        checkpoint_steps=checkpoint_steps,
        draw_patients=lambda n: _numbered(tables.sample(n, np.random.default_rng([seed, n])), 1),
    )
    return Synthesizer(schema, made, tables, pathways)


@dataclass(frozen=True, eq=False)
class Synthesizer:
    """A finished model. Everything in it is public or paid for: drawing is free."""

    schema: Schema
    plan: Plan
    table: TableModel
    pathway: PathwayModel | None

    def sample(
        self,
        n: int,
        seed: int,
        partition_rows: int,
        where: Mapping[str, Any] | None = None,
        begins: Sequence[str] = (),
    ) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | None]]:
        """(patients, events) in partitions of at most `partition_rows` patients; ids 1 to n. Events
        are None for a dataset without.

        where: conditions on static columns, as TableModel.sample takes them; begins: how pathways
            start, as PathwayModel.sample_begun takes it. Both hold for every patient. The extract
            depends on (n, seed, where, begins) only: patients are drawn in blocks of 5,000, each
            from a stream of its own made from seed and block number. Raises ValueError for prompts
            that cannot be met.
        """
        if begins and self.pathway is None:
            raise Refusal(
                f"{self.schema.dataset} has no pathways: a prompt on how they begin needs a dataset"
                " with events"
            )
        if n < 0 or partition_rows < 1:
            raise Refusal(
                f"sample: n must be at least 0 and partition_rows at least 1, got {n} and"
                f" {partition_rows}"
            )
        held: list[tuple[pl.DataFrame, pl.DataFrame | None]] = []
        n_held = 0
        for block in self._blocks(n, seed, where, begins):
            held.append(block)
            n_held += len(block[0])
            while n_held >= partition_rows:
                part, rest = _split(_joined(held), partition_rows)
                yield part
                held, n_held = [rest], len(rest[0])
        if n_held or n == 0:
            yield _joined(held)

    def _blocks(
        self, n: int, seed: int, where: Mapping[str, Any] | None, begins: Sequence[str]
    ) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | None]]:
        prepared = self.table.sampler(where)
        highest = self._highest(prepared, seed, begins) if begins else 1.0
        for number, first in enumerate(range(0, max(n, 1), BLOCK)):
            rng, size = np.random.default_rng([seed, number]), min(BLOCK, n - first)
            if begins:
                yield self._begun(prepared, size, first + 1, begins, highest, rng)
                continue
            patients = _numbered(self.table.sample_from(prepared, size, rng), first + 1)
            yield patients, self.pathway.sample(patients, rng) if self.pathway is not None else None

    def _highest(self, prepared: Sampler, seed: int, begins: Sequence[str]) -> float:
        """The largest chance of such a start among some patients; a stream of its own."""
        highest = float(
            self._prompted(prepared, begins, np.random.default_rng([seed, 0, 1]))[2].max()
        )
        if highest == 0:
            raise Refusal(
                f"no pathway of {BLOCK:,} synthetic patients begins with {', '.join(begins)}: ask"
                " for a start that the conditions allow"
            )
        return highest

    def _prompted(
        self, prepared: Sampler, begins: Sequence[str], rng: np.random.Generator
    ) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
        """A block of patients, their pathways, and each one's chance of such a start."""
        assert self.pathway is not None
        patients = _numbered(self.table.sample_from(prepared, BLOCK, rng), 1)
        return patients, *self.pathway.sample_begun(patients, begins, rng)

    def _begun(
        self,
        prepared: Sampler,
        n: int,
        first: int,
        begins: Sequence[str],
        highest: float,
        rng: np.random.Generator,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """n patients whose pathways begin so: each drawn one is kept with the chance of such a
        start, relative to the highest chance seen.
        """
        kept, found = [], 0
        for _ in range(ATTEMPTS):
            patients, events, chance = self._prompted(prepared, begins, rng)
            mine = patients.filter(pl.Series(rng.random(BLOCK) * highest < chance)).head(n - found)
            new = mine.select(
                ID,
                pl.int_range(first + found, first + found + pl.len(), dtype=pl.Int64).alias("new"),
            )
            kept.append(
                tuple(
                    frame.join(new, on=ID, how="inner", maintain_order="left")
                    .with_columns(pl.col("new").alias(ID))
                    .drop("new")
                    for frame in (mine, events)
                )
            )
            found += len(mine)
            if found == n:
                return pl.concat([part[0] for part in kept]), pl.concat([part[1] for part in kept])
        raise Refusal(
            f"of {ATTEMPTS * BLOCK:,} synthetic patients only {found} of {n} have pathways that"
            f" begin with {', '.join(begins)}: ask for fewer rows, or for a start that the"
            " conditions allow"
        )

    def save(self, folder: Path) -> None:
        """Writes the folder whole or not at all: model.json, schema.json, and each model's
        safetensors and JSON.
        """
        temporary = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        self.table.save(temporary / "table")
        if self.pathway is not None:
            self.pathway.save(temporary / "pathway")
        files.write_text(
            temporary / "schema.json",
            json.dumps(to_plain(self.schema), ensure_ascii=False, indent=1),
        )
        event = self.plan.dp_event
        facts = {
            "format": FORMAT,
            "dataset": self.schema.dataset,
            "plan": self.plan.to_json(),
            "privacy": {
                "unit": "one patient, with everything he or she has",
                "neighbours": "add or remove one patient",
                "epsilon": self.plan.epsilon,
                "delta": self.plan.delta,
                "mechanisms": self.plan.mechanisms(),
                "event": to_json(event),
            },
        }
        files.write_json(temporary / "model.json", facts)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)

    @classmethod
    def load(cls, folder: Path) -> Synthesizer:
        """What `save` wrote. Raises ValueError where it is no model."""
        facts = files.read_json(folder / "model.json")
        if facts is None:
            raise Refusal(f"no model in {folder.name}: model.json is not there")
        if facts.get("format") != FORMAT:
            raise Refusal(
                f"the model in {folder.name} has format {facts.get('format')}, this version reads"
                f" {FORMAT}"
            )
        schema, made = (
            schema_from_plain(files.read_json(folder / "schema.json")),
            Plan.from_json(facts["plan"]),
        )
        pathways = (
            PathwayModel.load(folder / "pathway", schema) if made.pathway is not None else None
        )
        return cls(schema, made, TableModel.load(folder / "table"), pathways)


def _numbered(patients: pl.DataFrame, first: int) -> pl.DataFrame:
    return patients.select(
        pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias(ID), pl.all()
    )


def _joined(
    parts: list[tuple[pl.DataFrame, pl.DataFrame | None]],
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    events = [part[1] for part in parts if part[1] is not None]
    return pl.concat([part[0] for part in parts]), pl.concat(events) if events else None


def _split(
    part: tuple[pl.DataFrame, pl.DataFrame | None], at: int
) -> tuple[tuple[pl.DataFrame, pl.DataFrame | None], tuple[pl.DataFrame, pl.DataFrame | None]]:
    """The first `at` patients and the others, each with their events."""
    patients, events = part
    first, rest = patients.head(at), patients.tail(len(patients) - at)
    if events is None:
        return (first, None), (rest, None)
    mine = events[ID].is_in(first[ID].implode())
    return (first, events.filter(mine)), (rest, events.filter(~mine))
