"""A log of two event tables, an undated one, intervals, two ends with a status and months from a
constant day 0: from CSV over a model to an extract, which reads back as the log beside it.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from charged_cases import settings
from ingest_cases import Bench, Ingested, write_csv
from log_cases import DATES, MONTHS, declared
from polars.testing import assert_frame_equal

from pipeline.adapters import partition_tables
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.estimates.extract import counts_of
from pipeline.estimates.survival import life_table
from pipeline.evaluation import pathways
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.released.writers import TableWriter
from pipeline.restricted.ingest import patient_repairs
from pipeline.restricted.train import fit_public
from pipeline.schema.patient_log import PatientLog, concat
from pipeline.schema.values import Schema

Rows = list[tuple[str, ...]]
# rows with keys of their own: without, two equal rows would be one
KEYED = MONTHS.replace("max_events: 14", "max_events: 20").replace(
    "patient: id\n    columns:\n      id: {kind: id, role: key, integer: true}",
    "patient: id\n    key: [row]\n    columns:\n"
    "      row: {kind: id, role: key, integer: true}\n"
    "      id: {kind: id, role: key, integer: true}",
)


def source(folder: Path, n: int) -> Path:
    """Made-up patients, written as a hospital would."""
    rng = random.Random(5)
    people: Rows = []
    diagnoses: Rows = []
    treatments: Rows = []
    ills: Rows = []
    for number in range(1, n + 1):
        key, end = str(number), rng.randint(3, 60)
        is_dead = rng.random() < 0.4
        death, contact = (str(end), "") if is_dead else ("", str(end))
        vital = "dead" if is_dead else rng.choice(["alive", "lost"])
        people.append((key, rng.choice("FM"), death, contact, vital))
        diagnoses.append((key, str(-rng.randint(1, 12)), "C50"))
        if rng.random() < 0.3:
            diagnoses.append((key, str(rng.randint(0, end)), "C61"))
        begin = 0
        while begin < end and rng.random() < 0.5:
            stop = begin + rng.randint(3, 9)
            told = str(stop) if stop <= end else ""
            reason = rng.choice(["done", "toxic"]) if told else ""
            treatments.append((key, rng.choice("ABC"), str(begin), told, "50", reason))
            begin = stop
        if rng.random() < 0.2:
            ills.append((key, "gout"))
    write_csv(folder / "people.csv", ("id", "sex", "death", "contact", "vital"), *people)
    for name, rows, header in (
        ("diagnoses", diagnoses, ("id", "month", "what")),
        ("treatments", treatments, ("id", "drug", "begin", "end", "dose", "reason")),
        ("comorbidities", ills, ("id", "name")),
    ):
        keyed = [(str(place), *row) for place, row in enumerate(rows)]
        write_csv(folder / f"{name}.csv", ("row", *header), *keyed)
    return folder


def n_rows(folder: Path, *names: str) -> int:
    return sum(pl.read_csv(folder / f"{name}.csv").height for name in names)


@pytest.mark.long
def test_from_csv_to_an_extract_and_back(bench: Bench, tmp_path: Path) -> None:
    schema = declared(tmp_path, KEYED)
    folder = source(tmp_path / "source", 120)
    done = bench.ingest(schema, folder)
    assert done.patients.height == 120
    assert done.report["events"]["left_out"] == {}
    stops = pl.read_csv(folder / "treatments.csv")["end"].drop_nulls().len()
    expected = n_rows(folder, "diagnoses", "treatments", "comorbidities") + stops
    assert done.report["events"]["kept"] == done.report["events"]["found"] == expected
    model = fitted(schema, done, tmp_path / "model")
    extract, logs = tmp_path / "extract", []
    with TableWriter(schema, extract) as writer:
        for log, tables in partition_tables(schema, model.sample(120, 1, 80), None):
            writer.write(tables)
            logs.append(log)
    synthetic = concat(logs)
    assert check_synthetic(schema, extract / "parquet", synthetic).failures == ()
    again = bench.ingest(schema, extract / "csv")
    assert again.report["events"]["left_out"] == again.report["events"]["ends_moved"] == {}
    assert_frame_equal(again.patients, synthetic.patients)
    assert_frame_equal(again.events, synthetic.pathways)
    # every kind of event and of end is drawn
    assert schema.events is not None
    assert set(synthetic.pathways["type"]) == set(schema.events.types)
    compared(schema, PatientLog(done.patients, done.events), synthetic, model)


def fitted(schema: Schema, done: Ingested, folder: Path) -> Synthesizer:
    """Few steps at epsilon 3, saved and loaded."""
    train = settings().train
    fit_public(schema, done.patients, done.events, 3.0, 1e-6, train, folder)
    model = Synthesizer.load(folder)
    assert model.schema == schema
    return model


def compared(schema: Schema, real: PatientLog, synthetic: PatientLog, model: Synthesizer) -> None:
    """Reports and estimates ask for no date, and censor by the status."""
    assert schema.events is not None
    outcomes = pathways.survival(real, schema.events, "sex")
    deaths = real.pathways.filter(pl.col("type") == "DEAD").height
    assert outcomes["died"].sum() == deaths > 0
    counts = counts_of(synthetic, model.noisy_counts, model.pathway)
    survival = next(one for one in model.noisy_counts if one.columns[-2:] == ("survival", "end"))
    assert counts[survival.name].sum() == synthetic.patients.height
    lives = life_table(model.noisy_counts, schema.events, {})
    assert lives.deaths.sum() + lives.censored.sum() > 0


def test_repairs_of_a_patient_look_at_every_table_and_fill_nothing(tmp_path: Path) -> None:
    text = DATES
    for column, repair in (("in", "not_before_origin"), ("died", "end_after_rows")):
        assert f" {column}: {{kind: date," in text
        text = text.replace(f" {column}: {{kind", f" {column}: {{repairs: [{repair}], kind")
    schema, born = declared(tmp_path, text), date(1955, 1, 1)
    before, after, late = date(1954, 1, 1), date(1955, 6, 1), date(1956, 1, 1)
    tables = {
        "people": pl.DataFrame({"id": [1, 2, 3], "born": born, "died": [after, None, late]}),
        "stays": pl.DataFrame({"id": [1, 2], "in": [before, None], "out": [after, late]}),
        "courses": pl.DataFrame({"id": [1, 2], "begin": [late, late], "weeks": [1, 1]}),
    }
    rows = {name: one.with_columns(patient_id=pl.col("id")) for name, one in tables.items()}
    repaired: Counter[tuple[str, str, str]] = Counter()
    done = patient_repairs.apply(schema, rows, repaired)
    assert done["stays"]["in"].to_list() == [born, None]
    assert done["people"]["died"].to_list() == [late, None, late]
    assert dict(repaired) == {
        ("stays", "in", "not_before_origin"): 1,
        ("people", "died", "end_after_rows"): 1,
    }
