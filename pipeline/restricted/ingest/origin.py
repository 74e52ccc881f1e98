"""Whose rows lie in `restricted/data`. Ingest notes it beside them; reserve and train compare.

A charge names a population, its cohorts and the state of the source. Between ingest and the charge
somebody may edit the workspace's declaration or settings: then rows that were read for one
population would be opened under a charge to another (privacy_rules.md 16).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline import files
from pipeline.catalog import Restricted
from pipeline.models.declaration import to_plain
from pipeline.params import ReleaseParams
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema

KEY = "origin"  # in ingest.json and reservation.json
_WORDS = {
    "population": "population.name in dataset.yaml",
    "source": "release.source in params.yaml",
    "source_label": "release.source_label in params.yaml",
    "cohorts": "release.cohorts in params.yaml",
    "declaration": "dataset.yaml",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Whose rows were read, and from where. Restricted.

    cohorts: those that were let through; none: everybody's. declaration: SHA-256 of what
        dataset.yaml said. mark: of the register of cohorts when the last patient was looked up;
        None without a register.
    """

    population: str
    source: str | None
    source_label: str | None
    cohorts: tuple[str, ...]
    declaration: str
    mark: str | None = None


def origin_of(schema: Schema, release: ReleaseParams, marks: Sequence[str] = ()) -> Origin:
    """What a workspace says of its rows. marks: of the register of cohorts, oldest first."""
    return Origin(
        population=schema.population.name,
        source=release.source,
        source_label=release.source_label,
        cohorts=tuple(release.cohorts),
        declaration=files.json_sha256(to_plain(schema)),
        mark=marks[-1] if marks else None,
    )


def to_json(origin: Origin) -> dict[str, Any]:
    return {KEY: {**asdict(origin), "cohorts": list(origin.cohorts)}}


def of_charge(reservation: Mapping[str, Any]) -> Origin | None:
    """What the workspace said when the charge was made, of reservation.json; None in one of an
    earlier version.
    """
    return _from_json(reservation[KEY]) if KEY in reservation else None


def _from_json(fields_of: Mapping[str, Any]) -> Origin:
    return Origin(**{**fields_of, "cohorts": tuple(fields_of["cohorts"])})


def read(restricted: Restricted) -> Origin | None:
    """What ingest noted; None where there are no rows in the workspace. Raises Refusal for rows of
    an ingest that noted nothing.
    """
    report = files.read_json(restricted.ingest_report)
    if report is None:
        return None
    if KEY not in report:
        raise Refusal(
            "ingest.json does not say whose rows ingest read (it is of an earlier version): run"
            " the stage ingest again, then those behind it. Nothing was charged or opened"
        )
    return _from_json(report[KEY])


def rows_digest(restricted: Restricted, salt: str) -> str:
    """Of the rows that training reads, as ingest wrote them; 32 hexadecimal digits. Restricted."""
    digests = [salt]
    for path in (restricted.patients, restricted.events):
        if path.is_file():
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:32]


def refuse_other_rows(note: Origin, now: Origin, marks: Sequence[str]) -> None:
    """Raises Refusal where the workspace no longer says what ingest noted, or where the register of
    cohorts is not the one in which its patients were looked up (`marks`: those it has).
    """
    changes = [
        f"{_WORDS[name]} ({_change(name, getattr(note, name), getattr(now, name))})"
        for name in (field.name for field in fields(Origin) if field.name in _WORDS)
        if getattr(note, name) != getattr(now, name)
    ]
    if changes:
        raise Refusal(
            "since ingest read the rows, somebody changed"
            f" {'; '.join(changes)}: the rows would be opened under a charge that is not theirs."
            " Nothing was charged or opened. Put it back, or run ingest again and the stages"
            " behind it; what was charged already stays charged, and another charge needs a new"
            " release id"
        )
    if note.mark is not None and note.mark not in marks:
        raise Refusal(
            f"population {note.population}: the register of cohorts is not the one in which ingest"
            " looked the patients up, or an old copy of it: they might move between cohorts."
            " Restore the newest backup of state/restricted/cohorts. Nothing was charged or opened"
        )


def _change(name: str, before: object, after: object) -> str:
    return "it says something else" if name == "declaration" else f"{before!r}, now {after!r}"
