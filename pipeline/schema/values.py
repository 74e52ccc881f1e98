"""The declaration of a dataset as immutable values: what ingest casts, expectations check, models
encode and extracts contain.

`reader.read_schema(path)` reads `datasets/<name>.yaml` (docs/declarations.md describes the fields).
Every domain in it comes from a public source, never from patients' rows (privacy_rules.md 6). Code
lists are named by `categories_from` and `allowed_from` and live in `datasets/codes/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal

from pipeline.schema.column_values import ISO_DATE, Column, Kind, Role, Table, Unknown
from pipeline.schema.event_source import EventSource

__all__ = [
    "ISO_DATE",
    "Cohorts",
    "Column",
    "CountedTable",
    "Deadline",
    "EventLog",
    "EventSource",
    "EventType",
    "Exclusion",
    "Implication",
    "Kind",
    "KnownTable",
    "Layout",
    "LegalCodes",
    "Level",
    "Population",
    "Role",
    "Schema",
    "Table",
    "Unknown",
    "Window",
    "freeze",
]

Layout = Literal["table", "log", "registry"]


@dataclass(frozen=True, kw_only=True)
class Implication:
    """For each listed value of `given`, what `then` may be (None: missing); others are free."""

    given: str
    then: str
    allowed: Mapping[str, tuple[str | None, ...]]


@dataclass(frozen=True, kw_only=True)
class EventType:
    """A kind of event. `inside` and `closes` name a type that must be open; `at_most` is a cap."""

    name: str
    codes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    terminal: bool = False
    inside: str | None = None
    closes: str | None = None
    at_most: int | None = None
    distinct_codes: bool = False  # a patient has each code at most once
    until: date | None = None  # last date on which the source registers such an event
    title: str | None = None  # what a report calls it: "Drug regimen"
    like: str | None = None  # static column with these values, as which codes are spread if unsure


@dataclass(frozen=True, kw_only=True)
class LegalCodes:
    """The codes of `type` for each value of the static column `given`; others forbid the type."""

    type: str
    given: str
    allowed: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """What a group of patients never has: events of `types`, or only those with one of `codes`."""

    types: tuple[str, ...]
    group: Mapping[str, tuple[str | None, ...]]  # see groups.py
    codes: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """`event` follows an event of `after` within `days`, if not before; in a group or everybody."""

    event: str
    after: tuple[str, ...]
    days: int
    group: Mapping[str, tuple[str | None, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class Window:
    """An `event` stands at most `days` after the latest of `since`; it is free before the first."""

    event: str
    since: tuple[str, ...]
    days: int


@dataclass(frozen=True, kw_only=True)
class CountedTable:
    """A table of patients by static columns and facts about their pathways, which is measured."""

    parts: tuple[str, ...]
    weight: float = 1.0  # of the tables' squared noise budget, relative to the other tables


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """The event log of one patient, with its legality. Day 0 is the date in the static column
    `origin`; without one, all times are told from day 0 and there are no dates.
    """

    origin: str | None
    anchor: str | None  # the event type that stands at day 0; None: nothing is tied to it
    max_events: int  # contribution cap; the terminal event is always kept
    first: tuple[str, ...]  # event types that may open a pathway
    types: Mapping[str, EventType]  # in the order in which events of one day stand
    attributes: Mapping[str, Column]
    legal_codes: tuple[LegalCodes, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    windows: tuple[Window, ...] = ()
    # ordinal attribute -> most categories from the last value in the same context to the next
    largest_steps: Mapping[str, int] | None = None
    # public bin edges of days between events, ascending, first 0
    gap_edges: tuple[int, ...] = ()
    lower_day: int = 0
    upper_day: int = 4000
    rows: tuple[EventSource, ...] = ()  # layout `log` only
    # layout `log` only; the first whose time is filled counts
    ending: tuple[EventSource, ...] = ()
    # (terminal type, code) that stands at the extract date
    observation_end: tuple[str, str] | None = None
    # terminal types, and codes of terminal types, that are no event but the end of observation
    censoring: tuple[str, ...] = ()
    # types whose combination, order and waiting times matter; none: the repeatable ones
    treatments: tuple[str, ...] = ()
    counted: tuple[CountedTable, ...] = ()  # none: the model's own choice

    @property
    def terminal(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.types.items() if kind.terminal)


@dataclass(frozen=True, kw_only=True)
class Cohorts:
    """Groups of a population, charged apart: by a column when first seen (privacy_rules.md 16)."""

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
class Level:
    """A row or column of a published table: categories (None: missing), or a closed range."""

    values: tuple[str | None, ...] = ()
    low: float | None = None  # of a date in days since 1970-01-01
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class KnownTable:
    """Published shares of static columns, to which models shrink. See docs/declarations.md."""

    name: str
    columns: tuple[str, ...]  # one to three
    # of each column; what no level holds the table does not speak of
    levels: tuple[tuple[Level, ...], ...]
    shares: tuple[float, ...]  # in C order over the levels, none below 0, with sum 1
    source: str
    year: str  # of what is counted, such as "2013 to 2017"
    weight: float  # how many patients the table is worth at most


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
    known: tuple[KnownTable, ...] = ()  # published tables, to which models shrink
    # pairs and triples of static columns that are measured first
    related: tuple[tuple[str, ...], ...] = ()
    citation: str | None = None
    licence: str | None = None

    @property
    def key(self) -> str:
        """Name of the patient's id in `patients` and `events`, whatever the source calls it."""
        return "patient_id"


def freeze(mapping: dict) -> Mapping:
    return MappingProxyType(mapping)
