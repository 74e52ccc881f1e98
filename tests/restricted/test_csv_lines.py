"""Lines of CSV are independent of each other, of the block size, and of how long one of them is."""

from __future__ import annotations

import csv
import io

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.restricted.ingest import csv_lines

HEADER = csv_lines.Header(("id", "a", "b"), owner=0, longest=200)
Row = tuple[str | None, ...]
CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\0", exclude_categories=("Cs",)),
    max_size=12,
)


def read(
    content: bytes, header: csv_lines.Header = HEADER, block_bytes: int = 1 << 20
) -> tuple[list[Row], list[Row]]:
    """All rows and all broken rows."""
    parsed = [
        csv_lines.parse(block, header)
        for block in csv_lines.blocks(io.BytesIO(content), header, block_bytes)
    ]
    return [row for p in parsed for row in p.cells.rows()], [
        row for p in parsed for row in p.broken.rows()
    ]


def as_csv(rows: list[tuple[str, ...]], quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def expected(rows: list[tuple[str, ...]]) -> list[tuple[str | None, ...]]:
    return sorted((tuple(cell or None for cell in row) for row in rows), key=str)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.from_regex("[1-9][0-9]?", fullmatch=True), CELL, CELL), min_size=1, max_size=12
    ),
    st.integers(1, 60),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_csv_writer_wrote_is_read_whatever_the_blocks(
    rows: list[tuple[str, ...]], block_bytes: int, quoting: int
) -> None:
    found, broken = read(as_csv(rows, quoting), block_bytes=block_bytes)
    assert sorted(found, key=str) == expected(rows)
    assert broken == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.from_regex("[1-9]", fullmatch=True), CELL, CELL), max_size=8),
    st.binary(max_size=300).filter(lambda b: b"\n" not in b),
    st.integers(1, 60),
)
def test_any_line_put_between_leaves_the_other_rows_alone(
    rows: list[tuple[str, ...]], dirt: bytes, block_bytes: int
) -> None:
    """Unclosed quotes, NUL bytes, latin-1, too many cells: only that line knows."""
    lines = as_csv(rows).splitlines(keepends=True)
    middle = len(lines) // 2
    found, broken = read(
        b"".join([*lines[:middle], dirt + b"\n", *lines[middle:]]), block_bytes=block_bytes
    )
    rest = list(found)
    for row in expected(rows):
        rest.remove(row)
    assert len(rest) + len(broken) <= 1


def test_a_line_that_does_not_parse_still_says_whose_it_is() -> None:
    _, broken = read(b'7,"open,x\n8,a,b,c\n"9",x\n,"\n')
    assert broken == [
        ("7", csv_lines.OPEN_ROW),
        ("8", csv_lines.BROKEN_ROW),
        ("9", csv_lines.BROKEN_ROW),
        (None, csv_lines.OPEN_ROW),
    ]


def test_what_stands_behind_a_line_break_in_a_cell_is_nobodys() -> None:
    """Patient 7's text holds a line break and then 8's id: 7 is dropped, and 8 is as without it."""
    without, with_seven = b"8,a,b\n", b'7,"text\n8,foo",b\n8,a,b\n'
    assert read(without) == ([("8", "a", "b")], [])
    assert read(with_seven) == (
        [("8", "a", "b")],
        [("7", csv_lines.OPEN_ROW), (None, csv_lines.BROKEN_ROW)],
    )
    for rest in (b'8,foo","b"', b'8,"a",foo",b', b'8,foo"', b'foo",8,b'):
        assert read(rest + b"\n") == ([], [(None, csv_lines.BROKEN_ROW)]), rest
    assert read(b'8,"a,"",b",c\n') == ([("8", 'a,",b', "c")], [])


def test_a_cell_behind_an_open_quote_is_nobodys_id() -> None:
    """Behind a quote that does not close, a comma may stand inside the cell: the id there may be
    another patient's text.
    """
    header = csv_lines.Header(("a", "id"), owner=1, longest=200)
    assert read(b'"x,7\n', header)[1] == [(None, csv_lines.OPEN_ROW)]


def test_a_long_line_is_read_at_both_ends_in_bounded_memory() -> None:
    for owner, line in ((0, b"7," + b"x" * 5000 + b",b\n"), (2, b"a," + b"x" * 5000 + b",7\n")):
        header = csv_lines.Header(("a", "b", "c"), owner, longest=200)
        content = b"1,2,3\n" + line + b"4,5,6\n"
        for block_bytes in (50, 300, 100_000):
            assert read(content, header, block_bytes) == (
                [("1", "2", "3"), ("4", "5", "6")],
                [("7", csv_lines.LONG_ROW)],
            )
        assert (
            max(len(block) for block in csv_lines.blocks(io.BytesIO(content), header, 50))
            <= 3 * 200 + 50
        )


def test_blank_lines_and_windows_line_ends() -> None:
    assert read(b"1,a,b\r\n\r\n \n2,c,d") == ([("1", "a", "b"), ("2", "c", "d")], [])


def test_a_quoted_cell_at_a_windows_line_end() -> None:
    assert read(b'1,a,"b, c"\r\n') == ([("1", "a", "b, c")], [])


def test_a_table_of_one_column() -> None:
    header = csv_lines.Header(("id",), owner=0, longest=200)
    assert read(b"1\n\n2\n", header)[0] == [("1",), ("2",)]


def test_cells_are_text() -> None:
    assert csv_lines.parse(b"01,1.0,true\n", HEADER).cells.dtypes == [pl.String] * 3
