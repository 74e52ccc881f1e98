"""An upload gives the same tables as the clear files, and lies nowhere in clear before ingest."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ingest_cases import PARTICIPANTS, VISITS, Bench, Ingested
from test_formats import as_table, csv_text, schema
from test_source_forms import EXAMPLE, as_duckdb, as_json, as_workbook
from upload_cases import MARK, hand_over, holds, lifted

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs import places, source_claims, sources
from pipeline.runs.uploads import pieces, records


@pytest.fixture
def home(bench: Bench) -> Home:
    """With a declaration of one table that every form can hold."""
    home = Home.find()
    home.datasets.mkdir(parents=True)
    schema(home.datasets)
    return home


def checksums(run: Ingested) -> dict[str, str]:
    folder = run.restricted.data
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def content_of(name: str, folder: Path) -> bytes:
    path = folder / name
    match name.split(".", 1)[1]:
        case "csv":
            path.write_text(csv_text(EXAMPLE))
        case "csv.gz":
            path.write_bytes(gzip.compress(csv_text(EXAMPLE).encode()))
        case "jsonl":
            as_json(EXAMPLE, path)
        case "parquet":
            pq.write_table(as_table(EXAMPLE, {}), path)
        case "xlsx":
            as_workbook(EXAMPLE, path)
        case "duckdb":
            as_duckdb(EXAMPLE, path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet", "xlsx", "duckdb"])
def test_an_upload_is_read_as_the_clear_file_is(
    bench: Bench, home: Home, tmp_path: Path, ending: str
) -> None:
    """The tables are the same, byte for byte, though the file came in many pieces."""
    name = f"people.{ending}"
    content = content_of(name, tmp_path)
    declaration = schema(home.datasets)
    clear = bench.ingest(declaration, tmp_path / name)
    upload = hand_over_lifted(home, name, content)
    assert len(pieces.present(home.upload(upload).pieces(0))) > 2
    encrypted = bench.ingest(declaration, f"upload:{upload}")
    assert checksums(encrypted) == checksums(clear)
    assert encrypted.report["tables"].keys() == clear.report["tables"].keys()
    assert encrypted.patients.height == 3


def hand_over_lifted(home: Home, name: str, content: bytes) -> str:
    return lifted(home, "trial", {name: content}, piece=max(50, len(content) // 7)).id


def test_a_folder_of_tables_with_a_marked_value_lies_nowhere_in_clear(
    bench: Bench, home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two tables; a marked value in a cell, in a row that does not parse, and in a bad number."""
    people = csv_text(EXAMPLE) + f"{MARK},,True,1.0,north,{MARK}\n{MARK}\n,,{MARK},,,,,,\n"
    upload = hand_over(home, "trial", {"people.csv": people.encode()})
    assert upload.state == "received" and upload.is_structure_known
    assert holds(home.root, MARK) == [] and MARK not in caplog.text
    assert "007,2001" not in "".join(str(path) for path in holds(home.root, "007,2001-02-03"))
    assert holds(home.root, "007,2001-02-03") == []


def test_a_key_is_apart_from_the_data_and_its_owners_alone(home: Home) -> None:
    upload = hand_over(home, "trial", {"people.csv": csv_text(EXAMPLE).encode()})
    key = home.upload_key(upload.id)
    assert key.stat().st_mode & 0o777 == 0o600
    secret = key.read_text().strip()
    assert secret.startswith("AGE-SECRET-KEY-")
    assert holds(home.root, secret) == [key]
    assert upload.recipient.startswith("age1")


@pytest.mark.parametrize("state", ["receiving", "received", "refused", "deleting", "deleted"])
def test_nobody_reads_what_is_not_lifted(bench: Bench, home: Home, state: str) -> None:
    upload = hand_over(home, "trial", {"people.csv": csv_text(EXAMPLE).encode()})
    records.change(home, upload.id, among=records.STANDING, state=state)
    with pytest.raises(Refusal, match=r"is no source"):
        places.is_there(upload.address)
    with pytest.raises(Refusal, match=r"is no source"):
        bench.ingest(schema(home.datasets), upload.address)


def test_an_upload_belongs_to_one_population(home: Home) -> None:
    upload = lifted(home, "trial", {"people.csv": csv_text(EXAMPLE).encode()})
    assert sources.load(home)["trial"].path == upload.address
    assert sources.load(home)["trial"].label == "handed over"
    source_claims.claim(home, upload.address, population="trial", kind="public")
    with pytest.raises(Refusal, match="rows belong to one population"):
        source_claims.claim(home, upload.address, population="other", kind="public")
    with pytest.raises(Refusal, match="declared simulated"):
        source_claims.claim(home, "upload:" + "0" * 16, population="x", kind="simulated")
    other = lifted(home, "trial", {"people.csv": csv_text(EXAMPLE).encode()})
    source_claims.claim(home, other.address, population="trial", kind="public")


@pytest.mark.parametrize("text", ["upload:", "upload:../../ledger", "upload:ABCDEF0123456789"])
def test_an_address_is_an_id(home: Home, text: str) -> None:
    with pytest.raises(Refusal, match="id of an upload"):
        places.resolved(text)


def test_a_folder_of_several_tables(bench: Bench, tmp_path: Path) -> None:
    """The malaria study: two tables, each a file of its own."""
    home = Home.find()
    files = {
        "PRISM_cohort_Participants.csv": ",".join(PARTICIPANTS).encode() + b"\n",
        "PRISM_visits_cleaned.csv": ",".join(VISITS).encode() + b"\n",
    }
    upload = hand_over(home, "uganda_malaria", files)
    assert upload.reasons == () and upload.is_structure_known
    assert json.loads(home.upload(upload.id).record.read_text())["state"] == "received"
    with pytest.raises(Refusal, match=r"missing table\(s\)"):
        hand_over(home, "uganda_malaria", {"PRISM_visits_cleaned.csv": b"x"})
    assert date.fromisoformat(upload.created[:10])
