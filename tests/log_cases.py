"""Made-up declarations of layout log, one for each way in which tables tell events."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

HEAD = """\
dataset: clinic
title: A clinic
source: made up for tests
public: true
layout: log
population: {name: clinic, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10.0,
  delta: 1.0e-6, ceiling_epsilon: 20.0}
"""
ID = "id: {kind: id, role: key, integer: true}"
DAY = "kind: continuous, source: tests"


def declaration(people: str, tables: str, events: str, statics: str = "") -> str:
    """people: further columns of the patients' table; tables: the others, whole."""
    return (
        HEAD
        + "tables:\n  people:\n    file: people\n    patient: id\n    key: [id]\n    columns:\n"
        + f"      {ID}\n      sex: {{kind: categorical, categories: [F, M], source: tests}}\n"
        + indent(dedent(people).strip("\n"), "      ")
        + "\n"
        + indent(dedent(tables).strip("\n"), "  ")
        + "\npatients:\n  columns:\n    sex: {like: people.sex}\n"
        + indent(dedent(statics).strip("\n"), "    ")
        + "\nevents:\n"
        + indent(dedent(events).strip("\n"), "  ")
        + "\n"
    )


def declared(folder: Path, text: str) -> Schema:
    path = folder / "clinic.yaml"
    path.write_text(text, encoding="utf-8")
    return read_schema(path)


