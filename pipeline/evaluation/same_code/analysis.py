"""What an analysis is given and what is kept of its answer: names of columns and how many codes
found their label, no figure of a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Package:
    """A folder of CSVs under the registry's names, the look-up workbook, and the URL of a
    PostgreSQL server if there is one.
    """

    folder: Path
    workbook: Path
    postgres: str | None = None

    def csv(self, table: str) -> Path:
        return self.folder / f"{table}.csv"

    def read(self, table: str) -> pd.DataFrame:
        """As scripts do: pandas guesses every type."""
        return pd.read_csv(self.csv(table), low_memory=False)

    def sheet(self, name: str) -> pd.DataFrame:
        return pd.read_excel(self.workbook, sheet_name=name)


@dataclass(frozen=True)
class Labels:
    """Of one column: how many cells hold a code, and how many of these found their label."""

    codes: int
    labelled: int

    @property
    def lost(self) -> int:
        return self.codes - self.labelled


@dataclass(frozen=True)
class Answer:
    """The columns of the result in their order, and the labels by column."""

    columns: tuple[str, ...]
    labels: Mapping[str, Labels] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """`way`: with what a researcher would do it. `run` raises what the script would."""

    name: str
    way: str
    run: Callable[[Package], Answer]


def columns(frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(name) for name in frame.columns)


def labels_of(codes: pd.Series, labels: pd.Series) -> Labels:
    """How many of the cells with a code have a label."""
    has_code = codes.notna().to_numpy()
    return Labels(int(has_code.sum()), int((has_code & labels.notna().to_numpy()).sum()))
