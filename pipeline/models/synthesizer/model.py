"""The synthesizer: a finished model of a dataset, in a folder, to draw patients from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from pipeline import files
from pipeline.dp.events import to_json
from pipeline.draw_plan import Condition, DrawPlan
from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.models.formats import require_format, whole
from pipeline.models.noisy_tables import NoisyTable
from pipeline.models.pathway.draw.model import FACTS, WEIGHTS, PathwayModel
from pipeline.models.pathway.draw.start import pathway_start
from pipeline.models.synthesizer.draw import BLOCK, BlockSampler, partitions, planned_blocks
from pipeline.models.synthesizer.plan import FORMAT, Plan
from pipeline.models.synthesizer.plan_cells import PILOT, PlanCell, plan_cells
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.draw.sampler import Sampler
from pipeline.plan_slices import check_plan
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema


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
        plan: DrawPlan | None = None,
        cells: Sequence[PlanCell] | None = None,
    ) -> Iterator[PatientLog]:
        """Synthetic patients in partitions of at most `partition_rows`; ids 1 to n. Events are None
        for a dataset without.

        plan: conditions on static columns and on how pathways start, which hold for every patient,
            and shares of groups. The extract depends on (n, seed, plan) only: patients are drawn in
            blocks of 5,000, each from a stream of its own made from seed and block number. Raises
            Refusal at once for a column, value or event that is not declared and shares that cannot
            hold; while drawing, for a start of pathways that too few patients meet.
        cells: what `plan_cells` says of this n and plan, where it was asked before.
        """
        if n < 0 or partition_rows < 1:
            raise Refusal(
                f"sample: n must be at least 0 and partition_rows at least 1, got {n} and"
                f" {partition_rows}"
            )
        plan = plan or DrawPlan()
        if plan.targets and n:
            blocks = self._by_cells(
                self.plan_cells(plan, n) if cells is None else cells, seed, plan
            )
        else:
            check_plan(self.schema, plan)
            blocks = self._free(n, seed, plan)
        return partitions(blocks, partition_rows)

    def partition(self, n: int, seed: int, partition_rows: int, number: int) -> PatientLog:
        """The partition of this number, from 0 on, of those that `sample` gives without a plan,
        drawn for itself. Raises Refusal where partitions are no whole blocks.
        """
        if partition_rows % BLOCK:
            raise Refusal(
                f"sample: a partition of {partition_rows} patients is not whole blocks of {BLOCK}"
            )
        per_partition = partition_rows // BLOCK
        some = slice(number * per_partition, (number + 1) * per_partition)
        blocks = self._block_sampler({}, ()).blocks(n, seed, some)
        return next(partitions(blocks, partition_rows))

    def _free(self, n: int, seed: int, plan: DrawPlan) -> Iterator[PatientLog]:
        return self._block_sampler(plan.where, plan.begins).blocks(n, seed)

    def _by_cells(
        self, cells: Sequence[PlanCell], seed: int, plan: DrawPlan
    ) -> Iterator[PatientLog]:
        """Of a plan with shares: each cell under its own conditions."""

        def sampler(cell: PlanCell) -> BlockSampler:
            return self._block_sampler({**plan.where, **cell.conditions}, plan.begins)

        return planned_blocks(
            [(cell.rows, partial(sampler, cell)) for cell in cells], self.pathway, seed
        )

    def plan_cells(self, plan: DrawPlan, n: int) -> list[PlanCell]:
        """How many of n patients each cell of the plan's shares gets, none without shares; free,
        and the same for every seed. Raises Refusal for what is not declared, and for shares that
        cannot hold.
        """
        check_plan(self.schema, plan)
        if not plan.targets or not n:
            return []

        def pilot(rows: int) -> pl.DataFrame:
            sampler = self._table_sampler(plan.where)
            return self.table.sample_from(sampler, rows, np.random.default_rng([0, PILOT]))

        def is_legal(conditions: Mapping[str, Condition]) -> bool:
            try:
                self._table_sampler({**plan.where, **conditions})
            except Refusal:
                return False
            return True

        return plan_cells(self.schema.patients, plan, n, pilot, is_legal)

    def _block_sampler(self, where: Mapping[str, Condition], begins: Sequence[str]) -> BlockSampler:
        draw_rows = partial(self.table.sample_from, self._table_sampler(where))
        if not begins or self.pathway is None:
            return BlockSampler(draw_rows, self.pathway)
        return BlockSampler(draw_rows, self.pathway, pathway_start(self.pathway.coding, begins))

    def _table_sampler(self, where: Mapping[str, Condition]) -> Sampler:
        return self.table.sampler(where)

    @property
    def noisy_counts(self) -> tuple[NoisyTable, ...]:
        """The charged noisy counts of both models; none for a model of before they were kept."""
        return self.table.noisy_counts + (
            self.pathway.noisy_counts if self.pathway is not None else ()
        )

    @property
    def extract_date(self) -> date | None:
        """The public last day of observation that the model was planned for, if there is one."""
        return self.plan.pathway.observed_until if self.plan.pathway is not None else None

    def save(self, folder: Path, *, foreign: files.Foreign | None = None) -> None:
        """Writes the folder whole or not at all: model.json, schema.json, and each model's
        safetensors and JSON. What is `foreign` in an older folder refuses it
        (`files.replacing_folder`).
        """
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
        with files.replacing_folder(folder, foreign=foreign) as temporary:
            self.table.save(temporary / "table")
            if self.pathway is not None:
                self.pathway.save(temporary / "pathway")
            files.write_text(
                temporary / "schema.json",
                json.dumps(to_plain(self.schema), ensure_ascii=False, indent=1),
            )
            files.write_json(temporary / "model.json", facts)

    @classmethod
    def load(cls, folder: Path) -> Synthesizer:
        """What `save` wrote. Raises Refusal where it is no model."""
        facts = files.read_json(folder / "model.json")
        if facts is None:
            raise Refusal(f"no model in {folder.name}: model.json is not there")
        with whole(folder, "model.json"):
            require_format(f"the model in {folder.name}", facts.get("format"), FORMAT)
            plan = Plan.from_json(facts["plan"])
        with whole(folder, "schema.json"):
            schema = schema_from_plain(files.read_json(folder / "schema.json"))
        with whole(folder / "table", "table.json", "table.safetensors"):
            table = TableModel.load(folder / "table")
        if plan.pathway is None:
            return cls(schema, plan, table, None)
        with whole(folder / "pathway", FACTS, WEIGHTS):
            pathways = PathwayModel.load(folder / "pathway", schema)
        return cls(schema, plan, table, pathways)
