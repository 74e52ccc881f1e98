"""CSV as independent lines: one line is one row, whatever stands in it.

A general CSV parser lets one unclosed quote swallow the rows behind it, and one huge cell fill the
memory: one patient's dirt would change another's rows (privacy_rules.md 7). Here each line is
parsed for itself: what stands behind a line break in a cell looks like a row of its own. A line
with a quote where RFC 4180 allows none is such a remainder, and an orphan row, whatever its first
cell says; one without any quote cannot be told from a row. Parquet has no such doubt, nor has a
file whose declaration vouches for its quotes (`line_breaks`, quoted_rows.py). A line that does not
parse for another reason keeps the text of its owner's cell where that can be read, so that its
patient can be dropped whole.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from pipeline.restricted.ingest.text_bytes import NOT_TEXT, NOT_TEXT_BYTES, ByteStream

NDArray = np.ndarray
BLOCK_BYTES = 8 << 20
NEWLINE, QUOTE = 10, 34
LONGEST_BLANK = 64  # bytes
BROKEN_ROW, LONG_ROW = "row does not parse", "row too long"
OPEN_ROW = "row ends inside a quoted cell"
FOREIGN_ROW = "row holds bytes that are no text in the file's encoding"
# stands for a lone carriage return until `repairs.blanks` counts it
LINE_SEPARATOR = "\u2028"
_LONE_RETURN = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True)
class Header:
    """What stands where in a line. `owner`: position of the cell that says whose row it is, None
    for a table without such a column.
    """

    fields: tuple[str, ...]
    owner: int | None
    longest: int  # bytes; a longer line is not parsed
    separator: str = ","
    line_end: bytes = b"\n"  # as the header's own line ends; a return before it belongs to it


@dataclass(frozen=True)
class Parsed:
    """One block: `cells` [rows, fields] of text (null: empty); `broken`: owner (text or null) and
    reason of the rows that do not parse. `lines`, `broken_lines`: where they stand in the file, the
    header being line 1.
    """

    cells: pl.DataFrame
    broken: pl.DataFrame
    n_latin1: int
    lines: NDArray
    broken_lines: NDArray


def blocks(stream: ByteStream, header: Header, block_bytes: int | None = None) -> Iterator[bytes]:
    """Whole lines, about `block_bytes` at a time, or BLOCK_BYTES. Of a line longer than
    `header.longest` bytes only its two ends are kept, still too long together.
    """
    rest = b""
    while chunk := stream.read(block_bytes or BLOCK_BYTES):
        rest += chunk.replace(header.line_end, b"\n")
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        if len(rest) > 2 * header.longest:
            rest = _ends(rest, header.longest)
    if rest:
        yield rest + b"\n"


def _ends(line: bytes, longest: int) -> bytes:
    """The two ends of an unfinished line: whichever cells lie whole in them can still be read."""
    return line[:longest] + line[-longest:]


def parse(block: bytes, header: Header, first: int = 2) -> Parsed:
    """The rows of a block of whole lines, of which `first` is the number of the first. Blank lines
    are no rows.
    """
    block = _LONE_RETURN.sub(LINE_SEPARATOR.encode(), block)
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1  # with the line break
    n_separators = np.add.reduceat(_is_separator(data, header), starts, dtype=np.int32)
    is_odd = _odd_lines(block, data, starts)
    is_latin1 = _not_utf8(block, starts, ends)
    is_blank = np.zeros(len(ends), bool)
    for index in np.flatnonzero((lengths <= LONGEST_BLANK) & (n_separators == 0)):
        is_blank[index] = not block[starts[index] : ends[index]].strip()
    has_all_cells = (n_separators == len(header.fields) - 1) & (lengths <= header.longest)
    is_plain = ~is_odd & ~is_latin1 & ~is_blank & has_all_cells
    plain = block if is_plain.all() else data[np.repeat(is_plain, lengths)].tobytes()
    rows, broken = [], []
    places: dict[bool, list[int]] = {True: [], False: []}
    for index in np.flatnonzero(~is_plain & ~is_blank):
        line = block[starts[index] : ends[index]]
        cells, reason = parse_line(line, header, is_latin1=bool(is_latin1[index]))
        places[reason is None].append(int(index))
        if reason is None:
            rows.append(cells)
        else:
            broken.append((owner_cell(cells, header), reason))
    return Parsed(
        frame(plain, rows, header),
        broken_frame(broken),
        int(is_latin1.sum()),
        first + np.concatenate([np.flatnonzero(is_plain), np.array(places[True], np.int64)]),
        first + np.array(places[False], np.int64),
    )


def _is_separator(data: NDArray, header: Header) -> NDArray:
    """Where the last byte of a separator stands. bool [bytes]"""
    mark = header.separator.encode()
    is_mark = data == mark[-1]
    for back, byte in enumerate(reversed(mark[:-1]), 1):
        is_mark[:back] = False
        is_mark[back:] &= data[:-back] == byte
    return is_mark


def _odd_lines(block: bytes, data: NDArray, starts: NDArray) -> NDArray:
    """Which lines hold a quote, a NUL or bytes that are no text: they are read one by one.
    bool [lines]
    """
    is_odd = np.zeros(len(starts), bool)
    if b'"' in block or b"\0" in block:
        is_odd |= np.add.reduceat((data == QUOTE) | (data == 0), starts, dtype=np.int32) > 0
    place = block.find(NOT_TEXT_BYTES)
    while place >= 0:
        is_odd[np.searchsorted(starts, place, side="right") - 1] = True
        place = block.find(NOT_TEXT_BYTES, place + 1)
    return is_odd


def broken_frame(broken: list[tuple[str | None, str]]) -> pl.DataFrame:
    """owner (text or null) and reason, of rows that do not parse."""
    return pl.DataFrame(broken, {"owner": pl.String, "reason": pl.String}, orient="row")


def _not_utf8(block: bytes, starts: NDArray, ends: NDArray) -> NDArray:
    """Which lines are not UTF-8: they are read as latin-1, cell by cell, and counted. bool [n]."""
    is_latin1 = np.zeros(len(ends), bool)
    try:
        block.decode()
    except UnicodeDecodeError:
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            is_latin1[index] = not is_utf8(block[start:end])
    return is_latin1


def is_utf8(text: bytes) -> bool:
    """Whether the bytes are text in UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def parse_line(
    line: bytes, header: Header, *, is_latin1: bool = False
) -> tuple[list[str], str | None]:
    """The cells of one line, as far as they can be read, and what is wrong with it (None:
    nothing).
    """
    too_long = len(line) >= header.longest
    text = line.decode("latin-1" if is_latin1 else "utf-8", errors="replace").rstrip("\r")
    csv.field_size_limit(1 << 30)
    if not too_long and _has_stray_quote(text, header.separator):
        return [], BROKEN_ROW
    try:
        reader = csv.reader([text], strict=not too_long, delimiter=header.separator)
        cells = next(reader, [])
    except csv.Error:
        is_open = text.count('"') % 2 == 1
        return _leading_cells(text, header.separator), OPEN_ROW if is_open else BROKEN_ROW
    if is_latin1:
        cells = [_cell_text(cell) for cell in cells]
    if too_long:
        return cells, LONG_ROW
    if NOT_TEXT in text:
        return [cell if NOT_TEXT not in cell else "" for cell in cells], FOREIGN_ROW
    if len(cells) != len(header.fields) or "\0" in text:
        return cells, BROKEN_ROW
    return cells, None


