"""Two small releases made by hand, without training: `clinic-1` (people with visits) and `table-1`
(a table without ids). Rows are drawn with a fixed seed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.catalog import Home
from pipeline.schema.reader import read_schema
from portal.public.explore import build, chunks, release
from portal.public.explore.table import ExploreTable

HEAD = """\
title: {title}
source: made up for tests
public: true
population: {{name: {name}, universe: nobody, kind: public, nominal_size: 1000, epsilon: 10.0,
  delta: 1.0e-6, ceiling_epsilon: 20.0}}
dataset: {name}
"""
CLINIC = (
    HEAD.format(title="A clinic & its <visits>", name="clinic")
    + """\
layout: log
tables:
  people:
    file: people
    patient: id
    key: [id]
    columns:
      id: {kind: id, role: key, integer: true, header: Number}
      sex: {title: Sex, kind: categorical, categories: [F, M], source: tests}
      site: {kind: categorical, nullable: true, source: tests,
        categories: [North, South & East, "West, far"]}
      age: {title: Age, kind: continuous, lower: 0, upper: 100, unit: years, source: tests}
      height: {kind: continuous, lower: 0.5, upper: 2.5, decimals: 2, nullable: true,
        source: tests}
      joined: {kind: date, lower: 2015-01-01, upper: 2017-12-31, source: tests}
      left: {kind: date, lower: 2015-01-01, upper: 2022-12-31, source: tests}
      why: {kind: categorical, categories: [Death, Moved], source: tests}
  visits:
    file: visits
    patient: id
    columns:
      id: {kind: id, role: key, integer: true}
      date: {kind: date, lower: 2015-01-01, upper: 2022-12-31, source: tests}
      kind: {kind: categorical, categories: [Check, Drug, Operation], source: tests}
patients:
  columns:
    sex: {like: people.sex}
    site: {like: people.site}
    age: {like: people.age}
    height: {like: people.height}
    joined: {like: people.joined}
events:
  origin: joined
  anchor: null
  max_events: 20
  first: [Check, Drug, Operation]
  lower_day: 0
  upper_day: 3000
  rows: {table: visits, date: date, type: kind}
  ending: {table: people, date: left, constant: End, code: why}
  types:
    Check: {}
    Drug: {}
    Operation: {}
    End: {terminal: true, codes: [Death, Moved], at_most: 1}
  censoring: [Moved]
  treatments: [Drug, Operation]
strata: [site]
"""
)
TABLE = (
    HEAD.format(title="A table", name="table")
    + """\
layout: table
tables:
  rows:
    file: rows
    columns:
      colour: {kind: categorical, categories: [red, green, blue], source: tests}
      size: {kind: continuous, lower: 0, upper: 1000000, transform: asinh, scale: 10, source: tests}
targets: [colour]
"""
)


@dataclass(frozen=True)
class Clinic:
    """What is in `clinic-1`, as pandas has it."""

    people: pd.DataFrame
    visits: pd.DataFrame


def clinic(home: Home, patients: int = 300) -> Clinic:
    """Publishes `clinic-1`."""
    draw = np.random.default_rng(1)
    joined = pd.Timestamp("2015-01-01") + pd.to_timedelta(draw.integers(0, 1000, patients), "D")
    people = pd.DataFrame(
        {
            "Number": np.arange(1001, 1001 + patients),
            "sex": draw.choice(["F", "M"], patients),
            "site": draw.choice(["North", "South & East", "West, far", None], patients),
            "age": draw.integers(18, 95, patients),
            "height": np.where(
                draw.random(patients) < 0.1, np.nan, draw.uniform(1.4, 2.1, patients).round(2)
            ),
            "joined": joined,
            "left": joined + pd.to_timedelta(draw.integers(400, 1500, patients), "D"),
            "why": draw.choice(["Death", "Moved"], patients),
        }
    )
    owners = draw.integers(0, patients, 3 * patients)
    visits = pd.DataFrame(
        {
            "id": people["Number"].to_numpy()[owners],
            "date": joined.to_numpy()[owners]
            + pd.to_timedelta(draw.integers(0, 400, 3 * patients), "D"),
            "kind": draw.choice(["Check", "Drug", "Operation"], 3 * patients),
        }
    ).sort_values(["id", "date", "kind"], ignore_index=True)
    shares = [
        ("sex", "F", 0.5, 0.52, 0.49, 0.55),
        ("sex", "M", 0.5, 0.48, 0.3, 0.66),
        ("sex x site", "F x North", 0.1, 0.01, 0, 0.2),
        ("sex x site", "F x South & East, West, far", 0.2, 0.2, 0.15, 0.25),
    ]
    survival = [
        ("", "everybody", 366, 0.7, 0.9),
        ("sex", "F", 366, 0.6, 0.8),
        ("sex", "M", 366, 0.8, 1.0),
    ]
    _publish(home, "clinic-1", CLINIC, {"people": people, "visits": visits}, shares, survival)
    return Clinic(people, visits)


def table(home: Home) -> pd.DataFrame:
    """Publishes `table-1`."""
    draw = np.random.default_rng(2)
    rows = pd.DataFrame(
        {
            "colour": draw.choice(["red", "green", "blue"], 200),
            "size": draw.integers(0, 100_000, 200),
        }
    )
    _publish(home, "table-1", TABLE, {"rows": rows}, [], [])
    return rows


def explored(home: Home, release_id: str = "clinic-1") -> ExploreTable:
    """The explore table of a release, made anew."""
    published = release.find(home, release_id)
    logs = chunks.logs(published.schema, published.release.extract.parquet)
    build.write(published.schema, logs, published.cache)
    return ExploreTable(published.schema, published.cache)


def _publish(
    home: Home,
    release_id: str,
    declaration: str,
    tables: dict[str, pd.DataFrame],
    shares: list[tuple[object, ...]],
    survival: list[tuple[object, ...]],
) -> None:
    folder = home.release(release_id)
    folder.extract.parquet.mkdir(parents=True)
    folder.dataset.write_text(declaration, encoding="utf-8")
    dates = {"date", "joined", "left"}
    for name, rows in tables.items():
        days = {column: rows[column].dt.date for column in dates & set(rows)}
        rows.assign(**days).to_parquet(folder.extract.parquet / f"{name}.parquet", index=False)
    folder.manifest.write_text(json.dumps({"release": release_id, "files": []}), encoding="utf-8")
    card = {
        "privacy": {"epsilon": 1.25},
        "use": {"not_for": "Not for clinical use."},
        "evidence": {"tables": {"single columns": [{"columns": ["sex"], "clear_from": 40}]}},
    }
    folder.card.write_text(json.dumps(card), encoding="utf-8")
    if shares:
        _estimates(folder.estimates.root, shares, survival)
    assert read_schema(folder.dataset).dataset


def _estimates(
    folder: Path, shares: list[tuple[object, ...]], survival: list[tuple[object, ...]]
) -> None:
    folder.mkdir()
    names = ["table", "cell", "extract", "estimate", "source_low", "source_high"]
    pd.DataFrame(shares, columns=names).to_csv(folder / "shares.csv", index=False)
    rows = [
        (column, group, f"alive at the beginning of day {day}", low, high)
        for column, group, day, low, high in survival
    ]
    names = ["column", "group", "figure", "source_low", "source_high"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "survival.csv", index=False)
