"""The declaration of a dataset as immutable values: what ingest casts, expectations check, models
encode and extracts contain.

`reader.read_schema(path)` reads `datasets/<name>.yaml` (docs/declarations.md describes the fields).
Every domain in it comes from a public source, never from patients' rows (privacy_rules.md 6). Code
lists that several declarations and rules share are named by `categories_from` and `allowed_from`
and live in `datasets/codes/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal, TypeVar

import polars as pl

Kind = Literal["categorical", "ordinal", "continuous", "date", "id", "text"]
Role = Literal["modelled", "rebuilt", "carried", "key"]
Layout = Literal["table", "log", "registry"]
Numbers = TypeVar("Numbers", pl.Expr, pl.Series)
_SEPARATOR = "\0"

# SDMetrics' word where it is not ours
_SDTYPES = {"date": "datetime", "continuous": "numerical", "ordinal": "categorical"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `lower` and `upper` are days since 1970-01-01 for a date. Missing (null) is a
    value of its own where `nullable`.
    """

    name: str
    kind: Kind
    role: Role = "modelled"
    # legal values as strings, categorical and ordinal only; null is not listed
    categories: tuple[str, ...] = ()
    lower: float | None = None  # public bounds, continuous and date
    upper: float | None = None
    decimals: int = 0  # places kept in an extract, continuous; 0 means integers
    atoms: tuple[float, ...] = ()  # declared values with mass of their own, such as 0
    transform: Literal["linear", "asinh"] = "linear"  # grid of the public bins
    # unit of asinh: the grid is linear below and logarithmic above it
    scale: float = 1.0
    unit: str | None = None
    nullable: bool = False
    missing: tuple[str, ...] = ()  # source tokens that mean missing, beside the empty cell
    header: str | None = None  # name in the source file where it differs
    aliases: tuple[str, ...] = ()  # older names that ingest accepts
    repairs: tuple[str, ...] = ()  # declared repairs of ingest, by name
    lookup: str | None = None  # code list in datasets/codes/ that explains the categories
    # how a rebuilt column is made; plain words and the function's name
    rule: str | None = None
    source: str | None = None  # public source of the domain
    description: str | None = None

    @property
    def is_modelled(self) -> bool:
        return self.role == "modelled"

    @property
    def is_categorical(self) -> bool:
        return self.kind in ("categorical", "ordinal")

    @property
    def is_numeric(self) -> bool:
        """Numbers and dates, which have bounds."""
        return self.kind in ("continuous", "date")

    def outside(self, value: pl.Expr) -> pl.Expr:
        """Whether a value that is there lies outside the declaration: not a category, or out of
        bounds. bool, never null; missing is not outside.
        """
        if self.categories:
            outside = ~value.cast(pl.String).is_in(list(self.categories))
        elif self.is_numeric:
            number = value.cast(pl.Date).cast(pl.Int32) if self.kind == "date" else value
            outside = self.out_of_bounds(number.cast(pl.Float64))
        else:
            return pl.lit(False)
        return outside.fill_null(False)

    def out_of_bounds(self, numbers: Numbers) -> Numbers:
        """Whether numbers, or days since 1970-01-01 for a date, pass the declared bounds; null for
        null.
        """
        low = -float("inf") if self.lower is None else self.lower
        high = float("inf") if self.upper is None else self.upper
        return ~numbers.is_between(low, high)

    @property
    def sdtype(self) -> str:
        """SDMetrics' word for the kind."""
        return _SDTYPES.get(self.kind, self.kind)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One source table. `patient` names its column that holds the patient's id; `through` names
    (table, column) to go by instead.
    """

    name: str
    file: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    patient: str | None = None
    # (parent table, shared key column), for a table without the patient's id
    through: tuple[str, str] | None = None
    required: bool = True
    ignore: tuple[str, ...] = ()  # headers in the file that are not read
    max_rows: int | None = None  # contribution cap: rows per patient


@dataclass(frozen=True, kw_only=True)
class Implication:
    """For each listed value of `given`, the values that `then` may take (None is missing). Unlisted
    values do not restrict.
    """

    given: str
    then: str
    allowed: Mapping[str, tuple[str | None, ...]]

    def breaches(self) -> pl.Expr:
        """Whether a row with both columns breaks the implication: bool, never null."""
        given, then = pl.col(self.given).cast(pl.String), pl.col(self.then).cast(pl.String)
        # no text holds the separator, so that two texts are one key
        pair = pl.concat_str([given, then.fill_null(_SEPARATOR)], separator=_SEPARATOR)
        legal = [
            f"{value}{_SEPARATOR}{_SEPARATOR if option is None else option}"
            for value, options in self.allowed.items()
            for option in options
        ]
        is_bound = given.is_in(list(self.allowed)).fill_null(False)
        return is_bound & ~pair.is_in(pl.Series(legal, dtype=pl.String)).fill_null(False)


@dataclass(frozen=True, kw_only=True)
class EventType:
    """A kind of event. `inside` and `closes` name an event type that must be open; `at_most` caps
    how often a patient has it.

    distinct_codes: a patient has each code at most once. until: the last date on which the source
        registers such an event.
    """

    name: str
    codes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    terminal: bool = False
    inside: str | None = None
    closes: str | None = None
    at_most: int | None = None
    distinct_codes: bool = False
    until: date | None = None


@dataclass(frozen=True, kw_only=True)
class LegalCodes:
    """For each listed value of the static column `given`, the codes that events of `type` may
    carry. An unlisted value forbids the type.
    """

    type: str
    given: str
    allowed: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """Once an event of `after` has happened, `event` (if it has not yet) follows within `days`."""

    event: str
    after: tuple[str, ...]
    days: int


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """Where a `log` layout finds events: a table, its date column, and the column (or constant)
    that names type and code.
    """

    table: str
    date: str
    type: str | None = None  # column with the type; None: every row is of type `constant`
    constant: str | None = None
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class CountedTable:
    """A table of patients by static columns and facts about their pathways, which the pathway model
    measures. See docs/declarations.md.
    """

    parts: tuple[str, ...]
    # of the tables' squared noise budget, relative to the other tables
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """The event log of one patient, with its legality. Day 0 is the date in the static column
    `origin`.
    """

    origin: str
    # the event type that stands at day 0; None: nothing is tied to it
    anchor: str | None
    max_events: int  # contribution cap; the terminal event is always kept
    first: tuple[str, ...]  # event types that may open a pathway
    types: Mapping[str, EventType]  # in the order in which events of one day stand
    attributes: Mapping[str, Column]
    legal_codes: tuple[LegalCodes, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    # public bin edges of days between events, ascending, first 0
    gap_edges: tuple[int, ...] = ()
    lower_day: int = 0
    upper_day: int = 4000
    rows: EventSource | None = None  # layout `log` only
    ending: EventSource | None = None  # layout `log` only
    # (terminal type, code) that stands at the extract date
    observation_end: tuple[str, str] | None = None
    # types whose combination, order and waiting times matter; none: the model takes the repeatable
    # ones
    treatments: tuple[str, ...] = ()
    counted: tuple[CountedTable, ...] = ()  # none: the model's own choice

    @property
    def terminal(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.types.items() if kind.terminal)


@dataclass(frozen=True, kw_only=True)
class Cohorts:
    """A population in groups that are charged apart: by the value of a static column when a patient
    is first seen (privacy_rules.md 16).
    """

    column: str  # a date or a number
    # name -> its lowest value, ascending; the first also takes what is lower or missing
    starts: Mapping[str, date | float]


@dataclass(frozen=True, kw_only=True)
class Population:
    """What the ledger opens for this dataset (privacy_rules.md 14-16)."""

    name: str
    universe: str
    kind: str  # one of population_limits.KINDS
    nominal_size: int
    epsilon: float
    delta: float
    ceiling_epsilon: float
    cohorts: Cohorts | None = None

    @property
    def cohort_names(self) -> tuple[str, ...]:
        """None: everybody is charged together."""
        return tuple(self.cohorts.starts) if self.cohorts else ()


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One dataset. `patients` are the static columns in the order in which they are drawn: whoever
    implies stands before the implied.
    """

    dataset: str
    title: str
    source: str
    public: bool
    layout: Layout
    population: Population
    tables: Mapping[str, Table]
    patients: Mapping[str, Column]
    events: EventLog | None
    implications: tuple[Implication, ...]
    targets: tuple[str, ...]
    quasi_identifiers: tuple[str, ...]
    strata: tuple[str, ...]  # static columns by which pathways are reported
    order: tuple[tuple[str, ...], ...] = ()  # static columns whose values never fall, in a chain
    equal: tuple[tuple[str, ...], ...] = ()  # static columns that are copies of the first
    citation: str | None = None
    licence: str | None = None

    @property
    def key(self) -> str:
        """Name of the patient's id in `patients` and `events`, whatever the source calls it."""
        return "patient_id"


def freeze(mapping: dict) -> Mapping:
    return MappingProxyType(mapping)
