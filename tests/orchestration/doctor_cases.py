"""A healthy home with a release, an upload, a run and the services' databases, all made up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

from ledger_cases import COUNTS, OPEN
from upload_cases import hand_over

from pipeline import files
from pipeline.catalog import Home, Release, project_root
from pipeline.catalog.version import write_version
from pipeline.ledger import Ledger
from pipeline.released import manifest, publish
from pipeline.restricted.ingest.holdout import permanent_key
from pipeline.restricted.ingest.key_check import fingerprint
from pipeline.runs import chain_heads, sources, version_stores
from pipeline.schema.reader import read_schema

RELEASE = "release-1"
SCHEMA = read_schema(project_root() / "datasets" / "adult.yaml")
HEADER = ",".join(SCHEMA.tables["adult"].columns)


def write_database(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def make_healthy(home: Home) -> None:
    """All that the doctor asks about is there, and as it should be."""
    home.state.mkdir(parents=True)
    write_version(home.state)
    version_stores.ensure(home)
    charge(home)
    publish_release(home)
    hand_over(home, "adult", {"adult.csv": f"{HEADER}\n".encode()})
    source = home.root / "source"
    source.mkdir()
    sources.declare(home, "adult", sources.Source(path=str(source), label="May"))
    workspace = home.workspace(RELEASE)
    files.write_json(workspace.restricted.run, {"owner": None})
    files.write_text(workspace.root / ".dvc" / "tmp" / "rwlock", "{}")
    files.write_json(home.backup_note, {"made_at": datetime.now(UTC).isoformat()})
    files.write_json(home.state / "services.json", {})
    write_database(
        home.airflow / "airflow.db",
        "CREATE TABLE alembic_version (version_num TEXT)",
        "CREATE TABLE import_error (filename TEXT)",
    )
    files.write_text(home.airflow / "migrated", metadata.version("apache-airflow-core"))
    write_database(home.mlflow_database, "CREATE TABLE experiments (name TEXT)")
    home.set_modes()
    source.chmod(0o755)


def charge(home: Home) -> None:
    """One release of a population in cohorts, with its key and its register."""
    ledger = Ledger(home.ledger)
    ledger.open_population("trial", **OPEN, cohorts=["early", "late"])
    key = permanent_key(home.keys)
    ledger.note_key("trial", fingerprint(key), "tests")
    register = home.cohorts("trial")
    write_database(register, "CREATE TABLE mark (mark TEXT)", "INSERT INTO mark VALUES ('first')")
    ledger.reserve(RELEASE, "trial", COUNTS, by="tests", source_label="May", register=["first"])
    ledger.commit(RELEASE)
    chain_heads.note(home, RELEASE)


def publish_release(home: Home) -> None:
    """Its tag, its objects and its plain copy."""
    release = Release(home.root / "assembled")
    files.write_json(release.model / "model.json", {"a": 1})
    manifest.write(release.root, {"release_id": RELEASE})
    with patch.object(publish.log_line, "add_line", lambda *_: None):  # it has no card
        publish._tag(home, release, RELEASE, "adult", [])
    publish._copy(release, home.release(RELEASE))
