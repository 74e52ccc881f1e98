"""Which cohort a patient is in: decided when the patient is first seen, kept in a register, the
same for life (privacy_rules.md 16).

Releases of different cohorts compose in parallel, so a patient who could move would be charged too
little. The declared column decides at first sight only; whatever it says later, the register holds.
It knows patients by a keyed hash of their ids. Restricted; backed up with the ledger.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Ledger, check_register
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.holdout import keyed, permanent_key
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Cohorts, Schema

_WAIT_SECONDS = 120.0
_TABLES = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mark (number INTEGER PRIMARY KEY, mark TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS patient (identity BLOB PRIMARY KEY, cohort TEXT NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS nobody_moves BEFORE UPDATE ON patient
BEGIN SELECT RAISE(ABORT, 'nobody leaves a cohort'); END;
CREATE TRIGGER IF NOT EXISTS nobody_is_forgotten BEFORE DELETE ON patient
BEGIN SELECT RAISE(ABORT, 'nobody leaves a cohort'); END;
"""


class Register:
    """The register that keeps each patient's cohort: of one population and of one dataset, whose
    ids tell its patients apart.

    Raises Refusal where charges were made by cohort and the register, or the key of its hashes,
    is gone: patients might move.
    """

    def __init__(self, home: Home, schema: Schema) -> None:
        name = schema.population.name
        self._path = home.cohorts(name)
        ledger = Ledger(home.ledger)
        self._key = permanent_key(home.keys, is_first=not ledger.has_key())
        charged = ledger.marks(name)
        if charged and not self._path.is_file():
            raise Refusal(
                f"population {name} was charged with a register of cohorts, and the register is"
                f" gone: restore {self._path.name} from the backup of the ledger and keys; without"
                " it no release of the population may be made"
            )
        files.private_folder(self._path.parent)
        ids = sorted(
            f"{table.name}.{table.patient}" for table in schema.tables.values() if table.patient
        )
        facts = {
            "dataset": schema.dataset,
            "ids": ", ".join(ids),
            "key": keyed(self._key, "cohort key", "").hex(),
        }
        with self._writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO fact VALUES (?, ?)", facts.items())
            register = dict(connection.execute("SELECT name, value FROM fact"))
        check_register(name, charged, self.marks())
        if (register["dataset"], register["ids"]) != (facts["dataset"], facts["ids"]):
            raise Refusal(
                f"the cohorts of population {schema.population.name} are those of dataset"
                f" {register['dataset']}: the ids of {schema.dataset} may call the same people by"
                " other names, so nobody could be found again"
            )
        if register["key"] != facts["key"]:
            raise Refusal(
                "the register of cohorts was written under another permanent key: restore"
                " state/keys from the backup"
            )

    def marks(self) -> list[str]:
        """A random text for every time that somebody may have been added, oldest first: charges
        note the newest, so that an old copy is found out.
        """
        with self._writing() as connection:
            return [mark for (mark,) in connection.execute("SELECT mark FROM mark ORDER BY number")]

    def assign(self, identities: pl.Series, current: pl.Series) -> pl.Series:
        """The cohort of each patient: the registered one, else the `current` one, which is then
        registered. Strings [n], one per patient.
        """
        digests = [keyed(self._key, "cohort", identity) for identity in identities.to_list()]
        with self._writing() as connection:
            connection.execute("INSERT INTO mark (mark) VALUES (?)", (uuid.uuid4().hex,))
            connection.executemany(
                "INSERT OR IGNORE INTO patient VALUES (?, ?)",
                zip(digests, current.to_list(), strict=True),
            )
            find = "SELECT cohort FROM patient WHERE identity = ?"
            return pl.Series(
                "cohort",
                [connection.execute(find, (digest,)).fetchone()[0] for digest in digests],
                pl.String,
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=_WAIT_SECONDS)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.executescript(_TABLES)
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise Refusal(
                f"the register of cohorts cannot be read or written ({error}); restore it from the"
                " backup"
            ) from None
        finally:
            connection.close()  # undoes what was not committed


def enrol(
    schema: Schema, named: tuple[str, ...], register: Register | None, patients: pl.DataFrame
) -> pl.DataFrame:
    """Registers all `patients`; patient_id [m] of those whose cohort is none of `named`. Nobody is
    outside where the run trains on everybody's rows.
    """
    if register is None or schema.population.cohorts is None:
        return patients.select(ID).clear()
    cohort = register.assign(
        patients[ID].cast(pl.String), at_first_sight(schema.population.cohorts, patients)
    )
    return (
        patients.select(ID).filter(~cohort.is_in(list(named)))
        if named
        else patients.select(ID).clear()
    )


def at_first_sight(cohorts: Cohorts, patients: pl.DataFrame) -> pl.Series:
    """The cohort that the declared column says: the last whose start is not above the value; the
    first one for a lower or missing value.
    """
    names, starts = list(cohorts.starts), list(cohorts.starts.values())
    value = pl.col(cohorts.column)
    if patients[cohorts.column].dtype.is_float():
        value = value.fill_nan(None)
    cohort = pl.lit(names[0])
    for name, start in zip(names[1:], starts[1:], strict=True):
        cohort = pl.when(value >= start).then(pl.lit(name)).otherwise(cohort)
    return patients.select(cohort.alias("current"))["current"]
