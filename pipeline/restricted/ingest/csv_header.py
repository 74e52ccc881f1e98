"""The first line of a CSV file: its columns' names, and how its lines end."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from pipeline.refusal import Refusal
from pipeline.restricted.ingest.text_bytes import NOT_TEXT, ByteStream
from pipeline.schema.encodings import UTF8
from pipeline.schema.source_formats import SEPARATORS
from pipeline.schema.values import Table

HEADER_BYTES = 1 << 20
MARK = "\ufeff"  # byte-order mark
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read(stream: ByteStream, name: str, separator: str) -> tuple[list[str], bytes]:
    """The header's fields and the bytes that end a line; leaves the stream behind them. Lines end
    as the first one does: by a line feed, or, in a file without any in its first megabyte, by a
    carriage return.

    Raises Refusal for a file `name` whose first line is no header.
    """
    start = stream.read(HEADER_BYTES)
    if start.startswith(WIDE_BOMS) or b"\0" in start.split(b"\n", 1)[0]:
        raise Refusal(
            f"{name} is not a text file in UTF-8 or latin-1 (it looks like UTF-16 or binary)."
            " Save it as CSV in UTF-8, or declare `encoding:` under the table."
        )
    if not start.strip():
        raise Refusal(f"{name} is empty. Every table needs at least its header.")
    line_end = b"\n" if b"\n" in start or b"\r" not in start else b"\r"
    line, end, _ = start.partition(line_end)
    if not end and len(start) == HEADER_BYTES:
        raise Refusal(f"{name}: the header is longer than a megabyte: this is no CSV file.")
    stream.seek(len(line) + len(end))
    text = _text(line).strip("\r\n")
    if NOT_TEXT in text:
        raise Refusal(
            f"{name}, line 1 holds bytes that are no text in the declared encoding. Correct"
            " `encoding:` under the table."
        )
    _refuse_other_first_line(text, name)
    csv.field_size_limit(1 << 30)
    try:
        fields = next(csv.reader([text], delimiter=separator))
    except csv.Error as error:
        raise Refusal(f"{name}, line 1: the header does not parse as CSV ({error}).") from None
    return [field.strip() for field in fields], line_end


def _text(line: bytes) -> str:
    """The line without byte-order marks, however many a chain of programs put there."""
    try:
        return line.decode().lstrip(MARK)
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _refuse_other_first_line(text: str, name: str) -> None:
    """Names line 1 where it is none of column names, before every column is called missing."""
    if not text.strip():
        raise Refusal(f"{name}, line 1 is blank: the header must be the first line. Take it out.")
    if text.lstrip().startswith("#"):
        raise Refusal(
            f"{name}, line 1 is a comment (#...): the header must be the first line. Take it out."
        )
    if text.lower().startswith("sep="):
        mark = text[4:5]
        advice = f' and declare `separator: "{mark}"` under the table' if mark != "," else ""
        raise Refusal(f"{name}, line 1 is {text!r}, a note for Excel: take it out{advice}.")


def separator_hint(fields: Sequence[str], table: Table) -> str:
    """What the header's only field says about the separator; empty where that is not the fault."""
    if len(fields) != 1 or len(table.columns) == 1:
        return ""
    marks = [mark for mark in SEPARATORS if mark in fields[0]]
    if marks:
        return (
            f" The header is separated by {NAMES[marks[0]]}, not by {_in_words(table.separator)}:"
            f" declare `separator: {marks[0]!r}` under the table."
        )
    encoding = "" if table.encoding == UTF8 else f", and in {table.encoding}"
    return (
        " The header has a single field: is the file separated by"
        f" {_in_words(table.separator)}{encoding}?"
    )


def _in_words(mark: str) -> str:
    return NAMES.get(mark, repr(mark))
