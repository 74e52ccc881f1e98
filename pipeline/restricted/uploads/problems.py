"""What is wrong with one file of an upload, by line and column: never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pipeline.refusal import Refusal
from pipeline.restricted.ingest.blocks import ROW_ITSELF, Block

MOST_SHOWN = 100  # problems of a file, each with its line
LONG_CELL = "cell is longer than ingest.max_cell_bytes"
_LONGEST_REASON = 600  # characters: a header of ten thousand columns is not repeated whole


@dataclass(frozen=True)
class Problem:
    """`line`: of the file, the header being line 1; None where a row has no place."""

    line: int | None
    column: str
    what: str


@dataclass
class FileFindings:
    """`refusal`: why the file is none that a run could read; None: it is one. `counts`: of each
    column and problem, all of them.
    """

    name: str
    rows: int = 0
    refusal: str | None = None
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "counts": [[column, what, n] for (column, what), n in self.counts.items()]
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileFindings:
        return cls(
            value["name"],
            value["rows"],
            value["refusal"],
            [Problem(**one) for one in value["problems"]],
            Counter({(column, what): n for column, what, n in value["counts"]}),
        )

    def add(self, block: Block, max_cell_bytes: int) -> None:
        """Notes what is wrong with the rows of a block."""
        self.rows += block.cells.height + block.broken.height
        self.counts += block.repaired
        self._add(ROW_ITSELF, block.broken["reason"].to_list(), block.broken_lines)
        lengths = block.cells.select(pl.all().str.len_bytes() > max_cell_bytes)
        for column in lengths.columns:
            places = lengths[column].fill_null(False).arg_true().to_numpy()
            lines = None if block.lines is None else block.lines[places]
            self._add(column, [LONG_CELL] * len(places), lines)

    def _add(self, column: str, reasons: list[str], lines: np.ndarray | None) -> None:
        self.counts.update((column, reason) for reason in reasons)
        room = MOST_SHOWN - len(self.problems)
        for index, reason in enumerate(reasons[:room]):
            line = None if lines is None else int(lines[index])
            self.problems.append(Problem(line, column, reason))


@contextmanager
def noting(findings: FileFindings) -> Iterator[None]:
    """A refusal within the block is the file's."""
    try:
        yield
    except Refusal as refusal:
        findings.refusal = shortened(str(refusal))


def shortened(reason: str) -> str:
    """The reason, cut where it would list thousands of columns."""
    if len(reason) <= _LONGEST_REASON:
        return reason
    return reason[:_LONGEST_REASON].rpartition(" ")[0] + " ... and more"
