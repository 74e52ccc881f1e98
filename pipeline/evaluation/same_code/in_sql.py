"""Analyses in SQL: SQLite and DuckDB as researchers fill them, PostgreSQL with INTEGER keys."""

from __future__ import annotations

import sqlite3

import duckdb

from pipeline.evaluation.same_code.analysis import Analysis, Answer, Labels, Package
from pipeline.refusal import Refusal

TREATED = """
    SELECT t.SITE_ICD10_O2_3CHAR AS site, count(DISTINCT t.PATIENTID) AS patients,
           count(DISTINCT r.ENCORE_PATIENT_ID) AS with_drugs,
           count(DISTINCT e.PATIENTID) AS with_radiotherapy
    FROM sim_av_tumour t
    LEFT JOIN sim_sact_regimen r ON r.ENCORE_PATIENT_ID = t.PATIENTID
    LEFT JOIN sim_rtds_episode e ON e.PATIENTID = t.PATIENTID
    GROUP BY t.SITE_ICD10_O2_3CHAR ORDER BY patients DESC, site
"""
SURVIVAL = """
    SELECT t.TUMOURID, t.STAGE_BEST,
           julianday(p.VITALSTATUSDATE) - julianday(t.DIAGNOSISDATEBEST) AS days,
           CASE WHEN p.VITALSTATUS LIKE 'D%' THEN 1 ELSE 0 END AS died
    FROM sim_av_patient p JOIN sim_av_tumour t ON p.PATIENTID = t.PATIENTID
"""
DRUGS = """
    SELECT r.BENCHMARK_GROUP, d.DRUG_GROUP, count(*) AS rows_of_drugs,
           sum(d.ACTUAL_DOSE_PER_ADMINISTRATION) AS dose,
           count(*) FILTER (WHERE d.ADMINISTRATION_DATE < c.START_DATE_OF_CYCLE) AS too_early
    FROM sim_sact_regimen r
    JOIN sim_sact_cycle c USING (MERGED_REGIMEN_ID)
    JOIN sim_sact_drug_detail d USING (MERGED_CYCLE_ID)
    JOIN sim_av_patient p ON p.LINKNUMBER = r.LINK_NUMBER
    GROUP BY 1, 2 ORDER BY 3 DESC
"""
# joined as the dictionary says; beside it the table that is joined already
RADIOTHERAPY = """
    WITH joined AS (
        SELECT e.PATIENTID, e.ATTENDID, x.RADIOTHERAPYBEAMTYPE, x.TIMEOFEXPOSURE, e.APPTDATE
        FROM sim_rtds_episode e
        JOIN sim_rtds_prescription p USING (RADIOTHERAPYEPISODEID, ATTENDID, LINKCODE, PATIENTID)
        JOIN sim_rtds_exposure x
          USING (PRESCRIPTIONID, RADIOTHERAPYEPISODEID, ATTENDID, LINKCODE, PATIENTID)
    )
    SELECT count(*) AS exposures, (SELECT count(*) FROM sim_rtds_combined) AS combined,
           count(*) FILTER (WHERE RADIOTHERAPYBEAMTYPE IS NOT NULL) AS beams,
           count(*) FILTER (WHERE RADIOTHERAPYBEAMTYPE IN ({codes})) AS beams_labelled,
           count(*) FILTER (WHERE split_part(ATTENDID, '.', 2) = strftime(APPTDATE, '%Y%m%d'))
             AS attendances_dated,
           count(*) FILTER (WHERE CAST(TIMEOFEXPOSURE AS TIME) BETWEEN TIME '00:00' AND '23:59')
             AS timed
    FROM joined
"""
# a public loader's kinds of columns, on the keys of every join
LOADED = {
    "sim_av_patient": "PATIENTID INTEGER PRIMARY KEY, GENDER SMALLINT, LINKNUMBER INTEGER UNIQUE",
    "sim_av_tumour": "TUMOURID INTEGER PRIMARY KEY, PATIENTID INTEGER, SITE_ICD10_O2_3CHAR CHAR(3),"
    " DIAGNOSISDATEBEST DATE, AGE SMALLINT",
    "sim_sact_regimen": "MERGED_REGIMEN_ID INTEGER PRIMARY KEY, ENCORE_PATIENT_ID INTEGER,"
    " LINK_NUMBER INTEGER, START_DATE_OF_REGIMEN DATE",
    "sim_sact_cycle": "MERGED_CYCLE_ID INTEGER PRIMARY KEY, MERGED_REGIMEN_ID INTEGER,"
    " START_DATE_OF_CYCLE DATE",
    "sim_sact_drug_detail": "MERGED_DRUG_DETAIL_ID INTEGER PRIMARY KEY, MERGED_CYCLE_ID INTEGER,"
    " DRUG_GROUP VARCHAR",
    "sim_rtds_prescription": "PRESCRIPTIONID INTEGER, RADIOTHERAPYEPISODEID INTEGER,"
    " PATIENTID INTEGER, RTPRESCRIBEDDOSE REAL",
}
OF_LOADED = """
    SELECT t.SITE_ICD10_O2_3CHAR AS site, count(DISTINCT p.PATIENTID) AS patients,
           count(DISTINCT d.MERGED_DRUG_DETAIL_ID) AS rows_of_drugs, max(x.RTPRESCRIBEDDOSE) AS dose
    FROM sim_av_patient p
    JOIN sim_av_tumour t ON t.PATIENTID = p.PATIENTID
    LEFT JOIN sim_sact_regimen r ON r.LINK_NUMBER = p.LINKNUMBER
    LEFT JOIN sim_sact_cycle c ON c.MERGED_REGIMEN_ID = r.MERGED_REGIMEN_ID
    LEFT JOIN sim_sact_drug_detail d ON d.MERGED_CYCLE_ID = c.MERGED_CYCLE_ID
    LEFT JOIN sim_rtds_prescription x ON x.PATIENTID = p.PATIENTID
    GROUP BY t.SITE_ICD10_O2_3CHAR ORDER BY patients DESC
"""


