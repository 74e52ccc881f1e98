"""Text cells to declared types. What cannot be repaired is named by column and reason; nothing here
looks beyond one row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from pipeline.adapters.frames import physical
from pipeline.restricted.ingest import repairs
from pipeline.restricted.ingest.blocks import ROW_ITSELF, Block, Counts
from pipeline.restricted.ingest.examples import Examples
from pipeline.schema import legality
from pipeline.schema.source_formats import has_time, read_dates, times_of_day
from pipeline.schema.values import ISO_DATE, Column, Table

# columns that ingest adds to a table while it works on it
OWNER, REASON, SOURCE = "_owner", "_reason", "_source"
UNPARSEABLE, UNKNOWN, OUTSIDE, ABSENT, LONG = (
    "does not parse",
    "unknown category",
    "out of bounds",
    "missing value",
    "cell too long",
)
TIME_LOST = "time of day is not kept"


@dataclass(frozen=True)
class Typed:
    """Typed rows with OWNER (the patient's id or the parent's key; null for an orphan row) and
    REASON (why its patient is dropped; null for a row without a fault).
    """

    rows: pl.DataFrame
    repaired: Counts = field(default_factory=Counter)
    faults: Counts = field(default_factory=Counter)


def cast_rows(
    block: Block,
    table: Table,
    aliases: frozenset[str],
    max_cell_bytes: int,
    examples: Examples | None = None,
) -> Typed:
    """`aliases`: columns that the source has under an older name. `examples` takes the texts and
    lines of cells at fault: of a dry run alone, whose reader holds the source.
    """
    cells, aliases = block.cells, aliases | block.aliases
    repaired: Counts = Counter()
    faults: Counts = Counter()
    columns, reason = [], pl.Series(REASON, [None], pl.String).new_from_index(0, cells.height)
    for column in table.columns.values():
        values, fault = _cast(
            cells[column.name], column, column.name in aliases, max_cell_bytes, repaired
        )
        columns.append(values.alias(column.name))
        if fault.null_count() < cells.height:
            faults.update(
                {
                    (column.name, kind): n
                    for kind, n in fault.drop_nulls().value_counts().iter_rows()
                }
            )
            if examples is not None:
                examples.note(table.name, column.name, cells[column.name], fault, block.lines)
            fault = f"{column.name}: " + fault
            reason = (
                pl.DataFrame([reason, fault.alias("fault")])
                .select(pl.coalesce(REASON, "fault"))
                .to_series()
                .alias(REASON)
            )
    rows = pl.DataFrame(columns)
    owner = owner_column(table)
    if owner is not None:
        rows = rows.with_columns(pl.col(owner).alias(OWNER))
    else:
        rows = rows.with_columns(source_text(cells, table).alias(SOURCE))
    return Typed(rows.with_columns(reason), +repaired, +faults)


def broken_rows(
    block: Block, table: Table, like: pl.DataFrame, examples: Examples | None = None
) -> Typed:
    """Rows that do not parse: nothing of them is kept but whose they are and what is wrong."""
    owner, broken = owner_column(table), block.broken
    if examples is not None and broken.height:
        texts = pl.Series([None], dtype=pl.String).new_from_index(0, broken.height)
        examples.note(table.name, ROW_ITSELF, texts, broken["reason"], block.broken_lines)
        examples.note_names(table.name, block.names)
    rows = pl.DataFrame(schema=like.schema).clear(broken.height)
    rows = rows.with_columns(broken["reason"].alias(REASON))
    if owner is not None:
        values, _ = _cast(broken["owner"], table.columns[owner], False, 100, Counter())
        rows = rows.with_columns(values.alias(OWNER))
    return Typed(
        rows,
        Counter(),
        Counter({(ROW_ITSELF, kind): n for kind, n in broken["reason"].value_counts().iter_rows()}),
    )


def owner_column(table: Table) -> str | None:
    """The column that says whose a row is: the patient's id, or the key shared with the parent
    table.
    """
    return table.patient or (table.through[1] if table.through else None)


def source_text(cells: pl.DataFrame, table: Table) -> pl.Series:
    """A row's own text, for tables without an id: its identity for the holdout's coin, whatever its
    position.
    """
    parts = [pl.col(name).str.strip_chars().fill_null("") for name in sorted(table.columns)]
    return cells.select(pl.concat_str(parts, separator="\x1f")).to_series()


def _cast(
    values: pl.Series, column: Column, is_alias: bool, max_cell_bytes: int, repaired: Counts
) -> tuple[pl.Series, pl.Series]:
    """Typed values and, for each cell, what is wrong with it (null: nothing)."""
    is_long = (values.str.len_bytes() > max_cell_bytes).fill_null(False)
    if is_long.any():
        values = (
            pl.DataFrame([values.alias("v"), is_long.alias("l")])
            .select(pl.when(~pl.col("l")).then("v"))
            .to_series()
        )
    for name, repair in _repairs_of(column, is_alias).items():
        after = repair(values, column)
        if name != "missing_marks":  # no repair: how the source writes missing
            was_empty = (values == "").fill_null(False) & after.is_null()
            repaired[column.name, name] += int((after.ne_missing(values) & ~was_empty).sum())
        values = after
        if name == "whole_number":
            values = repairs.missing_marks(values, column)
    typed, fault = _typed(values, column, repaired)
    frame = pl.DataFrame([typed.alias("v"), fault.alias("f"), is_long.alias("l")])
    typed, fault = _of_unknown(
        frame.select("v", pl.when("l").then(pl.lit(LONG)).otherwise("f").alias("f")),
        column,
        repaired,
    )
    absent = typed.is_null() & fault.is_null() & (not column.nullable)
    fault = (
        pl.DataFrame([fault.alias("f"), absent.alias("a")])
        .select(pl.when("a").then(pl.lit(ABSENT)).otherwise("f"))
        .to_series()
    )
    return typed, fault


def _of_unknown(
    cells: pl.DataFrame, column: Column, repaired: Counts
) -> tuple[pl.Series, pl.Series]:
    """`cells` (v, f) after what the column declares for values that it does not know: they are
    missing, or the category for others, and counted; or faults as before.
    """
    if column.unknown == "drop":
        return cells["v"], cells["f"]
    is_other = column.unknown == "other"
    chosen = pl.col("f") == UNKNOWN if is_other else pl.col("f").is_not_null()
    is_chosen = cells.select(chosen.fill_null(False).alias("c"))["c"]
    repaired[column.name, f"unknown to {column.unknown}"] += int(is_chosen.sum())
    frame = cells.with_columns(is_chosen)
    instead = pl.lit(column.other if is_other else None, cells.schema["v"])
    return (
        frame.select(pl.when("c").then(instead).otherwise("v").alias("v"))["v"],
        frame.select(pl.when(~pl.col("c")).then("f").alias("f"))["f"],
    )


def _repairs_of(column: Column, is_alias: bool) -> Mapping[str, repairs.Repair]:
    chosen: dict[str, repairs.Repair] = dict(repairs.ALWAYS)
    for name in column.repairs:
        if is_alias and name in repairs.ALIAS_REPAIRS:
            older = repairs.ALIAS_REPAIRS[name]
            chosen[older] = repairs.BY_NAME[older]
        repair = repairs.named(name)
        if repair is not None:
            chosen[name] = repair
    return chosen


def _typed(values: pl.Series, column: Column, repaired: Counts) -> tuple[pl.Series, pl.Series]:
    kind = physical(column)
    if kind == pl.String:
        is_unreadable = values.str.starts_with(repairs.UNREADABLE).fill_null(False)
        typed = values.set(is_unreadable, None)
        wrong = (
            ~values.is_in(list(column.categories))
            if column.categories
            else pl.repeat(False, len(values), eager=True)
        )
        return _checked(typed, values, {UNKNOWN: wrong})
    if kind == pl.Date:
        typed = dates(values, column)
        if has_time(column.date_format):
            repaired[column.name, TIME_LOST] += times_of_day(values, column.date_format)
        days = typed.cast(pl.Int32).cast(pl.Float64)
        return _checked(typed, values, {OUTSIDE: legality.out_of_bounds(column, days)})
    if column.kind == "id":
        return _checked(_whole_ids(values), values, {})
    number = numbers(values, column)
    rounded = number.round(column.decimals) + 0.0  # no negative zero
    repaired[column.name, "rounded"] += int(
        ((rounded - number).abs() > 10.0 ** -(column.decimals + 3)).sum()
    )
    is_whole = rounded.abs() < 2.0**62
    typed = rounded if kind == pl.Float64 else rounded.cast(pl.Int64, strict=False)
    return _checked(typed, values, {OUTSIDE: legality.out_of_bounds(column, rounded) | ~is_whole})


def dates(values: pl.Series, column: Column) -> pl.Series:
    """Texts in the column's format as dates; null where they do not parse."""
    if column.date_format != ISO_DATE:
        return read_dates(values, column.date_format)
    # polars reads 2019-7-1, too, which no program writes
    has_form = values.str.contains(r"^\d{4}-\d{2}-\d{2}$")
    return pl.DataFrame({"v": read_dates(values, ISO_DATE), "f": has_form}).select(
        pl.when("f").then("v").alias("v")
    )["v"]