def _cell_text(cell: str) -> str:
    """A cell of a line that was read as latin-1; in UTF-8 where its own bytes are."""
    content = cell.encode("latin-1", errors="replace")
    return content.decode() if is_utf8(content) else cell


def _has_stray_quote(text: str, separator: str) -> bool:
    """Whether a cell that does not begin with a quote holds one: the end of another line's quoted
    cell may lie here (RFC 4180, 2.5).
    """
    return '"' in text and _stray_quote(separator).match(text) is not None


@cache
def _stray_quote(separator: str) -> re.Pattern[str]:
    """Whole cells, quoted or plain, and then a plain cell with a quote in it. Possessive: no line
    is gone through twice.
    """
    mark = re.escape(separator)
    plain = f'[^"{mark}]'
    return re.compile(f'(?:(?:"(?:[^"]|"")*+"|{plain}*+){mark})*+{plain}++"')


def _leading_cells(text: str, separator: str) -> list[str]:
    """The cells before the first quote: what stands behind it may mean anything."""
    return text.split('"', 1)[0].split(separator)[:-1]


def owner_cell(cells: list[str], header: Header) -> str | None:
    """The text that says whose row it is; None where there is none."""
    return (
        (cells[header.owner] or None)
        if header.owner is not None and header.owner < len(cells)
        else None
    )


def frame(plain: bytes, rows: list[list[str]], header: Header) -> pl.DataFrame:
    """Plain lines by polars, the others as parsed. Columns by position: `c0`, `c1`, ..."""
    names = [f"c{index}" for index in range(len(header.fields))]
    schema = dict.fromkeys(names, pl.String)
    frames = (
        [pl.DataFrame(rows, schema, orient="row").with_columns(pl.col(pl.String).replace("", None))]
        if rows
        else []
    )
    if plain:
        mark = header.separator
        if len(mark.encode()) > 1 or mark == " ":  # NUL is in no plain line
            plain, mark = plain.replace(mark.encode(), b"\0"), "\0"
        # under a header of our own: a byte-order mark that begins a block is not polars' to strip
        first = mark.join(names).encode() + b"\n"
        frames.insert(
            0,
            pl.read_csv(
                first + plain,
                separator=mark,
                schema=schema,
                quote_char=None,
                empty_string_is_null=True,
                low_memory=True,
            ),
        )
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
