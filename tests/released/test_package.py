"""What a reader finds in a release: the folders of the Simulacrum's own package, workbooks, and a
quick start that runs as it is written.
"""

import re
import shutil
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as xml
import zipfile
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from package_cases import CARD, SCHEMA, package, plain_tables, registry_tables

from pipeline.catalog import Release
from pipeline.refusal import Refusal
from pipeline.released import package as packages
from pipeline.released import start_pages
from pipeline.released.package import copy_with_links
from pipeline.released.workbooks import (
    data_format,
    write_dictionary_workbook,
    write_lookup_workbook,
)
from pipeline.schema.codes import lists
from pipeline.schema.reader import read_schema

ROOT = Path(__file__).parents[2]
OTHERS = sorted(path for path in (ROOT / "datasets").glob("*.yaml") if "pathways" not in path.stem)
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Release:
    folder = tmp_path_factory.mktemp("package")
    return package(SCHEMA, registry_tables(folder / "source"), folder / "release")


def sheets(path: Path) -> dict[str, list[list[tuple[str, str]]]]:
    """Sheet -> rows -> (type, text) of each cell."""
    with zipfile.ZipFile(path) as book:
        texts = [
            "".join(part.text or "" for part in item.iter(f"{MAIN}t"))
            for item in xml.fromstring(book.read("xl/sharedStrings.xml"))
        ]
        names = [
            one.attrib["name"]
            for one in xml.fromstring(book.read("xl/workbook.xml")).iter(f"{MAIN}sheet")
        ]
        found = {}
        for number, name in enumerate(names, start=1):
            page = xml.fromstring(book.read(f"xl/worksheets/sheet{number}.xml"))
            found[name] = [
                [(cell.get("t", "n"), _text(cell, texts)) for cell in row.iter(f"{MAIN}c")]
                for row in page.iter(f"{MAIN}row")
            ]
    return found


def _text(cell: xml.Element, texts: list[str]) -> str:
    value = cell.findtext(f"{MAIN}v") or ""
    return texts[int(value)] if cell.get("t") == "s" else value


def run(release: Release, *command: str) -> str:
    done = subprocess.run(command, cwd=release.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def statements(text: str) -> list[str]:
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip() for part in plain.split(";") if part.strip()]


def plain(rows: list[tuple]) -> list[tuple]:
    """Dates as text, truth values as numbers: the way SQLite has them."""
    return [
        tuple(
            value.isoformat()
            if isinstance(value, date)
            else int(value)
            if value is True or value is False
            else value
            for value in row
        )
        for row in rows
    ]


def both(release: Release, query: str) -> list[tuple]:
    """The answer of SQLite, which DuckDB gives as well."""
    with closing(sqlite3.connect(release.extract.sqlite)) as database:
        rows = database.execute(query).fetchall()
    with duckdb.connect(str(release.extract.database), read_only=True) as other:
        assert plain(other.execute(query).fetchall()) == rows
    return rows


def test_data_holds_the_csv_files_and_takes_no_disk(release: Release) -> None:
    assert {path.name for path in release.data.iterdir()} == {
        f"{table.file}.csv" for table in SCHEMA.tables.values()
    }
    for path in release.data.iterdir():
        assert path.samefile(release.extract.csv / path.name)


def test_a_copy_of_a_release_keeps_the_links(release: Release, tmp_path: Path) -> None:
    copy = Release(tmp_path / "copy")
    copy_with_links(release.root, copy.root)
    names = sorted(path.relative_to(release.root) for path in release.root.rglob("*"))
    assert sorted(path.relative_to(copy.root) for path in copy.root.rglob("*")) == names
    for name in names:
        if (release.root / name).is_file():
            assert (copy.root / name).read_bytes() == (release.root / name).read_bytes()
    for path in copy.data.iterdir():
        assert path.samefile(copy.extract.csv / path.name)
        assert not path.samefile(release.data / path.name)


