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

import numpy as np

from pipeline.refusal import Refusal
from pipeline.restricted.ingest import csv_lines
from pipeline.restricted.ingest.csv_lines import BLOCK_BYTES, NEWLINE, QUOTE, Header, Parsed
from pipeline.restricted.ingest.text_bytes import NOT_TEXT, ByteStream

LONGEST_ROW = 64 << 20  # bytes; a quote that opens a longer cell was never closed


def parsed_blocks(
    stream: ByteStream, header: Header, name: str, block_bytes: int | None = None
) -> Iterator[Parsed]:
    """The rows of the file `name` behind its header, block by block. Raises Refusal, with a line's
    number, where quotes do not match.
    """
    rest, n_lines = b"", 1
    while True:
        chunk = stream.read(block_bytes or BLOCK_BYTES)
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
    """Rows of one line as csv_lines parses them; the others by the csv module. `line`: how many
    lines stand before the block.
    """
    starts = np.concatenate([[0], ends[:-1] + 1])
    before = line + np.searchsorted(
        np.flatnonzero(np.frombuffer(block, np.uint8) == NEWLINE), starts
    )
    single, rows, broken, n_latin1 = [], [], [], 0
    places: dict[str, list[int]] = {"single": [], "rows": [], "broken": []}
    for start, end, number in zip(starts.tolist(), ends.tolist(), before.tolist(), strict=True):
        row = block[start:end]
        if b"\n" not in row:
            single.append(row)
            places["single"].append(number + 1)
            continue
        is_latin1 = not csv_lines.is_utf8(row)
        text = row.decode("latin-1" if is_latin1 else "utf-8")
        cells = _cells(text, header)
        if cells is None:
            raise _unmatched(name, number + 1)
        n_latin1 += is_latin1
        reason = _fault(row, text, cells, header)
        places["broken" if reason else "rows"].append(number + 1)
        if reason is None:
            rows.append(cells)
        else:
            broken.append((csv_lines.owner_cell(cells, header), reason))
    plain = csv_lines.parse(b"\n".join(single) + b"\n", header, 0) if single else _nothing(header)
    numbers = np.array(places["single"], np.int64)
    return Parsed(
        plain.cells.vstack(csv_lines.frame(b"", rows, header)),
        plain.broken.vstack(csv_lines.broken_frame(broken)),
        plain.n_latin1 + n_latin1,
        np.concatenate([numbers[plain.lines], np.array(places["rows"], np.int64)]),
        np.concatenate([numbers[plain.broken_lines], np.array(places["broken"], np.int64)]),
    )


def _nothing(header: Header) -> Parsed:
    none = np.array([], np.int64)
    return Parsed(csv_lines.frame(b"", [], header), csv_lines.broken_frame([]), 0, none, none)


def _fault(row: bytes, text: str, cells: list[str], header: Header) -> str | None:
    """What is wrong with a row of several lines; None: nothing."""
    if len(row) >= header.longest:
        return csv_lines.LONG_ROW
    if NOT_TEXT in text:
        return csv_lines.FOREIGN_ROW
    return None if len(cells) == len(header.fields) else csv_lines.BROKEN_ROW


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
