"""What of a source does not fit its declaration, and how to declare it: the answer of a dry run.

Whoever runs it holds the source; what it says is restricted, so texts of cells are shown as their
shape (9 for a digit, a for a letter), and themselves only where they are asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.restricted import account_table
from pipeline.restricted.ingest import casting
from pipeline.restricted.ingest.casting import ABSENT, OUTSIDE, UNKNOWN, UNPARSEABLE
from pipeline.restricted.ingest.csv_lines import FOREIGN_ROW, OPEN_ROW
from pipeline.restricted.ingest.examples import Examples
from pipeline.restricted.ingest.json_source import NOT_JSON, TWICE, UNDECLARED
from pipeline.restricted.ingest.repairs import FALSE_WORDS, TRUE_WORDS
from pipeline.schema.date_formats import DATE_FORMATS
from pipeline.schema.source_formats import read_dates
from pipeline.schema.values import Column, Schema

MOST_TEXTS = 5  # of a column, shown


@dataclass(frozen=True)
class SourceCheck:
    """`lines` for a person; `fits`: whether enough is kept for a release to be charged."""

    lines: tuple[str, ...]
    fits: bool


def check(
    schema: Schema,
    account: Mapping[str, Any],
    examples: Examples,
    min_share: float,
    *,
    shows_texts: bool,
) -> SourceCheck:
    """`account`: of an ingest that was tried (`ingest.stage.rehearse`); `examples`: texts and lines
    of cells at fault.
    """
    problems = account_table.shortfalls(account, min_share)
    lines = [*account_table.lines(account), ""]
    lines += list(_advice(schema, account, examples, shows_texts)) or ["Every cell fits."]
    return SourceCheck((*lines, *(f"Too little is left: {one}" for one in problems)), not problems)


def _advice(
    schema: Schema, account: Mapping[str, Any], examples: Examples, shows_texts: bool
) -> Iterator[str]:
    """For each column and fault: how many cells, what they look like, and what to declare."""
    for name, table in account["tables"].items():
        for column, counts in table["faults"].items():
            column_of = schema.tables[name].columns.get(column)
            for reason, n in counts.items():
                place = _place(examples.first_lines.get((name, column, reason)))
                if column_of is None:
                    names = {key: m for (at, key), m in examples.names.items() if at == name}
                    brief = _in_brief(names, shows_texts) if reason == UNDECLARED else ""
                    yield f"{name}: {n:,} rows: {reason}{brief}{place}. {_of_rows(reason)}"
                    continue
                texts = {
                    text.removeprefix("\uffff"): count
                    for (at, of, why, text), count in examples.texts.most_common()
                    if (at, of, why) == (name, column, reason)
                }
                yield (
                    f"{name}.{column} ({column_of.kind}): {n:,} cells: {reason}"
                    f"{_in_brief(texts, shows_texts)}{place}."
                    f" {_remedy(column_of, reason, list(texts))}"
                )


def _place(line: int | None) -> str:
    """Where to look; a database's rows have no place."""
    return "" if line is None else f"; the first in line {line:,}"


def _in_brief(texts: Mapping[str, int], shows_texts: bool) -> str:
    named = Counter[str]()
    for text, n in texts.items():
        named[text[:40] if shows_texts else shape(text)] += n
    if not any(named):
        return ""
    first = ", ".join(f"{text} ({n:,})" for text, n in named.most_common(MOST_TEXTS) if text)
    return f", such as {first}"


def shape(text: str) -> str:
    """The text with 9 for each digit and a for each letter, its first 40 characters."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text[:40]))


def _of_rows(reason: str) -> str:
    if reason == OPEN_ROW:
        return (
            "If quoted cells of the file hold line breaks, declare `line_breaks: true` under the"
            " table, or save the file as Parquet"
        )
    remedies = {
        FOREIGN_ROW: "Declare the `encoding:` that the file was written in, or mend such rows",
        NOT_JSON: "Each line must be one object: {...}",
        TWICE: "Nobody can tell which of two values under one key is meant: mend such rows",
        UNDECLARED: "Declare the column, or list the key under `ignore:`",
    }
    return remedies.get(reason, "Look at the number of separators and at quotes in such rows")


def _remedy(column: Column, reason: str, texts: list[str]) -> str:
    """What to write into the declaration, or to look up."""
    if reason == ABSENT:
        return "If the column may be missing, declare `nullable: true`"
    marks = [text for text in texts if re.fullmatch(r"[\W_]{1,3}", text)]
    if texts and len(marks) == len(texts):
        nullable = "" if column.nullable else " and `nullable: true`"
        return f"If these mean missing, declare `missing: {marks[:MOST_TEXTS]}`{nullable}"
    remedies: dict[str, Callable[[Column, list[str]], str]] = {
        UNPARSEABLE: _of_unparseable,
        UNKNOWN: _of_unknown,
        OUTSIDE: _of_bounds,
    }
    remedy = remedies.get(reason, lambda column, texts: "Look at these cells in the source")
    also = f"; of the rest, `missing: {marks[:MOST_TEXTS]}` may be marks" if marks else ""
    return remedy(column, [text for text in texts if text not in marks]) + also


def _of_unparseable(column: Column, texts: list[str]) -> str:
    cells = pl.Series(texts, dtype=pl.String).str.strip_chars()
    if column.kind == "date":
        shares = {form: _share(read_dates(cells, form)) for form in DATE_FORMATS}
        best = max(shares.values())
        fitting = [form for form, share in shares.items() if share == best > 0.5]
        if len(fitting) > 1:
            return (
                f"Ask who wrote the file which it is, and declare `date_format: "
                f'"{fitting[0]}"`' + "".join(f' or `"{form}"`' for form in fitting[1:])
            )
        if fitting:
            return f'Declare `date_format: "{fitting[0]}"` for the column or the table'
        return "Declare how dates are written: `date_format:` in the directives of strptime"
    if column.kind == "id":
        return "Ids that are no plain whole numbers are text: take `integer: true` out"
    if _share(casting.comma_numbers(cells)) > 0.5:
        return 'Declare `decimal: ","` for the column or the table'
    return "Look at these cells in the source, or declare `unknown: missing` with `nullable: true`"


def _share(values: pl.Series) -> float:
    return 1 - values.null_count() / len(values) if len(values) else 0.0


def _of_unknown(column: Column, texts: list[str]) -> str:
    folded = {text.strip().casefold() for text in texts}
    if folded <= {*TRUE_WORDS, *FALSE_WORDS} and len(column.categories) == 2:
        first, second = column.categories
        return f'Declare `booleans: ["{first}", "{second}"]`: true first, then false'
    return (
        f"`categories` lacks {len(texts):,}: look each up in the column's public source and add it,"
        " or declare `unknown: missing` or `unknown: other`"
    )


def _of_bounds(column: Column, texts: list[str]) -> str:
    return (
        "Is it another unit or date format? Else the public bounds are too narrow for the source:"
        " widen `lower` and `upper` from the column's public source, or declare `unknown: missing`"
    )
