"""Layouts `table` and `log` on small declarations of their own."""

from datetime import date
from textwrap import dedent

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.adapters import canonical, to_log, to_tables
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema

HEAD = """
    dataset: toy
    title: A toy
    source: written for a test
    public: true
    population: {name: toy, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10, delta: 1.0e-6, ceiling_epsilon: 20}
"""
TABLE = (
    HEAD
    + """
    layout: table
    tables:
      staff:
        file: staff
        patient: id
        columns:
          id: {kind: id, role: key, integer: true}
          sex: {kind: categorical, categories: [F, M], nullable: true}
          over18: {kind: categorical, role: rebuilt, rule: constant, categories: ["Y"]}
          age: {kind: continuous, lower: 0, upper: 120}
          note: {kind: text, role: carried, nullable: true}
"""
)
LOG = (
    HEAD
    + """
    layout: log
    tables:
      people:
        file: people
        key: [id]
        patient: id
        columns:
          id: {kind: id, role: key, integer: true}
          sex: {kind: categorical, categories: [F, M]}
          start: {kind: date, lower: 2011-01-01, upper: 2011-12-31}
          last: {kind: date, lower: 2011-01-01, upper: 2017-12-31}
          why: {kind: categorical, categories: [done, moved]}
      visits:
        file: visits
        patient: id
        columns:
          id: {kind: id, role: key, integer: true}
          place: {kind: categorical, categories: [north, south]}
          on: {kind: date, lower: 2011-01-01, upper: 2017-12-31}
          what: {kind: categorical, categories: [first, routine]}
          fever: {kind: categorical, categories: [no, yes], nullable: true}
    patients:
      columns:
        place: {like: visits.place}
        sex: {like: people.sex}
        start: {like: people.start}
    events:
      origin: start
      anchor: first
      max_events: 4
      first: [first]
      lower_day: 0
      upper_day: 2000
      rows: {table: visits, date: on, type: what}
      ending: {table: people, date: last, constant: end, code: why}
      types:
        first: {at_most: 1}
        routine: {attributes: [fever]}
        end: {terminal: true, codes: [done, moved]}
      attributes:
        fever: {kind: categorical, categories: [no, yes], nullable: true}
"""
)


def declared(folder, text):
    path = folder / "toy.yaml"
    path.write_text(
        dedent(
            text.replace("[no, yes]", '["no", "yes"]')
            .replace(" on:", ' "on":')
            .replace("date: on", 'date: "on"')
        ),
        encoding="utf-8",
    )
    return read_schema(path)


@pytest.fixture
def visits():
    people = pl.DataFrame(
        {
            "id": [7, 3],
            "sex": ["F", "M"],
            "start": [date(2011, 2, 1), date(2011, 3, 1)],
            "last": [date(2012, 2, 1), date(2011, 9, 1)],
            "why": ["done", "moved"],
        }
    )
    rows = [
        (7, "south", date(2011, 2, 1), "first", "yes"),
        (3, "north", date(2011, 3, 1), "first", None),
        (7, "south", date(2011, 5, 1), "routine", "yes"),
        (7, "south", date(2011, 5, 1), "routine", "no"),
        (7, "south", date(2011, 8, 1), "routine", None),
        (3, "north", date(2012, 1, 1), "routine", "no"),
    ]
    return {
        "people": people,
        "visits": pl.DataFrame(rows, schema=["id", "place", "on", "what", "fever"], orient="row"),
    }


def test_a_table_passes_through(tmp_path):
    schema = declared(tmp_path, TABLE)
    staff = pl.DataFrame(
        {
            "id": [5, 2],
            "sex": ["F", None],
            "over18": ["Y", "Y"],
            "age": [30, 44],
            "note": ["x", None],
        }
    )
    source = to_log(schema, {"staff": staff})
    log = source.log
    assert log.events is None
    assert log.patients.columns == ["patient_id", "sex", "age"]
    back = to_tables(schema, log, extract_date=None, carried=source.carried)["staff"]
    assert_frame_equal(back.sort("id"), staff.sort("id"))
    fresh = to_tables(schema, log, extract_date=None)["staff"]
    assert fresh.columns == staff.columns
    assert fresh["note"].null_count() == 2
    assert fresh["over18"].to_list() == ["Y", "Y"]
    assert canonical(schema, log, extract_date=None) is log


