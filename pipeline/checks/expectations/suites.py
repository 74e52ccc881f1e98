"""The suites of a dataset, written from its declaration and the clinical rules: the content of
expectations/<dataset>/<table>.json.

A suite is the JSON that Great Expectations reads. Nothing in it is typed by hand, so declaration,
expectations and metadata cannot disagree. `suite_files` writes the files, for review: a run makes
the same suites from the declaration in its workspace and never reads the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.checks.expectations.suite_runs import Suite
from pipeline.checks.rules import RULES, Rule, rules_under
from pipeline.checks.rules.vital_status import ICD10_LIST
from pipeline.params import GateParams
from pipeline.schema.sdmetrics_words import sdtype
from pipeline.schema.values import Column, Schema, Table

# the model-level form of a dataset with events; no table is called so
PATIENTS, EVENTS = "model.patients", "model.events"
BY_PATIENT, RATES = "rules.patients", "rules.rates"
# source of a text column -> what its values look like
FORMS = {"ICD-10": ICD10_LIST}
# In pandas: an integer column in which some values are missing is float64.
TYPES = {
    "date": ["datetime64", "datetime64[ns]"],
    "continuous": ["int32", "int64", "float64"],
    "id": ["int64", "float64", "str"],
    "text": ["str"],
}


def suites(schema: Schema, gate: GateParams | None = None) -> dict[str, Suite]:
    """Every suite of a dataset by name: one per table; for a dataset with events also one for the
    patients and one for the events in the models' form; for a registry also the rules, with the
    thresholds of `gate`.
    """
    by_table = {table.name: table_suite(table) for table in schema.tables.values()}
    if schema.events is not None:
        by_table[PATIENTS] = columns_suite(PATIENTS, patient_columns(schema), key=(schema.key,))
        by_table[EVENTS] = columns_suite(EVENTS, event_columns(schema), key=(schema.key, "seq"))
    if schema.layout == "registry":
        by_table[BY_PATIENT] = _suite(BY_PATIENT, [_holds(rule) for rule in rules_by_patient()])
        by_table[RATES] = _suite(RATES, [_lies_between(rule) for rule in rules_by_rate(gate)])
    return by_table


def table_suite(table: Table) -> Suite:
    return columns_suite(table.name, table.columns, key=table.key)


def columns_suite(name: str, columns: Mapping[str, Column], key: tuple[str, ...] = ()) -> Suite:
    """Columns and their order, types, missing values, values, and the key."""
    expectations = [
        _expect("expect_table_columns_to_match_ordered_list", column_list=list(columns))
    ]
    for column in columns.values():
        expectations += list(_of_column(column))
    if len(key) == 1:
        expectations.append(_expect("expect_column_values_to_be_unique", column=key[0]))
    elif key:
        expectations.append(_expect("expect_compound_columns_to_be_unique", column_list=list(key)))
    return _suite(name, expectations)


def _of_column(column: Column) -> Iterator[Suite]:
    if not column.is_categorical:  # a set of values implies the type
        yield _expect(
            "expect_column_values_to_be_in_type_list",
            column=column.name,
            type_list=TYPES[column.kind],
        )
    if not column.nullable and column.role != "carried":  # carried columns are empty in an extract
        yield _expect("expect_column_values_to_not_be_null", column=column.name)
    if column.is_categorical:
        yield _expect(
            "expect_column_values_to_be_in_set",
            column=column.name,
            value_set=list(column.categories),
        )
    elif column.is_numeric and (column.lower is not None or column.upper is not None):
        low, high = (_bound(column, bound) for bound in (column.lower, column.upper))
        yield _expect(
            "expect_column_values_to_be_between", column=column.name, min_value=low, max_value=high
        )
    elif column.kind == "text" and column.source in FORMS:
        yield _expect(
            "expect_column_values_to_match_regex", column=column.name, regex=FORMS[column.source]
        )


def _bound(column: Column, bound: float | None) -> Any:
    if bound is None or column.kind != "date":
        return bound
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=bound)).strftime("%Y-%m-%dT00:00:00")


def patient_columns(schema: Schema) -> dict[str, Column]:
    return {schema.key: Column(name=schema.key, kind="id", role="key"), **schema.patients}


def event_columns(schema: Schema) -> dict[str, Column]:
    """The columns of the event log; an attribute is missing wherever the event's type does not have
    it.
    """
    log = schema.events
    assert log is not None
    codes = tuple(dict.fromkeys(code for kind in log.types.values() for code in kind.codes))
    fixed = [
        Column(name=schema.key, kind="id", role="key"),
        Column(name="seq", kind="continuous", lower=0, upper=log.max_events - 1),
        Column(name="day", kind="continuous", lower=log.lower_day, upper=log.upper_day),
        Column(name="type", kind="categorical", categories=tuple(log.types)),
        Column(name="code", kind="categorical", categories=codes, nullable=True),
    ]
    attributes = [
        Column(
            name=c.name,
            kind=c.kind,
            categories=c.categories,
            lower=c.lower,
            upper=c.upper,
            decimals=c.decimals,
            nullable=True,
        )
        for c in log.attributes.values()
    ]
    return {column.name: column for column in [*fixed, *attributes]}


def rules_by_patient() -> tuple[Rule, ...]:
    """Rules that patients keep or break: one column of true and false each in the table of
    results.
    """
    return tuple(rule for rule in RULES if rule.severity == "F" and rule.scope == "patient")


def rules_by_rate(gate: GateParams | None = None) -> tuple[Rule, ...]:
    """Rules with a legal rate, and the shape of tables (how many are wrong): one number each."""
    by_patient = {rule.id for rule in rules_by_patient()}
    return tuple(rule for rule in rules_under(gate or GateParams()) if rule.id not in by_patient)


def column_of(rule: Rule) -> str:
    return f"rule_{rule.id}"


def _holds(rule: Rule) -> Suite:
    return _expect(
        "expect_column_values_to_be_in_set", column=column_of(rule), value_set=[True], rule=rule
    )


def _lies_between(rule: Rule) -> Suite:
    low, high = rule.bounds
    if low is None and high is None:  # information only: any answer is accepted
        return _expect("expect_column_to_exist", column=column_of(rule), rule=rule)
    return _expect(
        "expect_column_values_to_be_between",
        column=column_of(rule),
        min_value=low,
        max_value=high,
        rule=rule,
    )


def _expect(kind: str, *, rule: Rule | None = None, **arguments: Any) -> Suite:
    meta = {"severity": "F"}
    if rule is not None:
        meta = {
            "rule": rule.id,
            "severity": rule.severity,
            "notes": f"Rule {rule.number}{rule.part}, {rule.severity}: {rule.title}",
        }
    return {"type": kind, "kwargs": arguments, "meta": meta}


def _suite(name: str, expectations: list[Suite]) -> Suite:
    return {
        "name": name,
        "expectations": expectations,
        "meta": {"written_by": "python -m pipeline expectations"},
    }


def sdmetrics_metadata(schema: Schema, table: str) -> dict[str, Any]:
    """SDMetrics' metadata of one table (or of `model.patients`, `model.events`), from the same
    columns as its suite.
    """
    columns = (
        {PATIENTS: patient_columns, EVENTS: event_columns}[table](schema)
        if table in (PATIENTS, EVENTS)
        else schema.tables[table].columns
    )
    key = (
        (schema.key,) if table == PATIENTS else () if table == EVENTS else schema.tables[table].key
    )
    described = {name: {"sdtype": sdtype(column)} for name, column in columns.items()}
    return {"columns": described, **({"primary_key": key[0]} if len(key) == 1 else {})}
