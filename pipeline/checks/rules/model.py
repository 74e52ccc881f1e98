"""What a rule is and what it finds: frozen values shared by all rule files. Numbers and severities
are those of docs/clinical_rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import polars as pl

from pipeline.checks.rules.registry import Registry
from pipeline.params import GateParams
from pipeline.schema.patient_log import ID

Severity = Literal["F", "W"]
Scope = Literal["patient", "rate", "structure"]
Status = Literal["pass", "fail", "warn", "not applicable", "could not run"]


@dataclass(frozen=True, kw_only=True)
class RuleContext:
    """The public facts that rules depend on. Nothing here is computed from patients' rows.

    `across_patients` looks for keys shared by two patients too. It is off where patients are
    dropped: one patient never changes another.
    """

    # last day of observation; None: the rules that need it look at lower bounds only
    extract_date: date | None
    is_synthetic: bool
    first_diagnosis: date = date(2016, 1, 1)
    last_diagnosis: date = date(2019, 12, 31)
    first_event: date = date(2015, 11, 1)
    across_patients: bool = True
    # clinical rule 55, restricted: "table.COLUMN" -> share missing in the source
    missing_share: Mapping[str, float] | None = None
    # clinical rule 57: column -> value -> charged noisy count
    noisy_counts: Mapping[str, Mapping[str, float]] | None = None
    gate: GateParams = field(
        default_factory=GateParams
    )  # thresholds that differ from the rules' own


@dataclass(frozen=True)
class Finding:
    """What a rule found: the failing rows (their patients, null for an orphan row) among
    `checked` rows, or a bare rate.
    """

    failing: pl.DataFrame | None  # column patient_id, one row per failing row; None for a rate
    checked: int
    bare_rate: float | None = None  # the rate, where it is not failing / checked
    part: int = 0  # of a share or a mean: what is divided by `checked`

    @property
    def n_failing(self) -> int:
        return 0 if self.failing is None else self.failing.height

    @property
    def rate(self) -> float | None:
        """Share of failing rows, or the bare rate; None where there was nothing to look at."""
        if self.failing is None:
            return self.bare_rate
        return self.n_failing / self.checked if self.checked else None


# None: there is nothing the rule could speak about
Check = Callable[[Registry, RuleContext], Finding | None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule, or one part of it where a rule is F in one respect and W in another.

    scope patient: rows fail, and so their patients; F means no row may fail. rate: `bounds` of a
    share or mean. structure: the table itself.
    """

    number: int
    part: str = ""
    title: str
    severity: Severity
    scope: Scope = "patient"
    # tables and columns without which the rule is not applicable
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # legal rate, both ends included
    bounds: tuple[float | None, float | None] = (None, 0.0)
    # compares patients with each other: where there are more than memory should hold, it sees
    # everybody at once in the columns of `reads` and in ids and keys; all others see some patients
    # at a time
    of_everybody: bool = False
    check: Check = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        return f"{self.number:02d}{self.part}"

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.reads)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for columns in self.reads.values() for column in columns))

    @property
    def threshold(self) -> float | None:
        """The largest legal rate; None where only a smallest one is set."""
        return self.bounds[1]

    def is_applicable(self, registry: Registry) -> bool:
        return all(registry.has(table, columns) for table, columns in self.reads.items())

    def accepts(self, rate: float | None) -> bool:
        low, high = self.bounds
        return rate is None or ((low is None or rate >= low) and (high is None or rate <= high))


def failing(*frames: pl.DataFrame | None) -> pl.DataFrame:
    """The patients of the failing rows of several checks, one below the other."""
    parts = [frame.select(ID) for frame in frames if frame is not None]
    return pl.concat(parts, how="vertical_relaxed") if parts else pl.DataFrame({ID: []})


def rows_where(rows: pl.DataFrame, is_wrong: pl.Expr) -> Finding:
    """The rows for which `is_wrong` holds; null counts as not wrong."""
    return Finding(rows.filter(is_wrong.fill_null(False)).select(ID), rows.height)


def share(part: int, whole: int) -> Finding:
    """A bare rate among `whole` rows."""
    return Finding(None, whole, part / whole if whole else None, part)


def mean(total: int, units: int) -> Finding:
    return Finding(None, units, total / units if units else None, total)


def merged(findings: Sequence[Finding | None]) -> Finding | None:
    """What a rule found among all patients, from what it found among some at a time: failing rows
    one below the other; of a share or a mean the parts and the wholes added up.
    """
    some = [finding for finding in findings if finding is not None]
    if len(some) < 2:
        return some[0] if some else None
    if all(finding.failing is not None for finding in some):
        return together(*some)
    whole = sum(finding.checked for finding in some)
    return share(sum(finding.part for finding in some), whole)


def together(*findings: Finding) -> Finding:
    """Several row checks of one rule as one."""
    return Finding(
        failing(*(finding.failing for finding in findings)),
        sum(finding.checked for finding in findings),
    )
