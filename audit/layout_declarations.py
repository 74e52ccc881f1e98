"""Declarations of made-up sources, one for each way in which tables tell of patients, with small
caps, so that a handful of rows passes them.
"""

from __future__ import annotations

from textwrap import dedent, indent

_DATE = "kind: date, lower: 2008-01-01, upper: 2030-12-31, source: made up"
_CATEGORIES = "kind: categorical, source: made up, categories:"
_NUMBER = "kind: continuous, source: made up, lower: 0"
_ID = "id: {kind: id, role: key}"


def _declaration(name: str, layout: str, tables: str, rest: str = "") -> str:
    head = dedent(f"""\
        dataset: {name}
        title: Invented patients for audits
        source: audit/layouts.py
        public: true
        layout: {layout}
        population: {{name: {name}, universe: nobody, kind: public, nominal_size: 200,
          epsilon: 10.0, delta: 1.0e-6, ceiling_epsilon: 20.0}}
        tables:
        """)
    return head + indent(dedent(tables).strip("\n"), "  ") + "\n" + dedent(rest)


_COLUMNS = f"""\
    sex: {{{_CATEGORIES} [F, M]}}
    site: {{{_CATEGORIES} [breast, colon, lung, other], nullable: true, unknown: other,
      other: other}}
    stage: {{kind: ordinal, source: made up, categories: ["1", "2", "3"], nullable: true,
      unknown: missing}}
    cost: {{{_NUMBER}, upper: 1000, decimals: 1, nullable: true, decimal: ",",
      repairs: [out_of_bounds_to_missing]}}
    age: {{{_NUMBER}, upper: 110}}
    seen: {{{_DATE}, nullable: true}}
"""
ONE_TABLE = _declaration(
    "audit_table",
    "table",
    f"""\
people:
  file: people
  key: [id]
  patient: id
  encoding: latin-1
  separator: ";"
  columns:
    {_ID}
{_COLUMNS}""",
)
PEOPLE_ARE_ROWS = _declaration(
    "audit_rows", "table", f'people:\n  file: people\n  separator: ";"\n  columns:\n{_COLUMNS}'
)
EVENT_TABLES = _declaration(
    # a list of tables of events, with ends of intervals as dates and as durations
    "audit_events",
    "log",
    f"""\
people:
  file: people
  key: [id]
  patient: id
  columns:
    {_ID}
    sex: {{{_CATEGORIES} [F, M]}}
    cost: {{{_NUMBER}, upper: 1000, decimals: 1, nullable: true}}
    born: {{kind: date, lower: 2012-01-01, upper: 2020-12-31, source: made up}}
    died: {{{_DATE}, nullable: true}}
    left: {{{_DATE}}}
stays:
  file: stays
  patient: id
  max_rows: 3
  columns:
    {_ID}
    ward: {{{_CATEGORIES} [N, S, W], nullable: true}}
    in: {{{_DATE}}}
    out: {{{_DATE}, nullable: true}}
courses:
  file: courses
  key: [id, course]
  patient: id
  max_rows: 4
  columns:
    {_ID}
    course: {{kind: id, role: key, integer: true}}
    begin: {{{_DATE}}}
    weeks: {{{_NUMBER}, upper: 640, nullable: true}}
visits:
  file: visits
  patient: id
  columns:
    {_ID}
    on: {{{_DATE}}}
    what: {{{_CATEGORIES} [CALL, SCAN, TALK]}}
    dose: {{{_NUMBER}, upper: 90, nullable: true}}
""",
    f"""\
    patients:
      columns:
        sex: {{like: people.sex}}
        cost: {{like: people.cost}}
        born: {{like: people.born}}
    events:
      origin: born
      anchor: null
      max_events: 12
      first: []
      lower_day: -400
      upper_day: 4000
      rows:
        - {{table: stays, date: in, until: out, constant: IN, closes: OUT}}
        - {{table: courses, date: begin, duration: weeks, unit: weeks, constant: COURSE,
           closes: COURSE_END}}
        - {{table: visits, date: "on", type: what}}
      ending:
        - {{table: people, date: died, constant: DIED}}
        - {{table: people, date: left, constant: LEFT}}
      types:
        IN: {{attributes: [ward]}}
        OUT: {{closes: IN}}
        COURSE: {{}}
        COURSE_END: {{closes: COURSE}}
        CALL: {{at_most: 2}}
        SCAN: {{attributes: [dose]}}
        TALK: {{}}
        DIED: {{terminal: true}}
        LEFT: {{terminal: true}}
      censoring: [LEFT]
      attributes:
        ward: {{{_CATEGORIES} [N, S, W], nullable: true}}
        dose: {{{_NUMBER}, upper: 90, nullable: true}}
    """,
).replace("    on: {", '    "on": {')
LONG_TABLE = _declaration(
    # start and stop of each row; what is known once stands in every row; a key of the row
    "audit_long",
    "log",
    f"""\
visits:
  file: visits
  patient: id
  key: [row]
  max_rows: 5
  once: [sex, age]
  columns:
    {_ID}
    row: {{kind: id, role: key, integer: true}}
    start: {{{_NUMBER}, upper: 2000}}
    stop: {{{_NUMBER}, upper: 2400, nullable: true}}
    graft: {{{_CATEGORIES} ["0", "1"]}}
    age: {{{_NUMBER}, upper: 99, nullable: true}}
    sex: {{{_CATEGORIES} [F, M]}}
""",
    f"""\
    patients:
      columns:
        sex: {{like: visits.sex}}
        age: {{like: visits.age}}
    events:
      origin: null
      anchor: null
      max_events: 9
      first: [ROW]
      upper_day: 2400
      rows: {{table: visits, day: start, until: stop, constant: ROW, closes: ROW_END}}
      types:
        ROW_END: {{closes: ROW}}
        ROW: {{attributes: [graft]}}
        END: {{terminal: true}}
      attributes:
        graft: {{{_CATEGORIES} ["0", "1"]}}
    """,
)
WIDE_TIMES = _declaration(
    # one row per patient holds the times of all events, an interval among them
    "audit_wide",
    "log",
    f"""\
people:
  file: people
  key: [id]
  patient: id
  columns:
    {_ID}
    sex: {{{_CATEGORIES} [F, M]}}
    grade: {{{_CATEGORIES} [low, high]}}
    relapse: {{{_NUMBER}, upper: 3000, nullable: true}}
    relapsed: {{{_CATEGORIES} ["0", "1"]}}
    graft: {{{_NUMBER}, upper: 3000, nullable: true}}
    lost: {{{_NUMBER}, upper: 3200, nullable: true}}
    time: {{{_NUMBER}, upper: 3000}}
    dead: {{{_CATEGORIES} ["0", "1"]}}
""",
    """\
    patients:
      columns:
        sex: {like: people.sex}
        grade: {like: people.grade}
    events:
      origin: null
      anchor: FOUND
      max_events: 6
      first: []
      lower_day: -100
      upper_day: 3000
      rows:
        - {table: people, constant: FOUND, code: grade}
        - {table: people, day: relapse, status: relapsed, codes: {"1": RELAPSE}}
        - {table: people, day: graft, duration: lost, constant: GRAFT, closes: GRAFT_LOST}
      ending: {table: people, day: time, status: dead, codes: {"1": DEATH, "0": CENSORED}}
      types:
        FOUND: {codes: [low, high]}
        RELAPSE: {at_most: 1}
        GRAFT: {at_most: 1}
        GRAFT_LOST: {closes: GRAFT}
        DEATH: {terminal: true}
        CENSORED: {terminal: true}
      censoring: [CENSORED]
    """,
)
DECLARATIONS = {
    "one table": ONE_TABLE,
    "people are rows": PEOPLE_ARE_ROWS,
    "tables of events": EVENT_TABLES,
    "a long table": LONG_TABLE,
    "wide times": WIDE_TIMES,
}
