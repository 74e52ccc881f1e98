"""One more patient changes nobody else's rows (privacy_rules.md 7)."""

import polars as pl
import pytest
from extracts import EXTRACT, pathways, random_log, random_tables
from polars.testing import assert_frame_equal

from pipeline.adapters import to_log, to_tables
from pipeline.schema.patient_log import ID


def without(tables, patient: int):
    """The tables as if the patient had never been there. Keys of the rebuilt tables carry the
    patient's number.
    """
    regimens = tables["sim_sact_regimen"].filter(pl.col("ENCORE_PATIENT_ID") == patient)[
        "MERGED_REGIMEN_ID"
    ]
    cycles = tables["sim_sact_cycle"].filter(pl.col("MERGED_REGIMEN_ID").is_in(regimens.implode()))[
        "MERGED_CYCLE_ID"
    ]
    tumours = tables["sim_av_tumour"].filter(pl.col("PATIENTID") == patient)["TUMOURID"]
    left = {}
    for name, rows in tables.items():
        key, gone = next(
            (key, gone)
            for key, gone in (
                ("PATIENTID", [patient]),
                ("ENCORE_PATIENT_ID", [patient]),
                ("MERGED_REGIMEN_ID", regimens.to_list()),
                ("MERGED_CYCLE_ID", cycles.to_list()),
                ("TUMOURID", tumours.to_list()),
            )
            if key in rows.columns
        )
        left[name] = rows.filter(~pl.col(key).is_in(gone))
    return left


@pytest.mark.parametrize("patient", [1, 7, 20])
def test_reading_looks_at_one_patient_alone(patient):
    tables = random_tables(5)
    whole, part = to_log(pathways(), tables), to_log(pathways(), without(tables, patient))
    others = pl.col(ID) != patient
    assert_frame_equal(whole.log.patients.filter(others), part.log.patients)
    assert_frame_equal(whole.log.pathways.filter(others), part.log.pathways)
    for name, rows in part.carried.items():
        assert_frame_equal(whole.carried[name].filter(others), rows)


def test_reading_does_not_depend_on_the_order_of_other_patients_rows():
    tables = random_tables(6)
    turned = {
        name: (
            rows.sort(patient, descending=True, maintain_order=True)
            if (patient := pathways().tables[name].patient)
            else rows
        )
        for name, rows in tables.items()
    }
    one, other = to_log(pathways(), tables).log, to_log(pathways(), turned).log
    assert_frame_equal(one.patients, other.patients)
    assert_frame_equal(one.events, other.events)


def test_writing_in_partitions_is_writing_at_once():
    log = random_log(8)
    whole = to_tables(pathways(), log, extract_date=EXTRACT)
    halves = [
        to_tables(pathways(), log.of(log.patients.filter(half)), extract_date=EXTRACT)
        for half in (pl.col(ID) <= 9, pl.col(ID) > 9)
    ]
    for name, rows in whole.items():
        assert_frame_equal(pl.concat([half[name] for half in halves]), rows, check_row_order=False)


def test_reading_leaves_the_given_tables_alone():
    tables = random_tables(4)
    before = {name: rows.clone() for name, rows in tables.items()}
    to_log(pathways(), tables)
    assert all(tables[name].equals(rows) for name, rows in before.items())
