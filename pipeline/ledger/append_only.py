"""The triggers of the ledger's table: a database takes the next entry, and nothing else.

SQLite's REPLACE deletes the row in its way without asking a trigger on DELETE, so a trigger on
INSERT must see to it that no row is in the way: the number is the next one, the entry points to the
last one, and its hash is new. Whoever may drop triggers can still rewrite rows; the chain of hashes
and the chain heads noted elsewhere show that.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

_SQLITE = {
    "entry_is_never_changed": (
        "CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT,"
        " 'the ledger is append-only'); END"
    ),
    "entry_is_never_deleted": (
        "CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT,"
        " 'the ledger is append-only'); END"
    ),
    "entry_follows_the_last": (
        "CREATE TRIGGER entry_follows_the_last BEFORE INSERT ON entry WHEN NEW.number IS NOT"
        " (SELECT coalesce(max(number), 0) + 1 FROM entry) OR NEW.previous IS NOT coalesce((SELECT"
        " hash FROM entry ORDER BY number DESC LIMIT 1), NEW.previous) OR EXISTS (SELECT 1 FROM"
        " entry WHERE previous = NEW.previous OR hash = NEW.hash) BEGIN SELECT RAISE(ABORT, 'the"
        " ledger is append-only'); END"
    ),
}
# ENABLE ALWAYS: a session that calls itself a replica fires them, too. The table is the trigger's
# own, whatever the session's search path leads to.
_POSTGRESQL = {
    "entry_is_never_changed": (
        "CREATE OR REPLACE FUNCTION entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
        "CREATE TRIGGER entry_is_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION entry_is_append_only()",
    ),
    "entry_follows_the_last": (
        "CREATE OR REPLACE FUNCTION entry_is_the_next() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "DECLARE last record; BEGIN "
        "EXECUTE pg_catalog.format('SELECT number, hash FROM %I.%I ORDER BY number DESC LIMIT 1', "
        "TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO last; "
        "IF NEW.number IS DISTINCT FROM coalesce(last.number, 0) + 1 OR NEW.previous IS DISTINCT "
        "FROM coalesce(last.hash, NEW.previous) THEN "
        "RAISE EXCEPTION 'the ledger is append-only'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER entry_follows_the_last BEFORE INSERT ON entry "
        "FOR EACH ROW EXECUTE FUNCTION entry_is_the_next()",
    ),
}


def protect(connection: Connection) -> None:
    """Makes the triggers that the table lacks, in the transaction of the connection: those of an
    older ledger, and those that somebody dropped or weakened.
    """
    if connection.dialect.name == "sqlite":
        _protect_sqlite(connection)
    else:
        _protect_postgresql(connection)


def _protect_sqlite(connection: Connection) -> None:
    present = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entry'"
    )
    texts = {str(name): str(text) for name, text in present}
    for name, statement in _SQLITE.items():
        if texts.get(name) == statement:
            continue
        if name in texts:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(statement)


def _protect_postgresql(connection: Connection) -> None:
    present = connection.execute(
        sa.text(
            "SELECT tgname, tgenabled::text FROM pg_catalog.pg_trigger"
            " WHERE tgrelid = 'entry'::regclass AND NOT tgisinternal"
        )
    )
    states = {str(name): str(enabled) for name, enabled in present}
    for name, statements in _POSTGRESQL.items():
        if name not in states:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))
        if states.get(name) != "A":
            connection.exec_driver_sql(f"ALTER TABLE entry ENABLE ALWAYS TRIGGER {name}")
