"""Where the register of cohorts lies: a file of SQLite for each population, or a schema for each in
the deployment's PostgreSQL database. The tables are the same. Restricted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pipeline import databases, files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs.registers import insert_new, retire

_WHAT, _ADVICE = "the register of cohorts", "Restore it from the backup"
_TABLES = sa.MetaData()
FACT = sa.Table(
    "fact",
    _TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
MARK = sa.Table(
    "mark",
    _TABLES,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("mark", sa.Text, nullable=False),
)
PATIENT = sa.Table(
    "patient",
    _TABLES,
    sa.Column("identity", sa.LargeBinary, primary_key=True),
    sa.Column("cohort", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
_SQLITE_TRIGGERS = (
    "CREATE TRIGGER IF NOT EXISTS nobody_moves BEFORE UPDATE ON patient"
    " BEGIN SELECT RAISE(ABORT, 'nobody leaves a cohort'); END",
    "CREATE TRIGGER IF NOT EXISTS nobody_is_forgotten BEFORE DELETE ON patient"
    " BEGIN SELECT RAISE(ABORT, 'nobody leaves a cohort'); END",
)
_POSTGRESQL_TRIGGERS = (
    "CREATE OR REPLACE FUNCTION {schema}.nobody_leaves() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'nobody leaves a cohort'; END $$",
    "CREATE OR REPLACE TRIGGER nobody_leaves BEFORE UPDATE OR DELETE OR TRUNCATE"
    " ON {schema}.patient FOR EACH STATEMENT EXECUTE FUNCTION {schema}.nobody_leaves()",
    "ALTER TABLE {schema}.patient ENABLE ALWAYS TRIGGER nobody_leaves",
)


class CohortStorage:
    """The register of one population. A register of before the deployment named a database is
    taken over at the first use, and its file renamed.
    """

    def __init__(self, home: Home, population: str) -> None:
        self.file = home.cohorts(population)
        where = home.deployment.database
        self._schema = None if where is None else _schema_of(population)
        self._url = databases.url_of(where or self.file, _WHAT)
        if where is not None and self.file.is_file():
            self._take_over()

    def exists(self) -> bool:
        """Whether there is a register: a file, or the tables of the population."""
        if self._schema is None:
            return self.file.is_file()
        engine = databases.engine_of(self._url)
        with databases.connection_to(engine, _WHAT, _ADVICE) as connection:
            return bool(sa.inspect(connection).has_table(PATIENT.name, schema=self._schema))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction on the tables, which are made where they are missing: nobody else writes
        meanwhile; on any exception nothing of it stays.
        """
        files.private_folder(self.file.parent)
        engine = databases.engine_of(self._url)
        with databases.connection_to(engine, _WHAT, _ADVICE) as plain:
            connection = plain.execution_options(schema_translate_map={None: self._schema})
            if self._schema is None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                number = int.from_bytes(hashlib.sha256(self._schema.encode()).digest()[:7], "big")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
                connection.execute(sa.schema.CreateSchema(self._schema, if_not_exists=True))
            _make_tables(connection, self._schema)
            yield connection
            connection.commit()

    def _take_over(self) -> None:
        """The file's rows into the database, then the file is renamed. Raises Refusal where the
        database holds another register.
        """
        older = databases.engine_of(databases.url_of(self.file, _WHAT))
        with databases.connection_to(older, _WHAT, _ADVICE) as source:
            rows = {
                table: [dict(row) for row in source.execute(sa.select(table)).mappings()]
                for table in (FACT, MARK, PATIENT)
                if sa.inspect(source).has_table(table.name)
            }
        with self.transaction() as target:
            there = [dict(row) for row in target.execute(sa.select(MARK)).mappings()]
            if there[: len(rows.get(MARK, ()))] != rows.get(MARK, []) and there:
                raise Refusal(
                    f"{self.file.name} is another register of cohorts than the one in the database:"
                    " find out which one the ledger's charges name, and move the file away only"
                    " where it is not that one"
                )
            for table, values in rows.items():
                insert_new(target, table, values)
            if self._schema is not None and rows.get(MARK):
                target.execute(_next_number(self._schema))
        retire(self.file)


def marks_in_database(home: Home, population: str) -> list[str] | None:
    """The marks of a register, oldest first; None where the deployment names no database, or it
    holds no such register. Nothing is written.
    """
    if (where := home.deployment.database) is None:
        return None
    schema, engine = _schema_of(population), databases.engine_of(databases.url_of(where, _WHAT))
    with databases.connection_to(engine, _WHAT, _ADVICE) as plain:
        if not sa.inspect(plain).has_table(MARK.name, schema=schema):
            return None
        connection = plain.execution_options(schema_translate_map={None: schema})
        return list(connection.scalars(sa.select(MARK.c.mark).order_by(MARK.c.number)))


def _make_tables(connection: Connection, schema: str | None) -> None:
    if sa.inspect(connection).has_table(PATIENT.name, schema=schema):
        return
    _TABLES.create_all(connection)
    statements = _SQLITE_TRIGGERS if schema is None else _POSTGRESQL_TRIGGERS
    name = connection.dialect.identifier_preparer.quote(schema or "")
    for statement in statements:
        connection.exec_driver_sql(statement.replace("{schema}", name))


def _next_number(schema: str) -> sa.Select[tuple[int]]:
    """After rows with numbers of their own the next mark gets the one after them."""
    sequence = sa.func.pg_get_serial_sequence(f'"{schema}".mark', "number")
    last = sa.select(sa.func.max(MARK.c.number)).scalar_subquery()
    return sa.select(sa.func.setval(sequence, last))


def _schema_of(population: str) -> str:
    """PostgreSQL's names have at most 63 bytes."""
    name = f"cohorts_{population}"
    if len(name.encode()) <= 63:
        return name
    return f"cohorts_{hashlib.sha256(population.encode()).hexdigest()[:40]}"
