"""A declaration whose tables could not tell its events is refused when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from log_cases import DATES, ENDLESS, ENDS_APART, MONTHS, ROWS, VARIANTS, WIDE, declared

from pipeline.schema.document import DeclarationError
from pipeline.schema.reader import read_schema_with_warnings

MONTH = "month: {kind: continuous, source: tests, lower: -24, upper: 120}"
REFUSED = [
    # how a source is written
    (MONTHS, "constant: ILL, code", "constant: ILL, type: name, code", "rows.0", "one of them"),
    (MONTHS, "constant: ILL, code", "code", "rows.0", "one of them"),
    (MONTHS, "day: month, unit", "day: month, date: month, unit", "rows.1", "`date` and `day`"),
    (MONTHS, "until: end,", "until: end, duration: end,", "rows.2", "`until` and `duration`"),
    (MONTHS, "closes: STOP, ", "", "rows.2", "say both"),
    (MONTHS, "until: end, ", "", "rows.2", "say both"),
    (MONTHS, "day: begin, unit: months, until", "until", "rows.2", "begins on a `date` or `day`"),
    (MONTHS, "month, unit: months", "month, unit: moons", "rows.1.unit", "none of days, weeks"),
    (
        MONTHS,
        "comorbidities, constant",
        "comorbidities, unit: weeks, constant",
        "rows.0.unit",
        "bel",
    ),
    (MONTHS, "status: vital,", "", "ending.1", "go together"),
    (MONTHS, "{dead: DEAD, alive: SEEN, lost: LOST}", "[dead]", "ending.1.codes", "a mapping such"),
    (MONTHS, "lost: LOST}", "lost: 1}", "ending.1.codes.lost", "must name a type"),
    (MONTHS, "{table: comorbidities, constant: ILL, code: name}", "7", "rows.0", "a mapping"),
    (
        ENDLESS,
        "rows: {table: visits, day: week, unit: weeks, type: kind}",
        "rows: []",
        "rows",
        "list",
    ),
    (
        ENDLESS,
        "rows: {table: visits, day: week, unit: weeks, type: kind}",
        "rows: x",
        "rows",
        "list",
    ),
    # columns
    (MONTHS, "day: month", "day: moon", "rows.1.day", "no column of diagnoses"),
    (MONTHS, "table: diagnoses", "table: diagnosis", "rows.1.table", "no table named"),
    (MONTHS, "until: end", "until: reason", "rows.2.until", "of kind continuous"),
    (MONTHS, "day: month", "day: what", "rows.1.day", "of kind continuous"),
    (DATES, "date: in,", "day: in,", "rows.0.day", "of kind continuous"),
    (DATES, "duration: weeks", "duration: begin", "rows.1.duration", "of kind continuous"),
    (DATES, "origin: born", "origin: null", "rows.0.date", "needs a day 0"),
    (MONTHS, "origin: null", "origin: sex", "events.origin", "null where all times"),
    (MONTHS, "day: death, unit: months, constant", "constant", "ending.0", "an end has a time"),
    # types and codes
    (MONTHS, "constant: FOUND", "constant: FIND", "rows.1.constant", "no type of event"),
    (MONTHS, "constant: DEAD}", "constant: FOUND}", "ending.0.constant", "no terminal type"),
    (MONTHS, "alive: SEEN", "alive: FOUND", "ending.1.codes.alive", "no terminal type"),
    (MONTHS, "alive: SEEN", "living: SEEN", "ending.1.codes", "is no value of vital"),
    (MONTHS, "closes: STOP", "closes: FOUND", "rows.2.closes", "closes: DRUG"),
    (MONTHS, "STOP: {closes: DRUG,", "STOP: {closes: DRUG, codes: [x],", "rows.2.closes", "codes"),
    (
        MONTHS,
        "attributes: [reason]",
        "attributes: [reason, dose]",
        "rows.2.closes",
        "but one column",
    ),
    (MONTHS, ", code: what}", "}", "rows.1", "no column tells them"),
    (MONTHS, "FOUND: {codes: [C50, C61]}", "FOUND: {codes: [C50]}", "rows.1.code", "C61 of what"),
    (MONTHS, "codes: [C50, C61]}", "codes: [C50, C61, C9]}", "rows.1.code", "has no C9"),
    (MONTHS, "  STOP: {", "  PAUSE: {}\n    STOP: {", "types.PAUSE", "no source of events.rows"),
    (MONTHS, ", lost: LOST}", "}", "types.LOST", "no source of events.ending"),
    (
        ENDLESS,
        "END: {terminal: true}",
        "END: {terminal: true}\n    X: {terminal: true}",
        "X",
        "never",
    ),
    # what may be missing
    (
        MONTHS,
        "end: {kind: continuous, source: tests, lower: 0, upper: 120, nullable: true}",
        "end: {kind: continuous, source: tests, lower: 0, upper: 120}",
        "rows.2.until",
        "must be nullable",
    ),
    (
        MONTHS,
        "death: {kind: continuous, source: tests, lower: 0, upper: 120, nullable: true}",
        "death: {kind: continuous, source: tests, lower: 0, upper: 120}",
        "ending.0",
        "never read",
    ),
    (
        DATES,
        "categories: [x, y], nullable: true",
        "categories: [x, y]",
        "ending.0.code",
        "nullable",
    ),
    (WIDE, "upper: 3000, nullable: true", "upper: 3000", "rows.2.day", "not everybody"),
    (
        WIDE,
        'codes: {"1": RELAPSE}',
        'codes: {"0": RELAPSE, "1": RELAPSE}',
        "rows.1.day",
        "not every",
    ),
    # days
    (MONTHS, MONTH, MONTH.replace("lower: -24, ", ""), "rows.1.day", "needs lower and upper"),
    (MONTHS, MONTH, MONTH.replace("-24", "130").replace("120", "140"), "rows.1.day", "no value"),
    (MONTHS, "upper_day: 3653", "upper_day: 4000", "ending.0.day", "make the two equal"),
    (DATES, "lower_day: -400", "lower_day: -4000", "rows.0.date", "declare an earlier lower"),
    (DATES, "lower: 0, upper: 1000", "lower: 0, upper: 100", "rows.1.duration", "6400 days"),
    (WIDE, "anchor: FOUND", "anchor: RELAPSE", "rows.0", "can only be the anchor"),
    (
        MONTHS,
        "censoring:",
        "windows: [{event: FOUND, since: [FOUND], days: 9}]\n  censoring:",
        "events.windows",
        "the times of FOUND, DRUG, DEAD",
    ),
    (
        ROWS,
        "censoring:",
        "deadlines: [{event: GOOD, after: [IN], days: 9}]\n  censoring:",
        "events.deadlines",
        "every day",
    ),
    (
        ENDLESS,
        "CALL: {}",
        "CALL: {until: 2020-01-01}",
        "types.CALL.until",
        "the times of this type are none",
    ),
    # tables
    (MONTHS, "key: [id]", "key: [id, sex]", "tables", "one row per patient"),
    (WIDE, "RELAPSE: {at_most: 1}", "RELAPSE: {}", "rows.1", "at_most: 1"),
    (ENDS_APART, "rows: {table: visits,", "rows: {table: follow_up,", "tables.visits", "holds no"),
    (
        ENDS_APART,
        "rows: {table: visits, day: day, constant: VISIT}",
        "rows: [{table: visits, day: day, constant: VISIT},"
        " {table: visits, day: day, constant: VISIT}]",
        "events.rows",
        "named 2 times",
    ),
    (
        ENDS_APART,
        "table: follow_up, day: day, status: status, codes",
        "table: visits, day: day, status: day, codes",
        "ending",
        "by the same time",
    ),
    (
        MONTHS,
        "- {table: people, day: death, unit: months, constant: DEAD}",
        "- {table: diagnoses, day: month, unit: months, constant: DEAD}",
        "ending.0",
        "each is a column of people",
    ),
    (
        WIDE,
        "grade: {kind",
        "extra: {kind: ordinal, categories: [a], source: tests}\n      grade: {kind",
        "people.columns.extra",
        "neither a static column",
    ),
    (
        MONTHS,
        "FOUND: {codes: [C50, C61]}",
        "FOUND: {codes: [C50, C61], attributes: [hard]}",
        "events.types.FOUND.attributes",
        "no attribute named",
    ),
    (
        DATES,
        "out: {kind: date,",
        "out: {repairs: [not_before_origin], kind: date,",
        "stays.columns.out.repairs",
        "`date` of events.rows",
    ),
]


@pytest.mark.parametrize(
    ("text", "old", "new", "field", "what"), REFUSED, ids=[f"{f}: {w}" for *_, f, w in REFUSED]
)
def test_a_mistake_is_refused_with_line_and_field(
    tmp_path: Path, text: str, old: str, new: str, field: str, what: str
) -> None:
    assert old in text
    with pytest.raises(DeclarationError) as caught:
        declared(tmp_path, text.replace(old, new))
    found = [line for line in caught.value.problems if field in line and what in line]
    assert found and found[0].startswith("clinic.yaml:"), str(caught.value)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_good_as_it_stands(tmp_path: Path, name: str) -> None:
    declared(tmp_path, VARIANTS[name])
    warnings = read_schema_with_warnings(tmp_path / "clinic.yaml")[1]
    meant = {
        "endless": "ends (END) with its last row",
        "rows": "rows whose state is 9 are no events, for codes do not say it",
    }
    assert len(warnings) == (name in meant), warnings
    assert all(meant[name] in one for one in warnings)


def test_a_value_that_nothing_tells_is_a_warning_where_it_may_be_missing(tmp_path: Path) -> None:
    column = "extra: {kind: ordinal, categories: [a], nullable: true, source: tests}"
    declared(tmp_path, WIDE.replace("grade: {kind", f"{column}\n      grade: {{kind"))
    (warning,) = read_schema_with_warnings(tmp_path / "clinic.yaml")[1]
    assert "people.columns.extra" in warning and "empty in extracts" in warning
