"""CTGAN as its authors publish it (Xu et al. 2019, arxiv.org/abs/1907.00503), without privacy: what
a guarantee costs, measured on public and simulated data.

The package `ctgan` is an optional extra under the Business Source License 1.1, which is no open
source licence. What is fitted here has no guarantee: no plan, no charge, no release and no saved
model (plan/engines.py refuses).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.draw_plan import Condition
from pipeline.models.table.domain.encode import Domain, column_domain, encode
from pipeline.models.table.draw.prompts import restrict
from pipeline.models.table.plan.engines import CTGAN
from pipeline.models.table.values.symbols import Symbols
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.schema.static_rules import breaches
from pipeline.schema.values import Column, Schema

EPOCHS = 300  # of the package
ATTEMPTS = 30  # rows drawn for each row that is asked for, at most
_LEAST = 100  # rows of one attempt, at least
_LEAVES = 1  # of a number's grid: conditions ask for lattice points, not for leaves
_MISSING = "(missing)"  # a category of its own: the package takes no null there
_FLAG = " is missing"  # after a number: the column that says so

Draw = Callable[[int, int], pl.DataFrame]  # rows, seed -> rows as `coded` writes them


@dataclass(frozen=True, eq=False)
class UnprotectedTable:
    """A fitted engine without a guarantee, which is never saved. Rows are rejected until enough of
    them keep the declaration's rules: CTGAN knows none.
    """

    schema: Schema
    draw: Draw

    @property
    def engine(self) -> str:
        return CTGAN

    def sample(
        self, n: int, rng: np.random.Generator, where: Mapping[str, Condition] | None = None
    ) -> pl.DataFrame:
        """As RowSource says."""
        return self.legal_rows(n, rng, where)[0]

    def legal_rows(
        self, n: int, rng: np.random.Generator, where: Mapping[str, Condition] | None = None
    ) -> tuple[pl.DataFrame, int]:
        """(n rows, how many were drawn for them). Raises Refusal where of `ATTEMPTS` times as many
        rows too few keep rules and conditions.
        """
        meets = [_meets(self._column(name), condition) for name, condition in (where or {}).items()]
        n_all, n_legal, parts = 0, 0, [decoded(self.draw(0, 1), self.schema)]
        while n_legal < n and n_all < ATTEMPTS * max(n, _LEAST):
            size = max(n - n_legal, _LEAST)
            rows = decoded(self.draw(size, int(rng.integers(2**31))), self.schema)
            is_broken = pl.any_horizontal(pl.lit(False), *(rule for _, rule in self._rules()))
            rows = rows.filter(~is_broken)
            for is_met in meets:
                rows = rows.filter(is_met(rows))
            n_all += size
            parts.append(rows.head(n - n_legal))
            n_legal += len(parts[-1])
        if n_legal < n:
            raise Refusal(
                f"of {n_all:,} rows of CTGAN only {n_legal} of {n} keep the declared rules and the"
                f" conditions{''.join(f' on {name}' for name in where or {})}: ask for fewer rows"
                " or for more common values, or take an engine that draws under conditions"
            )
        return pl.concat(parts), n_all

    def _column(self, name: str) -> Column:
        columns = {column.name: column for column in _modelled(self.schema)}
        if name not in columns:
            raise Refusal(
                f"where names {name}, which the model does not have; it has {', '.join(columns)}"
            )
        return columns[name]

    def _rules(self) -> Iterator[tuple[str, pl.Expr]]:
        """Those whose columns are all drawn."""
        names = {column.name for column in _modelled(self.schema)}
        for words, rule in breaches(self.schema):
            if set(rule.meta.root_names()) <= names:
                yield words, rule


def fit_without_privacy(
    schema: Schema, patients: pl.DataFrame, *, epochs: int = EPOCHS, seed: int = 1
) -> UnprotectedTable:
    """CTGAN of these rows, one per patient. Raises Refusal for data that are neither public nor
    simulated, and where the package is not installed.
    """
    if not schema.public or schema.population.kind not in SELF_APPROVING_KINDS:
        raise Refusal(
            f"{schema.dataset} is not declared `public: true` with a population that is"
            f" {' or '.join(SELF_APPROVING_KINDS)}: the engine {CTGAN} has no privacy guarantee and"
            " learns from public or simulated data only. Take another train.table.engine"
        )
    model = _package().CTGAN(epochs=epochs, enable_gpu=False)
    model.set_random_state(seed)
    rows = coded(patients, schema)
    discrete = [name for name in rows.columns if rows.schema[name] == pl.String]
    model.fit(rows.to_pandas(), discrete_columns=discrete)

    def draw(n: int, of_seed: int) -> pl.DataFrame:
        if n == 0:
            return rows.clear()
        model.set_random_state(of_seed)
        return pl.from_pandas(model.sample(n)).cast(rows.schema)

    return UnprotectedTable(schema, draw)


def coded(patients: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Rows as the package takes them: categories as text, a missing one too; numbers and days as
    floats, with a column that says whether one is missing. Copies are left out.
    """
    columns: list[pl.Series] = []
    for column in _originals(schema):
        values = patients[column.name]
        if not column.is_numeric:
            columns.append(values.cast(pl.String).fill_null(_MISSING))
            continue
        numbers = (values.cast(pl.Int32) if column.kind == "date" else values).cast(pl.Float64)
        columns.append(numbers.fill_null(column.lower))
        if column.nullable:
            is_missing = values.is_null().replace_strict({True: "yes", False: "no"})
            columns.append(is_missing.cast(pl.String).alias(column.name + _FLAG))
    return pl.DataFrame(columns)


