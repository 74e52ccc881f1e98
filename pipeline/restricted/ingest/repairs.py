"""The declared repairs of single cells: text in, text or null (missing) out, each a function of
that cell alone.

A column names its repairs under `repairs:`; they run in that order, after the ones that every
column gets: blanks around a value go, `1.0` is read as 1 where whole numbers or codes stand, true
and false are read as the declared words, and the ways in which programs write "missing" are
missing. Repairs that look at a patient's other rows
are in patient_repairs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from types import MappingProxyType

import polars as pl

from pipeline.refusal import Refusal
from pipeline.schema import legality, repair_names
from pipeline.schema.source_formats import has_time
from pipeline.schema.values import Column

Repair = Callable[[pl.Series, Column], pl.Series]
MISSING_TOKENS = ("NA", "N/A", "NaN", "nan", "None", "none", "null", "NULL", "<NA>", "NaT")
# before a stored value that no text can say; U+FFFF stands in no text
UNREADABLE = "\uffffcannot be read: "
TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_MIDNIGHT = r"[T ]00:00(:00(\.0+)?)? ?(Z|[+-]\d{2}:?\d{2})?$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*(Z|[+-]\d{2}:?\d{2})$"
SENTINELS = "^(1899|1900|9999)(-|$)"


def blanks(values: pl.Series, column: Column) -> pl.Series:
    """Blanks around a value go; a non-breaking one, or a line break, within it is a blank.
    Byte-order marks go. An empty cell is missing.
    """
    plain = values.str.replace_all("\ufeff", "", literal=True)
    plain = plain.str.replace_all("\r\n|[\u00a0\u2028\r\n]", " ")
    return plain.str.strip_chars().replace("", None)


def missing_marks(values: pl.Series, column: Column) -> pl.Series:
    """The declared marks of a missing value: how the source writes it."""
    return values.replace(dict.fromkeys(column.missing)) if column.missing else values


def whole_number(values: pl.Series, column: Column) -> pl.Series:
    """`1.0` is 1, unless the declaration knows `1.0`."""
    if column.kind != "id" and not column.is_categorical:
        return values
    is_known = values.is_in(list(column.categories))
    return _where(~is_known, values, values.str.replace(r"^(-?\d+)\.0+$", "${1}"))


def midnight(values: pl.Series, column: Column) -> pl.Series:
    """A date with a time of midnight, in its own zone or in UTC, is that date. Another time is part
    of the value.
    """
    if column.kind != "date" or has_time(column.date_format):
        return values
    values = values.str.replace(_MIDNIGHT, "")
    moments = values.filter(values.str.contains(_MOMENT).fill_null(False)).unique()
    days = {text: day for text in moments if (day := _utc_day(text, column)) is not None}
    return values.replace(days) if days else values


def _utc_day(text: str, column: Column) -> str | None:
    """The day of a moment that is midnight in UTC; None for another."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.strftime(column.date_format) if moment.time() == time() else None


def booleans(values: pl.Series, column: Column) -> pl.Series:
    """true and false, as programs write them, in the categories that stand for them; as 1 and 0
    where numbers stand.
    """
    words = ("1", "0") if column.kind == "continuous" else column.booleans or boolean_pair(column)
    if not words:
        return values
    folded, is_known = values.str.to_lowercase(), values.is_in(list(column.categories))
    trues, falses = (TRUE_WORDS, FALSE_WORDS) if column.is_categorical else (("true",), ("false",))
    values = _where(~is_known & folded.is_in(list(trues)), values, words[0])
    return _where(~is_known & folded.is_in(list(falses)), values, words[1])


def boolean_pair(column: Column) -> tuple[str, ...]:
    """(category for true, category for false) where the column has just these two, and one says
    true and the other false; () else.
    """
    if not column.is_categorical or len(column.categories) != 2:
        return ()
    folded = {category.casefold(): category for category in column.categories}
    for pair in zip(TRUE_WORDS, FALSE_WORDS, strict=True):
        if set(pair) == set(folded):
            return tuple(folded[word] for word in pair)
    return ()


def missing_tokens(values: pl.Series, column: Column) -> pl.Series:
    """What programs write for missing, unless the declaration knows it as a value."""
    tokens = [token for token in MISSING_TOKENS if token not in column.categories]
    return _where(values.is_in(tokens), values, None)


def sentinel_to_missing(values: pl.Series, column: Column) -> pl.Series:
    """Dates of 1899, 1900 and 9999 (and times on such a day) stand for missing."""
    return _where(values.str.contains(SENTINELS), values, None)


def strip_m(values: pl.Series, column: Column) -> pl.Series:
    """`Pm` is P, `1m` is 1: the registry marks a value from a meeting by m
    (registry_tables.md 1.5).
    """
    is_known = values.is_in(list(column.categories))
    return _where(~is_known & values.str.contains("^.+m$"), values, values.str.strip_suffix("m"))


