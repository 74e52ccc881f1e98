"""What the custodian declared: for each dataset where its source lies, its public label and its
last day of observation.

The label is public and is chosen by a person, never computed from files (privacy_rules.md 1).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import date

import sqlalchemy as sa
from ruamel.yaml import YAML
from sqlalchemy.engine import Connection

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs import places, registers

LABEL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")  # the form in Airflow takes it, too


@dataclass(frozen=True, kw_only=True)
class Source:
    """One declared source. `path`: folder, file, address of a database, or an
    upload (upload:<id>). `label`: public name of
    this state of it.
    """

    path: str
    label: str
    extract_date: date | None = None

    def __post_init__(self) -> None:
        if not LABEL.fullmatch(self.label):
            raise Refusal(
                f"source label {self.label!r}: 1 to 64 letters, digits, blanks and . _ -, beginning"
                " with a letter or digit"
            )


def load(home: Home) -> dict[str, Source]:
    """Every declared source by dataset; empty where none was declared yet. On one host they stand
    in a file that a person may edit.
    """
    if home.deployment.is_shared:
        return _shared(home)
    return _of_file(home)


def _of_file(home: Home) -> dict[str, Source]:
    if not home.sources.is_file():
        return {}
    value = YAML(typ="safe").load(home.sources.read_text(encoding="utf-8")) or {}
    return {dataset: Source(**fields) for dataset, fields in value.items()}


def get(home: Home, dataset: str) -> Source | None:
    return load(home).get(dataset)


def declare(home: Home, dataset: str, source: Source) -> None:
    """Declares (or replaces) the source of a dataset. Raises Refusal where nothing lies at its
    path.
    """
    places.refuse_missing(source.path, dataset)
    _write(home, {**load(home), dataset: source})


def withdraw(home: Home, dataset: str, path: str) -> bool:
    """Takes the declaration of a dataset back where it still names `path`; whether it did."""
    sources = load(home)
    if dataset not in sources or sources[dataset].path != path:
        return False
    del sources[dataset]
    _write(home, sources)
    return True


def _write(home: Home, sources: dict[str, Source]) -> None:
    if home.deployment.is_shared:
        with registers.transaction(home) as connection:
            connection.execute(sa.delete(registers.SOURCE))
            _insert(connection, sources)
        return
    yaml = YAML()
    with files.replacing(home.sources) as temporary, temporary.open("w", encoding="utf-8") as file:
        yaml.dump({name: asdict(entry) for name, entry in sorted(sources.items())}, file)


def _shared(home: Home) -> dict[str, Source]:
    """What the database holds. A file of before is taken over once, where the database does not
    know its datasets, and renamed.
    """
    older = _of_file(home)
    with registers.transaction(home) as connection:
        there = {
            row.dataset: Source(path=row.path, label=row.label, extract_date=row.extract_date)
            for row in connection.execute(sa.select(registers.SOURCE))
        }
        new = {name: source for name, source in older.items() if name not in there}
        _insert(connection, new)
    if home.sources.is_file():
        registers.retire(home.sources)
    return there | new


def _insert(connection: Connection, sources: dict[str, Source]) -> None:
    rows = [{"dataset": name, **asdict(source)} for name, source in sources.items()]
    registers.insert_new(connection, registers.SOURCE, rows)
