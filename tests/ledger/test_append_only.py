"""Whatever a statement is called, the database takes the next entry and rewrites no row."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from ledger_cases import opened, reserve

from pipeline.ledger import Ledger
from pipeline.ledger.storage import Storage

COLUMNS = "number, population, release_id, kind, at, by, content, previous, hash"
ROW = "'trial', 'r1', 'reserved', '2026', 'me', '{}'"
LAST = "(SELECT hash FROM entry ORDER BY number DESC LIMIT 1)"
ADDS = {
    "a number that is there": f"(2, {ROW}, {LAST}, 'new')",
    "the first number": f"(1, {ROW}, {LAST}, 'new')",
    "the number before the first": f"(0, {ROW}, {LAST}, 'new')",
    "a negative number": f"(-1, {ROW}, {LAST}, 'new')",
    "a number left out": f"(5, {ROW}, {LAST}, 'new')",
    "no number": f"(NULL, {ROW}, {LAST}, 'new')",
    "the next, with the hash of another": f"(4, {ROW}, {LAST}, (SELECT hash FROM entry LIMIT 1))",
    "the next, in the place of another": (
        f"(4, {ROW}, (SELECT previous FROM entry ORDER BY number DESC LIMIT 1), 'new')"
    ),
    "the next, that points nowhere": f"(4, {ROW}, 'nowhere', 'new')",
    "two at once": f"(4, {ROW}, {LAST}, 'new'), (2, {ROW}, 'new', 'newer')",
}
CONFLICTS = ("", "OR REPLACE", "OR ABORT", "OR FAIL", "OR ROLLBACK")
UPSERT = "DO UPDATE SET content = '{}', by = excluded.by"
CHANGES = (
    "UPDATE entry SET by = 'nobody'",
    "UPDATE entry SET content = '{}' WHERE number = 2",
    "UPDATE entry SET number = number + 100",
    "DELETE FROM entry",
    "DELETE FROM entry WHERE number = 3",
)
SQLITE_CHANGES = (
    "UPDATE OR REPLACE entry SET number = 1 WHERE number = 2",
    "UPDATE OR IGNORE entry SET content = '{}'",
    "UPDATE entry SET rowid = 9 WHERE rowid = 3",
    "UPDATE entry SET _rowid_ = 9",
    "UPDATE OR REPLACE entry SET oid = 1 WHERE oid = 2",
    "UPDATE OR REPLACE entry SET hash = (SELECT hash FROM entry LIMIT 1) WHERE number = 3",
    f"INSERT OR REPLACE INTO entry (rowid, {COLUMNS.removeprefix('number, ')})"
    f" VALUES (2, {ROW}, {LAST}, 'new')",
    f"INSERT OR REPLACE INTO entry ({COLUMNS}) SELECT number, population, release_id, kind, at,"
    " 'nobody', '{}', previous, hash FROM entry",
    f"INSERT OR REPLACE INTO entry ({COLUMNS}) SELECT 4, population, release_id, kind, at,"
    " 'nobody', '{}', previous, hash FROM entry WHERE number = 3",
    "WITH gone AS (SELECT 2 AS number) DELETE FROM entry WHERE number IN gone",
    "DELETE FROM entry RETURNING *",
)
POSTGRESQL_CHANGES = (
    "TRUNCATE entry",
    "TRUNCATE entry RESTART IDENTITY CASCADE",
    "MERGE INTO entry USING (SELECT 2 AS n) AS x ON number = x.n WHEN MATCHED THEN DELETE",
    "MERGE INTO entry USING (SELECT 2 AS n) AS x ON number = x.n WHEN MATCHED THEN"
    " UPDATE SET by = 'x'",
    "WITH gone AS (DELETE FROM entry RETURNING *) SELECT count(*) FROM gone",
)


@pytest.fixture
def rows(where: str) -> Ledger:
    """Three entries."""
    ledger = opened(where)
    for release_id in ("r1", "r2"):
        reserve(ledger, release_id)
    return ledger


def inserts(dialect: str) -> list[str]:
    """Every way to add a row, of every row that may not be added."""
    ways = [f"INSERT INTO entry ({COLUMNS}) VALUES {values}" for values in ADDS.values()]
    if dialect == "sqlite":
        ways = [
            way.replace("INSERT", f"INSERT {conflict}", 1) for way in ways for conflict in CONFLICTS
        ] + [way.replace("INSERT", "REPLACE", 1) for way in ways]
    plain = [f"INSERT INTO entry ({COLUMNS}) VALUES {values}" for values in ADDS.values()]
    return ways + [
        f"{way} ON CONFLICT ({column}) {UPSERT}"
        for way in plain
        for column in ("number", "previous", "hash")
    ]


def refuse_all(ledger: Ledger, statements: list[str], *before: str) -> None:
    entries = ledger.entries()
    for statement in statements:
        with (
            pytest.raises(sa.exc.DBAPIError),
            ledger._chain.storage.engine.begin() as connection,
        ):
            for first in before:
                connection.exec_driver_sql(first)
            connection.exec_driver_sql(statement)
        assert ledger.entries() == entries, statement


def test_no_statement_rewrites_a_row(rows: Ledger) -> None:
    dialect = rows._chain.storage.engine.dialect.name
    more = SQLITE_CHANGES if dialect == "sqlite" else POSTGRESQL_CHANGES
    refuse_all(rows, [*CHANGES, *more, *inserts(dialect)])
    rows.verify()
    reserve(rows, "r3")
    assert len(rows.entries()) == 4


@pytest.mark.parametrize(
    "pragma",
    [
        "PRAGMA recursive_triggers = OFF",
        "PRAGMA recursive_triggers = ON",
        "PRAGMA foreign_keys = ON",
        "PRAGMA ignore_check_constraints = ON",
        "PRAGMA defer_foreign_keys = ON",
        "PRAGMA legacy_alter_table = ON",
        "PRAGMA count_changes = ON",
    ],
)
def test_no_setting_of_sqlite_opens_a_way(tmp_path: Path, pragma: str) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    for release_id in ("r1", "r2"):
        reserve(ledger, release_id)
    refuse_all(ledger, [*CHANGES, *SQLITE_CHANGES, *inserts("sqlite")], pragma)


def test_insert_or_ignore_leaves_all_as_it_is(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    reserve(ledger, "r1")
    reserve(ledger, "r2")
    entries = ledger.entries()
    for values in ADDS.values():
        with (
            suppress(sqlite3.DatabaseError),
            sqlite3.connect(tmp_path / "ledger.db") as connection,
        ):
            connection.execute(f"INSERT OR IGNORE INTO entry ({COLUMNS}) VALUES {values}")
        assert ledger.entries() == entries


@pytest.mark.parametrize(
    "setting",
    ["SET session_replication_role = replica", "SET search_path = elsewhere"],
)
def test_no_setting_of_postgresql_opens_a_way(database: str, setting: str) -> None:
    ledger = opened(database)
    for release_id in ("r1", "r2"):
        reserve(ledger, release_id)
    schema = database.rpartition("%3D")[2]
    entries = ledger.entries()
    made = (
        "CREATE SCHEMA IF NOT EXISTS elsewhere;"
        " CREATE TABLE IF NOT EXISTS elsewhere.entry (number int, hash text)"
    )
    for statement in [*CHANGES, *POSTGRESQL_CHANGES, *inserts("postgresql")]:
        statement = re.sub(r"\bentry\b", f"{schema}.entry", statement)
        with psycopg.connect(database) as connection, pytest.raises(psycopg.Error):
            connection.execute(made)
            connection.execute(setting)
            connection.execute(statement)
            connection.commit()
        assert ledger.entries() == entries, statement


OLD_TRIGGERS = {
    "sqlite": (
        "DROP TRIGGER entry_follows_the_last",
        "DROP TRIGGER entry_is_never_changed",
        (
            "CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry WHEN 0 BEGIN SELECT"
            " RAISE(ABORT, 'the ledger is append-only'); END"
        ),
    ),
    "postgresql": (
        "DROP TRIGGER entry_follows_the_last ON entry",
        "DROP FUNCTION entry_is_the_next",
        "ALTER TABLE entry DISABLE TRIGGER entry_is_never_changed",
    ),
}


def test_an_older_ledger_gets_its_triggers_by_the_next_write(rows: Ledger) -> None:
    engine = rows._chain.storage.engine
    with engine.begin() as connection:
        for statement in OLD_TRIGGERS[engine.dialect.name]:
            connection.exec_driver_sql(statement)
    reserve(rows, "r3")
    refuse_all(rows, [*CHANGES, *inserts(engine.dialect.name)[:4]])


def test_reading_writes_no_trigger(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    with ledger._chain.storage.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER entry_follows_the_last")
    before = (tmp_path / "ledger.db").read_bytes()
    assert Storage(tmp_path / "ledger.db").read() == ledger.entries()
    assert (tmp_path / "ledger.db").read_bytes() == before
