"""What is checked of a file while it arrives, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_formats import HEADER, as_table, csv_text, schema
from test_source_forms import EXAMPLE, as_workbook
from upload_cases import MARK, begin, hand_over, holds, send

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.blocks import LATIN1, ROW_ITSELF
from pipeline.restricted.ingest.csv_lines import BROKEN_ROW, OPEN_ROW
from pipeline.restricted.uploads import checking, custody, findings, guard, intake
from pipeline.restricted.uploads.intake import Intake
from pipeline.restricted.uploads.problems import LONG_CELL, MOST_SHOWN, FileFindings, Problem
from pipeline.runs.uploads import records

TEXT = csv_text(EXAMPLE)
ROW = "8,2001-02-03,True,1.10,north,x\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    home = Home.find()
    home.datasets.mkdir(parents=True)
    schema(home.datasets)
    return home


def findings_of(
    home: Home, content: bytes, name: str = "people.csv", piece: int = 1000
) -> FileFindings:
    upload = hand_over(home, "trial", {name: content}, piece)
    assert upload.state == "received" and upload.is_structure_known, upload.reasons
    return findings.of_upload(home, upload.id)[0]


def reason_of(home: Home, content: bytes, name: str = "people.csv") -> str:
    """Why the upload is refused, whether while it arrives or at its end."""
    upload = begin(home, "trial", {name: content})
    with suppress(Refusal):
        send(Intake(home), upload, content, piece=1 << 20)
    upload = checking.check(home, upload.id)
    assert upload.state == "refused"
    assert len(upload.reasons) == 1
    with pytest.raises(Refusal, match=r"is refused"):
        custody.lift(home, upload.id, label="x", extract_date=None, by="somebody")
    return upload.reasons[0]


def test_a_good_file_has_no_problem(home: Home) -> None:
    result = findings_of(home, TEXT.encode())
    assert (result.rows, result.problems, result.refusal) == (3, [], None)


@pytest.mark.parametrize("piece", [7, 64, 1000])
def test_problems_stand_by_line_and_column(home: Home, piece: int) -> None:
    """The same wherever pieces are cut. The header is line 1."""
    lines = [
        TEXT.strip(),  # lines 1 to 4
        f"{MARK},1",  # 5: too few fields
        ROW.strip(),
        f"9,,True,1,north,{'x' * 100_001}",  # 7: too long a cell
        f'10,,True,1,north,"{MARK}',  # 8: a quote that is not closed
        "11,,True,1,north,é",  # 9: latin-1
    ]
    result = findings_of(
        home, "\n".join(lines).encode("latin-1", errors="replace"), piece=piece * 100
    )
    assert sorted((one.line, one.column, one.what) for one in result.problems) == [
        (5, ROW_ITSELF, BROKEN_ROW),
        (7, "note", LONG_CELL),
        (8, ROW_ITSELF, OPEN_ROW),
    ]
    assert result.counts[ROW_ITSELF, LATIN1] == 2  # and ä of the example
    assert result.rows == 8
    assert holds(home.root, MARK) == []


def test_only_the_first_hundred_are_shown_and_all_are_counted(home: Home) -> None:
    result = findings_of(home, (TEXT + "1,2\n" * 250).encode())
    assert len(result.problems) == MOST_SHOWN
    assert result.problems[0] == Problem(5, ROW_ITSELF, BROKEN_ROW)
    assert result.counts[ROW_ITSELF, BROKEN_ROW] == 250


def test_json_lines_say_which_key_is_absent(home: Home) -> None:
    rows = [{"id": "1", "flag": True, "site": "north"}, {MARK: 1}, [MARK]]
    text = "\n".join(json.dumps(row) for row in rows)
    result = findings_of(home, text.encode(), "people.jsonl")
    assert [one.line for one in result.problems] == [2, 3]
    assert result.counts["born", "key is absent"] == 1
    assert holds(home.root, MARK) == []


def test_a_wrong_header_is_refused_while_the_rest_still_comes(home: Home) -> None:
    """By its first piece of a megabyte; nothing more is taken."""
    content = TEXT.replace("born", "birth").encode() + ROW.encode() * 200_000
    upload = begin(home, "trial", {"people.csv": content})
    one = Intake(home)
    with pytest.raises(Refusal, match="missing column"), one.receiving(upload.id, 0, 0) as taker:
        while taker.n_missing:
            taker.store(content[taker.offset : taker.offset + (1 << 20)])
    assert taker.offset < len(content)
    assert records.load(home, upload.id).state == "refused"
    with pytest.raises(Refusal, match="takes no bytes"):
        one.receiving(upload.id, 0, taker.offset).__enter__()


def test_ten_thousand_columns(home: Home) -> None:
    many = ",".join((*HEADER, *(f"c{n}" for n in range(10_000))))
    reason = reason_of(home, f"{many}\n".encode())
    assert "undeclared column(s) c0, c1" in reason and reason.endswith("... and more")
    assert len(reason) < 700


def test_a_file_without_header_does_not_say_its_first_row(home: Home) -> None:
    reason = reason_of(home, f"{MARK},2001-02-03,True,1,north,x\n".encode())
    assert "missing column(s) id, born" in reason
    assert holds(home.root, MARK) == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"PK\x03\x04" + b"x" * 100, "zip archive"),
        (gzip.compress(TEXT.encode()), "gzip"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"\x7fELF\x02\x01", "program"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office"),
        (b"PAR1" + b"x" * 100, "Parquet"),
        (b"id\0born", "binary"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (b"", "is empty"),
    ],
)
def test_text_that_is_none(home: Home, content: bytes, word: str) -> None:
    assert word in reason_of(home, content)


@pytest.mark.parametrize(
    "name", ["people.parquet", "people.xlsx", "people.duckdb", "people.csv.gz"]
)
def test_a_file_that_is_not_what_its_name_says(home: Home, name: str) -> None:
    assert "though its name says so" in reason_of(home, TEXT.encode(), name)


@pytest.mark.parametrize(
    "name", ["people.parquet", "people.xlsx", "people.duckdb", "people.csv.gz"]
)
def test_a_damaged_file(home: Home, name: str) -> None:
    start = {
        "parquet": b"PAR1",
        "xlsx": b"PK\x03\x04",
        "duckdb": b"12345678DUCK",
        "gz": b"\x1f\x8b\x08",
    }
    content = start[name.rsplit(".", 1)[1]] + b"x" * 1000
    reason = reason_of(home, content, name)
    assert "readable" in reason or "cannot be read" in reason or "damaged" in reason


def test_a_gzip_bomb(home: Home) -> None:
    """Three hundred megabytes of one row in 300 kB."""
    bomb = gzip.compress(TEXT.encode() + ROW.encode() * (guard.FREE_BYTES // len(ROW) + 10_000), 9)
    assert len(bomb) * guard.MOST_TIMES < guard.FREE_BYTES
    assert "unpacks to more than" in reason_of(home, bomb, "people.csv.gz")


def test_gzip_within_gzip(home: Home) -> None:
    bomb = gzip.compress(gzip.compress(TEXT.encode()))
    assert "packed twice" in reason_of(home, bomb, "people.csv.gz")


def test_a_workbook_bomb(home: Home, tmp_path: Path) -> None:
    book = as_workbook(EXAMPLE, tmp_path / "people.xlsx")
    with zipfile.ZipFile(book, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros", bytes(guard.FREE_BYTES + 1))
    assert "unpacks to more than" in reason_of(home, book.read_bytes(), "people.xlsx")


def test_a_parquet_bomb(home: Home) -> None:
    n_rows = guard.FREE_BYTES + 1
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema({"id": pa.null()})) as writer:
        writer.write(pa.table({"id": pa.nulls(n_rows)}), row_group_size=n_rows)
    assert "unpacks to more than" in reason_of(home, sink.getvalue(), "people.parquet")


def test_types_that_do_not_fit(home: Home) -> None:
    sink = io.BytesIO()
    table = as_table(EXAMPLE, {}).set_column(1, "born", pa.array([[1], [2], [3]]))
    pq.write_table(table, sink)
    assert "column born has Parquet type" in reason_of(home, sink.getvalue(), "people.parquet")


def test_a_database_without_the_table(home: Home, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "people.duckdb")) as database:
        database.execute("CREATE TABLE other (id INTEGER)")
    reason = reason_of(home, (tmp_path / "people.duckdb").read_bytes(), "people.duckdb")
    assert "missing table(s) people" in reason


@pytest.mark.parametrize(
    "name",
    [
        "../people.csv", "/etc/people.csv", "a/people.csv", "a\\people.csv", "C:people.csv",
        "..csv", ".people.csv", "people\0.csv", "people\n.csv", "x" * 300 + ".csv", "", "-x.csv",
    ],
)  # fmt: skip
def test_names_that_are_paths(home: Home, name: str) -> None:
    with pytest.raises(Refusal, match="a file's name"):
        begin(home, "trial", {name: b"x"})
    assert not home.uploads.exists()


@pytest.mark.parametrize(
    "name", ["people.zip", "people.exe", "people", "people.tar.gz", "people.xls"]
)
def test_endings_that_are_not_taken(home: Home, name: str) -> None:
    with pytest.raises(Refusal, match="Archives are not taken"):
        begin(home, "trial", {name: b"x"})


def test_files_are_those_of_the_declaration(home: Home) -> None:
    with pytest.raises(Refusal, match="has no table for"):
        begin(home, "trial", {"people.csv": b"x", "passwords.csv": b"x"})
    with pytest.raises(Refusal, match="more than one file"):
        begin(home, "trial", {"people.csv": b"x", "people.jsonl": b"x"})
    with pytest.raises(Refusal, match="the same name"):
        begin(home, "trial", {"people.csv": b"x", "People.csv": b"x"})


def test_a_check_that_a_restart_broke_is_made_again_from_the_pieces(home: Home) -> None:
    content = (TEXT + "1,2\n").encode()
    upload = begin(home, "trial", {"people.csv": content})
    with Intake(home).receiving(upload.id, 0, 0) as taker:
        taker.store(content[:90])
    with Intake(home).receiving(upload.id, 0, 90) as taker:  # another process
        taker.store(content[90:])
    upload = findings.settle(home, upload.id)
    assert upload.state == "received" and not upload.is_structure_known
    with pytest.raises(Refusal, match="structure was checked"):
        custody.lift(home, upload.id, label="x", extract_date=None, by="somebody")
    assert checking.check(home, upload.id).is_structure_known
    assert findings.of_upload(home, upload.id)[0].problems == [Problem(5, ROW_ITSELF, BROKEN_ROW)]


def test_a_long_file_is_checked_while_it_arrives(home: Home) -> None:
    """Longer than what is kept of its beginning, in pieces that the reader must keep up with."""
    content = (TEXT + ROW * 350_000 + "1,2\n").encode()
    upload = begin(home, "trial", {"people.csv": content})
    send(Intake(home), upload, content, piece=1 << 20)
    assert findings.settle(home, upload.id).is_structure_known
    result = findings.of_upload(home, upload.id)[0]
    assert result.rows == 350_004
    assert result.problems == [Problem(350_005, ROW_ITSELF, BROKEN_ROW)]


def test_more_files_than_live_checks(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check that was fed longest ago gives way, and is made up for at the end."""
    monkeypatch.setattr(intake, "MOST_LIVE", 1)
    first, second = (begin(home, "trial", {"people.csv": TEXT.encode()}) for _ in range(2))
    one = Intake(home)
    for upload in (first, second):
        with one.receiving(upload.id, 0, 0) as taker:
            taker.store(TEXT.encode()[:50])
    for upload in (second, first):
        with one.receiving(upload.id, 0, 50) as taker:
            taker.store(TEXT.encode()[50:])
    assert findings.settle(home, second.id).is_structure_known
    assert not findings.settle(home, first.id).is_structure_known
    assert checking.check(home, first.id).is_structure_known
