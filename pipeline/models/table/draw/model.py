"""The fitted table model: what is released. Sampling, saving, loading; it has never seen a row that
was not noised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from pipeline import files
from pipeline.draw_plan import Condition
from pipeline.models import noisy_tables
from pipeline.models.noisy_tables import NoisyTable
from pipeline.models.table.domain.legality import relations
from pipeline.models.table.domain.order import ordered_positions
from pipeline.models.table.draw.conditional_sampler import conditional_sampler
from pipeline.models.table.draw.decode import decode
from pipeline.models.table.draw.sampler import Sampler
from pipeline.models.table.plan.plan import TablePlan
from pipeline.models.table.values.heads import Edge, TargetHead
from pipeline.models.table.values.symbols import SYMBOL_FIELDS, Symbols
from pipeline.refusal import Refusal


@dataclass(frozen=True, eq=False)
class TableModel:
    """`table` holds each latent code's probabilities of every column's groups, the generator
    evaluated at its codes; all codes weigh the same.

    `network` keeps the generator's weights where there is one (engine dp-ctgan, settings.network):
    not needed to draw. A model of before engines had names is a mixture. `notes` says in numbers
    what the noise left: from noisy counts only, safe to publish. `noisy_counts`: these.
    """

    plan: TablePlan
    symbols: dict[str, Symbols]
    table: dict[str, np.ndarray]  # float32 [codes, groups] per column
    # what strongly dependent numeric columns have in common beyond the codes
    edges: tuple[Edge, ...]
    targets: tuple[TargetHead, ...]  # declared targets, drawn last
    network: dict[str, np.ndarray]
    notes: dict[str, Any]
    noisy_counts: tuple[NoisyTable, ...] = ()  # empty for a model of before

    @property
    def engine(self) -> str:
        """What shaped the latent table, by its name in the settings."""
        return self.plan.settings.engine

    def sample(
        self, n: int, rng: np.random.Generator, where: Mapping[str, Condition] | None = None
    ) -> pl.DataFrame:
        """n synthetic rows, columns in declared order; equal for an equal state of rng.

        where: conditions by column, as a plan has them (`draw_plan.condition_of`); every row
            complies and nothing is rejected. Raises Refusal for a condition that the declaration
            or its implications cannot meet.
        """
        if n < 0:
            raise Refusal(f"sample: n must be at least 0, got {n}")
        return self.sample_from(self.sampler(where), n, rng)

    def sampler(self, where: Mapping[str, Condition] | None = None) -> Sampler:
        """The heads under these conditions, for many draws in a row. Raises Refusal as
        `sample`.
        """
        domains = self.plan.domains()
        return conditional_sampler(
            [c.name for c in self.plan.columns],
            domains,
            self.symbols,
            self.table,
            relations(domains, self.symbols, self.plan.implications),
            self._of_originals(where),
            self.targets,
            self.edges,
            self.plan.orders,
        )

    def sample_from(self, sampler: Sampler, n: int, rng: np.random.Generator) -> pl.DataFrame:
        """As `sample`, from a sampler that `sampler` returned."""
        rows, domains = sampler.draw(n, rng), self.plan.domains()
        positions = dict(rows.positions)
        for name, domain in domains.items():
            if domain.is_numeric and name not in positions:
                positions[name] = rng.random(n)
        symbols = {name: sampler.heads[name].symbols for name in domains}
        if self.plan.orders:
            positions = ordered_positions(
                domains, symbols, rows.symbols, positions, self.plan.orders
            )
        columns = [
            decode(
                domain,
                symbols[name],
                rows.symbols[name],
                positions.get(name),
                sampler.origins[name],
            )
            for name, domain in domains.items()
        ]
        by_name = {column.name: column for column in columns}
        for place, copy, name in self.plan.copies:
            columns.insert(place, by_name[name].alias(copy))
        return pl.DataFrame(columns)

    def _of_originals(self, where: Mapping[str, Condition] | None) -> dict[str, Condition]:
        """Conditions on copies as conditions on what they repeat."""
        original = {copy: name for _, copy, name in self.plan.copies}
        conditions: dict[str, Condition] = {}
        for name, condition in (where or {}).items():
            of = original.get(name, name)
            if of in conditions:
                raise Refusal(f"where {name}: it is the same as {of}; give one condition for both")
            conditions[of] = condition
        return conditions

    def save(self, folder: Path) -> None:
        """Writes `table.safetensors` and `table.json`, byte for byte the same for the same
        model.
        """
        arrays = {f"table/{name}": value for name, value in self.table.items()}
        arrays |= {f"network/{name}": value for name, value in self.network.items()}
        for name, symbols in self.symbols.items():
            arrays |= {
                f"symbols/{name}/{field}": getattr(symbols, field) for field in SYMBOL_FIELDS
            }
        arrays |= {f"edge/{place}": edge.ratio for place, edge in enumerate(self.edges)}
        for place, head in enumerate(self.targets):
            arrays |= {f"target/{place}/{name}": value for name, value in head.arrays().items()}
        with files.replacing(folder / "table.safetensors") as temporary:
            save_file(
                {name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())},
                temporary,
            )
        files.write_json(
            folder / "table.json",
            {
                "plan": self.plan.to_json(),
                "edges": [edge.description() for edge in self.edges],
                "targets": [head.description() for head in self.targets],
                "notes": self.notes,
            },
        )
        noisy_tables.save(folder, self.noisy_counts)

    @classmethod
    def load(cls, folder: Path) -> TableModel:
        """The model that `save` wrote. Raises Refusal where a file is absent."""
        description = files.read_json(folder / "table.json")
        if description is None or not (folder / "table.safetensors").is_file():
            raise Refusal(
                f"no table model in {folder.name}: table.json and table.safetensors belong together"
            )
        arrays = load_file(folder / "table.safetensors")
        plan = TablePlan.from_json(description["plan"])
        names = [column.name for column in plan.columns]
        symbols = {
            name: Symbols(**{field: arrays[f"symbols/{name}/{field}"] for field in SYMBOL_FIELDS})
            for name in names
        }
        network = {
            key.removeprefix("network/"): value
            for key, value in arrays.items()
            if key.startswith("network/")
        }
        targets = tuple(
            TargetHead.from_arrays(
                head,
                {
                    key.removeprefix(f"target/{place}/"): value
                    for key, value in arrays.items()
                    if key.startswith(f"target/{place}/")
                },
            )
            for place, head in enumerate(description["targets"])
        )
        edges = tuple(
            Edge(**edge, ratio=arrays[f"edge/{place}"])
            for place, edge in enumerate(description["edges"])
        )
        return cls(
            plan,
            symbols,
            {name: arrays[f"table/{name}"] for name in names},
            edges,
            targets,
            network,
            description["notes"],
            noisy_tables.load(folder),
        )