def numbers(values: pl.Series, column: Column) -> pl.Series:
    """Texts with the column's decimal mark as finite numbers; null where they do not parse."""
    if column.decimal != ".":
        return comma_numbers(values)
    number = values.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite().fill_null(True), None)


def comma_numbers(values: pl.Series) -> pl.Series:
    """Texts with a decimal comma as finite numbers; null where they do not parse."""
    has_form = values.str.contains(r"^[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?$").fill_null(False)
    points = values.set(~has_form, None).str.replace(",", ".", literal=True)
    number = points.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite().fill_null(True), None)


def _whole_ids(values: pl.Series) -> pl.Series:
    """Int64 of the numerals that name one number and are named by it: 007 is another text than 7,
    and none that is certainly a number.
    """
    has_form = values.str.contains(r"^(0|-?[1-9]\d*)$")
    whole = values.str.to_integer(strict=False, dtype=pl.Int64)
    return whole.set(~has_form.fill_null(True), None)


def _checked(
    typed: pl.Series, values: pl.Series, wrong: Mapping[str, pl.Series]
) -> tuple[pl.Series, pl.Series]:
    frame = pl.DataFrame(
        [
            typed.alias("v"),
            values.alias("text"),
            *(mask.fill_null(False).alias(f"w{i}") for i, mask in enumerate(wrong.values())),
        ]
    )
    unparseable = pl.when(pl.col("v").is_null() & pl.col("text").is_not_null()).then(
        pl.lit(UNPARSEABLE)
    )
    others = [pl.when(f"w{index}").then(pl.lit(kind)) for index, kind in enumerate(wrong)]
    return frame["v"], frame.select(pl.coalesce(unparseable, *others).alias("f")).to_series()