def treated_in_sqlite(package: Package) -> Answer:
    return _in_sqlite(package, TREATED, "sim_av_tumour", "sim_sact_regimen", "sim_rtds_episode")


def survival_in_sqlite(package: Package) -> Answer:
    return _in_sqlite(package, SURVIVAL, "sim_av_patient", "sim_av_tumour")


def _in_sqlite(package: Package, query: str, *tables: str) -> Answer:
    """Tables as pandas writes them into a database in memory."""
    database = sqlite3.connect(":memory:")
    try:
        for table in tables:
            package.read(table).to_sql(table, database, index=False)
        answer = database.execute(query)
        names = tuple(column[0] for column in answer.description)
        if not all(None not in row[2:] for row in answer.fetchall()):
            raise Refusal("a day or a count is missing: a date was not read as one")
        return Answer(names)
    finally:
        database.close()


def drugs_in_duckdb(package: Package) -> Answer:
    tables = ("sim_sact_regimen", "sim_sact_cycle", "sim_sact_drug_detail", "sim_av_patient")
    with _in_duckdb(package, *tables) as database:
        names, rows = _ask(database, DRUGS)
    if package.csv("sim_sact_drug_detail").stat().st_size > 1000 and not rows:
        raise Refusal("no row of drugs joins its regimen and patient")
    return Answer(names)


def radiotherapy_in_duckdb(package: Package) -> Answer:
    """The three tables joined give as many rows as the joined one; dates and times read as such."""
    beams = package.sheet("z_radiotherapybeamtype")["Code"]
    codes = ", ".join(f"'{code}'" for code in beams)
    tables = ("episode", "prescription", "exposure", "combined")
    # 10000001.20180810 looks like a number, whose last nought a reader would lose
    types = {"ATTENDID": "VARCHAR"}
    with _in_duckdb(package, *(f"sim_rtds_{name}" for name in tables), types=types) as database:
        names, (row,) = _ask(database, RADIOTHERAPY.format(codes=codes))
    exposures, combined, n_beams, labelled, dated, _ = row
    if exposures != combined or dated != exposures:
        raise Refusal(f"{exposures} exposures join, {combined} are joined, {dated} are dated")
    return Answer(names, {"RADIOTHERAPYBEAMTYPE": Labels(n_beams, labelled)})


def _in_duckdb(
    package: Package, *tables: str, types: dict[str, str] | None = None
) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    for table in tables:
        database.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_csv_auto(?, types = {types or {}})",
            [str(package.csv(table))],
        )
    return database


def _ask(database: duckdb.DuckDBPyConnection, query: str) -> tuple[tuple[str, ...], list[tuple]]:
    answer = database.execute(query)
    assert answer.description is not None
    return tuple(column[0] for column in answer.description), answer.fetchall()


def loaded_with_integer_keys(package: Package) -> Answer:
    """In PostgreSQL where there is a server; else in DuckDB, whose INTEGER has 32 bits too."""
    if package.postgres is None:
        with duckdb.connect() as database:
            for table, kinds in LOADED.items():
                names = [kind.split()[0] for kind in kinds.split(", ")]
                database.execute(f"CREATE TABLE {table} ({kinds})")
                database.execute(
                    f"INSERT INTO {table} SELECT {', '.join(names)} FROM read_csv_auto(?)",
                    [str(package.csv(table))],
                )
            return Answer(_ask(database, OF_LOADED)[0])
    return _in_postgres(package)


def _in_postgres(package: Package) -> Answer:
    import psycopg

    assert package.postgres is not None
    with psycopg.connect(package.postgres) as server:
        for table, kinds in LOADED.items():
            names = [kind.split()[0] for kind in kinds.split(", ")]
            server.execute(f"CREATE TEMPORARY TABLE {table} ({kinds})")
            rows = package.read(table)[names].to_csv(index=False, header=False)
            with server.cursor().copy(f"COPY {table} FROM STDIN WITH (FORMAT csv)") as copy:
                copy.write(rows)
        answer = server.execute(OF_LOADED)
        assert answer.description is not None
        return Answer(tuple(column.name for column in answer.description))


ANALYSES = (
    Analysis("Who was treated, by site", "SQLite", treated_in_sqlite),
    Analysis("Survival in days", "SQLite, julianday", survival_in_sqlite),
    Analysis("Drugs by regimen", "DuckDB, read_csv_auto", drugs_in_duckdb),
    Analysis("Radiotherapy joined by the dictionary", "DuckDB", radiotherapy_in_duckdb),
    Analysis("Tables with INTEGER keys", "PostgreSQL or DuckDB", loaded_with_integer_keys),
)