def test_where_there_are_no_links_files_are_copied(
    release: Release, tmp_path: Path, monkeypatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(packages.os, "link", no_links)
    copy = Release(tmp_path / "copy")
    copy_with_links(release.root, copy.root)
    for path in copy.data.iterdir():
        assert path.read_bytes() == (release.data / path.name).read_bytes()


def test_the_lookup_workbook_has_the_official_sheets_and_codes(release: Release) -> None:
    """Codes are numbers where they are in the official workbook: scripts merge with them."""
    book = sheets(release.lookup_workbook)
    first, *others = book
    assert first == "Lookup Table Description"
    assert {
        "z_gender",
        "z_deathlocationcode",
        "z_radiotherapybeamtype",
        "z_stage",
        "z_perf_status_start_of_cycle",
    } <= set(others)
    by_column = {tuple(text for _, text in row) for row in book[first]}
    assert ("sim_av_patient", "GENDER", "z_gender") in by_column
    assert {row[2] for row in by_column} - {"Lookup name"} == set(others)
    codes = {
        name: pd.read_excel(release.lookup_workbook, sheet_name=name)["Code"].to_list()
        for name in others
    }
    assert codes["z_gender"] == [1, 2, 9] and codes["z_comorbidities"][5] == 6
    assert codes["z_stage"][3] == "1" and codes["z_ethnicity"][0] == "0"
    assert codes["z_intent_of_treatment"][0] == "01"
    assert codes["z_regimen_outcome_summary"][-3:] == [9, "A", "N"]
    assert [code for code in codes["z_perf_status_start_of_cycle"] if code in (0, "00")] == [
        0,
        "00",
    ]
    for name in lists.lookups():
        if lists.sheet(name) in codes:
            assert len(codes[lists.sheet(name)]) == len(lists.lookup(name)), name


def test_the_dictionary_workbook_has_a_line_for_every_column(release: Release) -> None:
    book = sheets(release.dictionary_workbook)
    assert list(book) == [table.file for table in SCHEMA.tables.values()]
    for table in SCHEMA.tables.values():
        header, *rows = [[text for _, text in row] for row in book[table.file]]
        assert header == ["Field name", "Data item", "Data format", "Notes"]
        assert [row[0] for row in rows] == [c.header or c.name for c in table.columns.values()]
    formats = {row[0][1]: row[2][1] for row in book["sim_av_tumour"]}
    assert (formats["TUMOURID"], formats["AGE"]) == ("Integer", "Integer")
    assert (formats["DIAGNOSISDATEBEST"], formats["STAGE_BEST"]) == ("Date", "Character")
    regimens = {row[0][1]: row[2][1] for row in book["sim_sact_regimen"]}
    assert regimens["HEIGHT_AT_START_OF_REGIMEN"] == "Numeric"


def test_columns_have_the_kinds_of_the_official_dictionary() -> None:
    """Data format of the v2.1 dictionary: these are numbers and dates, all others text (times of
    exposure, too, which are written HH:MM).
    """
    numbers = [
        "PATIENTID",
        "LINKNUMBER",
        "LINK_NUMBER",
        "TUMOURID",
        "AGE",
        "CHRL_TOT_27_03",
        "GLEASON_COMBINED",
        "GENE",
        "COUNT_TESTS",
        "COUNT_RESULTS",
        "COUNT_DATE",
        "NO_OF_AB_GATS",
        "NO_OF_SEQ_VARS",
        "NO_OF_PRO_IMPS",
        "ENCORE_PATIENT_ID",
        "MERGED_REGIMEN_ID",
        "HEIGHT_AT_START_OF_REGIMEN",
        "WEIGHT_AT_START_OF_REGIMEN",
        "MERGED_CYCLE_ID",
        "CYCLE_NUMBER",
        "MERGED_DRUG_DETAIL_ID",
        "ACTUAL_DOSE_PER_ADMINISTRATION",
        "PRESCRIPTIONID",
        "RADIOTHERAPYEPISODEID",
        "RTPRESCRIBEDDOSE",
        "RTPRESCRIBEDFRACTIONS",
        "RTACTUALDOSE",
        "RTACTUALFRACTIONS",
        "RADIOTHERAPYBEAMENERGY",
    ]
    dates = [
        "VITALSTATUSDATE",
        "DIAGNOSISDATEBEST",
        "DATE_FIRST_SURGERY",
        "DATE_OVERALL_TS",
        "MIN_DATE",
        "MAX_DATE",
        "DATE_DECISION_TO_TREAT",
        "START_DATE_OF_REGIMEN",
        "START_DATE_OF_CYCLE",
        "ADMINISTRATION_DATE",
        "DATE_OF_FINAL_TREATMENT",
        "APPTDATE",
        "DECISIONTOTREATDATE",
        "EARLIESTCLINAPPROPDATE",
    ]
    kinds = {"Integer": "number", "Numeric": "number", "Date": "date", "Character": "text"}
    for table in SCHEMA.tables.values():
        if table.name.startswith("ext_"):
            continue  # this project's own
        for name, column in table.columns.items():
            official = "number" if name in numbers else "date" if name in dates else "text"
            assert kinds[data_format(column)] == official, f"{table.name}.{name}"


def test_workbooks_are_the_same_bytes_on_another_day_for_another_person(
    release: Release, tmp_path: Path, monkeypatch
) -> None:
    for name in ("USER", "LOGNAME", "HOME"):
        monkeypatch.setenv(name, f"somebody-{name}")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    for write, path in (
        (write_lookup_workbook, release.lookup_workbook),
        (write_dictionary_workbook, release.dictionary_workbook),
    ):
        again = tmp_path / "again.xlsx"
        write(SCHEMA, again)
        assert again.read_bytes() == path.read_bytes()
        with zipfile.ZipFile(again) as book:
            held = b"".join(book.read(name) for name in book.namelist())
            assert {entry.date_time for entry in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"2000-01-01T00:00:00Z" in held
        assert b"somebody" not in held and str(tmp_path).encode() not in held


@pytest.mark.parametrize("program", ["kaplan_meier_by_stage.py"])
def test_the_quick_start_in_python_runs(release: Release, tmp_path: Path, program: str) -> None:
    picture = tmp_path / "survival.png"
    shown = run(release, sys.executable, f"quickstart/{program}", str(picture))
    lines = re.findall(r"stage (\d): (\d+) patients, alive after 1 year ([\d.]+), after 5", shown)
    assert [line[0] for line in lines] == ["1", "2", "3", "4"]
    assert float(lines[0][2]) > float(lines[3][2])
    tumours = pl.read_parquet(release.extract.parquet / "sim_av_tumour.parquet")
    first = tumours.sort("DIAGNOSISDATEBEST", "TUMOURID").unique("PATIENTID", keep="first")
    stages = first["STAGE_BEST"].str.head(1).drop_nulls().to_list()
    assert [int(line[1]) for line in lines] == [stages.count(stage) for stage in "1234"]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed here")
def test_the_quick_start_in_r_says_the_same(release: Release) -> None:
    answer = run(release, "Rscript", "quickstart/kaplan_meier_by_stage.R")
    in_python = run(release, sys.executable, "quickstart/kaplan_meier_by_stage.py")
    in_r = [block.split()[3] for block in re.findall(r"^\s+1 .*$", answer, re.M)]
    stages = re.findall(r"after 1 year ([\d.]+)", in_python)
    # two digits in Python, three in R: half a hundredth apart at most
    assert [float(share) for share in in_r] == pytest.approx([float(s) for s in stages], abs=0.0051)


def test_the_queries_run_in_both_databases(release: Release) -> None:
    sites, treatments, regimens = (
        both(release, query)
        for query in statements((release.quick_start / "queries.sql").read_text())
    )
    tumours = pl.read_parquet(release.extract.parquet / "sim_av_tumour.parquet")
    assert len(sites) == 10 and sites[0][1] >= sites[-1][1] > 0
    assert sum(row[-1] for row in treatments) == tumours.height
    assert all(count > 0 and isinstance(days, float) for _, count, days in regimens)


def test_the_start_page_shows_the_very_programs(release: Release) -> None:
    page = release.start_page.read_text()
    for path in release.quick_start.iterdir():
        assert path.read_text().strip() in page
        assert f"quickstart/{path.name}" in page
    assert "<<" not in page and CARD["release_id"] in page


def test_the_readme_lists_what_is_there(release: Release) -> None:
    text = release.readme.read_text()
    assert "No row in it is a real patient" in text and SCHEMA.title in text
    for folder in (release.data, release.documents, release.quick_start):
        for path in folder.iterdir():
            assert f"\n  {path.name}" in text
    assert "<<" not in text and str(release.root) not in text


def test_the_tables_of_v1_are_views(release: Release, tmp_path: Path) -> None:
    copy = Release(tmp_path / "copy")
    copy_with_links(release.root, copy.root)
    script = copy.older_views.read_text()
    with closing(sqlite3.connect(copy.extract.sqlite)) as database:
        database.executescript(script)
        database.executescript(script)  # a second time replaces them
    with duckdb.connect(str(copy.extract.database)) as other:
        other.execute(script)
    columns = {
        "SIM_SACT_PATIENT": ["MERGED_PATIENT_ID", "LINK_NUMBER"],
        "SIM_SACT_TUMOUR": [
            "MERGED_TUMOUR_ID",
            "MERGED_PATIENT_ID",
            "CONSULTANT_SPECIALITY_CODE",
            "PRIMARY_DIAGNOSIS",
            "MORPHOLOGY_CLEAN",
        ],
    }
    with closing(sqlite3.connect(copy.extract.sqlite)) as database:
        for view, names in columns.items():
            assert [c[0] for c in database.execute(f"SELECT * FROM {view}").description] == names
    patients = both(copy, "SELECT * FROM SIM_SACT_PATIENT ORDER BY 1")
    tumours = both(copy, "SELECT * FROM SIM_SACT_TUMOUR ORDER BY 2")
    joined = both(
        copy,
        """SELECT count(*) FROM SIM_AV_PATIENT p
           JOIN SIM_SACT_PATIENT s ON p.LINKNUMBER = s.LINK_NUMBER
           JOIN SIM_SACT_TUMOUR t ON t.MERGED_PATIENT_ID = s.MERGED_PATIENT_ID""",
    )
    regimens = pl.read_parquet(release.extract.parquet / "sim_sact_regimen.parquet")
    ids = sorted(regimens["ENCORE_PATIENT_ID"].unique().to_list())
    assert [row[0] for row in patients] == ids == [row[1] for row in tumours]
    assert joined == [(len(ids),)]
    assert _treated_tumours(release) == {row[1]: row[0] for row in tumours}
    assert all(re.fullmatch(r"\d{5}", row[4]) and row[2] is None for row in tumours)


def _treated_tumours(release: Release) -> dict[int, int]:
    """By other means: the last tumour by the first day of drugs, else the first after it."""
    regimens = pl.read_parquet(release.extract.parquet / "sim_sact_regimen.parquet")
    tumours = pl.read_parquet(release.extract.parquet / "sim_av_tumour.parquet")
    first = dict(
        regimens.group_by("ENCORE_PATIENT_ID").agg(pl.col("START_DATE_OF_REGIMEN").min()).rows()
    )
    chosen = {}
    for patient, day in first.items():
        own = tumours.filter(pl.col("PATIENTID") == patient).sort("DIAGNOSISDATEBEST", "TUMOURID")
        rows = own.select("DIAGNOSISDATEBEST", "TUMOURID").rows()
        before = [diagnosed for diagnosed, _ in rows if diagnosed <= day]
        at = before[-1] if before else rows[0][0]
        chosen[patient] = next(tumour for diagnosed, tumour in rows if diagnosed == at)
    return chosen


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_any_declared_dataset_has_a_quick_start_that_runs(path: Path, tmp_path: Path) -> None:
    schema = read_schema(path)
    release = package(schema, plain_tables(schema), tmp_path / "release")
    assert not release.older_views.exists()
    shown = run(release, sys.executable, "quickstart/first_look.py")
    rows, counts = (
        both(release, query)
        for query in statements((release.quick_start / "queries.sql").read_text())
    )
    assert len(rows) == 4 and sum(count for _, count in counts) == 4
    assert re.search(rf"^{re.escape(str(counts[0][0]))} +{counts[0][1]}$", shown, re.M)
    columns = {name: c for table in schema.tables.values() for name, c in table.columns.items()}
    for target in schema.targets[:1]:
        assert (columns[target].header or target) in release.start_page.read_text()
    assert list(sheets(release.dictionary_workbook)) == [
        t.file[:31] for t in schema.tables.values()
    ]


def test_a_template_asks_for_nothing_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("<<one>> <<two>>")
    with pytest.raises(Refusal, match=r"page\.txt: there is no fact 'two'"):
        start_pages._filled_in(tmp_path / "page.txt", {"one": "1"})
