"""What every reader of a source yields: rows as text, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

Counts = Counter[tuple[str, str]]  # (column, repair or reason) -> cells
ROW_ITSELF = "(row)"  # in place of a column, where the row as a whole is meant
LATIN1 = "latin-1 text"
BROKEN_SCHEMA = {"owner": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Block:
    """Rows as text under declared names, the rows that do not parse (owner and reason), and what
    was read otherwise than it stands there (whole rows under the column "(row)").

    lines, broken_lines: where the rows stand in the source, int [rows]; None for a database, whose
        rows have no place. aliases: columns that these rows have under an older name. names: what
        undeclared keys are called, by how often.
    """

    cells: pl.DataFrame
    broken: pl.DataFrame
    repaired: Counts = field(default_factory=Counter)
    lines: np.ndarray | None = None
    broken_lines: np.ndarray | None = None
    aliases: frozenset[str] = frozenset()
    names: Mapping[str, int] = field(default_factory=dict)


def none_broken() -> pl.DataFrame:
    return pl.DataFrame(schema=BROKEN_SCHEMA)
