"""Every way in which the tables of a log tell events: what is drawn comes back from the tables as
it was, and what is read is what the rows say.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from log_cases import VARIANTS, declared
from polars.testing import assert_frame_equal
from random_pathways import random_events, random_patients

from pipeline.adapters import canonical, to_log, to_tables
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import PatientLog


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", VARIANTS)
def test_a_drawn_log_comes_back_from_its_tables(tmp_path: Path, name: str, seed: int) -> None:
    schema, rng = declared(tmp_path, VARIANTS[name]), np.random.default_rng(seed)
    patients = random_patients(schema, 120, rng)
    drawn = PatientLog(patients, random_events(schema, patients, rng))
    log = canonical(schema, drawn, extract_date=None)
    assert violations(Grammar(schema), log.patients, log.pathways).is_empty()
    tables = to_tables(schema, log, extract_date=None)
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
