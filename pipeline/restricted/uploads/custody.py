"""What a custodian does with an upload: begin it, lift its quarantine, declare it as a source, set
the day on which it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.restricted.uploads import names
from pipeline.runs import source_claims, sources
from pipeline.runs.declarations import declaration_path
from pipeline.runs.sources import Source
from pipeline.runs.uploads import reception, records
from pipeline.runs.uploads.reception import Announcement
from pipeline.runs.uploads.records import Upload
from pipeline.schema.reader import read_schema

LONGEST_KEPT = timedelta(days=5 * 366)  # from the day on which somebody sets it


def begin(
    home: Home, dataset: str, announced: Sequence[tuple[str, int]], *, by: str, delete_on: date
) -> Upload:
    """Makes an upload for files (name, bytes) of a dataset. Raises Refusal, and makes nothing, for
    files that are none of its tables, a population of invented patients, or a day that is past.
    """
    schema = read_schema(declaration_path(dataset))
    if schema.population.kind == "simulated":
        raise Refusal(
            f"{dataset} is simulated: its source is a folder that the simulator wrote, never an"
            " upload"
        )
    _check_day(delete_on)
    tables = names.tables_of(schema, [name for name, _ in announced])
    return reception.create(
        home,
        dataset,
        [
            Announcement(name, size, table)
            for (name, size), table in zip(announced, tables, strict=True)
        ],
        by=by,
        delete_on=delete_on,
    )


def lift(home: Home, upload_id: str, *, label: str, extract_date: date | None, by: str) -> Upload:
    """Lifts the quarantine: stages may read the upload from now on. Raises Refusal where its
    structure is not known to be right, or where label or date are none.
    """
    upload = records.load(home, upload_id)
    Source(path=upload.address, label=label, extract_date=extract_date)
    log = read_schema(declaration_path(upload.dataset)).events
    if log is not None and log.observation_end and extract_date is None:
        raise Refusal(f"{upload.dataset} is observed up to a public last day: give it")
    with records.locked(home, upload_id) as upload:
        if upload.state != "received" or not upload.is_structure_known:
            raise Refusal(
                f"upload {upload_id} is {upload.state}: its quarantine is lifted once all has"
                " arrived and its structure was checked"
            )
        upload = replace(
            upload, state="checked", label=label, extract_date=extract_date, lifted_by=by
        )
        records.save(home, upload)
        return upload


def declare(home: Home, upload_id: str) -> Upload:
    """Makes the upload the source of its dataset. Raises Refusal for one in quarantine; again
    changes nothing.
    """
    upload = records.readable(home, upload_id)
    population = read_schema(declaration_path(upload.dataset)).population
    source_claims.claim(home, upload.address, population=population.name, kind=population.kind)
    source = Source(path=upload.address, label=str(upload.label), extract_date=upload.extract_date)
    sources.declare(home, upload.dataset, source)
    return records.change(home, upload_id, among=records.LIFTED, state="declared")


def set_delete_on(home: Home, upload_id: str, day: date) -> Upload:
    """Sets the day on which the upload is deleted with all that came from it."""
    _check_day(day)
    return records.change(home, upload_id, among=records.STANDING, delete_on=day)


def _check_day(day: date) -> None:
    today = datetime.now(UTC).date()
    if not today < day <= today + LONGEST_KEPT:
        raise Refusal(f"the day of deletion lies after today, and within {LONGEST_KEPT.days} days")
