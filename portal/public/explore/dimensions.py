"""The columns of the explore table: what each is called, which cells it has, and which of them the
dashboard shows first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.schema.values import Column, Schema
from pipeline.schema.words import MISSING, column_title, labels
from portal.public.explore.bins import bar_labels

SHOWN_FIRST = 8  # columns with a filter before somebody asks for more
MOST_IN_LIST = 60  # values of a column that is shown without being asked for
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Dimension:
    """One static column. Cell 0 is a missing value, the others are `codes` or the bars between
    `edges`, from 1.
    """

    column: Column
    edges: tuple[float, ...] = ()  # of numbers and dates

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def title(self) -> str:
        return column_title(self.column)

    @property
    def is_range(self) -> bool:
        return self.column.is_numeric

    @property
    def codes(self) -> tuple[str, ...]:
        return self.column.categories

    @property
    def cells(self) -> int:
        """With the missing one."""
        return 1 + (len(self.edges) - 1 if self.is_range else len(self.codes))

    @property
    def labels(self) -> tuple[str, ...]:
        """Of every cell."""
        if self.is_range:
            return (MISSING, *bar_labels(self.column, self.edges))
        return (MISSING, *labels(self.column).values())

    def order(self, counts: Sequence[int]) -> list[int]:
        """The cells that the release has, as they are listed: long lists by size, others as
        declared; missing last.
        """
        cells = [cell for cell in range(1, self.cells) if self.is_range or counts[cell]]
        if self.column.kind == "categorical" and len(self.codes) > 12:
            cells.sort(key=lambda cell: -counts[cell])
        return cells + [0] * bool(counts[0])

    def number(self, text: str) -> float:
        """A bound of the declaration's words: a number, or a day. Raises ValueError."""
        if self.column.kind == "date":
            return float((date.fromisoformat(text) - _EPOCH).days)
        return float(text)

    def text(self, value: float) -> str:
        """A bound as it stands in the address."""
        if self.column.kind == "date":
            return (_EPOCH + timedelta(days=int(value))).isoformat()
        return f"{value:.{self.column.decimals}f}"


def explored(schema: Schema) -> dict[str, Column]:
    """The static columns that can be filtered."""
    return {
        name: column
        for name, column in schema.patients.items()
        if (column.is_categorical and column.categories) or column.is_numeric
    }


def shown_first(schema: Schema, dimensions: Mapping[str, Dimension]) -> list[str]:
    """The columns that the declaration thinks most of, then the others in its order."""
    named = (*schema.strata, *schema.targets, *schema.quasi_identifiers, *schema.patients)
    names = [
        name
        for name in dict.fromkeys(named)
        if name in dimensions
        and len(dimensions[name].codes) <= MOST_IN_LIST
        and dimensions[name].column.kind != "date"
    ]
    return names[:SHOWN_FIRST] or list(dimensions)[:SHOWN_FIRST]
