"""Tables to a log and back is the same tables; a log to tables and back is the same log."""

import polars as pl
import pytest
from extracts import EXTRACT, pathways, random_log, random_tables, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.adapters import canonical, to_log, to_tables
from pipeline.adapters.legal_events import TOO_LATE
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def extract(tmp_path_factory):
    from pipeline.simulator.simulate import simulate

    folder = tmp_path_factory.mktemp("clean") / "extract"
    simulate(300, 3, folder, EXTRACT, clean=True, every_rule=False, progress=lambda *text: None)
    return read(pathways(), folder)


def assert_round_trip(schema: Schema, tables):
    source = to_log(schema, tables)
    log = source.log
    back = to_tables(schema, log, extract_date=None, carried=source.carried)
    assert back.keys() == tables.keys()
    for name, rows in tables.items():
        assert_frame_equal(back[name], rows)


def test_a_clean_extract_comes_back_whole(extract):
    assert_round_trip(pathways(), extract)


@FEW
@given(SEEDS)
def test_any_tables_come_back_whole(seed):
    assert_round_trip(pathways(), random_tables(seed))


def test_the_log_of_an_extract_is_legal_and_holds_nearly_all_of_it(extract):
    source = to_log(pathways(), extract)
    log = source.log
    assert violations(Grammar(pathways()), log.patients, log.events).is_empty()
    assert log.patients.height == extract["sim_av_patient"].height
    told = dict(log.events["type"].value_counts().iter_rows())
    assert told["SACT_CYCLE"] > 0.9 * extract["sim_sact_cycle"].height
    late = source.left_out.filter(pl.col("reason") == TOO_LATE)["n"].sum()
    assert late < 5
    assert told["SURGERY"] + late == extract["sim_av_tumour"]["DATE_FIRST_SURGERY"].count()


def test_what_the_models_see_does_not_travel_beside_the_log(extract):
    """Changing the log changes the tables that come back: modelled values are read from it."""
    source = to_log(pathways(), extract)
    log = source.log
    changed = log.patients.with_columns((pl.col("AGE") + 1).alias("AGE"))
    later = log.events.with_columns((pl.col("day") + 1).alias("day"))
    back = to_tables(
        pathways(), PatientLog(changed, later), extract_date=None, carried=source.carried
    )
    first = (
        extract["sim_av_tumour"]
        .sort("PATIENTID", "DIAGNOSISDATEBEST")
        .unique("PATIENTID", keep="first", maintain_order=True)
    )
    rows = back["sim_av_tumour"].join(
        first.select("TUMOURID", pl.col("AGE").alias("was")), on="TUMOURID"
    )
    assert (rows["AGE"] == rows["was"] + 1).all()
    moved = (
        back["sim_av_patient"]["VITALSTATUSDATE"] - extract["sim_av_patient"]["VITALSTATUSDATE"]
    ).dt.total_days()
    assert (moved == 1).all()


@FEW
@given(SEEDS)
def test_the_log_read_from_rebuilt_tables_is_the_canonical_log(seed):
    log = canonical(pathways(), random_log(seed), extract_date=EXTRACT)
    again = canonical(pathways(), log, extract_date=EXTRACT)
    assert_frame_equal(again.patients, log.patients)
    assert_frame_equal(again.pathways, log.pathways)
    assert violations(Grammar(pathways()), log.patients, log.events).is_empty()


def test_an_extract_without_the_optional_tables_has_a_log_too(extract):
    eleven = {name: rows for name, rows in extract.items() if name.startswith("sim_")}
    source = to_log(pathways(), eleven)
    log = source.log
    assert log.patients["FINAL_ROUTE"].null_count() == log.patients.height
    assert not set(log.events["type"]) & {"REFERRAL", "FIRST_SEEN"}
    assert violations(Grammar(pathways()), log.patients, log.events).is_empty()
    assert_round_trip(pathways(), eleven)
