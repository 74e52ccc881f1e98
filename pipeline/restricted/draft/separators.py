"""Which single character stands between the cells of a text file."""

from __future__ import annotations

import csv
import string
from collections import Counter

USUAL = (",", ";", "\t", "|")
LINES = 200  # of the file, looked at
_NEVER = set(string.ascii_letters + string.digits + "\"'\r\n_")
_WORDS = set(" .-/:()")  # stand in names and dates, too: only where nothing else fits


def guess(sample: str) -> str:
    """The character that cuts the first lines of `sample` into most cells, the same number in each;
    a comma where none does.
    """
    lines = sample.splitlines()
    lines = [line for line in lines[:LINES] if line.strip()]
    others = sorted({mark for mark in lines[0] if mark not in _NEVER and mark.isprintable()})
    odd = [mark for mark in others if mark not in USUAL and mark not in _WORDS]
    for candidates in (USUAL, odd, sorted(_WORDS)):
        widths = {mark: _width(lines, mark) for mark in candidates}
        if (best := max(widths, key=lambda mark: widths[mark], default=",")) and (
            widths.get(best, 0) > 1
        ):
            return best
    return ","


def _width(lines: list[str], mark: str) -> int:
    """Cells of the header, where nine in ten rows have as many; else 0."""
    rows = [row for row in csv.reader(lines, delimiter=mark) if row]
    if not rows:
        return 0
    times = Counter(len(row) for row in rows)
    is_even = times[len(rows[0])] >= 0.9 * len(rows)
    return len(rows[0]) if is_even else 0
