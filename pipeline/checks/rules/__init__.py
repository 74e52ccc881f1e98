"""The 58 clinical rules of docs/clinical_rules.md, as polars queries on the registry's tables.

On the source an F rule costs its patient (ingest drops him or her) and a W rule is counted; both
are restricted. On synthetic tables an F rule stops the release and a W rule warns. A rule whose
tables or columns are absent is not applicable, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from pipeline.checks.rules import (
    cycles,
    dates,
    drugs,
    event_log,
    extract,
    genes,
    keys,
    radiotherapy,
    radiotherapy_doses,
    treatment,
    tumour,
    tumour_codes,
    vital_status,
)
from pipeline.checks.rules.model import Finding, Rule, RuleContext, Status, merged
from pipeline.checks.rules.registry import Registry, build, registry_name
from pipeline.checks.rules.slices import Slices
from pipeline.params import GateParams
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

__all__ = [
    "RULES",
    "Finding",
    "Outcome",
    "Results",
    "Rule",
    "RuleContext",
    "check",
    "check_gate",
    "failing_patients",
    "rules_under",
]

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (
            rule
            for module in (
                keys,
                dates,
                cycles,
                drugs,
                radiotherapy_doses,
                vital_status,
                tumour,
                tumour_codes,
                treatment,
                radiotherapy,
                genes,
                event_log,
                extract,
            )
            for rule in module.RULES
        ),
        key=lambda rule: rule.id,
    )
)


NEVER_A_GATE = ("55", "56")  # they compare with patients' rows (privacy_rules.md 5)


def rules_under(gate: GateParams) -> tuple[Rule, ...]:
    """The rules with the thresholds of a run's params."""
    return tuple(
        replace(
            rule,
            severity="F" if rule.id in gate.stops else rule.severity,
            bounds=gate.bounds.get(rule.id, rule.bounds),
        )
        for rule in RULES
    )


def check_gate(gate: GateParams) -> None:
    """Raises Refusal where the params name a rule that there is not or that has no threshold."""
    warns = {rule.id for rule in RULES if rule.severity == "W"} - set(NEVER_A_GATE)
    rates = warns | {rule.id for rule in RULES if rule.scope == "rate"} - set(NEVER_A_GATE)
    named = {"stops": (gate.stops, warns), "bounds": (tuple(gate.bounds), rates)}
    wrong = [
        f"gate.{key} names {rule!r}; it takes {', '.join(sorted(legal))}"
        for key, (rules, legal) in named.items()
        for rule in rules
        if rule not in legal
    ]
    if wrong:
        raise Refusal(f"params.yaml: {'; '.join(wrong)} (docs/clinical_rules.md)")


@dataclass(frozen=True)
class Outcome:
    """What one rule said about a set of tables."""

    rule: Rule
    finding: Finding | None  # None: not applicable, or could not run
    has_raised: bool = False

    @property
    def status(self) -> Status:
        """pass, fail (F), warn (W), not applicable, or could not run."""
        if self.has_raised:
            return "could not run"
        if self.finding is None:
            return "not applicable"
        is_strict = self.rule.scope != "rate" and self.rule.threshold == 0
        if self.rule.severity == "F" and is_strict:
            return "pass" if self.finding.n_failing == 0 else "fail"
        if self.rule.accepts(self.finding.rate):
            return "pass"
        return "fail" if self.rule.severity == "F" else "warn"

    @property
    def n_rows(self) -> int:
        return 0 if self.finding is None else self.finding.checked

    @property
    def n_failing(self) -> int:
        return 0 if self.finding is None else self.finding.n_failing

    @property
    def rate(self) -> float | None:
        return None if self.finding is None else self.finding.rate


@dataclass(frozen=True)
class Results:
    """The outcome of every rule, in order. Of patients' tables this is restricted information."""

    outcomes: tuple[Outcome, ...]

    def with_status(self, *statuses: Status) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status in statuses)

    def __getitem__(self, rule_id: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.rule.id == rule_id)


