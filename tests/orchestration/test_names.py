"""Names lead to nothing but what they name: no newline at the end, no path, quote or pattern."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline import params
from pipeline.__main__ import main
from pipeline.catalog import Extract, Home, project_root
from pipeline.refusal import Refusal
from pipeline.released import publish
from pipeline.released.databases import write_database, write_sqlite
from pipeline.released.verify import verify
from pipeline.runs import draw_workspace, sources, version_stores
from pipeline.schema.reader import read_schema

STRANGE = (
    "adult-1\n",
    "adult-1\n\n",
    "\nadult-1",
    "../adult-1",
    "/adult-1",
    "*",
    "adult?",
    "-x",
    "",
    "ädult-1",
    "adult 1",
    "adult'1",
    'adult"1',
    "a" * 42,
)


@pytest.mark.parametrize("name", STRANGE)
def test_a_release_id_is_nothing_else(home: Home, name: str) -> None:
    with pytest.raises(Refusal, match="3 to 41 of a-z"):
        params.check_release_id(name)
    given = params.load(home.params).release
    for field in ("id", "drawn_from"):
        with pytest.raises(Refusal, match=f"release.{field}"):
            dataclasses.replace(given, **{field: name})
    with pytest.raises(Refusal, match="3 to 41"):
        verify(home, name)
    for model_of, release_id in ((name, "adult-2"), ("adult-2", name)):
        with pytest.raises(Refusal, match="3 to 41"):
            draw_workspace.make(
                home,
                draw_workspace.Request(model_of=model_of, release_id=release_id, rows=None),
            )
    if name and not name.startswith("-"):
        assert main(["ledger", "abandon", name, "--reason", "tests"]) == 2


@pytest.mark.parametrize("label", ["May\n", "May 'x", 'May "', "", " May", "M" * 65])
def test_a_label_is_nothing_else(label: str) -> None:
    with pytest.raises(Refusal, match="source label"):
        sources.Source(path="/x", label=label)


def test_a_tag_is_no_pattern(home: Home) -> None:
    version_stores.ensure(home)
    version_stores.git("tag", "adult-1", "main", cwd=home.released_store)
    assert version_stores.is_tagged(home.released_store, "adult-1")
    for name in ("*", "adult-?", "adult*", "[a]dult-1", "adult"):
        assert not version_stores.is_tagged(home.released_store, name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", ".git", ".dvc", "a/../.."])
def test_publish_removes_no_folder_but_its_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refusal, match="is no name of a folder"):
        publish._folder_of(tmp_path, name)
    assert publish._folder_of(tmp_path, "adult").parent == tmp_path


def test_publish_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "adult").symlink_to(tmp_path)
    with pytest.raises(Refusal, match="is no name of a folder"):
        publish._folder_of(tmp_path, "adult")


@pytest.mark.parametrize("file", ['a"b', "a'b", 'x"; DROP TABLE y; --', "select", "a b", "ä"])
def test_a_table_of_any_name_is_a_table_of_the_database(tmp_path: Path, file: str) -> None:
    schema = read_schema(project_root() / "datasets" / "adult.yaml")
    [(name, table)] = schema.tables.items()
    schema = dataclasses.replace(schema, tables={name: dataclasses.replace(table, file=file)})
    extract = Extract(tmp_path)
    extract.parquet.mkdir()
    pl.DataFrame({"a": [1, 2]}).write_parquet(extract.parquet / f"{file}.parquet")
    write_database(schema, extract, {'v"x': "SELECT 1 AS one"})
    with duckdb.connect(str(extract.database), read_only=True) as database:
        names = {row[0] for row in database.execute("SHOW TABLES").fetchall()}
        assert names == {file, 'v"x'}
        quoted = '"' + file.replace('"', '""') + '"'
        assert database.execute(f"SELECT count(*) FROM {quoted}").fetchone() == (2,)
    write_sqlite(schema, extract, {'v"x': "SELECT 1 AS one"})
    with closing(sqlite3.connect(extract.sqlite)) as other:
        assert other.execute(f"SELECT count(*) FROM {quoted}").fetchone() == (2,)
        assert other.execute('SELECT one FROM "v""x"').fetchone() == (1,)
