"""What is found of an upload's structure, as it is noted with the upload, for its custodian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline import files
from pipeline.catalog import Home
from pipeline.restricted.uploads.problems import FileFindings, shortened
from pipeline.runs.uploads import reception, records
from pipeline.runs.uploads.records import Upload

_OPEN: frozenset[records.State] = frozenset(("receiving", "received"))


def of_upload(home: Home, upload_id: str) -> Mapping[int, FileFindings]:
    """What is found so far, by the number of the file."""
    value = files.read_json(home.upload(upload_id).findings, {})
    return {int(number): FileFindings.from_json(one) for number, one in value.items()}


def note(home: Home, upload_id: str, number: int, found_in_file: FileFindings) -> None:
    """Writes down what was found in a file; a wrong structure refuses the upload."""
    with records.locked(home, upload_id) as upload:
        if upload.state not in _OPEN:
            return
        every = {**of_upload(home, upload_id), number: found_in_file}
        files.write_json(
            home.upload(upload_id).findings,
            {str(key): one.to_json() for key, one in every.items()},
        )
        if found_in_file.refusal is not None:
            reasons = (*upload.reasons, found_in_file.refusal)
            records.save(home, replace(upload, state="refused", reasons=reasons))


def settle(home: Home, upload_id: str) -> Upload:
    """Notes that the structure is known where every file has arrived and was looked through."""
    reception.finish(home, upload_id)
    with records.locked(home, upload_id) as upload:
        numbers = of_upload(home, upload_id).keys()
        is_known = all(one.number in numbers for one in upload.files)
        if upload.state == "received" and is_known and not upload.is_structure_known:
            upload = replace(upload, is_structure_known=True)
            records.save(home, upload)
        return upload


def refuse(home: Home, upload_id: str, reason: str) -> None:
    """Refuses an upload before or while it arrives."""
    with records.locked(home, upload_id) as upload:
        if upload.state in _OPEN:
            reasons = (*upload.reasons, shortened(reason))
            records.save(home, replace(upload, state="refused", reasons=reasons))
