"""The Simulacrum's tables through ingest: lossless for clean rows, each broken rule costs its
patient, older names and forms are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from ingest_cases import DATASETS, EXTRACT, Bench, Ingested

from pipeline import adapters
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.simulator.simulate import simulate

N_PATIENTS = 250


def simulated(
    folder: Path, *, clean: bool, every_rule: bool = False, n_patients: int = N_PATIENTS
) -> Path:
    simulate(
        n_patients, 5, folder, EXTRACT, clean=clean, every_rule=every_rule, progress=lambda *_: None
    )
    return folder


@dataclass(frozen=True)
class Clean:
    source: Path
    bench: Bench
    done: Ingested


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clean]:
    root = tmp_path_factory.mktemp("clean")
    source = simulated(root / "extract", clean=True)
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(root, patch)
        yield Clean(source, bench, bench.ingest("simulated_pathways", source))


def test_a_clean_extract_comes_back_from_its_log_row_by_row(clean: Clean) -> None:
    done, declared = clean.done, read_schema(DATASETS / "simulated_pathways.yaml")
    assert done.report["patients"]["kept"] == N_PATIENTS
    assert done.report["dropped_patients_by_reason"] == {}
    carried = {
        path.stem: pl.read_parquet(path) for path in done.restricted.carried.glob("*.parquet")
    }
    back = adapters.to_tables(
        declared,
        PatientLog(done.patients, done.events),
        extract_date=EXTRACT,
        carried=carried,
    )
    for path in sorted(clean.source.glob("*.csv")):
        rows = done.table(path.stem)
        assert rows.height == pl.read_csv(path, infer_schema=False).height
        assert (
            back[path.stem].select(rows.columns).sort(rows.columns).equals(rows.sort(rows.columns))
        ), path.stem


def test_every_broken_rule_costs_its_patient_and_nobody_else(bench: Bench, tmp_path: Path) -> None:
    source = simulated(tmp_path / "broken", clean=False, every_rule=True, n_patients=600)
    broken = json.loads((source / "truth.json").read_text())["dirt"]["broken"]
    done = bench.ingest("simulated_pathways", source)
    kept = set(done.patients["patient_id"])
    repaired = {"01", "05", "44"}  # equal rows count once, a height out of bounds is missing
    assert {rule for rule, breach in broken.items() if breach["patient"] in kept} <= repaired
    assert len(kept) >= 600 - len(broken) - 10


def test_older_names_and_forms_are_read(clean: Clean, tmp_path: Path) -> None:
    (tmp_path / "old" / "Data").mkdir(parents=True)
    turned = {"1 - most deprived": "5", "2": "4", "4": "2", "5 - least deprived": "1"}
    renamed = {
        "sim_av_patient": {"GENDER": "SEX", "VITALSTATUS": "NEWVITALSTATUS"},
        "sim_av_tumour": {"GENDER": "SEX", "QUINTILE_2019": "QUINTILE_2015"},
    }
    for path in clean.source.glob("*.csv"):
        rows = pl.read_csv(path, infer_schema=False)
        if path.stem == "sim_av_tumour":
            rows = rows.with_columns(
                pl.col("QUINTILE_2019").replace(turned),
                pl.col("PERFORMANCESTATUS") + "m",
                pl.col("DIAGNOSISDATEBEST") + " 00:00:00",
                pl.col("DATE_FIRST_SURGERY").fill_null("1899-12-30"),
                pl.col("AGE") + ".0",
                pl.col("GRADE").fill_null("NA"),
            )
        text = rows.rename(renamed.get(path.stem, {})).write_csv(line_terminator="\r\n")
        (tmp_path / "old" / "Data" / path.name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "old" / "truth.json").write_text("{}")
    done = clean.bench.ingest("simulated_pathways", tmp_path / "old")
    assert done.patients.equals(clean.done.patients)
    assert done.events.equals(clean.done.events)
