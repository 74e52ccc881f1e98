"""Random patients and pathways that are legal by the declaration alone: as wild as a model could
ever draw them.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from pipeline.adapters.frames import complete_events, in_declared_order, static_columns
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.tracker import open_tokens, options, start, step
from pipeline.schema.values import Column, Schema

EPOCH = date(1970, 1, 1)
Levels = dict[tuple[int, str], int]  # (patient, attribute) -> place among its categories


def random_patients(schema: Schema, n: int, rng: np.random.Generator) -> pl.DataFrame:
    """`n` patients numbered from 1; every column uniform over what the implications leave."""
    rows = []
    for number in range(1, n + 1):
        row: dict[str, object] = {"patient_id": number}
        for name, column in schema.patients.items():
            row[name] = _draw(schema, column, row, rng)
        rows.append(row)
    return static_columns(schema, pl.DataFrame(rows, infer_schema_length=None))


def _draw(
    schema: Schema, column: Column, row: dict[str, object], rng: np.random.Generator
) -> object:
    if column.kind == "date":
        return EPOCH + timedelta(
            days=int(rng.integers(int(column.lower or 0), int(column.upper or 0) + 1))
        )
    if column.nullable and rng.random() < 0.2 and not column.categories:
        return None
    if column.kind == "continuous":
        return round(float(rng.uniform(column.lower or 0, column.upper or 0)), column.decimals)
    legal: list[str | None] = [*column.categories, *([None] if column.nullable else [])]
    for implication in schema.implications:
        given = row.get(implication.given)
        if implication.then == column.name and given in implication.allowed:
            legal = [value for value in legal if value in implication.allowed[str(given)]]
    assert legal, (column.name, row)
    return legal[rng.integers(len(legal))]


def random_events(schema: Schema, patients: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """A legal pathway for each patient: any legal type and code, gaps from the same day to
    years.
    """
    assert schema.events is not None
    grammar = Grammar(schema)
    tracker = start(grammar, patients)
    ids, n = patients["patient_id"].to_numpy(), patients.height
    told: list[dict[str, object]] = []
    levels: Levels = {}
    scale = rng.choice([3.0, 20.0, 90.0], n)
    for _ in range(schema.events.max_events):
        alive = ~tracker.has_ended
        if not alive.any():
            break
        found = options(grammar, tracker)
        quiet = np.where(grammar.terminal, 0.04, 1.0)  # so that pathways get long before they end
        weight = rng.random((n, grammar.n_types)) ** (1 / quiet) * found.types
        kind = weight.argmax(1)
        chosen = np.zeros_like(found.types)
        chosen[np.arange(n), kind] = True
        token = (
            rng.random((n, grammar.n_tokens))
            * (open_tokens(tracker) & (chosen & found.types)[:, grammar.token_type])
        ).argmax(1)
        low, high = found.lower[np.arange(n), kind], found.upper[np.arange(n), kind]
        day = np.minimum(
            low + np.floor(rng.exponential(scale) * (rng.random(n) < 0.8)).astype(int), high
        )
        rows = np.flatnonzero(alive)
        told += [
            _event(schema, int(ids[r]), int(day[r]), *grammar.tokens[token[r]], levels, rng)
            for r in rows
        ]
        step(grammar, tracker, token, day)
        tracker.has_ended |= ~alive
    return in_declared_order(
        complete_events(pl.DataFrame(told, infer_schema_length=None), schema.events), schema.events
    )


def _event(
    schema: Schema,
    patient: int,
    day: int,
    kind: str,
    code: str | None,
    levels: Levels,
    rng: np.random.Generator,
) -> dict[str, object]:
    """levels: the last known value of each attribute with a largest step, by patient; a regimen
    begins anew.
    """
    assert schema.events is not None
    event: dict[str, object] = {"patient_id": patient, "day": day, "type": kind, "code": code}
    for name in schema.events.types[kind].attributes:
        column = schema.events.attributes[name]
        event[name] = _draw(schema, column, {}, rng)
        most = (schema.events.largest_steps or {}).get(name)
        if most is not None and event[name] is not None:
            level = column.categories.index(str(event[name]))
            last = levels.setdefault((patient, name), level)
            levels[patient, name] = level = min(max(level, last - most), last + most)
            event[name] = column.categories[level]
    if kind == "SACT_REGIMEN":
        levels.pop((patient, "cycle_performance"), None)
    return event
