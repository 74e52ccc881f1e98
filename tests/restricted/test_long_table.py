"""A log of one long table, as pbcseq and heart are: what it says once of a patient is read from the
patient's first row, rows that say otherwise are counted, and the extract is one table again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from ingest_cases import Bench, write_csv
from log_cases import declared
from long_cases import DATED, FOLLOWED, INTERVALS, LONG
from polars.testing import assert_frame_equal
from random_pathways import random_events, random_patients

from pipeline.adapters import canonical, partition_tables, to_log, to_tables
from pipeline.released.writers import TableWriter
from pipeline.schema.document import DeclarationError
from pipeline.schema.patient_log import PatientLog

HEADER = ("id", "until", "status", "sex", "day", "bili")


def test_a_row_that_says_otherwise_is_told_from_the_first_by_date(
    bench: Bench, tmp_path: Path
) -> None:
    schema = declared(tmp_path, FOLLOWED)
    write_csv(
        tmp_path / "source" / "visits.csv",
        HEADER,
        ("1", "900", "2", "M", "300", "2.5"),  # the first row of the file, not by date
        ("1", "900", "2", "F", "0", "1.5"),
        ("2", "400", "0", "M", "10", "0.5"),
        ("2", "500", "0", "M", "20", "0.5"),
    )
    done = bench.ingest(schema, tmp_path / "source")
    assert done.patients.select("patient_id", "sex").rows() == [(1, "F"), (2, "M")]
    ends = done.events.filter(pl.col("type").is_in(["DEATH", "CENSORED"]))
    assert ends.select("patient_id", "day", "type").rows() == [
        (1, 900, "DEATH"),
        (2, 400, "CENSORED"),
    ]
    assert done.report["tables"]["visits"]["repaired"] == {
        "sex": {"as in the patient's first row": 1},
        "until": {"as in the patient's first row": 1},
    }
    assert done.report["events"]["found"] == done.report["events"]["kept"] == 4
    assert done.report["out_of_balance"] == []


@pytest.mark.parametrize("name", LONG)
def test_an_extract_is_the_same_long_table_and_reads_as_its_log(
    bench: Bench, tmp_path: Path, name: str
) -> None:
    schema, rng = declared(tmp_path, LONG[name]), np.random.default_rng(1)
    patients = random_patients(schema, 60, rng)
    drawn = PatientLog(patients, random_events(schema, patients, rng))
    extract = tmp_path / "extract"
    with TableWriter(schema, extract) as writer:
        [(log, tables)] = partition_tables(schema, [drawn], None)
        writer.write(tables)
    [file] = (extract / "csv").iterdir()
    assert pl.read_csv(file).columns == list(schema.tables["visits"].columns)
    assert tables["visits"]["id"].n_unique() == 60
    again = bench.ingest(schema, extract / "csv")
    assert again.report["tables"]["visits"]["repaired"] == {}
    assert again.report["out_of_balance"] == []
    assert_frame_equal(again.patients, log.patients)
    if name == "intervals":  # rows with a key: equal ones would be one
        assert_frame_equal(again.events, log.pathways)


def test_what_is_read_does_not_hang_on_other_patients_and_comes_back(tmp_path: Path) -> None:
    schema, rng = declared(tmp_path, INTERVALS), np.random.default_rng(2)
    patients = random_patients(schema, 40, rng)
    log = canonical(
        schema, PatientLog(patients, random_events(schema, patients, rng)), extract_date=None
    )
    rows = to_tables(schema, log, extract_date=None)["visits"].sample(
        fraction=1.0, shuffle=True, seed=3
    )
    # every third row says something else
    third = pl.int_range(pl.len()) % 3 == 0
    rows = rows.with_columns(
        sex=pl.when(third).then(pl.lit("F")).otherwise("sex"),
        age=pl.when(third).then(None).otherwise("age"),
    )
    source = to_log(schema, {"visits": rows})
    whole = to_tables(schema, source.log, extract_date=None, carried=source.carried)
    assert_frame_equal(whole["visits"], rows)
    few = rows.filter(pl.col("id") <= 7)
    alone = to_log(schema, {"visits": few}).log
    assert_frame_equal(alone.patients, source.log.patients.filter(pl.col("patient_id") <= 7))
    assert_frame_equal(alone.pathways, source.log.pathways.filter(pl.col("patient_id") <= 7))


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (FOLLOWED, "first: [VISIT]", "first: []", "events.first: names the types that open"),
        (FOLLOWED, "first: [VISIT]", "first: [VISIT, DEATH]", "events.first: names the types"),
        (DATED, "first: [CALL, VISIT]", "first: [OPERATION]", "events.first: names the types"),
        (FOLLOWED, "[until, status, sex]", "[until, status, age]", "'age' is no column of this"),
        (FOLLOWED, "[until, status, sex]", "[until, status, id]", "no column of these"),
        (FOLLOWED, "[until, status, sex]", "[until, sex]", "'status' is no column of patients of"),
        (FOLLOWED, "    patient: id\n", "", "is for a log of one table, with `patient: COLUMN`"),
        (FOLLOWED, "    once: [until, status, sex]\n", "", "`once: [COLUMN, ...]`"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, text: str, old: str, new: str, words: str
) -> None:
    assert old in text
    with pytest.raises(DeclarationError) as error:
        declared(tmp_path, text.replace(old, new))
    assert words in str(error.value)