def decoded(rows: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Drawn rows as declared: numbers at the nearest declared value within their bounds, columns in
    declared order, copies repeated.
    """
    columns = {column.name: _typed(rows, column) for column in _originals(schema)}
    for first, *copies in schema.equal:
        columns |= {copy: columns[first].alias(copy) for copy in copies}
    return pl.DataFrame([columns[column.name] for column in _modelled(schema)])


def _typed(rows: pl.DataFrame, column: Column) -> pl.Series:
    values = rows[column.name]
    if not column.is_numeric:
        return values.replace({_MISSING: None}) if column.nullable else values
    domain = column_domain(column, _LEAVES)
    numbers, cells = values.to_numpy(), encode(domain, values)
    atoms = np.array([*domain.atoms, np.nan])[np.clip(cells - domain.leaves, -1, None)]
    nearest = domain.values(domain.lattice(numbers))
    out = pl.Series(column.name, np.where(cells >= domain.leaves, atoms, nearest))
    if column.nullable:
        out = pl.select(pl.when(rows[column.name + _FLAG] != "yes").then(out)).to_series()
        out = out.alias(column.name)
    if column.kind == "date":
        return out.cast(pl.Int32).cast(pl.Date)
    return out.cast(pl.Int64) if column.decimals == 0 else out


def _meets(column: Column, condition: Condition) -> Callable[[pl.DataFrame], pl.Series]:
    """Which rows meet a condition on a column, as `restrict` reads it."""
    domain = column_domain(column, _LEAVES)
    part, origin = restrict(domain, _cells(domain), condition)

    def is_met(rows: pl.DataFrame) -> pl.Series:
        values = rows[column.name]
        cells = encode(domain, values)
        if not domain.is_numeric:
            return pl.Series(np.isin(cells, origin))
        days = values.cast(pl.Int32) if column.kind == "date" else values
        points = domain.lattice(days.cast(pl.Float64).fill_null(float("nan")).to_numpy())
        met = np.zeros(len(rows), bool)
        for place, cell in enumerate(origin):
            is_inside = (points >= part.start[place]) & (points < part.stop[place])
            met |= (cells == cell) & (is_inside | (cell >= domain.leaves))
        return pl.Series(met)

    return is_met


def _cells(domain: Domain) -> Symbols:
    """Every cell of the domain as a symbol of its own."""
    n, leaves = domain.size, domain.leaves if domain.is_numeric else 0
    ranges = np.zeros((2, n), np.int64)
    if domain.is_numeric:
        ranges[:, :leaves] = domain.starts, domain.stops
    atom = np.full(n, -1)
    atom[leaves : leaves + len(domain.atoms)] = np.arange(len(domain.atoms))
    missing = np.arange(n) == (domain.missing if domain.missing is not None else -1)
    return Symbols(
        group=np.arange(n),
        share=np.ones(n),
        start=ranges[0],
        stop=ranges[1],
        atom=atom,
        missing=missing,
    )


def _modelled(schema: Schema) -> list[Column]:
    return [column for column in schema.patients.values() if column.is_modelled]


def _originals(schema: Schema) -> list[Column]:
    """Modelled columns that repeat no other."""
    copies = {copy for _, *names in schema.equal for copy in names}
    return [column for column in _modelled(schema) if column.name not in copies]


def _package() -> Any:
    try:
        import ctgan
    except ImportError:
        raise Refusal(
            f"the engine {CTGAN} needs the package ctgan, which is not installed: it is an optional"
            " extra under the Business Source License 1.1 (no open source licence; read it first),"
            " `uv pip install --python .venv/bin/python -r pyproject.toml --extra ctgan`"
        ) from None
    return ctgan
