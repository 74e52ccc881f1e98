"""A declaration's tables and columns as immutable values (docs/declarations.md, Tables)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["categorical", "ordinal", "continuous", "date", "id", "text"]
Role = Literal["modelled", "rebuilt", "carried", "key"]
Unknown = Literal["drop", "missing", "other"]
ISO_DATE = "%Y-%m-%d"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `lower` and `upper` are days since 1970-01-01 for a date. Missing (null) is a
    value of its own where `nullable`.
    """

    name: str
    kind: Kind
    role: Role = "modelled"
    # legal values as strings, categorical and ordinal only; null is not listed
    categories: tuple[str, ...] = ()
    lower: float | None = None  # public bounds, continuous and date
    upper: float | None = None
    decimals: int = 0  # places kept in an extract, continuous; 0 means integers
    atoms: tuple[float, ...] = ()  # declared values with mass of their own, such as 0
    transform: Literal["linear", "asinh"] = "linear"  # grid of the public bins
    scale: float = 1.0  # unit of asinh: the grid is linear below and logarithmic above it
    breaks: tuple[float, ...] = ()  # where a bin of a model always begins, such as 18 years
    unit: str | None = None
    nullable: bool = False
    # source tokens that mean missing, beside the empty cell; the first is how an extract writes it
    missing: tuple[str, ...] = ()
    header: str | None = None  # name in the source file where it differs
    aliases: tuple[str, ...] = ()  # older names that ingest accepts
    repairs: tuple[str, ...] = ()  # declared repairs of ingest, by name
    date_format: str = ISO_DATE  # how the source writes a date, in the directives of strptime
    decimal: str = "."  # the source's decimal mark
    booleans: tuple[str, ...] = ()  # the categories that stand for true and for false
    unknown: Unknown = "drop"  # what becomes of a value that the declaration does not know
    other: str | None = None  # the category that takes it where `unknown` is other
    integer: bool = True  # an id is a whole number below 2^63; else it is text
    lookup: str | None = None  # code list in datasets/codes/ that explains the categories
    rule: str | None = None  # how a rebuilt column is made; plain words and the function's name
    source: str | None = None  # public source of the domain
    description: str | None = None
    title: str | None = None  # what a report calls it: "Stage at diagnosis"
    learn: bool = False  # where its values lie is learned under the charge; continuous only

    @property
    def is_modelled(self) -> bool:
        return self.role == "modelled"

    @property
    def is_categorical(self) -> bool:
        return self.kind in ("categorical", "ordinal")

    @property
    def is_numeric(self) -> bool:
        """Numbers and dates, which have bounds."""
        return self.kind in ("continuous", "date")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One source table. `patient` names its column that holds the patient's id; `through` names
    (table, column) to go by instead.
    """

    name: str
    file: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    patient: str | None = None
    # (parent table, shared key column), for a table without the patient's id
    through: tuple[str, str] | None = None
    required: bool = True
    ignore: tuple[str, ...] = ()  # headers in the file that are not read
    max_rows: int | None = None  # contribution cap: rows per patient
    separator: str = ","  # between the cells of a CSV file
    encoding: str = "utf-8"  # of a text file
    sheet: str | None = None  # of an Excel workbook; default: the one named as `file`, or the only
    # of a log of one table: columns that say the same in every row of a patient (long_table.py)
    once: tuple[str, ...] | None = None
    line_breaks: bool = False  # whether quoted cells of a CSV hold some; then quotes must match
