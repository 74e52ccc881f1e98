"""Ingest falls apart by patient (privacy_rules.md 7): what it makes of a patient alone is what it
makes of that patient among all others.

`one more` compares two sources of nearly the same people. A median, a cap or a share over everybody
hardly moves between those; between everybody and one patient alone it does. So here each patient is
ingested alone, for sources of every layout with odd patients, and everything that ingest writes
must be that patient's part of what it wrote of all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import polars as pl

from audit import layouts, people, stability_registry
from audit.findings import Check, Finding
from audit.layout_declarations import DECLARATIONS
from audit.stability import FIRST
from pipeline import params
from pipeline.catalog import TRUTH, project_root
from pipeline.restricted.ingest import stage
from pipeline.restricted.ingest.source_files import sources
from pipeline.schema.patient_log import ID
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.simulator.simulate import simulate

KEY = bytes(32)  # of the holdout's coins; made-up patients need no secret
SHARE = 0.3
QUICK = ("007", "é 1", "d")  # alone, in the quick set
Parts = dict[str, pl.DataFrame]  # what ingest wrote, by file


def ingest(schema: Schema, source: Path, out: Path) -> Parts:
    """What ingest writes into `out`, which is made; without the account."""
    defaults = params.load(project_root() / "params.yaml")
    release = dataclasses.replace(
        defaults.release, dataset=schema.dataset, source=str(source), extract_date=people.EXTRACT
    )
    settings = dataclasses.replace(
        defaults, release=release, ingest=dataclasses.replace(defaults.ingest, holdout_share=SHARE)
    )
    out.mkdir(parents=True)
    with sources(schema, source) as opened:
        stage.ingest(schema, settings, opened, KEY, out)
    return {
        path.relative_to(out).with_suffix("").as_posix(): pl.read_parquet(path)
        for path in sorted(out.rglob("*.parquet"))
    }


def differences(
    alone: Parts, together: Parts, of: Callable[[str, pl.DataFrame], pl.DataFrame]
) -> list[str]:
    """The files in which one patient's rows differ. of(file, rows): that patient's rows."""
    if set(alone) != set(together):
        return ["other files were written"]
    return [name for name in alone if not _same(alone[name], of(name, together[name]), name)]


def _same(alone: pl.DataFrame, theirs: pl.DataFrame, name: str) -> bool:
    if "/" in name:  # tables, carried: their order is of no consequence
        alone, theirs = (rows.sort(rows.columns, nulls_last=True) for rows in (alone, theirs))
    return alone.equals(theirs)


def _layout(layout: str, form: str, patients: Iterable[str], folder: Path) -> Finding:
    """Each of the patients alone, in a source of one layout and form."""
    schema = layouts.schema_of(layout, folder / "declared")
    rows = layouts.rows_of(schema)
    there = {patient for some in rows.values() for patient, _ in some}

    def ingested(name: str, some: layouts.Rows) -> Parts:
        source = layouts.write(schema, some, form, folder / name)
        return ingest(schema, source, folder / f"{name} ingested")

    def differs(patient: str) -> list[str]:
        number = list(layouts.MOODS).index(patient)
        alone = ingested(f"patient {number}", layouts.of_patients(rows, [patient]))
        return differences(alone, together, partial(_rows_of, schema, patient, alone))

    together = ingested("all", rows)
    chosen = [patient for patient in patients if patient in there]
    return judge({one: partial(differs, one) for one in chosen}, f"{layout}, {form}", together)


def _rows_of(
    schema: Schema, patient: str, alone: Parts, name: str, rows: pl.DataFrame
) -> pl.DataFrame:
    """The patient's rows of a file that was written of all."""
    table = schema.tables.get(name.rpartition("/")[2])
    column = ID if ID in rows.columns or table is None else table.patient
    if all(one.patient is not None for one in schema.tables.values()):
        return rows.filter(pl.col(str(column)).cast(pl.String) == patient)
    if column is None:  # a row is a person, and its content who that is
        return rows.join(alone[name], on=rows.columns, how="semi", nulls_equal=True)
    return rows.filter(pl.col(ID).is_in(alone[name][ID].implode()))


def _registry(n_patients: int, n_alone: int, folder: Path) -> Finding:
    """A registry in which two patients share all keys, so that rows without an id are of both."""
    simulate(n_patients, 3, folder / "base", people.EXTRACT, progress=lambda _: None)
    schema = read_schema(project_root() / "datasets" / "simulated_pathways.yaml")
    base = stability_registry.read_tables(folder / "base")
    twin = str(base["sim_sact_regimen"]["ENCORE_PATIENT_ID"][0])
    source = stability_registry.with_copy(base, twin, folder / "all", own_keys=())
    together = ingest(schema, source, folder / "all ingested")
    tables = stability_registry.read_tables(source)

    def own(patient: str, name: str, rows: pl.DataFrame) -> pl.DataFrame:
        if ID in rows.columns:
            return rows.filter(pl.col(ID).cast(pl.String) == patient)
        return rows.filter(stability_registry.owned(tables, patient, rows))

    def differs(patient: str) -> list[str]:
        alone = folder / patient
        alone.mkdir()
        (alone / TRUTH).write_text("{}", encoding="utf-8")
        for name, rows in tables.items():
            chosen = rows.filter(stability_registry.owned(tables, patient, rows))
            chosen.write_csv(alone / f"{name}.csv")
        parts = ingest(schema, alone, folder / f"{patient} ingested")
        return differences(parts, together, partial(own, patient))

    others = base["sim_av_patient"]["PATIENTID"].to_list()
    patients = dict.fromkeys([str(FIRST), twin, *map(str, others)])
    chosen = list(patients)[:n_alone]
    return judge({one: partial(differs, one) for one in chosen}, "a registry", together)


def judge(faults: Mapping[str, Callable[[], list[str]]], what: str, together: Parts) -> Finding:
    """Stops at the first patient whose rows differ."""
    for name, differs in faults.items():
        if names := differs():
            return Finding(
                holds=False,
                message=(
                    f"{what}: patient {name} alone is not as among all, in {', '.join(names[:4])}"
                ),
            )
    n_kept = sum(rows.height for name, rows in together.items() if name.endswith("patients"))
    return Finding(
        holds=n_kept > 0,
        message=f"{what}: of {n_kept} patients kept, {len(faults)} are alone as among all",
        figures={"patients": n_kept, "alone": len(faults)},
    )


def _checks(form: str, patients: Iterable[str], *, is_long: bool) -> Iterator[Check]:
    for layout in DECLARATIONS:
        yield Check(
            name=f"alone as among all: {layout}, {form}{', everybody' * is_long}",
            family="stability",
            run=partial(_layout, layout, form, patients),
            asks=(
                "what ingest makes of a patient alone is what it makes of that patient among all"
                f" others, in a source of the layout {layout!r} written as {form}"
            ),
            long=is_long,
        )


CHECKS: tuple[Check, ...] = (
    *_checks("csv", QUICK, is_long=False),
    Check(
        name="alone as among all: a registry",
        family="stability",
        run=partial(_registry, 12, 8),
        asks="the same for patients of a registry in which two share all keys",
        long=True,
    ),
    *(check for form in layouts.FORMS for check in _checks(form, layouts.MOODS, is_long=True)),
)
