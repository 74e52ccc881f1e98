"""Made-up declarations of one long table without a table of its patients."""

from __future__ import annotations

from textwrap import dedent, indent

from log_cases import DAY, HEAD, ID

SEX = "{kind: categorical, categories: [F, M], source: tests}"
DATE = "kind: date, lower: 1950-01-01, upper: 2010-12-31, source: tests"


def long_declaration(once: str, columns: str, events: str, statics: str) -> str:
    return (
        HEAD
        + f"tables:\n  visits:\n    file: visits\n    patient: id\n    once: {once}\n    columns:\n"
        + indent(dedent(columns).strip("\n"), "      ")
        + "\npatients:\n  columns:\n"
        + indent(dedent(statics).strip("\n"), "    ")
        + "\nevents:\n"
        + indent(dedent(events).strip("\n"), "  ")
        + "\n"
    )


FOLLOWED = long_declaration(
    # as pbcseq: measurements by day; the end of follow-up with its status in every row
    once="[until, status, sex]",
    columns=f"""
        {ID}
        until: {{{DAY}, lower: 0, upper: 3000}}
        status: {{kind: categorical, categories: ["0", "1", "2"], source: tests}}
        sex: {SEX}
        day: {{{DAY}, lower: 0, upper: 3000}}
        bili: {{{DAY}, lower: 0, upper: 30, decimals: 1}}
        """,
    events=f"""
        origin: null
        anchor: null
        max_events: 8
        first: [VISIT]
        upper_day: 3000
        rows: {{table: visits, day: day, constant: VISIT}}
        ending: {{table: visits, day: until, status: status,
          codes: {{"0": CENSORED, "1": GRAFT, "2": DEATH}}}}
        types:
          VISIT: {{attributes: [bili]}}
          DEATH: {{terminal: true}}
          GRAFT: {{terminal: true}}
          CENSORED: {{terminal: true}}
        censoring: [CENSORED]
        attributes:
          bili: {{{DAY}, lower: 0, upper: 30, decimals: 1}}
        """,
    statics="sex: {like: visits.sex}",
)
INTERVALS = long_declaration(
    # as heart: start and stop; pathways end with their last row; the row has a key of its own
    once="[sex, age]",
    columns=f"""
        row: {{kind: id, role: key}}
        {ID}
        start: {{{DAY}, lower: 0, upper: 2000}}
        stop: {{{DAY}, lower: 0, upper: 2000, nullable: true}}
        graft: {{kind: categorical, categories: ["0", "1"], source: tests}}
        age: {{{DAY}, lower: 0, upper: 99, nullable: true}}
        sex: {SEX}
        """,
    events="""
        origin: null
        anchor: null
        max_events: 9
        first: [ROW]
        upper_day: 2000
        rows: {table: visits, day: start, until: stop, constant: ROW, closes: ROW_END}
        types:
          ROW_END: {closes: ROW}
          ROW: {attributes: [graft]}
          END: {terminal: true}
        attributes:
          graft: {kind: categorical, categories: ["0", "1"], source: tests}
        """,
    statics="sex: {like: visits.sex}\nage: {like: visits.age}",
).replace("patient: id\n", "patient: id\n    key: [row]\n", 1)
DATED = long_declaration(
    # dates from a date of birth; an operation once a patient, dates of death and of last contact
    once="[born, operated, died, seen]",
    columns=f"""
        seen: {{{DATE}}}
        {ID}
        born: {{kind: date, lower: 1950-01-01, upper: 1960-12-31, source: tests}}
        when: {{{DATE}}}
        what: {{kind: categorical, categories: [CALL, VISIT], source: tests}}
        operated: {{{DATE}, nullable: true}}
        died: {{{DATE}, nullable: true}}
        """,
    events="""
        origin: born
        anchor: null
        max_events: 9
        first: [CALL, VISIT]
        upper_day: 6000
        rows:
          - {table: visits, date: when, type: what}
          - {table: visits, date: operated, constant: OPERATION}
        ending:
          - {table: visits, date: died, constant: DEATH}
          - {table: visits, date: seen, constant: SEEN}
        types:
          CALL: {}
          VISIT: {}
          OPERATION: {at_most: 1}
          DEATH: {terminal: true}
          SEEN: {terminal: true}
        censoring: [SEEN]
        """,
    statics="born: {like: visits.born}",
)
ENDS = long_declaration(
    # as cgd: ends among the rows; months
    once="[sex]",
    columns=f"""
        {ID}
        sex: {SEX}
        month: {{{DAY}, lower: 0, upper: 60}}
        what: {{kind: categorical, categories: [INFECTION, END], source: tests}}
        """,
    events="""
        origin: null
        anchor: null
        max_events: 9
        first: [INFECTION]
        upper_day: 1826
        rows: {table: visits, day: month, unit: months, type: what}
        ending: {table: visits, day: month, unit: months, type: what}
        types:
          INFECTION: {}
          END: {terminal: true}
        """,
    statics="sex: {like: visits.sex}",
)
BARE = long_declaration(
    # nothing is known once: day 0 is the first row
    once="[]",
    columns=f"""
        {ID}
        when: {{{DATE}}}
        what: {{kind: categorical, categories: [CALL, VISIT], source: tests}}
        """,
    events="""
        origin: when
        anchor: null
        max_events: 9
        first: [CALL, VISIT]
        upper_day: 6000
        rows: {table: visits, date: when, type: what}
        types:
          CALL: {}
          VISIT: {}
          END: {terminal: true}
        """,
    statics="when: {like: visits.when}",
)
LONG = {"followed": FOLLOWED, "intervals": INTERVALS, "dated": DATED, "ends": ENDS, "bare": BARE}