def test_a_table_without_ids_needs_those_of_ingest(tmp_path):
    schema = declared(
        tmp_path,
        TABLE.replace("        patient: id\n", "").replace(
            "          id: {kind: id, role: key, integer: true}\n", ""
        ),
    )
    rows = pl.DataFrame(
        {"sex": ["F"], "over18": ["Y"], "age": [30], "note": [None]},
        schema_overrides={"note": pl.String},
    )
    with pytest.raises(ValueError, match="neither a column for the patient's id nor patient_id"):
        to_log(schema, {"staff": rows})
    source = to_log(schema, {"staff": rows.with_columns(pl.lit("row-1").alias("patient_id"))})
    log = source.log
    assert_frame_equal(
        to_tables(schema, log, extract_date=None, carried=source.carried)["staff"], rows
    )


def test_a_log_of_rows_is_legal_and_comes_back_whole(tmp_path, visits):
    schema = declared(tmp_path, LOG)
    source = to_log(schema, visits)
    log = source.log
    assert violations(Grammar(schema), log.patients, log.events).is_empty()
    assert log.patients["place"].to_list() == ["north", "south"]
    rows = log.events.select("patient_id", "day", "type", "code", "fever").rows()
    # the visit after the end is not there
    assert rows == [
        (3, 0, "first", None, None),
        (3, 184, "end", "moved", None),
        # max_events cuts the last visit
        (7, 0, "first", None, None),
        (7, 89, "routine", None, "yes"),
        (7, 89, "routine", None, "no"),
        (7, 365, "end", "done", None),
    ]
    back = to_tables(schema, log, extract_date=None, carried=source.carried)
    for name, rows in visits.items():
        assert_frame_equal(back[name], rows)


def test_a_log_is_rebuilt_up_to_the_extract_date(tmp_path, visits):
    schema = declared(tmp_path, LOG)
    source = to_log(schema, visits)
    log = source.log
    fresh = to_tables(schema, log, extract_date=date(2011, 4, 1))
    assert fresh["visits"].select("id", "place", "on", "what").rows() == [
        (3, "north", date(2011, 3, 1), "first"),
        (7, "south", date(2011, 2, 1), "first"),
    ]
    assert fresh["people"]["last"].to_list() == [date(2011, 4, 1), date(2011, 4, 1)]
    whole = to_tables(schema, log, extract_date=None)
    assert whole["people"]["last"].to_list() == [date(2011, 9, 1), date(2012, 2, 1)]
    assert whole["people"]["why"].to_list() == ["moved", "done"]


def test_one_more_participant_changes_nobody_else(tmp_path, visits):
    schema = declared(tmp_path, LOG)
    part = {name: rows.filter(pl.col("id") == 7) for name, rows in visits.items()}
    whole, alone = to_log(schema, visits).log, to_log(schema, part).log
    assert_frame_equal(whole.events.filter(pl.col("patient_id") == 7), alone.events)
    assert_frame_equal(whole.patients.filter(pl.col("patient_id") == 7), alone.patients)


def test_a_log_needs_its_events(tmp_path, visits):
    schema = declared(tmp_path, LOG)
    with pytest.raises(ValueError, match="give `events`"):
        to_tables(schema, PatientLog(to_log(schema, visits).log.patients), extract_date=None)


def test_a_drawn_log_ends_within_the_declared_dates(tmp_path, visits):
    schema = declared(tmp_path, LOG)
    source = to_log(schema, visits)
    log = source.log
    late = log.events.with_columns(
        day=pl.when(pl.col("seq") > 0).then(pl.col("day") + 100_000).otherwise("day").cast(pl.Int32)
    )
    in_time = canonical(schema, PatientLog(log.patients, late), extract_date=None)
    tables = to_tables(schema, in_time, extract_date=None)
    for name, column in (("visits", "on"), ("people", "last")):
        upper = schema.tables[name].columns[column].upper
        assert tables[name][column].to_physical().max() <= upper
    assert (
        in_time.pathways.group_by("patient_id")
        .agg(pl.col("type").last().is_in(schema.events.terminal).alias("ends"))["ends"]
        .all()
    )
    assert_frame_equal(canonical(schema, log, extract_date=None).events, log.events)
