"""CSV as independent lines: one line is one row, whatever stands in it.

A general CSV parser lets one unclosed quote swallow the rows behind it, and one huge cell fill the
memory: one patient's dirt would change another's rows (privacy_rules.md 7). Here each line is
parsed for itself. An export must hold no line break inside a cell: what stands behind one looks
like a row of its own. A line with a quote where RFC 4180 allows none is such a remainder, and an
orphan row, whatever its first cell says; one without any quote cannot be told from a row. Parquet
has no such doubt. A line that does not parse for another reason keeps the text of its owner's cell
where that can be read, so that its patient can be dropped whole.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import polars as pl

BLOCK_BYTES = 8 << 20
NEWLINE, COMMA, QUOTE = 10, 44, 34
LONGEST_BLANK = 64  # bytes
BROKEN_ROW, LONG_ROW = "row does not parse", "row too long"


# Whole cells, quoted or plain, and then a plain cell with a quote in it. Possessive: no line is
# gone through twice.
_STRAY_QUOTE = re.compile(r'(?:(?:"(?:[^"]|"")*+"|[^",]*+),)*+[^",]++"')


@dataclass(frozen=True)
class Header:
    """What stands where in a line. `owner`: position of the cell that says whose row it is, None
    for a table without such a column.
    """

    fields: tuple[str, ...]
    owner: int | None
    longest: int  # bytes; a longer line is not parsed


@dataclass(frozen=True)
class Parsed:
    """One block: `cells` [rows, fields] of text (null: empty); `broken`: owner (text or null) and
    reason of the rows that do not parse.
    """

    cells: pl.DataFrame
    broken: pl.DataFrame
    n_latin1: int


def blocks(stream: BinaryIO, longest: int, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Whole lines, about `block_bytes` at a time. Of a line longer than `longest` bytes only its
    two ends are kept, still too long together.
    """
    rest = b""
    while chunk := stream.read(block_bytes):
        rest += chunk
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        if len(rest) > 2 * longest:
            rest = _ends(rest, longest)
    if rest:
        yield rest + b"\n"


def _ends(line: bytes, longest: int) -> bytes:
    """The two ends of an unfinished line: whichever cells lie whole in them can still be read."""
    return line[:longest] + line[-longest:]


def parse(block: bytes, header: Header) -> Parsed:
    """The rows of a block of whole lines. Blank lines are no rows."""
    n_fields = len(header.fields)
    block, n_latin1 = _utf8(block)
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1  # with the line break
    n_commas = np.add.reduceat(data == COMMA, starts, dtype=np.int32)
    has_odd = b'"' in block or b"\0" in block
    is_odd = (
        np.add.reduceat((data == QUOTE) | (data == 0), starts, dtype=np.int32) > 0
        if has_odd
        else np.zeros(len(ends), bool)
    )
    is_blank = np.zeros(len(ends), bool)
    for index in np.flatnonzero((lengths <= LONGEST_BLANK) & (n_commas == 0)):
        is_blank[index] = not block[starts[index] : ends[index]].strip()
    is_plain = ~is_odd & ~is_blank & (n_commas == n_fields - 1) & (lengths <= header.longest)
    plain = block if is_plain.all() else data[np.repeat(is_plain, lengths)].tobytes()
    rows, broken = [], []
    for index in np.flatnonzero(~is_plain & ~is_blank):
        line = block[starts[index] : ends[index]]
        cells, reason = _parse_line(line, header)
        if reason is None:
            rows.append(cells)
        else:
            broken.append((_owner_cell(cells, header), reason))
    return Parsed(
        _frame(plain, rows, header),
        pl.DataFrame(broken, {"owner": pl.String, "reason": pl.String}, orient="row"),
        n_latin1,
    )


def _utf8(block: bytes) -> tuple[bytes, int]:
    """The block in UTF-8; a line that is not is read as latin-1, line by line, and counted."""
    try:
        block.decode()
        return block, 0
    except UnicodeDecodeError:
        pass
    lines, n_latin1 = block.split(b"\n"), 0
    for index, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError:
            lines[index] = line.decode("latin-1").encode()
            n_latin1 += 1
    return b"\n".join(lines), n_latin1


def _parse_line(line: bytes, header: Header) -> tuple[list[str], str | None]:
    """The cells of one line, as far as they can be read, and what is wrong with it (None:
    nothing).
    """
    too_long = len(line) >= header.longest
    text = line.decode(errors="replace").rstrip("\r")
    csv.field_size_limit(1 << 30)
    if not too_long and _has_stray_quote(text):
        return [], BROKEN_ROW
    try:
        cells = next(csv.reader([text], strict=not too_long), [])
    except csv.Error:
        return _leading_cells(text), BROKEN_ROW
    if too_long:
        return cells, LONG_ROW
    if len(cells) != len(header.fields) or "\0" in text:
        return cells, BROKEN_ROW
    return cells, None


def _has_stray_quote(text: str) -> bool:
    """Whether a cell that does not begin with a quote holds one: the end of another line's quoted
    cell may lie here (RFC 4180, 2.5).
    """
    return '"' in text and _STRAY_QUOTE.match(text) is not None


def _leading_cells(text: str) -> list[str]:
    """The cells before the first quote: what stands behind it may mean anything."""
    return text.split('"', 1)[0].split(",")[:-1]


def _owner_cell(cells: list[str], header: Header) -> str | None:
    return (
        (cells[header.owner] or None)
        if header.owner is not None and header.owner < len(cells)
        else None
    )


def _frame(plain: bytes, rows: list[list[str]], header: Header) -> pl.DataFrame:
    """Plain lines by polars, the others as parsed. Columns by position: `c0`, `c1`, ..."""
    names = [f"c{index}" for index in range(len(header.fields))]
    schema = dict.fromkeys(names, pl.String)
    frames = (
        [pl.DataFrame(rows, schema, orient="row").with_columns(pl.col(pl.String).replace("", None))]
        if rows
        else []
    )
    if plain:
        frames.insert(
            0,
            pl.read_csv(
                plain,
                has_header=False,
                schema=schema,
                quote_char=None,
                empty_string_is_null=True,
                low_memory=True,
            ),
        )
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
