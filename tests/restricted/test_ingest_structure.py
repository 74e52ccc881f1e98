"""A source whose structure is wrong stops the run with one line to the custodian, and leaves
nothing behind.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import polars as pl
import pytest
from ingest_cases import (
    CREDIT_COLUMNS,
    DATASETS,
    HEART,
    Bench,
    credit_row,
    heart_row,
    participant,
    visit,
    write_cohort,
    write_csv,
)

from pipeline import params
from pipeline.catalog import Workspace
from pipeline.restricted import validate
from pipeline.schema.reader import read_schema

NAME = "heart_kaggle_303.csv"


def refused(bench: Bench, source: Path, dataset: str = "uci_heart") -> str:
    """The message of a refused run; nothing may be left in its workspace."""
    workspace = bench.workspace()
    with pytest.raises(ValueError) as error:
        bench.ingest(dataset, source, workspace=workspace)
    left = list(workspace.root.rglob("*")) if workspace.root.exists() else []
    assert [path for path in left if path != workspace.restricted.root] == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_that_does_not_exist(bench: Bench, tmp_path: Path) -> None:
    assert (
        refused(bench, tmp_path / "nowhere")
        == "source nowhere: there is no such folder or file. Declare where the tables of uci_heart"
        " lie."
    )


def test_a_missing_table(bench: Bench, tmp_path: Path) -> None:
    source = write_cohort(
        tmp_path / "source", [participant(1)], [visit(1, "2012-01-10", "Enrollment")]
    )
    (source / "PRISM_visits_cleaned.csv").unlink()
    assert (
        refused(bench, source, "uganda_malaria")
        == "missing table(s) PRISM_visits_cleaned: no such file ending in .csv, .csv.gz, .tsv,"
        " .txt, .jsonl, .jsonl.gz, .ndjson, .xlsx, .parquet in source or"
        " its Data folder. Add the file, or correct `file:` in the declaration."
    )


def test_one_file_for_a_dataset_of_several_tables(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "one.csv", HEART, heart_row())
    assert refused(bench, source, "uganda_malaria").startswith(
        "source one.csv is one file, but uganda_malaria has 2 tables: give the folder"
    )


def test_a_missing_column(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(tmp_path / NAME, HEART[1:], heart_row()[1:])
    assert (
        refused(bench, source)
        == f"{NAME}: missing column(s) age of table heart. Older names go under `aliases:`."
    )


def test_an_undeclared_column(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(tmp_path / NAME, (*HEART, "postcode"), (*heart_row(), "X"))
    assert (
        refused(bench, source)
        == f"{NAME}: undeclared column(s) postcode in table heart. Declare them, or list them under"
        " `ignore:`."
    )


def test_a_column_that_stands_twice(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(tmp_path / NAME, (*HEART, "Age"), (*heart_row(), "1"))
    assert refused(bench, source) == f"{NAME}: column(s) Age, age stand twice in the header."


def test_a_file_without_its_header_does_not_say_its_first_row(bench: Bench, tmp_path: Path) -> None:
    # with and without a value that stands twice
    for row in (heart_row(), tuple(f"{value}{n}9" for n, value in enumerate(heart_row()))):
        (tmp_path / NAME).write_text(",".join(row) + "\n")
        said = refused(bench, tmp_path / NAME)
        assert not [value for value in row if len(value) > 1 and value in said], said


def test_another_separator(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / NAME
    source.write_text(";".join(HEART) + "\n" + ";".join(heart_row()) + "\n")
    assert "declare `separator: ';'` under the table" in refused(bench, source)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file(bench: Bench, tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert (
        refused(bench, tmp_path / NAME)
        == f"{NAME} is empty. Every table needs at least its header."
    )


def test_an_empty_parquet_file(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "heart_kaggle_303.parquet").write_bytes(b"")
    assert "is empty" in refused(bench, tmp_path / "heart_kaggle_303.parquet")


@pytest.mark.parametrize("n_rows", [0, 1])
def test_no_patient_goes_on_as_one_patient_does(bench: Bench, tmp_path: Path, n_rows: int) -> None:
    """{one patient} and {} are neighbours: whether a release appears may not tell them apart."""
    workspace = bench.workspace()
    done = bench.ingest(
        "uci_heart", write_csv(tmp_path / NAME, HEART, *[heart_row()] * n_rows), workspace=workspace
    )
    assert done.patients.height == done.table("heart").height == n_rows
    declared, given = (
        read_schema(DATASETS / "uci_heart.yaml"),
        params.load(DATASETS.parent / "params.yaml"),
    )
    validate.run(workspace, given, declared)
    assert (done.restricted.validation.results).exists()


@pytest.mark.parametrize("n_patients", [0, 1])
def test_no_patient_of_several_tables_goes_on_too(
    bench: Bench, tmp_path: Path, n_patients: int
) -> None:
    rows = [participant(1)] * n_patients, [visit(1, "2012-01-10", "Enrollment")] * n_patients
    done = bench.ingest("uganda_malaria", write_cohort(tmp_path / "source", *rows))
    assert done.patients.height == n_patients and done.events.height >= n_patients
    declared = read_schema(DATASETS / "uganda_malaria.yaml")
    validate.run(
        Workspace(done.restricted.root.parent),
        params.load(DATASETS.parent / "params.yaml"),
        declared,
    )


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_gzip(bench: Bench, tmp_path: Path, kept: float) -> None:
    rows = [credit_row(n, AGE=str(18 + n % 80)) for n in range(3000)]
    whole = gzip.compress(write_csv(tmp_path / "x.csv", CREDIT_COLUMNS, *rows).read_bytes())
    source = tmp_path / "s" / "uci_credit_card.csv.gz"
    source.parent.mkdir()
    source.write_bytes(whole[: int(len(whole) * kept)])
    assert (
        refused(bench, source, "credit_default")
        == "uci_credit_card.csv.gz is a truncated or damaged gzip file. Copy it again from its"
        " origin."
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_wide_encoding(bench: Bench, tmp_path: Path, encoding: str) -> None:
    text = write_csv(tmp_path / "x.csv", HEART, heart_row()).read_text()
    (tmp_path / NAME).write_bytes(text.encode(encoding))
    expected = (
        f"{NAME} is not a text file in UTF-8 or latin-1 (it looks like UTF-16 or binary). Save it"
        " as CSV in UTF-8, or declare `encoding:` under the table."
    )
    assert refused(bench, tmp_path / NAME) == expected


def test_a_parquet_file_that_is_none(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "heart_kaggle_303.parquet").write_bytes(b"PAR1 and more")
    message = refused(bench, tmp_path / "heart_kaggle_303.parquet")
    assert re.fullmatch(
        r"heart_kaggle_303.parquet is no readable Parquet file \(\w+\). Copy it again from its"
        r" origin.",
        message,
    )


def test_a_damaged_parquet_file(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "uci_credit_card.parquet"
    pl.DataFrame(
        [credit_row(n, AGE=str(18 + n % 80)) for n in range(2000)],
        schema=list(CREDIT_COLUMNS),
        orient="row",
    ).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[100 : len(content) // 2] = bytes(len(content) // 2 - 100)
    path.write_bytes(content)
    assert "is no readable Parquet file" in refused(bench, path, "credit_default")


def test_a_parquet_type_that_does_not_fit(bench: Bench, tmp_path: Path) -> None:
    frame = pl.DataFrame([heart_row()], schema=list(HEART), orient="row").with_columns(
        age=pl.lit([1, 2])
    )
    frame.write_parquet(tmp_path / "heart_kaggle_303.parquet")
    assert (
        "column age has Parquet type large_list<element: int64>, which does not fit kind continuous"
        in refused(bench, tmp_path / "heart_kaggle_303.parquet")
    )


def test_two_files_for_one_table(bench: Bench, tmp_path: Path) -> None:
    write_csv(tmp_path / "s" / NAME, HEART, heart_row())
    write_csv(tmp_path / "s" / "Data" / NAME, HEART, heart_row())
    assert "found more than one file for it" in refused(bench, tmp_path / "s")


def test_a_refused_run_keeps_what_stood_there(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(tmp_path / NAME, HEART, heart_row())
    workspace = bench.workspace()
    before = bench.ingest("uci_heart", source, workspace=workspace).report
    write_csv(source, HEART[1:], heart_row()[1:])
    with pytest.raises(ValueError, match="missing column"):
        bench.ingest("uci_heart", source, workspace=workspace)
    assert (
        bench.ingest("uci_heart", write_csv(source, HEART, heart_row()), workspace=workspace).report
        == before
    )
    assert sorted(path.name for path in workspace.restricted.root.iterdir()) == ["data"]


def test_what_a_killed_attempt_left_is_removed(bench: Bench, tmp_path: Path) -> None:
    workspace = bench.workspace()
    (workspace.restricted.root / ".data.0123abcd.tmp" / "work").mkdir(parents=True)
    bench.ingest("uci_heart", write_csv(tmp_path / NAME, HEART, heart_row()), workspace=workspace)
    assert [path.name for path in workspace.restricted.root.iterdir()] == ["data"]


def test_no_source_is_said(bench: Bench, tmp_path: Path) -> None:
    from pipeline import params
    from pipeline.restricted.ingest import stage
    from pipeline.schema.reader import read_schema

    given = params.load(Path(__file__).resolve().parents[2] / "params.yaml")
    with pytest.raises(ValueError, match=r"release.source is not set"):
        stage.run(
            bench.workspace(),
            given,
            read_schema(Path(__file__).resolve().parents[2] / "datasets" / "adult.yaml"),
        )
