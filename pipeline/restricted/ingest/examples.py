"""What cells at fault look like and where the first stands: of a dry run alone, for whoever holds
the source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipeline.restricted.ingest.blocks import ROW_ITSELF

MOST_EXAMPLES = 1000  # kept of one block, column and reason


@dataclass
class Examples:
    """`texts`: (table, column, reason, text) -> cells. `first_lines`: (table, column, reason) ->
    the first line at fault; none of a database, whose rows have no place. `names`: (table, name) ->
    rows with a key of that name, which is not declared.
    """

    texts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    first_lines: dict[tuple[str, str, str], int] = field(default_factory=dict)
    names: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(
        self, table: str, column: str, texts: pl.Series, fault: pl.Series, lines: np.ndarray | None
    ) -> None:
        """Cells of one column with their faults (null: none) and their places in the source."""
        both = pl.DataFrame([texts.alias("text"), fault.alias("fault")])
        if lines is not None:
            both = both.with_columns(pl.Series("line", lines, dtype=pl.Int64))
            first = both.drop_nulls("fault").group_by("fault").agg(pl.col("line").min())
            for reason, line in first.iter_rows():
                key = (table, column, reason)
                self.first_lines[key] = min(line, self.first_lines.get(key, line))
        if column == ROW_ITSELF:
            return
        counts = both.drop_nulls("fault").group_by("fault", "text").len("n")
        counts = counts.sort("n", "text", descending=[True, False]).head(MOST_EXAMPLES)
        for reason, text, n in counts.iter_rows():
            self.texts[table, column, reason, text or ""] += n

    def note_names(self, table: str, names: Mapping[str, int]) -> None:
        for name, n in names.items():
            self.names[table, name] += n
