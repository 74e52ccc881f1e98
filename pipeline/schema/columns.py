"""One column of a declaration: its kind, its legal values, and how a source writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import polars as pl

Kind = Literal["categorical", "ordinal", "continuous", "date", "id", "text"]
Role = Literal["modelled", "rebuilt", "carried", "key"]
Unknown = Literal["drop", "missing", "other"]
Numbers = TypeVar("Numbers", pl.Expr, pl.Series)
ISO_DATE = "%Y-%m-%d"

# SDMetrics' word where it is not ours
_SDTYPES = {"date": "datetime", "continuous": "numerical", "ordinal": "categorical"}


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
    # unit of asinh: the grid is linear below and logarithmic above it
    scale: float = 1.0
    unit: str | None = None
    nullable: bool = False
    missing: tuple[str, ...] = ()  # source tokens that mean missing, beside the empty cell
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
    # how a rebuilt column is made; plain words and the function's name
    rule: str | None = None
    source: str | None = None  # public source of the domain
    description: str | None = None

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

    def outside(self, value: pl.Expr) -> pl.Expr:
        """Whether a value that is there lies outside the declaration: not a category, or out of
        bounds. bool, never null; missing is not outside.
        """
        if self.categories:
            outside = ~value.cast(pl.String).is_in(list(self.categories))
        elif self.is_numeric:
            number = value.cast(pl.Date).cast(pl.Int32) if self.kind == "date" else value
            outside = self.out_of_bounds(number.cast(pl.Float64))
        else:
            return pl.lit(False)
        return outside.fill_null(False)

    def out_of_bounds(self, numbers: Numbers) -> Numbers:
        """Whether numbers, or days since 1970-01-01 for a date, pass the declared bounds; null for
        null.
        """
        low = -float("inf") if self.lower is None else self.lower
        high = float("inf") if self.upper is None else self.upper
        return ~numbers.is_between(low, high)

    @property
    def sdtype(self) -> str:
        """SDMetrics' word for the kind."""
        return _SDTYPES.get(self.kind, self.kind)
