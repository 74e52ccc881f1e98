"""The check of an upload's structure: what the live checks found, and what is read once all is
there. Whatever is found is for the upload's custodian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline import files, params
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import source_files
from pipeline.restricted.uploads import structure
from pipeline.restricted.uploads.structure import FileFindings
from pipeline.runs.declarations import declaration_path
from pipeline.runs.uploads import decryption, reception, records
from pipeline.runs.uploads.records import Upload, UploadFile
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

_OPEN: frozenset[records.State] = frozenset(("receiving", "received"))


def findings(home: Home, upload_id: str) -> Mapping[int, FileFindings]:
    """What is found so far, by the number of the file."""
    value = files.read_json(home.upload(upload_id).findings, {})
    return {int(number): FileFindings.from_json(one) for number, one in value.items()}


def note(home: Home, upload_id: str, number: int, found_in_file: FileFindings) -> None:
    """Writes down what was found in a file; a wrong structure refuses the upload."""
    with records.locked(home, upload_id) as upload:
        if upload.state not in _OPEN:
            return
        every = {**findings(home, upload_id), number: found_in_file}
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
        numbers = findings(home, upload_id).keys()
        is_known = all(one.number in numbers for one in upload.files)
        if upload.state == "received" and is_known and not upload.is_structure_known:
            upload = replace(upload, is_structure_known=True)
            records.save(home, upload)
        return upload


def check(home: Home, upload_id: str) -> Upload:
    """Reads every file that was not looked through while it arrived, decrypted in memory.

    Raises Refusal where not all has arrived; RuntimeError, without what a library says, which may
    quote a value, for an unexpected fault.
    """
    upload = settle(home, upload_id)
    if upload.state == "receiving":
        raise Refusal(f"upload {upload_id}: not all of it has arrived")
    schema = read_schema(declaration_path(upload.dataset))
    longest = params.load(home.params).ingest.max_cell_bytes
    done_already = findings(home, upload_id)
    for file in upload.files:
        if upload.state != "received" or file.number in done_already:
            continue
        try:
            result = _check_one(home, schema, upload, file, longest)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
                raise
            raise RuntimeError(
                f"the check of file {file.number} of upload {upload_id} stopped by"
                f" {type(error).__name__}"
            ) from None
        note(home, upload_id, file.number, result)
        upload = records.load(home, upload_id)
    return settle(home, upload_id)


def _check_one(
    home: Home, schema: Schema, upload: Upload, file: UploadFile, max_cell_bytes: int
) -> FileFindings:
    found_in_file = FileFindings(file.name)
    with structure.noting(found_in_file):
        clear = decryption.whole_file(home, upload, file)
        if file.table is not None:
            return structure.check_file(schema.tables[file.table], clear, max_cell_bytes)
        structure.opened(clear)
        with source_files.of_upload(schema, [clear]) as sources:
            for source in sources.values():
                structure.read(source, found_in_file, max_cell_bytes)
    return found_in_file


def refuse(home: Home, upload_id: str, reason: str) -> None:
    """Refuses an upload before or while it arrives."""
    with records.locked(home, upload_id) as upload:
        if upload.state in _OPEN:
            reasons = (*upload.reasons, structure.shortened(reason))
            records.save(home, replace(upload, state="refused", reasons=reasons))
