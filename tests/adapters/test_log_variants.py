"""Every way in which the tables of a log tell events: what is drawn comes back from the tables as
it was, and what is read is what the rows say.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from log_cases import VARIANTS, declared
from long_cases import LONG
from polars.testing import assert_frame_equal
from random_pathways import random_events, random_patients

from pipeline.adapters import canonical, to_log, to_tables
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import PatientLog


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [*VARIANTS, *LONG])
def test_a_drawn_log_comes_back_from_its_tables(tmp_path: Path, name: str, seed: int) -> None:
    text = (VARIANTS | LONG)[name]
    schema, rng = declared(tmp_path, text), np.random.default_rng(seed)
    patients = random_patients(schema, 120, rng)
    drawn = PatientLog(patients, random_events(schema, patients, rng))
    assert violations(Grammar(schema), drawn.patients, drawn.pathways).is_empty()
    log = canonical(schema, drawn, extract_date=None)
    assert violations(Grammar(schema), log.patients, log.pathways).is_empty()
    tables = to_tables(schema, log, extract_date=None)
    assert list(tables) == list(schema.tables)
    again = to_log(schema, tables)
    assert_frame_equal(again.log.patients, log.patients)
    assert_frame_equal(again.log.pathways, log.pathways)
    assert again.left_out.is_empty() and again.moved.is_empty()
    whole = to_tables(schema, again.log, extract_date=None, carried=again.carried)
    for table, rows in tables.items():
        assert_frame_equal(whole[table], rows)
    assert_frame_equal(canonical(schema, log, extract_date=None).pathways, log.pathways)
    if seed == 0:
        assert check_synthetic(schema, tables, log).failures == ()
    # all but few events stay, and no end goes
    assert log.pathways.height > 0.9 * drawn.pathways.height
    ends = log.pathways.filter(pl.col("type").is_in(list(schema.events.terminal)))
    assert ends.height == 120


@pytest.mark.parametrize(
    ("kind", "code", "day"),
    [("ILL", "gout", 5), ("DRUG", "A", -30), ("FOUND", "C50", -735)],
)
def test_a_day_that_no_row_can_say_is_a_breach(
    tmp_path: Path, kind: str, code: str, day: int
) -> None:
    """Undated rows stand on day 0; others within the bounds of their column."""
    schema = declared(tmp_path, VARIANTS["months"])
    events = pl.DataFrame(
        {"patient_id": [1, 1], "seq": [0, 1], "day": [day, 40], "type": [kind, "SEEN"]}
        | {"code": [code, None], "dose": [None, None], "reason": [None, None]},
        schema_overrides={"dose": pl.Int64, "reason": pl.String},
    )
    patients = pl.DataFrame({"patient_id": [1], "sex": ["F"]})
    found = violations(Grammar(schema), patients, events)
    assert found.select("seq", "rule").rows() == [(0, "day_of_type")]


def test_days_between_two_months_move_and_keep_their_order(tmp_path: Path) -> None:
    schema = declared(tmp_path, VARIANTS["months"])
    told = [
        (-20, "FOUND", "C50"),  # before day 0 it stays
        (-19, "FOUND", "C50"),
        (3, "DRUG", "A"),
        (9, "STOP", None),  # declared before DRUG: it stands a month later
        (10, "DRUG", "B"),
        (3650, "FOUND", "C61"),
        (3651, "SEEN", None),
    ]
    events = pl.DataFrame(told, schema=["day", "type", "code"], orient="row").select(
        pl.lit(1, pl.Int64).alias("patient_id"),
        pl.int_range(pl.len(), dtype=pl.Int32).alias("seq"),
        pl.col("day").cast(pl.Int32),
        "type",
        "code",
        pl.lit(None, pl.Int64).alias("dose"),
        pl.lit(None, pl.String).alias("reason"),
    )
    patients = pl.DataFrame({"patient_id": [1], "sex": ["F"]})
    log = canonical(schema, PatientLog(patients, events), extract_date=None)
    assert log.pathways.select("day", "type").rows() == [
        (-30, "FOUND"),
        (-30, "FOUND"),
        (0, "DRUG"),
        (30, "STOP"),
        (30, "DRUG"),
        (3653, "FOUND"),
        (3653, "SEEN"),
    ]
