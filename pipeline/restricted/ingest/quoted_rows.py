"""CSV whose quoted cells may hold line breaks, for a table that declares `line_breaks: true`.

The declaration vouches that a program wrote the file by RFC 4180. Then every row has an even number
of quotes, whatever its cells hold, so that where a row ends depends on the row alone. Quotes that
do not match are the structure's fault, like a damaged Parquet page: no such file is a source, and
the run stops (privacy_rules.md 2).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import csv_lines
from pipeline.restricted.ingest.csv_lines import BLOCK_BYTES, NEWLINE, QUOTE, Header, Parsed

LONGEST_ROW = 64 << 20  # bytes; a quote that opens a longer cell was never closed


def parsed_blocks(
    stream: BinaryIO, header: Header, name: str, block_bytes: int = BLOCK_BYTES
) -> Iterator[Parsed]:
    """The rows of the file `name` behind its header, block by block. Raises Refusal, with a line's
    number, where quotes do not match.
    """
    rest, n_lines = b"", 1
    while True:
        chunk = stream.read(block_bytes)
        rest += chunk.replace(header.line_end, b"\n") if chunk else b"\n"
        ends = _row_ends(rest)
        cut = int(ends[-1]) + 1 if len(ends) else 0
        if cut:
            yield _parse(rest[:cut], ends, header, name, n_lines)
            n_lines += rest.count(b"\n", 0, cut)
            rest = rest[cut:]
        if len(rest) > LONGEST_ROW or (not chunk and rest.strip()):
            raise _unmatched(name, n_lines + 1)
        if not chunk:
            return


def _row_ends(block: bytes) -> np.ndarray:
    """Where rows end: line breaks behind an even number of quotes. int [n]."""
    data = np.frombuffer(block, np.uint8)
    breaks = np.flatnonzero(data == NEWLINE)
    if b'"' not in block:
        return breaks
    n_quotes = np.searchsorted(np.flatnonzero(data == QUOTE), breaks)
    return breaks[n_quotes % 2 == 0]


def _parse(block: bytes, ends: np.ndarray, header: Header, name: str, line: int) -> Parsed:
    """Rows of one line as csv_lines parses them; the others by the csv module."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    single, rows, broken, n_latin1 = [], [], [], 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        row = block[start:end]
        if b"\n" not in row:
            single.append(row)
            continue
        is_latin1 = not csv_lines.is_utf8(row)
        cells = _cells(row.decode("latin-1" if is_latin1 else "utf-8"), header)
        if cells is None:
            raise _unmatched(name, line + block.count(b"\n", 0, start) + 1)
        n_latin1 += is_latin1
        if len(cells) == len(header.fields) and len(row) < header.longest:
            rows.append(cells)
        else:
            is_long = len(row) >= header.longest
            reason = csv_lines.LONG_ROW if is_long else csv_lines.BROKEN_ROW
            broken.append((csv_lines.owner_cell(cells, header), reason))
    if not single:
        return Parsed(csv_lines.frame(b"", rows, header), csv_lines.broken_frame(broken), n_latin1)
    plain = csv_lines.parse(b"\n".join(single) + b"\n", header)
    return Parsed(
        plain.cells.vstack(csv_lines.frame(b"", rows, header)),
        plain.broken.vstack(csv_lines.broken_frame(broken)),
        plain.n_latin1 + n_latin1,
    )


def _cells(text: str, header: Header) -> list[str] | None:
    """The cells of one row; None where its quotes do not match."""
    csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=header.separator)
    try:
        rows = list(reader)
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _unmatched(name: str, line: int) -> Refusal:
    return Refusal(
        f"{name}: from line {line} on, quotes do not match, though the declaration says"
        " `line_breaks: true`. Write the file again by a program that quotes by RFC 4180, save it"
        " as Parquet, or take `line_breaks` out: then a row with a line break costs its patient."
    )