def check(
    schema: Schema,
    tables: Mapping[str, pl.DataFrame] | Mapping[str, pl.LazyFrame],
    context: RuleContext,
    log: PatientLog | None = None,
) -> Results:
    """Asks every rule about `tables` (under the declaration's names, typed as declared) and, where
    given, the event log beside them. More than SLICE_PATIENTS patients are asked about some at a
    time.

    A dataset that is no registry has none of these rules: every outcome is then not applicable. On
    patients' tables a rule that raises an exception could not run, and the others go on: rows never
    stop a run (privacy_rules.md 2). On synthetic tables it is raised.
    """
    under = rules_under(context.gate)
    if schema.layout != "registry":
        return Results(tuple(Outcome(rule, None) for rule in under))
    scans = {name: rows.lazy() for name, rows in tables.items() if name in schema.tables}
    slices = Slices(schema, scans, log)
    is_one = len(slices) == 1
    ask = _ask if context.is_synthetic else _try_to_ask
    answers: dict[str, list[Outcome]] = {rule.id: [] for rule in under}
    for some, part in slices:
        registry = build(schema, some, part)
        for rule in under:
            if is_one or not rule.of_everybody:
                answers[rule.id].append(ask(rule, registry, context))
    if not is_one:
        registry = build(schema, _keys(schema, scans, under), None)
        for rule in under:
            if rule.of_everybody:
                answers[rule.id].append(ask(rule, registry, context))
    return Results(tuple(_one_outcome(rule, answers[rule.id]) for rule in under))


def _keys(
    schema: Schema, tables: Mapping[str, pl.LazyFrame], rules: Iterable[Rule]
) -> dict[str, pl.DataFrame]:
    """Everybody's rows, in the columns that rules `of_everybody` look at."""
    keys = {}
    for name, rows in tables.items():
        table = schema.tables[name]
        columns = {
            column
            for rule in rules
            if rule.of_everybody
            for column in rule.reads.get(registry_name(name, table.file), ())
        }
        names = {ID, table.patient, *table.key, *columns} | {
            column.name for column in table.columns.values() if column.kind == "id"
        }
        keys[name] = rows.select(c for c in rows.collect_schema() if c in names).collect()
    return keys


def _one_outcome(rule: Rule, outcomes: Sequence[Outcome]) -> Outcome:
    """Of all patients, from the outcomes of some at a time."""
    if any(outcome.has_raised for outcome in outcomes):
        return Outcome(rule, None, has_raised=True)
    # the shape of a table is the same whoever is in it
    some = outcomes[:1] if rule.scope == "structure" else outcomes
    return Outcome(rule, merged([outcome.finding for outcome in some]))


def _registry(
    schema: Schema, tables: Mapping[str, pl.DataFrame], log: PatientLog | None
) -> Registry:
    return build(schema, tables if schema.layout == "registry" else {}, log)


def _ask(rule: Rule, registry: Registry, context: RuleContext) -> Outcome:
    if registry.schema.layout != "registry" or not rule.is_applicable(registry):
        return Outcome(rule, None)
    return Outcome(rule, rule.check(registry, context))


def _try_to_ask(rule: Rule, registry: Registry, context: RuleContext) -> Outcome:
    try:
        return _ask(rule, registry, context)
    except (Exception, pl.exceptions.PanicException):
        return Outcome(rule, None, has_raised=True)


def failing_patients(
    schema: Schema, tables: Mapping[str, pl.DataFrame], context: RuleContext
) -> pl.DataFrame:
    """(patient_id, rule): the patients who break an F rule by their own rows, each rule once.
    Nobody's answer depends on another patient.

    Orphan rows (an id that leads to no patient) are no patient's fault and are not in here.
    """
    registry, own = _registry(schema, tables, None), replace(context, across_patients=False)
    rules = [rule for rule in RULES if rule.severity == "F" and rule.scope == "patient"]
    frames = [_breaking(rule, registry, own) for rule in rules]
    return pl.concat(
        [frame for frame in frames if frame.height] or frames[:1], how="vertical_relaxed"
    ).sort(ID, "rule")


def _breaking(rule: Rule, registry: Registry, context: RuleContext) -> pl.DataFrame:
    """(patient_id, rule) of the patients who break one rule. Whose rows make the rule raise an
    exception breaks it, too.

    Where it raises, the patients are halved until such a one is alone: one patient's rows cost
    neither the run nor another (privacy_rules.md 2).
    """
    outcome = _try_to_ask(rule, registry, context)
    if not outcome.has_raised:
        failing = (
            pl.DataFrame(schema={ID: pl.Int64})
            if outcome.finding is None
            else outcome.finding.failing
        )
        assert failing is not None
        return failing.drop_nulls().unique().select(ID, pl.lit(rule.id).alias("rule"))
    everybody = (
        pl.concat([rows.select(ID) for rows in registry.tables.values()])
        .drop_nulls()
        .unique()
        .sort(ID)
    )
    if everybody.height <= 1:
        return everybody.with_columns(pl.lit(rule.id).alias("rule"))
    middle = everybody.height // 2
    return pl.concat(
        [
            _breaking(rule, registry.of(half[ID]), context)
            for half in (everybody[:middle], everybody[middle:])
        ],
        how="vertical_relaxed",
    )
