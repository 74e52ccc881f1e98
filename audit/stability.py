"""Stability (privacy_rules.md 7): one more patient changes only that patient's rows, in ingest with
its cleaning and caps, and in the holdout.

Extracts are ingested by the real stage, twice with one home and so with one permanent key: without
the newcomer and with. Everything that ingest wrote must be the same but for the newcomer's rows,
and equal rows must have equal coins wherever they stand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from audit import people
from audit.findings import Check, Finding
from pipeline import params
from pipeline.catalog import Restricted, Workspace, project_root
from pipeline.environment import at_home
from pipeline.restricted.ingest import stage
from pipeline.schema.patient_log import ID
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

FIRST = 13_001
SHARE = 0.3  # held out: enough of them among few patients
OWNING = ("PATIENTID", "ENCORE_PATIENT_ID")


def ingest_extract(schema: Schema, source: Path, folder: Path) -> Restricted:
    """The real stage, in a workspace below `folder`; one home for all that share the folder."""
    defaults = params.load(project_root() / "params.yaml")
    release = dataclasses.replace(
        defaults.release, dataset=schema.dataset, source=str(source), extract_date=people.EXTRACT
    )
    settings = dataclasses.replace(
        defaults, release=release, ingest=dataclasses.replace(defaults.ingest, holdout_share=SHARE)
    )
    run = Workspace(folder / f"run of {source.name}")
    with at_home(folder / "home"):
        stage.run(run, settings, schema)
    return run.restricted


def moved_files(
    before: Restricted, after: Restricted, *, own: Callable[[str, pl.DataFrame], pl.Expr]
) -> list[str]:
    """The files of ingest in which anybody but the newcomer changed. own(name, rows): which rows
    are the newcomer's.
    """
    changes = []
    names = sorted(path.relative_to(before.data) for path in before.data.rglob("*.parquet"))
    if names != sorted(path.relative_to(after.data) for path in after.data.rglob("*.parquet")):
        return ["other files were written"]
    for name in names:
        old, new = pl.read_parquet(before.data / name), pl.read_parquet(after.data / name)
        old, new = (rows.filter(~own(name.stem, rows)) for rows in (old, new))
        if name.parent.name in ("tables", "carried"):  # their order is of no consequence
            old, new = (rows.sort(rows.columns, nulls_last=True) for rows in (old, new))
        if not new.equals(old):
            changes.append(name.as_posix())
    return changes


def judge(faults: Mapping[str, list[str]], message: str, n: int) -> Finding:
    if breaches := {name: changes for name, changes in faults.items() if changes}:
        name, changes = next(iter(breaches.items()))
        return Finding(
            holds=False,
            message=(
                f"{len(breaches)} newcomers move somebody else; {name}: {', '.join(changes[:4])}"
            ),
        )
    return Finding(
        holds=True,
        message=f"{message}: only the newcomer's rows change",
        figures={"newcomers": len(faults), "patients": n},
    )


def _sample_population(folder: Path) -> Finding:
    """Ordinary patients with ties and odd ones among them; each kind of newcomer before, between
    and behind them.
    """
    schema = people.schema_in(folder / "declared")
    base = people.extract(40, 5) + sum(people.odd_patients(901).values(), people.Extract())
    before = ingest_extract(schema, base.write(folder / "base"), folder)
    faults = {}
    for number, (name, newcomer) in enumerate(people.odd_patients(FIRST).items()):
        at = (0, len(base.people) // 2, len(base.people))[number % 3]
        rows = [*base.people[:at], *newcomer.people, *base.people[at:]]
        more = people.Extract(
            rows,
            (
                [*newcomer.visits, *reversed(base.visits)]
                if number % 2
                else [*base.visits, *newcomer.visits]
            ),
        )
        after = ingest_extract(schema, more.write(folder / f"with {name}"), folder)
        newcomers = {row[0] for row in (*newcomer.people, *newcomer.visits)}
        assert len(newcomers) == 1
        faults[name] = moved_files(before, after, own=partial(_of_patient, FIRST + number))
    return judge(
        faults,
        f"{len(faults)} kinds of newcomers to a sample population of {len(base.people)}",
        len(base.people),
    )


def _of_patient(patient: int, name: str, rows: pl.DataFrame) -> pl.Expr:
    return pl.col(next(column for column in (ID, "id", *OWNING) if column in rows.columns)).cast(
        pl.String
    ) == str(patient)


def _without_ids(folder: Path) -> Finding:
    """A table in which a row is a person: known by the keyed hash of the whole row, never by its
    place; equal rows share a coin.
    """
    schema = read_schema(project_root() / "datasets" / "uci_heart.yaml")
    header = [column.name for column in schema.tables["heart"].columns.values()]
    ordinary = ["63", "M", "3", "145", "233", "1", "0", "150", "0", "2.3", "0", "0", "1", "1"]
    rows = [[str(20 + number % 60), *ordinary[1:]] for number in range(70)]  # ten stand twice
    before = ingest_extract(schema, _csv(folder / "base.csv", header, rows), folder)
    old = _coins(before)
    faults = {}
    for name, newcomer in {
        "another": ["19", *ordinary[1:]],
        "one like the first": rows[0],
        "one that breaks the rules": ["-1", *ordinary[1:]],
        "one that is no row": ["63"],
    }.items():
        after = ingest_extract(
            schema, _csv(folder / f"{name}.csv", header, [newcomer, *reversed(rows)]), folder
        )
        new = _coins(after)
        missing = {
            key: sorted(coins)
            for key, coins in old.items()
            if sorted(new.get(key, []))[: len(coins)] != sorted(coins)
        }
        uneven = [key for key, coins in new.items() if len(set(coins)) > 1]
        extra = sum(map(len, new.values())) - sum(map(len, old.values()))
        faults[name] = [
            *(["rows of others"] if missing else []),
            *(["coins of equal rows"] if uneven else []),
            *(["more than one row"] if extra not in (0, 1) else []),
        ]
    return judge(faults, f"{len(faults)} newcomers to a table without ids", len(rows))


def _coins(restricted: Restricted) -> dict[str, list[bool]]:
    """Whether each row is held out, by what the row says."""
    coins: dict[str, list[bool]] = {}
    for path, held_out in ((restricted.patients, False), (restricted.holdout_patients, True)):
        for row in pl.read_parquet(path).drop(ID).iter_rows():
            coins.setdefault(repr(row), []).append(held_out)
    return coins


def _csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n", encoding="utf-8")
    return path


CHECKS: tuple[Check, ...] = (
    Check(
        name="one more in a sample population",
        family="stability",
        run=_sample_population,
        asks=(
            "one more patient, of whatever kind, changes only that patient's rows in tables,"
            " pathways, caps and holdout"
        ),
    ),
    Check(
        name="one more in a table without ids",
        family="stability",
        run=_without_ids,
        asks=(
            "the same where a row is a person and known by its content alone; equal rows share a"
            " coin"
        ),
    ),
)