MONTHS = declaration(
    # relative months, before and after a constant day 0; two end columns and a status
    people=f"""
        death: {{{DAY}, lower: 0, upper: 120, nullable: true}}
        contact: {{{DAY}, lower: 0, upper: 120, nullable: true}}
        vital: {{kind: categorical, categories: [dead, alive, lost], source: tests}}
        """,
    tables=f"""
        diagnoses:
          file: diagnoses
          patient: id
          columns:
            {ID}
            month: {{{DAY}, lower: -24, upper: 120}}
            what: {{kind: categorical, categories: [C50, C61], source: tests}}
        treatments:
          file: treatments
          patient: id
          columns:
            {ID}
            drug: {{kind: categorical, categories: [A, B, C], source: tests}}
            begin: {{{DAY}, lower: 0, upper: 120}}
            end: {{{DAY}, lower: 0, upper: 120, nullable: true}}
            dose: {{{DAY}, lower: 0, upper: 90, nullable: true}}
            reason: {{kind: categorical, categories: [done, toxic], nullable: true, source: tests}}
        comorbidities:
          file: comorbidities
          patient: id
          columns:
            {ID}
            name: {{kind: categorical, categories: [asthma, gout], source: tests}}
        """,
    events=f"""
        origin: null
        anchor: null
        max_events: 14
        first: []
        lower_day: -740
        upper_day: 3653
        rows:
          - {{table: comorbidities, constant: ILL, code: name}}
          - {{table: diagnoses, day: month, unit: months, constant: FOUND, code: what}}
          - {{table: treatments, day: begin, unit: months, until: end, constant: DRUG,
             closes: STOP, code: drug}}
        ending:
          - {{table: people, day: death, unit: months, constant: DEAD}}
          - {{table: people, day: contact, unit: months, status: vital,
             codes: {{dead: DEAD, alive: SEEN, lost: LOST}}}}
        types:
          ILL: {{codes: [asthma, gout]}}
          FOUND: {{codes: [C50, C61]}}
          STOP: {{closes: DRUG, attributes: [reason]}}
          DRUG: {{codes: [A, B, C], attributes: [dose]}}
          DEAD: {{terminal: true}}
          SEEN: {{terminal: true}}
          LOST: {{terminal: true}}
        censoring: [SEEN, LOST]
        attributes:
          dose: {{{DAY}, lower: 0, upper: 90, nullable: true}}
          reason: {{kind: categorical, categories: [done, toxic], nullable: true, source: tests}}
        """,
)
DATES = declaration(
    # dates, with an interval of two columns and one of a start and a duration; a date of death
    people="""
        born: {kind: date, lower: 1950-01-01, upper: 1960-12-31, source: tests}
        died: {kind: date, lower: 1940-01-01, upper: 2010-12-31, nullable: true, source: tests}
        seen: {kind: date, lower: 1940-01-01, upper: 2010-12-31, source: tests}
        cause: {kind: categorical, categories: [x, y], nullable: true, source: tests}
        """,
    tables=f"""
        stays:
          file: stays
          patient: id
          columns:
            {ID}
            ward: {{kind: categorical, categories: [N, S], source: tests}}
            in: {{kind: date, lower: 1940-01-01, upper: 2010-12-31, source: tests}}
            out: {{kind: date, lower: 1940-01-01, upper: 2010-12-31, nullable: true, source: tests}}
        courses:
          file: courses
          patient: id
          columns:
            {ID}
            begin: {{kind: date, lower: 1940-01-01, upper: 2010-12-31, source: tests}}
            weeks: {{{DAY}, lower: 0, upper: 1000, nullable: true}}
        """,
    events="""
        origin: born
        anchor: null
        max_events: 12
        first: []
        lower_day: -400
        upper_day: 6000
        rows:
          - {table: stays, date: in, until: out, constant: IN, closes: OUT}
          - {table: courses, date: begin, duration: weeks, unit: weeks, constant: COURSE,
             closes: COURSE_END}
        ending:
          - {table: people, date: died, constant: DIED, code: cause}
          - {table: people, date: seen, constant: SEEN}
        types:
          IN: {attributes: [ward]}
          OUT: {closes: IN}
          COURSE_END: {closes: COURSE}
          COURSE: {}
          DIED: {terminal: true, codes: [x, y]}
          SEEN: {terminal: true}
        censoring: [SEEN]
        attributes:
          ward: {kind: categorical, categories: [N, S], source: tests}
        """,
    statics="born: {like: people.born}",
)
ROWS = declaration(
    # two rows for an interval; ends among the rows; years with two decimals, days with one
    people="group: {kind: categorical, categories: [a, b], source: tests}",
    tables=f"""
        moves:
          file: moves
          patient: id
          columns:
            {ID}
            when: {{{DAY}, lower: 0, upper: 11, decimals: 2}}
            what: {{kind: categorical, categories: [IN, OUT, END, DEATH], source: tests}}
        checks:
          file: checks
          patient: id
          columns:
            {ID}
            on day: {{{DAY}, lower: -10, upper: 300, decimals: 1}}
            state: {{kind: categorical, categories: ["1", "2", "9"], source: tests}}
        """,
    events="""
        origin: null
        anchor: null
        max_events: 9
        first: []
        lower_day: -30
        upper_day: 4017
        rows:
          - {table: moves, day: when, unit: years, type: what}
          - {table: checks, day: on day, status: state, codes: {"1": GOOD, "2": BAD}}
        ending: {table: moves, day: when, unit: years, type: what}
        types:
          IN: {}
          GOOD: {inside: IN}
          BAD: {inside: IN}
          OUT: {closes: IN}
          END: {terminal: true}
          DEATH: {terminal: true}
        censoring: [END]
        """,
    statics="group: {like: people.group}",
)
WIDE = declaration(
    # one row per patient holds everything: the anchor, times with a status, an interval
    people=f"""
        grade: {{kind: categorical, categories: [low, high], source: tests}}
        relapse: {{{DAY}, lower: 0, upper: 3000}}
        relapsed: {{kind: categorical, categories: ["0", "1"], source: tests}}
        graft: {{{DAY}, lower: -100, upper: 3000, nullable: true}}
        graft lost: {{{DAY}, lower: 0, upper: 3200, nullable: true}}
        time: {{{DAY}, lower: 0, upper: 3000}}
        dead: {{kind: categorical, categories: ["0", "1"], source: tests}}
        """,
    tables="",
    events="""
        origin: null
        anchor: FOUND
        max_events: 6
        first: []
        lower_day: -100
        upper_day: 3000
        rows:
          - {table: people, constant: FOUND, code: grade}
          - {table: people, day: relapse, status: relapsed, codes: {"1": RELAPSE}}
          - {table: people, day: graft, duration: graft lost, constant: GRAFT, closes: GRAFT_LOST}
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
ENDLESS = declaration(
    # no declared end; weeks; a table of ends would be `LAST`
    people="group: {kind: categorical, categories: [a, b], source: tests}",
    tables=f"""
        visits:
          file: visits
          patient: id
          columns:
            {ID}
            week: {{{DAY}, lower: 0, upper: 60}}
            kind: {{kind: categorical, categories: [CALL, VISIT], source: tests}}
        """,
    events="""
        origin: null
        anchor: null
        max_events: 5
        first: []
        upper_day: 420
        rows: {table: visits, day: week, unit: weeks, type: kind}
        types:
          CALL: {}
          VISIT: {}
          END: {terminal: true}
        """,
    statics="group: {like: people.group}",
)
ENDS_APART = declaration(
    # the end is a row of a table of its own
    people="group: {kind: categorical, categories: [a, b], source: tests}",
    tables=f"""
        visits:
          file: visits
          patient: id
          columns:
            {ID}
            day: {{{DAY}, lower: 0, upper: 400}}
        follow_up:
          file: follow_up
          patient: id
          columns:
            {ID}
            day: {{{DAY}, lower: 0, upper: 400}}
            status: {{kind: categorical, categories: [alive, dead], source: tests}}
        """,
    events="""
        origin: null
        anchor: null
        max_events: 5
        first: []
        upper_day: 400
        rows: {table: visits, day: day, constant: VISIT}
        ending: {table: follow_up, day: day, status: status, codes: {dead: DEATH, alive: CENSOR}}
        types:
          VISIT: {}
          DEATH: {terminal: true}
          CENSOR: {terminal: true}
        censoring: [CENSOR]
        """,
    statics="group: {like: people.group}",
)
VARIANTS = {
    "months": MONTHS,
    "dates": DATES,
    "late": DATES.replace("upper: 2010-12-31", "upper: 1961-06-30"),  # columns end early
    "rows": ROWS,
    "wide": WIDE,
    "endless": ENDLESS,
    "ends_apart": ENDS_APART,
}
