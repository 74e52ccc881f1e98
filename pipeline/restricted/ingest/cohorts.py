"""Which cohort a patient is in: decided when the patient is first seen, kept in a register, the
same for life (privacy_rules.md 16).

Releases of different cohorts compose in parallel, so a patient who could move would be charged too
little. The declared column decides at first sight only; whatever it says later, the register holds.
It knows patients by a keyed hash of their ids. Restricted; backed up with the ledger.
"""

from __future__ import annotations

import uuid

import polars as pl
import sqlalchemy as sa

from pipeline.catalog import Home
from pipeline.ledger import Ledger, check_register
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.cohort_storage import FACT, MARK, PATIENT, CohortStorage
from pipeline.restricted.ingest.holdout import keyed, permanent_key
from pipeline.runs.registers import insert_new
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Cohorts, Schema

_LOOKED_UP = 1000  # patients in one query


class Register:
    """The register that keeps each patient's cohort: of one population and of one dataset, whose
    ids tell its patients apart.

    Raises Refusal where charges were made by cohort and the register, or the key of its hashes,
    is gone: patients might move.
    """

    def __init__(self, home: Home, schema: Schema) -> None:
        name = schema.population.name
        self._storage = CohortStorage(home, name)
        ledger = Ledger(home.ledger)
        self._key = permanent_key(home.keys, is_first=home.makes_keys and not ledger.has_key())
        charged = ledger.marks(name)
        if charged and not self._storage.exists():
            raise Refusal(
                f"population {name} was charged with a register of cohorts, and the register is"
                f" gone: restore {self._storage.file.name} from the backup of the ledger and keys;"
                " without it no release of the population may be made"
            )
        ids = sorted(
            f"{table.name}.{table.patient}" for table in schema.tables.values() if table.patient
        )
        facts = {
            "dataset": schema.dataset,
            "ids": ", ".join(ids),
            "key": keyed(self._key, "cohort key", "").hex(),
        }
        rows = [{"name": fact, "value": value} for fact, value in facts.items()]
        with self._storage.transaction() as connection:
            insert_new(connection, FACT, rows)
            register = {row.name: row.value for row in connection.execute(sa.select(FACT))}
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
        with self._storage.transaction() as connection:
            return list(connection.scalars(sa.select(MARK.c.mark).order_by(MARK.c.number)))

    def assign(self, identities: pl.Series, current: pl.Series) -> pl.Series:
        """The cohort of each patient: the registered one, else the `current` one, which is then
        registered. Strings [n], one per patient.
        """
        digests = [keyed(self._key, "cohort", identity) for identity in identities.to_list()]
        rows = [
            {"identity": digest, "cohort": cohort}
            for digest, cohort in zip(digests, current.to_list(), strict=True)
        ]
        registered: dict[bytes, str] = {}
        with self._storage.transaction() as connection:
            connection.execute(sa.insert(MARK), {"mark": uuid.uuid4().hex})
            insert_new(connection, PATIENT, rows)
            for first in range(0, len(digests), _LOOKED_UP):
                some = PATIENT.c.identity.in_(digests[first : first + _LOOKED_UP])
                rows_of_some = connection.execute(sa.select(PATIENT).where(some))
                registered |= {bytes(row.identity): row.cohort for row in rows_of_some}
        return pl.Series("cohort", [registered[digest] for digest in digests], pl.String)


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
