"""Tables of DuckDB and of a real PostgreSQL: types, names, one moment for all tables, and no secret
in what is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from ingest_cases import Bench
from psycopg.conninfo import conninfo_to_dict
from test_formats import HEADER, ROWS, Row, csv_text, same, schema
from test_json_lines import schema as nested_schema
from test_source_forms import EXAMPLE, as_duckdb

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import source_files
from pipeline.runs import addresses, places

_NUMBERS = itertools.count(1)
TABLE = (
    "CREATE TABLE people (id text, born date, flag boolean, dose numeric(10, 2), site text,"
    " note text)"
)
Execute = Callable[..., None]


@pytest.fixture
def address(postgres: str) -> Iterator[str]:
    """Of an empty database of the server."""
    name = f"source_{next(_NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def execute(address: str) -> Execute:
    def run(*statements: str, rows: list[Row] | None = None) -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
            if rows:
                connection.cursor().executemany(
                    "INSERT INTO people VALUES (%s, %s, %s, %s, %s, %s)", rows
                )

    return run


def as_postgres(rows: list[Row], execute: Execute) -> None:
    execute("DROP TABLE IF EXISTS people", TABLE, rows=rows)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_a_database_says_what_the_file_says(
    bench: Bench, tmp_path: Path, address: str, execute: Execute, rows: list[Row]
) -> None:
    (tmp_path / "people.csv").write_text(csv_text(rows))
    as_postgres(rows, execute)
    first = bench.ingest(schema(tmp_path), tmp_path / "people.csv")
    assert same(first, bench.ingest(schema(tmp_path), address))  # type: ignore[arg-type]


def read(bench: Bench, folder: Path, source: str | Path, formats: str = "required: true") -> object:
    return bench.ingest(schema(folder, formats), source)  # type: ignore[arg-type]


UUID = "00000000-0000-0000-0000-000000000001"
TYPES = {
    # columns of people by type, values of three people, what is read (None: does not parse)
    "timestamp": ("born", ["2019-07-01", "2019-07-01 14:30", "infinity"], [date(2019, 7, 1)]),
    "timestamptz": (
        "born",
        ["2019-07-01 00:00+00", "2019-07-01 14:30+00", "-infinity"],
        [date(2019, 7, 1)],
    ),
    "date": ("born", ["2001-02-03", "0044-03-15 BC", "infinity"], [date(2001, 2, 3)]),
    "numeric": ("dose", ["1.10", "NaN", "1e30"], [1.1, None]),
    "float8": ("dose", ["0.1", "Infinity", "-1"], [0.1]),
    "int8": ("dose", ["7", "9223372036854775807", "-1"], [7.0]),
    "bool": ("dose", ["t", "f", None], [1.0, 0.0, None]),
    "varchar(9)": ("dose", ["7", "x", "-1"], [7.0]),
    "char(9)": ("site", ["north", "south", "x"], ["north", "south"]),
    "uuid": ("note", [UUID, None, None], [UUID, None, None]),
    "time": ("note", ["10:30", None, None], ["10:30:00", None, None]),
    "text": ("note", ['a "b"\nc', "x,y", ""], ['a "b" c', "x,y", None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_postgresql(
    bench: Bench, tmp_path: Path, address: str, execute: Execute, kind: str
) -> None:
    """What a type holds and the column cannot is the fault of its own patient."""
    column, values, expected = TYPES[kind]
    row = dict(zip(HEADER, ("", None, True, None, "north", None), strict=True))
    execute(TABLE, f"ALTER TABLE people DROP {column}", f"ALTER TABLE people ADD {column} {kind}")
    with psycopg.connect(address, autocommit=True) as connection:
        for number, value in enumerate(values):
            cells = {**row, "id": str(number), column: value}
            marks = ", ".join(["%s"] * len(cells))
            connection.execute(
                f"INSERT INTO people ({', '.join(cells)}) VALUES ({marks})", list(cells.values())
            )
    done = read(bench, tmp_path, address)
    assert done.table("people").sort("id")[column].to_list() == expected


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("bytea", "note"), ("text[]", "note"), ("jsonb", "note"), ("interval", "note"),
        ("money", "dose"), ("point", "note"), ("date", "dose"), ("numeric", "born"),
    ],
)  # fmt: skip
def test_a_type_that_cannot_be_the_kind_is_refused(
    bench: Bench, tmp_path: Path, address: str, execute: Execute, kind: str, column: str
) -> None:
    execute(TABLE, f"ALTER TABLE people DROP {column}", f"ALTER TABLE people ADD {column} {kind}")
    message = rf"table people: column {column} has PostgreSQL type {kind.replace('[]', '.*')}"
    with pytest.raises(Refusal, match=message):
        read(bench, tmp_path, address)


def test_domains_and_enumerations_are_of_their_types(
    bench: Bench, tmp_path: Path, address: str, execute: Execute
) -> None:
    execute(
        "CREATE TYPE place AS ENUM ('north', 'south')",
        "CREATE DOMAIN dose AS numeric CHECK (VALUE >= 0)",
        TABLE.replace("site text", "site place").replace("numeric(10, 2)", "dose"),
        "INSERT INTO people VALUES ('1', null, true, 1.5, 'south', null)",
    )
    done = read(bench, tmp_path, address)
    assert done.patients["dose"].to_list() == [1.5] and done.patients["site"][0] == "south"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ((), r"missing table\(s\) people"),
        (("CREATE TABLE people ()",), r"missing column\(s\) id"),
        ((f"{TABLE[:-1]}, more int)",), r"undeclared column\(s\) more"),
        ((TABLE.replace("note", '"Id"'),), "stand twice"),
        (
            ("CREATE SCHEMA a", "CREATE SCHEMA b", TABLE.replace("people", "a.people"),
             TABLE.replace("people", "b.people")), r"more than one .* a\.people, b\.people",
        ),
        (
            (TABLE.replace("people", "x"), "INSERT INTO x VALUES ('secret')",
             "CREATE VIEW people AS SELECT id, born, flag, id::int AS dose, site, note FROM x"),
            r"missing table\(s\) people",
        ),
    ],
)  # fmt: skip
def test_a_structure_that_is_not_as_declared_is_refused(
    bench: Bench,
    tmp_path: Path,
    address: str,
    execute: Execute,
    statements: tuple[str, ...],
    message: str,
) -> None:
    execute(*statements)
    with pytest.raises(Refusal, match=message) as error:
        read(bench, tmp_path, address)
    assert "secret" not in str(error.value)


def test_rows_of_another_database_are_not_read(
    bench: Bench, tmp_path: Path, address: str, execute: Execute
) -> None:
    """By a foreign table, and by a partition that is one: another population may have claimed
    them.
    """
    try:
        execute("CREATE EXTENSION file_fdw", "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
    except psycopg.Error:
        pytest.skip("this server has no file_fdw")
    foreign = "SERVER files OPTIONS (filename '/dev/null', format 'csv')"
    execute(TABLE.replace("CREATE TABLE", "CREATE FOREIGN TABLE") + f" {foreign}")
    with pytest.raises(Refusal, match="missing table"):
        read(bench, tmp_path, address)
    execute("DROP FOREIGN TABLE people", TABLE + " PARTITION BY LIST (site)")
    execute(f"CREATE FOREIGN TABLE part PARTITION OF people FOR VALUES IN ('A') {foreign}")
    with pytest.raises(Refusal, match="missing table"):
        read(bench, tmp_path, address)


def test_a_table_is_found_by_its_schema_and_in_any_case(
    bench: Bench, tmp_path: Path, address: str, execute: Execute
) -> None:
    execute("CREATE SCHEMA clinic", TABLE.replace("people", "clinic.people"))
    assert read(bench, tmp_path, address).patients.height == 0
    execute(TABLE.replace("people", '"PEOPLE"'), "INSERT INTO \"PEOPLE\" VALUES ('1', null, true)")
    assert read(bench, tmp_path, address).report["patients"]["read"] == 1  # the usual schema first


def test_rows_that_a_policy_hides_stop_the_run(
    bench: Bench, tmp_path: Path, address: str, execute: Execute
) -> None:
    """Else fewer rows would be read, and nobody would know."""
    execute(
        TABLE,
        "ALTER TABLE people ENABLE ROW LEVEL SECURITY",
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON people TO reader",
        "INSERT INTO people VALUES ('1', null, true, 1, 'north', null)",
    )
    try:
        with pytest.raises(Refusal, match=r"table people cannot be read .* 42501"):
            read(bench, tmp_path, address.replace("postgres:@", "reader@"))
    finally:
        execute("DROP OWNED BY reader", "DROP ROLE reader")


def test_all_tables_are_read_as_they_were_at_one_moment(
    tmp_path: Path, address: str, execute: Execute
) -> None:
    as_postgres(EXAMPLE, execute)
    with source_files.sources(schema(tmp_path), address) as sources:
        execute("DELETE FROM people")
        blocks = list(sources["people"].rows(1000))
        with pytest.raises(psycopg.Error):
            execute("SET lock_timeout = '1s'; ALTER TABLE people DROP COLUMN note")
    assert sum(block.cells.height for block in blocks) == len(EXAMPLE)


def test_a_cell_that_is_too_long_costs_its_own_patient(
    bench: Bench, tmp_path: Path, address: str, execute: Execute
) -> None:
    as_postgres(EXAMPLE, execute)
    execute("UPDATE people SET note = repeat('x', 30000000) WHERE id = '7'")
    done = read(bench, tmp_path, address)
    assert done.report["dropped_patients_by_reason"] == {"people.note: cell too long": 1}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2@host/db",
        "postgresql://me@host/db?password=hunter2",
        "postgresql://me@host/db?sslpassword=hunter2",
        "postgresql://me@host/db?passfile=/hunter2",
        "postgresql://host/db?options=-csearch_path%3Dhunter2",
        "postgresql://host/db?hostaddr=10.0.0.1",
        "postgresql://one,two/db",
        "postgresql://host/db%3Dhunter2",
        "postgresql://host/db?host=%0Ahunter2",
        "postgresql://host:hunter2/db",
        "postgresql://host/db?hunter2",
        "postgresql://host/db?sslmode=hunter2",
        "postgresql://host/db?service=../hunter2",
        "mysql://me:hunter2@host/db",
        "http://169.254.169.254/hunter2",
        "file:///etc/hunter2",
    ],
)
def test_an_address_holds_no_password_and_no_option(text: str) -> None:
    with pytest.raises(Refusal) as error:
        places.resolved(text)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("postgres://Host/db", "postgresql://host/db"),
        ("postgresql://me:@host:5433/db", "postgresql://me@host:5433/db"),
        ("postgresql://host/?dbname=db", "postgresql://host/db"),
        ("postgresql://a/db?host=b", "postgresql://b/db"),
        ("postgresql://[::1]:5/my%20db", "postgresql://[::1]:5/my%20db"),
        ("postgresql:///db?host=/run/pg&port=5", "postgresql:///db?host=%2Frun%2Fpg&port=5"),
        ("postgresql://?service=clinic", "postgresql:///?service=clinic"),
    ],
)
def test_an_address_has_one_spelling(text: str, same_as: str) -> None:
    assert places.resolved(text) == places.resolved(same_as) == same_as
    assert conninfo_to_dict(same_as) == addresses.parsed(same_as).parameters


def test_a_server_that_does_not_answer_is_said(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"postgresql://localhost:1/db does not answer"):
        read(bench, tmp_path, "postgresql://localhost:1/db")


def test_a_password_comes_from_libpq_and_stays_there(
    bench: Bench, tmp_path: Path, address: str, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_postgres(EXAMPLE, execute)
    given = conninfo_to_dict(address)
    (tmp_path / "services").write_text(
        "[clinic]\n"
        + "".join(f"{key}={given[key]}\n" for key in ("host", "user", "dbname"))
        + "password=hunter2\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    done = read(bench, tmp_path, "postgresql://?service=clinic")
    assert done.report["patients"]["kept"] == 3
    (tmp_path / "services").unlink()
    for path in (tmp_path / "home", done.restricted.root):
        for file in path.rglob("*"):
            assert not file.is_file() or b"hunter2" not in file.read_bytes(), file


def test_views_are_no_tables(bench: Bench, tmp_path: Path) -> None:
    """Of a view one row may stop the query, and one row stops no run."""
    path = as_duckdb(EXAMPLE, tmp_path / "base.duckdb")
    with duckdb.connect(str(path)) as database:
        database.execute("ALTER TABLE people RENAME TO base")
        database.execute("CREATE VIEW people AS SELECT * FROM base")
    with pytest.raises(Refusal, match="missing table"):
        read(bench, tmp_path, path)


@pytest.mark.parametrize("content", [b"", b"id,born\n", b"x" * 20_000])
def test_a_file_that_is_no_database_is_refused(
    bench: Bench, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "people.duckdb").write_bytes(content)
    with pytest.raises(Refusal, match=r"cannot be read by DuckDB|missing table"):
        read(bench, tmp_path, tmp_path / "people.duckdb")


@pytest.mark.parametrize("kind", ["BLOB", "INTERVAL", "INTEGER[]", "MAP(VARCHAR, INTEGER)"])
def test_a_type_of_duckdb_that_is_no_text_is_refused(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    with duckdb.connect(str(tmp_path / "people.duckdb")) as database:
        database.execute(TABLE.replace("note text", f"note {kind}"))
    with pytest.raises(Refusal, match="column note has DuckDB type"):
        read(bench, tmp_path, tmp_path / "people.duckdb")


@pytest.mark.parametrize("form", ["parquet", "duckdb"])
def test_a_struct_is_a_group_of_columns(bench: Bench, tmp_path: Path, form: str) -> None:
    house = pa.struct([("floor", pa.int32())])
    group = pa.struct([("city", pa.string()), ("house", house)])
    address = [{"city": "north", "house": {"floor": 2}}, {"city": None, "house": None}, None]
    rows = pa.table(
        {
            "id": ["1", "2", "3"],
            "address": pa.array(address, group),
            **{name: pa.nulls(3) for name in ("code", "dose", "note")},
        }
    )
    path = tmp_path / f"visits.{form}"
    if form == "parquet":
        pq.write_table(rows, path)
    else:
        with duckdb.connect(str(path)) as database:
            database.execute("CREATE TABLE visits AS SELECT * FROM rows")
    done = bench.ingest(nested_schema(tmp_path), path).table("visits").sort("id")
    assert done["city"].to_list() == ["north", None, None]
    assert done["floor"].to_list() == [2, None, None]
