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

from audit import people as cohort
from audit.findings import Check, Finding
from pipeline import params
from pipeline.catalog import Restricted, Workspace, project_root
from pipeline.environment import at_home
from pipeline.restricted.ingest import stage as ingest
from pipeline.runs.source_claims import TRUTH
from pipeline.schema.patient_log import ID
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.simulator.simulate import simulate

FIRST = 13_001
SHARE = 0.3  # held out: enough of them among few patients
OWNING = ("PATIENTID", "ENCORE_PATIENT_ID")
KEYS = ("MERGED_REGIMEN_ID", "MERGED_CYCLE_ID", "TUMOURID")


def ingested(declared: Schema, source: Path, folder: Path) -> Restricted:
    """The real stage, in a workspace below `folder`; one home for all that share the folder."""
    given = params.load(project_root() / "params.yaml")
    release = dataclasses.replace(
        given.release, dataset=declared.dataset, source=str(source), extract_date=cohort.EXTRACT
    )
    settings = dataclasses.replace(
        given, release=release, ingest=dataclasses.replace(given.ingest, holdout_share=SHARE)
    )
    made = Workspace(folder / f"run of {source.name}")
    with at_home(folder / "home"):
        ingest.run(made, settings, declared)
    return made.restricted


def moved(
    before: Restricted, after: Restricted, *, own: Callable[[str, pl.DataFrame], pl.Expr]
) -> list[str]:
    """The files of ingest in which anybody but the newcomer changed. own(name, rows): which rows
    are the newcomer's.
    """
    found = []
    names = sorted(path.relative_to(before.data) for path in before.data.rglob("*.parquet"))
    if names != sorted(path.relative_to(after.data) for path in after.data.rglob("*.parquet")):
        return ["other files were written"]
    for name in names:
        old, new = pl.read_parquet(before.data / name), pl.read_parquet(after.data / name)
        old, new = (rows.filter(~own(name.stem, rows)) for rows in (old, new))
        if name.parent.name in ("tables", "carried"):  # their order is of no consequence
            old, new = (rows.sort(rows.columns, nulls_last=True) for rows in (old, new))
        if not new.equals(old):
            found.append(name.as_posix())
    return found


def _finding(faults: Mapping[str, list[str]], said: str, n: int) -> Finding:
    if broken := {name: found for name, found in faults.items() if found}:
        name, found = next(iter(broken.items()))
        return Finding(
            held=False,
            said=f"{len(broken)} newcomers move somebody else; {name}: {', '.join(found[:4])}",
        )
    return Finding(
        held=True,
        said=f"{said}: only the newcomer's rows change",
        figures={"newcomers": len(faults), "patients": n},
    )


