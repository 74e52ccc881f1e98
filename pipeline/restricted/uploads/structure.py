"""The structure of one file of an upload, read as ingest reads it, so that both find the same. What
is wrong with a cell's value is for ingest's account (privacy_rules.md 2).
"""

from __future__ import annotations

import zipfile

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import reading, source_files
from pipeline.restricted.ingest.file_faults import structure
from pipeline.restricted.ingest.source_header import Source
from pipeline.restricted.ingest.text_bytes import ByteFile
from pipeline.restricted.uploads import first_bytes, guard
from pipeline.restricted.uploads.problems import FileFindings, noting
from pipeline.schema.values import Table


def check_file(table: Table, file: ByteFile, max_cell_bytes: int) -> FileFindings:
    """Reads one file of one table to its end."""
    findings = FileFindings(file.name)
    with noting(findings):
        source = source_files.open_source(table, opened(file))
        read(source, findings, max_cell_bytes)
    return findings


def opened(file: ByteFile) -> ByteFile:
    """The file under its bounds. Raises Refusal where it is another than its name says."""
    with file.open("rb") as raw:
        first_bytes.check(file.name, raw.read(first_bytes.LONGEST))
    with structure(file.name):
        try:
            return guard.guarded(file)
        except zipfile.BadZipFile:
            raise Refusal(f"{file.name} is no readable Excel workbook (BadZipFile)") from None


def read(source: Source, findings: FileFindings, max_cell_bytes: int) -> None:
    """Reads one table to its end."""
    for block in reading.blocks(source, max_cell_bytes):
        findings.add(block, max_cell_bytes)