def first_letter(values: pl.Series, column: Column) -> pl.Series:
    """A local code of two characters starts with the national one."""
    first = values.str.slice(0, 1)
    return _where(
        ~values.is_in(list(column.categories)) & first.is_in(list(column.categories)), values, first
    )


def quintile_2015(values: pl.Series, column: Column) -> pl.Series:
    """Deprivation by label, never by the digit alone: v1's bare digits count from 1 = least
    deprived, v2's labels from 1 = most (registry_tables.md 1.1).

    A bare 2, 3 or 4 is the v2 label itself in a v2 extract and the v1 digit in a v1 extract; only
    the column's name tells: see `quintile_v1`.
    """
    labels = {category[0]: category for category in column.categories}
    worded = values.str.to_lowercase()
    most, least = worded.str.contains("most"), worded.str.contains("least")
    values = _where(most & ~least, values, labels.get("1"))
    return _where(least & ~most, values, labels.get("5"))


def quintile_v1(values: pl.Series, column: Column) -> pl.Series:
    """A bare digit under v1's name: 1 is least deprived, so 1 is label 5, 2 is 4, and so on."""
    labels = {category[0]: category for category in column.categories}
    turned = {digit: labels.get(str(6 - int(digit))) for digit in "12345"}
    return values.replace(turned)


def leading_zero(values: pl.Series, column: Column) -> pl.Series:
    """A code of one digit with a leading zero too many, or without the one that it has: a program
    read it as a number (registry_tables.md 1.5).
    """
    codes = set(column.categories)
    spellings = {}
    for digit in "0123456789":
        for old, new in ((digit, f"0{digit}"), (f"0{digit}", digit)):
            if old not in codes and new in codes:
                spellings[old] = new
    return values.replace(spellings)


def yes_or_no(values: pl.Series, column: Column) -> pl.Series:
    """Y, y, 1, 01, yes and N, n, 2, 02, 0, no in the spelling that the declaration has first."""
    yes = next((c for c in column.categories if c in ("Y", "01", "1", "y")), None)
    no = next((c for c in column.categories if c in ("N", "02", "2", "n")), None)
    folded = values.str.to_lowercase()
    values = _where(folded.is_in(["y", "yes", "1", "01"]), values, yes)
    return _where(folded.is_in(["n", "no", "2", "02", "0"]), values, no)


def unknown_to_missing(values: pl.Series, column: Column) -> pl.Series:
    """A code that the declaration does not know is missing."""
    return _where(~values.is_in(list(column.categories)), values, None)


def out_of_bounds_to_missing(values: pl.Series, column: Column) -> pl.Series:
    """A number outside the declared bounds (heights of -1 and 0) is missing."""
    number = values.cast(pl.Float64, strict=False)
    return _where(number.is_not_null() & legality.out_of_bounds(column, number), values, None)


def trailing_dot(values: pl.Series, column: Column) -> pl.Series:
    """The labels of adult.test end in a dot."""
    return _where(~values.is_in(list(column.categories)), values, values.str.strip_suffix("."))


def fill(values: pl.Series, column: Column, argument: str) -> pl.Series:
    """`fill(value)`: a missing cell is written as that value."""
    return values.fill_null(argument)


def replace(values: pl.Series, column: Column, argument: str) -> pl.Series:
    """`replace(old=new)`: one spelling for another."""
    old, _, new = argument.partition("=")
    return values.replace(old, new)


ALWAYS: Mapping[str, Repair] = MappingProxyType(
    {
        function.__name__: function
        for function in (blanks, missing_marks, whole_number, midnight, booleans, missing_tokens)
    }
)
BY_NAME: Mapping[str, Repair] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            sentinel_to_missing,
            strip_m,
            first_letter,
            quintile_2015,
            quintile_v1,
            leading_zero,
            yes_or_no,
            unknown_to_missing,
            out_of_bounds_to_missing,
            trailing_dot,
        )
    }
)
WITH_ARGUMENT = MappingProxyType({"fill": fill, "replace": replace})
# what a column read under an alias gets besides
ALIAS_REPAIRS: Mapping[str, str] = MappingProxyType({"quintile_2015": "quintile_v1"})


def named(name: str) -> Repair | None:
    """The repair of one cell that a declaration names; None for one of whole patients. Raises
    Refusal for an unknown name.
    """
    if fault := repair_names.repair_fault(name):
        raise Refusal(f"{fault}. Correct `repairs:` in the declaration.")
    if name in BY_NAME:
        return BY_NAME[name]
    call = repair_names.CALL.fullmatch(name)
    if call is None:
        return None
    function, argument = WITH_ARGUMENT[call[1]], call[2]
    return lambda values, column: function(values, column, argument)


def _where(mask: pl.Series, values: pl.Series, then: pl.Series | str | None) -> pl.Series:
    """`then` where the mask holds, else the value. A null in the mask counts as not."""
    frame = pl.DataFrame({"mask": mask.fill_null(False), "value": values})
    replacement = then if isinstance(then, pl.Series) else pl.lit(then, dtype=pl.String)
    return frame.select(pl.when("mask").then(replacement).otherwise("value")).to_series()
