"""The check of an upload's structure once all is there: decrypted in memory, in a pipeline process
only.
"""

from __future__ import annotations

from pipeline import params
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import source_files
from pipeline.restricted.uploads import findings, structure
from pipeline.restricted.uploads.problems import FileFindings, noting
from pipeline.runs.declarations import declaration_path
from pipeline.runs.uploads import decryption, records
from pipeline.runs.uploads.records import Upload, UploadFile
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema


def check(home: Home, upload_id: str) -> Upload:
    """Reads every file that was not looked through while it arrived, decrypted in memory.

    Raises Refusal where not all has arrived; RuntimeError, without what a library says, which may
    quote a value, for an unexpected fault.
    """
    upload = findings.settle(home, upload_id)
    if upload.state == "receiving":
        raise Refusal(f"upload {upload_id}: not all of it has arrived")
    schema = read_schema(declaration_path(upload.dataset))
    longest = params.load(home.params).ingest.max_cell_bytes
    numbers = findings.of_upload(home, upload_id)
    for file in upload.files:
        if upload.state != "received" or file.number in numbers:
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
        findings.note(home, upload_id, file.number, result)
        upload = records.load(home, upload_id)
    return findings.settle(home, upload_id)


def _check_one(
    home: Home, schema: Schema, upload: Upload, file: UploadFile, max_cell_bytes: int
) -> FileFindings:
    found_in_file = FileFindings(file.name)
    with noting(found_in_file):
        clear = decryption.whole_file(home, upload, file)
        if file.table is not None:
            return structure.check_file(schema.tables[file.table], clear, max_cell_bytes)
        structure.opened(clear)
        with source_files.of_upload(schema, [clear]) as sources:
            for source in sources.values():
                structure.read(source, found_in_file, max_cell_bytes)
    return found_in_file
