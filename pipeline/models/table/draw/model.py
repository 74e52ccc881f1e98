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
from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.legality import Relations, relations
from pipeline.models.table.draw.conditions import sampler
from pipeline.models.table.draw.decode import Sampler, values_of
from pipeline.models.table.fit.edges import Edge
from pipeline.models.table.fit.target import TargetHead
from pipeline.models.table.plan.plan import TablePlan
from pipeline.refusal import Refusal

_SYMBOL_FIELDS = ("group", "share", "start", "stop", "atom", "missing")


@dataclass(frozen=True, eq=False)
class TableModel:
    """`table` holds each latent code's chances of every column's groups, the generator evaluated at
    its codes.

    `network` keeps the generator's weights where it was distilled (settings.network), and the
    critic's where there was one: not needed to draw. `notes` says in numbers what the noise left:
    from noisy counts only, safe to publish.
    """

    plan: TablePlan
    symbols: dict[str, Symbols]
    table: dict[str, np.ndarray]  # float32 [codes, groups] per column
    # what strongly dependent numeric columns have in common beyond the codes
    edges: tuple[Edge, ...]
    targets: tuple[TargetHead, ...]  # declared targets, drawn last
    network: dict[str, np.ndarray]
    notes: dict[str, Any]

    def sample(
        self, n: int, rng: np.random.Generator, where: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """n synthetic rows, columns in declared order; equal for an equal state of rng.

        where: {column: list of values (None = missing), or (low, high) with both ends for numbers
            and dates}; every row complies and nothing is rejected. Raises ValueError for a
            condition that the declaration or its implications cannot meet.
        """
        if n < 0:
            raise Refusal(f"sample: n must be at least 0, got {n}")
        prepared = self.prepare(where)
        return self.sample_prepared(prepared, n, rng)

    def prepare(self, where: Mapping[str, Any] | None = None) -> Sampler:
        """The heads under these conditions, for many draws in a row."""
        domains = self.plan.domains()
        found = self._relations(domains)
        return sampler(
            [c.name for c in self.plan.columns],
            domains,
            self.symbols,
            self.table,
            found,
            where,
            self.targets,
            self.edges,
        )

    def sample_prepared(self, prepared: Sampler, n: int, rng: np.random.Generator) -> pl.DataFrame:
        """As `sample`, with heads made before."""
        rows = prepared.draw(n, rng)
        domains = self.plan.domains()
        return pl.DataFrame(
            [
                _series(
                    domains[c.name],
                    prepared.heads[c.name].symbols,
                    rows.symbols[c.name],
                    rows.places.get(c.name),
                    rng,
                    prepared.origins[c.name],
                )
                for c in self.plan.columns
            ]
        )

    def _relations(self, domains: Mapping[str, Domain]) -> Relations:
        return relations(domains, self.symbols, self.plan.implications)

    def save(self, folder: Path) -> None:
        """Writes `table.safetensors` and `table.json`, byte for byte the same for the same
        model.
        """
        arrays = {f"table/{name}": value for name, value in self.table.items()}
        arrays |= {f"network/{name}": value for name, value in self.network.items()}
        for name, symbols in self.symbols.items():
            arrays |= {
                f"symbols/{name}/{field}": getattr(symbols, field) for field in _SYMBOL_FIELDS
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
                "edges": [edge.described() for edge in self.edges],
                "targets": [head.described() for head in self.targets],
                "notes": self.notes,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> TableModel:
        """The model that `save` wrote. Raises ValueError where a file is absent."""
        described = files.read_json(folder / "table.json")
        if described is None or not (folder / "table.safetensors").is_file():
            raise Refusal(
                f"no table model in {folder.name}: table.json and table.safetensors belong together"
            )
        arrays = load_file(folder / "table.safetensors")
        plan = TablePlan.from_json(described["plan"])
        names = [column.name for column in plan.columns]
        symbols = {
            name: Symbols(**{field: arrays[f"symbols/{name}/{field}"] for field in _SYMBOL_FIELDS})
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
            for place, head in enumerate(described["targets"])
        )
        edges = tuple(
            Edge(**edge, ratio=arrays[f"edge/{place}"])
            for place, edge in enumerate(described["edges"])
        )
        return cls(
            plan,
            symbols,
            {name: arrays[f"table/{name}"] for name in names},
            edges,
            targets,
            network,
            described["notes"],
        )


def _series(
    cells: Domain,
    symbols: Symbols,
    picked: np.ndarray,
    places: np.ndarray | None,
    rng: np.random.Generator,
    origin: np.ndarray,
) -> pl.Series:
    """The drawn symbols as declared values: strings, numbers or dates, null for missing."""
    column = cells.column
    if not cells.is_numeric:
        labels = pl.Series(cells.labels(), dtype=pl.String)
        return labels.gather(pl.Series(origin[picked])).alias(column.name)
    values = pl.Series(
        column.name,
        values_of(cells, symbols, picked, rng.random(len(picked)) if places is None else places),
    )
    if symbols.missing.any():
        values = values.fill_nan(None)
    if column.kind == "date":
        return values.cast(pl.Int32).cast(pl.Date)
    return values.cast(pl.Int64) if column.decimals == 0 else values
