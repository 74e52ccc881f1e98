"""Of the permanent key, the registers of cohorts and the keys of uploads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pipeline.catalog import Home
from pipeline.cli.doctor.questions import Fault, Question, rows_of
from pipeline.ledger import Ledger, check_key, check_register
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.cohort_storage import marks_in_database
from pipeline.restricted.ingest.holdout import KEY_NAME, permanent_key
from pipeline.restricted.ingest.key_check import fingerprint
from pipeline.runs.uploads import records


def permanent(home: Home) -> Iterator[Fault]:
    """The key that the ledger notes is the one that lies here."""
    ledger, path = Ledger(home.ledger), home.keys / KEY_NAME
    if not path.is_file():
        if ledger.has_key():
            yield Fault(
                f"state/keys/{KEY_NAME} is missing, and the ledger knows of charges: restore"
                " state/keys from the backup of the ledger and keys"
            )
        return
    here = fingerprint(permanent_key(home.keys, is_first=False))
    for population, first in ledger.keys().items():
        try:
            check_key(population, first, here)
        except Refusal as error:
            yield Fault(str(error))


def registers(home: Home) -> Iterator[Fault]:
    """The register that the last charge noted lies here, as it was then or later."""
    ledger = Ledger(home.ledger)
    for population in ledger.populations():
        charged, path = ledger.marks(population.name), home.cohorts(population.name)
        if not charged:
            continue
        try:
            marks = _marks(home, population.name)
            if marks is None:
                yield Fault(
                    f"the register of cohorts of {population.name} is gone: restore {path.name}"
                    " from the backup of state/restricted/cohorts"
                )
                continue
            check_register(population.name, charged, marks)
        except sqlite3.Error as error:
            yield Fault(
                f"the register of cohorts of {population.name} cannot be read"
                f" ({type(error).__name__}): restore it from the backup"
            )
        except Refusal as error:
            yield Fault(str(error))


def _marks(home: Home, population: str) -> list[str] | None:
    """Those of a register, oldest first; None where it is gone. Nothing is written."""
    path = home.cohorts(population)
    if path.is_file():
        return [str(mark) for (mark,) in rows_of(path, "SELECT mark FROM mark")]
    return marks_in_database(home, population)


def uploads(home: Home) -> Iterator[Fault]:
    """Every upload that stands has its key and its pieces, and every key its upload."""
    keys = {path.name for path in home.upload_keys.glob("*")}
    every = records.every(home)
    for upload in every:
        if upload.state not in records.STANDING:
            continue
        if upload.id not in keys:
            yield Fault(
                f"the key of upload {upload.id} is gone: nobody reads it. Have the files handed"
                f" over again, and `python -m pipeline uploads delete {upload.id}`"
            )
        elif upload.state != "receiving" and not home.upload(upload.id).pieces(0).parent.is_dir():
            yield Fault(
                f"the pieces of upload {upload.id} are gone, its key lies here: is the disk of"
                " state/restricted/uploads away? Else have the files handed over again, and"
                f" `python -m pipeline uploads delete {upload.id}`"
            )
    for name in sorted(keys - {upload.id for upload in every}):
        yield Fault(
            f"there is a key of upload {name} and no upload: is the disk of"
            " state/restricted/uploads away? Else `python -m pipeline uploads delete-due` removes"
            " it after a day"
        )


QUESTIONS = (
    Question("the permanent key is the one that the ledger notes", permanent),
    Question("the registers of cohorts are those of the last charges", registers),
    Question("uploads have their keys and their pieces", uploads),
)