def _cohort(folder: Path) -> Finding:
    """Ordinary patients with ties and odd ones among them; each kind of newcomer before, between
    and behind them.
    """
    declared = cohort.declared(folder / "declared")
    base = cohort.extract(40, 5) + sum(cohort.odd_patients(901).values(), cohort.Extract())
    before = ingested(declared, base.write(folder / "base"), folder)
    faults = {}
    for number, (name, newcomer) in enumerate(cohort.odd_patients(FIRST).items()):
        at = (0, len(base.people) // 2, len(base.people))[number % 3]
        people = [*base.people[:at], *newcomer.people, *base.people[at:]]
        more = cohort.Extract(
            people,
            (
                [*newcomer.visits, *reversed(base.visits)]
                if number % 2
                else [*base.visits, *newcomer.visits]
            ),
        )
        after = ingested(declared, more.write(folder / f"with {name}"), folder)
        newcomers = {row[0] for row in (*newcomer.people, *newcomer.visits)}
        assert len(newcomers) == 1
        faults[name] = moved(before, after, own=partial(_of_patient, FIRST + number))
    return _finding(
        faults,
        f"{len(faults)} kinds of newcomers to a cohort of {len(base.people)}",
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
    declared = read_schema(project_root() / "datasets" / "uci_heart.yaml")
    header = [column.name for column in declared.tables["heart"].columns.values()]
    ordinary = ["63", "M", "3", "145", "233", "1", "0", "150", "0", "2.3", "0", "0", "1", "1"]
    rows = [[str(20 + number % 60), *ordinary[1:]] for number in range(70)]  # ten stand twice
    before = ingested(declared, _csv(folder / "base.csv", header, rows), folder)
    old = _coins(before)
    faults = {}
    for name, newcomer in {
        "another": ["19", *ordinary[1:]],
        "one like the first": rows[0],
        "one that breaks the rules": ["-1", *ordinary[1:]],
        "one that is no row": ["63"],
    }.items():
        after = ingested(
            declared, _csv(folder / f"{name}.csv", header, [newcomer, *reversed(rows)]), folder
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
    return _finding(faults, f"{len(faults)} newcomers to a table without ids", len(rows))


def _coins(done: Restricted) -> dict[str, list[bool]]:
    """Whether each row is held out, by what the row says."""
    found: dict[str, list[bool]] = {}
    for path, held_out in ((done.patients, False), (done.holdout_patients, True)):
        for row in pl.read_parquet(path).drop(ID).iter_rows():
            found.setdefault(repr(row), []).append(held_out)
    return found


def _csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n", encoding="utf-8")
    return path


def _registry(folder: Path) -> Finding:
    """A registry extract with a newcomer who copies a treated patient: with keys of her own; with
    all keys shared; with a cell that is invalid.
    """
    simulate(120, 3, folder / "base", cohort.EXTRACT, clean=True, progress=lambda _: None)
    declared = read_schema(project_root() / "datasets" / "simulated_pathways.yaml")
    tables = read_tables(folder / "base")
    twin = str(tables["sim_sact_regimen"]["ENCORE_PATIENT_ID"][0])
    before = ingested(declared, folder / "base", folder)
    faults = {}
    for name, own_keys, broken in (
        ("keys of her own", KEYS, None),
        ("an invalid row", KEYS, "DIAGNOSISDATEBEST"),
        ("all keys shared", (), None),
    ):
        source = with_copy(tables, twin, folder / name, own_keys, broken)
        faults[name] = moved(
            before,
            ingested(declared, source, folder),
            own=partial(_of_newcomer, tables, twin, own_keys),
        )
    return _finding(
        faults, f"{len(faults)} newcomers to a registry extract", tables["sim_av_patient"].height
    )


def read_tables(source: Path) -> dict[str, pl.DataFrame]:
    """A registry extract as text."""
    return {
        path.stem: pl.read_csv(path, infer_schema=False) for path in sorted(source.glob("*.csv"))
    }


def with_copy(
    tables: Mapping[str, pl.DataFrame],
    twin: str,
    out: Path,
    own_keys: Sequence[str] = KEYS,
    broken: str | None = None,
) -> Path:
    """Writes the extract with the twin's rows again, under the id FIRST, before and behind all
    others in turned order.

    Keys in own_keys are new, all others are shared with the twin. broken: a column that gets a date
    that there is not.
    """
    out.mkdir()
    (out / TRUTH).write_text("{}", encoding="utf-8")
    for name, rows in tables.items():
        mine = rows.filter(_owned(tables, twin, rows))
        ids = [pl.lit(str(FIRST)).alias(column) for column in OWNING if column in rows.columns]
        keys = [
            (pl.lit("8") + pl.col(column).str.slice(-9)).alias(column)
            for column in own_keys
            if column in rows.columns
        ]
        spoilt = [pl.lit("2016-13-45").alias(broken)] if broken in rows.columns else []
        copied = mine.with_columns(*ids, *keys, *spoilt)
        pl.concat([copied.tail(1), rows.reverse(), copied.head(-1)]).write_csv(out / f"{name}.csv")
    return out


def _keys_of(tables: Mapping[str, pl.DataFrame], patient: str) -> dict[str, list[str]]:
    regimens = (
        tables["sim_sact_regimen"]
        .filter(pl.col("ENCORE_PATIENT_ID") == patient)["MERGED_REGIMEN_ID"]
        .to_list()
    )
    cycles = (
        tables["sim_sact_cycle"]
        .filter(pl.col("MERGED_REGIMEN_ID").is_in(regimens))["MERGED_CYCLE_ID"]
        .to_list()
    )
    tumours = tables["sim_av_tumour"].filter(pl.col("PATIENTID") == patient)["TUMOURID"].to_list()
    return {"MERGED_REGIMEN_ID": regimens, "MERGED_CYCLE_ID": cycles, "TUMOURID": tumours}


def _owned(tables: Mapping[str, pl.DataFrame], patient: str, rows: pl.DataFrame) -> pl.Expr:
    """Rows that are the patient's by id, or by key where a table has no id."""
    keys = {**{column: [patient] for column in OWNING}, **_keys_of(tables, patient)}
    column = next(name for name in (*OWNING, *KEYS) if name in rows.columns)
    return pl.col(column).is_in(keys[column])


def _of_newcomer(
    tables: Mapping[str, pl.DataFrame],
    twin: str,
    own_keys: Sequence[str],
    name: str,
    rows: pl.DataFrame,
) -> pl.Expr:
    """The newcomer's rows in what ingest wrote. Where keys are shared, rows found through them are
    rows of both: then the twin's, too.
    """
    patients = [str(FIRST)] if own_keys else [str(FIRST), twin]
    if ID in rows.columns:
        return pl.col(ID).cast(pl.String).is_in(patients)
    keys = _keys_of(tables, twin)
    column = next(name for name in (*OWNING, *KEYS) if name in rows.columns)
    known = (
        patients
        if column in OWNING
        else [f"8{key[-9:]}" for key in keys[column]]
        if own_keys
        else keys[column]
    )
    return pl.col(column).cast(pl.String).is_in(known)


CHECKS: tuple[Check, ...] = (
    Check(
        name="one more in a cohort",
        family="stability",
        run=_cohort,
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
    Check(
        name="one more in a registry",
        family="stability",
        run=_registry,
        asks=(
            "the same for a patient of a registry who shares keys with another one, or whose rows"
            " are invalid"
        ),
    ),
)
