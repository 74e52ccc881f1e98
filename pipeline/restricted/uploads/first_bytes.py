"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pipeline.refusal import Refusal

GZIP, ZIP, PARQUET, DUCKDB = b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"DUCK"
LONGEST = 16  # bytes that are looked at
_MARKS: Mapping[str, tuple[int, bytes, str]] = MappingProxyType(  # place, bytes, word
    {
        ".gz": (0, GZIP, "gzip"),
        ".xlsx": (0, ZIP, "an Excel workbook"),
        ".parquet": (0, PARQUET, "Parquet"),
        ".duckdb": (8, DUCKDB, "a DuckDB database"),
    }
)
_FOREIGN: Mapping[bytes, str] = MappingProxyType(
    {
        GZIP: "gzip: end its name in .gz",
        ZIP: "a zip archive or a workbook: send the files in it",
        b"PK\x05\x06": "an empty zip archive",
        PARQUET: "Parquet: end its name in .parquet",
        b"%PDF": "a PDF document",
        b"\x7fELF": "a program",
        b"MZ\x90\x00": "a program",
        b"7z\xbc\xaf\x27\x1c": "a 7z archive",
        b"Rar!": "a RAR archive",
        b"BZh": "bzip2",
        b"\xfd7zXZ": "xz",
        b"\x28\xb5\x2f\xfd": "Zstandard",
        b"\x89PNG": "a picture",
        b"\xff\xd8\xff": "a picture",
        b"\xd0\xcf\x11\xe0": "an old Office document: save it as .xlsx or CSV",
        b"SQLite format 3": "a SQLite database",
    }
)


def check(name: str, start: bytes) -> None:
    """`start`: the first bytes of the file `name`, as many as there are. Raises Refusal for a file
    that is another than its name says.
    """
    for ending, (place, mark, word) in _MARKS.items():
        if name.lower().endswith(ending):
            there = start[place : place + len(mark)]
            if there != mark[: len(there)]:
                raise Refusal(f"{name} is not {word}, though its name says so")
            return
    for mark, word in _FOREIGN.items():
        if start.startswith(mark):
            raise Refusal(f"{name} is no text, as its name says, but {word}")
