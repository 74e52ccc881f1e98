"""What holds between columns in the rows that were looked at: suggestions in comments, never
declared, for a rule must follow from what the columns mean (privacy_rules.md 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

import polars as pl

from pipeline.restricted.draft.guesses import Guess
from pipeline.restricted.draft.tables import TableGuess
from pipeline.restricted.ingest.casting import comma_numbers, dates, numbers
from pipeline.schema.source_formats import ISO_DATE
from pipeline.schema.values import Column

MOST_PAIRS = 12  # told of
_LEAST_ROWS = 20  # with both values
_MOST_COLUMNS = 60  # of one kind; beyond, pairs are too many to be looked at


def suggestions(table: TableGuess) -> Iterator[str]:
    """Copies and chains, as a declaration would say them."""
    modelled = {name: one for name, one in table.columns.items() if one.is_modelled}
    copies = list(_copies(table.sample, list(modelled)[:_MOST_COLUMNS]))
    if copies:
        yield f"equal: {_pairs(copies)}"
    repeats = {second for _, second in copies}
    numeric = {
        name: _values(table, name, one)
        for name, one in modelled.items()
        if one.kind in ("continuous", "date") and name not in repeats
    }
    chains = list(_chains(dict(list(numeric.items())[:_MOST_COLUMNS]), table))
    if chains:
        yield f"order: {_pairs(chains)}"


def _pairs(pairs: list[tuple[str, str]]) -> str:
    listing = ", ".join(f"[{first}, {second}]" for first, second in pairs[:MOST_PAIRS])
    more = f" and {len(pairs) - MOST_PAIRS} more" if len(pairs) > MOST_PAIRS else ""
    return f"[{listing}]{more}"


def _copies(sample: pl.DataFrame, names: list[str]) -> Iterator[tuple[str, str]]:
    for first, second in combinations(names, 2):
        both = sample[first].eq_missing(sample[second])
        if both.all() and sample[first].n_unique() > 1:
            yield first, second


def _values(table: TableGuess, name: str, column: Guess) -> pl.Series:
    texts = table.sample[name].str.strip_chars()
    if column.kind == "date":
        form = column.form.get("date_format") or column.facts.get("date_format") or ISO_DATE
        parsed = dates(texts, Column(name=name, kind="date", date_format=form))
        return parsed.to_physical().cast(pl.Float64)
    if column.form.get("decimal") == ",":
        return comma_numbers(texts)
    return numbers(texts, Column(name=name, kind="continuous"))


def _chains(values: dict[str, pl.Series], table: TableGuess) -> Iterator[tuple[str, str]]:
    """Pairs of the same kind whose ranges overlap, so that the order is news."""
    for low, high in permutations(values, 2):
        if table.columns[low].kind != table.columns[high].kind:
            continue
        pair = pl.DataFrame({"low": values[low], "high": values[high]}).drop_nulls()
        if len(pair) < _LEAST_ROWS or pair["low"].max() <= pair["high"].min():  # type: ignore[operator]
            continue
        if (pair["low"] <= pair["high"]).all() and (pair["low"] < pair["high"]).any():
            yield low, high
